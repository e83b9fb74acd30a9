//! A line for many packets. `near` asks, `far` answers for whole prefixes, and between them is a path that nftables makes:
//! it counts what was asked, and drops what a [`Passage`] says. Nothing in it is delayed, and nothing has another way.
//!
//! Packets are handed from one device to the other below IP, so that neither end can know of a loss: a rule at the far end
//! would tell its kernel that an answer was not sent, and one at the near end comes after a packet socket has seen the answer.

mod listeners;
mod passage;
mod traffic;

pub use listeners::Listeners;
pub use passage::{Ban, Passage, Policer};
pub use traffic::{Sample, Traffic};

use crate::{Host, Lab, process::output_of};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// The path's device on the side of the end that asks, and the one on the other side.
pub(crate) const NEAR: &str = "near0";
pub(crate) const FAR: &str = "far0";

/// A line between two ends; removed with everything in it when dropped.
#[derive(Debug)]
pub struct Line {
    near: Host,
    path: Host,
    far: Host,
    // Last: what runs in it ends before it does.
    _lab: Lab,
}

impl Line {
    /// What the far end answers for, all of it by itself: 1,048,576 addresses, and a /48.
    pub const TARGETS: [&'static str; 2] = ["10.0.0.0/12", "fd10::/48"];
    pub const NEAR_ADDRESSES: [&'static str; 2] = ["10.200.0.1", "fd20::1"];
    pub const FAR_ADDRESSES: [&'static str; 2] = ["10.200.0.2", "fd20::2"];
    pub const NEAR_MAC: &'static str = "02:bb:00:00:00:01";
    pub const FAR_MAC: &'static str = "02:bb:00:00:00:02";

    /// Everything passes at first. Needs root; waits for its turn.
    pub fn new() -> Self {
        let mut lab = Lab::new();
        let [near, path, far] = ["near", "path", "far"].map(|name| lab.bare_host(name));
        for (end, device, mac) in [(&near, NEAR, Self::NEAR_MAC), (&far, FAR, Self::FAR_MAC)] {
            let peer = ["peer", "name", "eth0", "address", mac, "netns", end.namespace().name()];
            path.namespace().ip(&[&["link", "add", device, "type", "veth"][..], &peer].concat());
            // The path has no addresses, not even those every link has.
            path.namespace().ip(&["link", "set", device, "addrgenmode", "none", "up"]);
        }
        for target in Self::TARGETS {
            far.namespace().ip(&["route", "add", "local", target, "dev", "lo"]);
        }
        plug(&far, Self::FAR_ADDRESSES);
        let line = Self { near, path, far, _lab: lab };
        line.plug_in();
        line.become_like(&Passage::default());
        line
    }

    /// The end that asks.
    pub fn near(&self) -> &Host {
        &self.near
    }

    /// The end that answers.
    pub fn far(&self) -> &Host {
        &self.far
    }

    pub(crate) fn path(&self) -> &Host {
        &self.path
    }

    /// As if the near end's cable were pulled.
    pub fn unplug(&self) {
        self.near.namespace().ip(&["link", "set", "eth0", "down"]);
    }

    /// Plugs it in again. Taking an interface down loses its routes and IPv6 addresses, so they are set anew.
    pub fn plug_in(&self) {
        plug(&self.near, Self::NEAR_ADDRESSES);
        for (target, far) in Self::TARGETS.iter().zip(Self::FAR_ADDRESSES) {
            self.near.namespace().ip(&["route", "replace", target, "via", far]);
        }
    }

    /// From now on the path does this to packets, and only this. Its counters begin at zero.
    pub fn become_like(&self, passage: &Passage) {
        let file = self.path.write("passage.nft", &passage.rules());
        self.path.run("nft", &["-f", &file.to_string_lossy()]);
    }

    /// What happened to packets since: `asked` (SYNs that arrived at the path), `silent` (for nobody), `lost`, `policed`,
    /// `banned`, `blocked`, `out` and `back` (what went through). In packets.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let listed = output_of(self.path.command("nft").args(["-j", "list", "counters"]));
        let listed: Value = serde_json::from_str(&listed).expect("nft writes JSON");
        let entries = listed["nftables"].as_array().into_iter().flatten();
        let counters = entries.filter_map(|entry| entry.get("counter"));
        counters
            .map(|counter| {
                let name = counter["name"].as_str().expect("a counter has a name").to_owned();
                (name, counter["packets"].as_u64().expect("a counter counts packets"))
            })
            .collect()
    }

    /// How many endpoints have answered within that time, to the second. Needs [`Passage::note_answers`].
    pub fn answered_within(&self, time: Duration) -> usize {
        let set = ["set", "netdev", "passage", "answered"];
        let listed = output_of(self.path.command("nft").args(["-j", "list"]).args(set));
        let listed: Value = serde_json::from_str(&listed).expect("nft writes JSON");
        let entries = listed["nftables"].as_array().into_iter().flatten();
        let elements = entries.filter_map(|entry| entry.get("set")?["elem"].as_array()).flatten();
        let expires = elements.map(|element| element["elem"]["expires"].as_u64().expect("every one does"));
        expires.filter(|left| passage::KEPT.as_secs() - left <= time.as_secs()).count()
    }

    /// One of them; 0 where the passage has no such rule.
    pub fn count(&self, what: &str) -> u64 {
        self.counts().get(what).copied().unwrap_or_default()
    }
}

/// Gives an end's interface its addresses, without waiting for whether another has them.
fn plug(end: &Host, [v4, v6]: [&str; 2]) {
    let namespace = end.namespace();
    namespace.ip(&["link", "set", "eth0", "up"]);
    namespace.ip(&["addr", "replace", &format!("{v4}/24"), "dev", "eth0"]);
    namespace.ip(&["addr", "replace", &format!("{v6}/64"), "dev", "eth0", "nodad"]);
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}
