use super::{FAR, Line, NEAR};
use std::{fmt::Write as _, net::IpAddr, time::Duration};

/// For so long it is remembered who has answered.
pub(super) const KEPT: Duration = Duration::from_hours(1);

/// What a path does to packets. The default lets everything through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Passage {
    /// Nothing arrives, and nobody says so: the packets are counted and dropped at once.
    pub dark: bool,
    /// Which of the far end's addresses are there; the others are silent. None: all of them.
    pub live: Option<Vec<IpAddr>>,
    /// Packets of every kind are lost with this probability, each by itself and on each of the two ways.
    pub loss: f64,
    pub policer: Option<Policer>,
    pub ban: Option<Ban>,
    /// Remembers which endpoints of IPv4 have answered a SYN in a way that reached the near end: see [`Line::answered_within`].
    pub note_answers: bool,
    /// Rules of `nft` for the way out, one a line, that come before everything else: they see Ethernet frames.
    pub first: String,
}

/// What comes faster from the near end is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policer {
    pub packets_per_second: u32,
    /// So many at once are let through.
    pub burst: u32,
}

/// A source that asks faster than this, in SYNs, is dropped for a while, whatever it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    pub syns_per_second: u32,
    pub burst: u32,
    pub lasts: Duration,
}

impl Passage {
    /// As a file for `nft -f`, which takes the place of the rules there were in one step.
    pub(super) fn rules(&self) -> String {
        let [v4, v6] = Line::TARGETS;
        let mut out = String::new();
        let mut rule = |text: &str| {
            let _infallible = writeln!(out, "  {text}");
        };
        self.first.lines().for_each(&mut rule);
        if self.dark {
            // Before everything else: what the path costs, who asks pays.
            rule("tcp flags & (syn | ack) == syn counter name asked drop");
        }
        // How the ends find each other is not part of the game.
        rule(&format!("meta protocol != {{ ip, ip6 }} fwd to {FAR}"));
        rule(&format!("icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} fwd to {FAR}"));
        rule("tcp flags & (syn | ack) == syn counter name asked");
        if self.dark {
            rule("drop");
        }
        if let Some(Ban { syns_per_second: rate, burst, .. }) = self.ban {
            rule("ip saddr @banned4 counter name blocked drop");
            rule("ip6 saddr @banned6 counter name blocked drop");
            for (family, number) in [("ip", 4), ("ip6", 6)] {
                rule(&format!(
                    "tcp flags & (syn | ack) == syn update @rates{number} {{ {family} saddr limit rate over \
                     {rate}/second burst {burst} packets }} add @banned{number} {{ {family} saddr }} \
                     counter name banned drop"
                ));
            }
        }
        if let Some(Policer { packets_per_second: rate, burst }) = self.policer {
            rule(&format!("limit rate over {rate}/second burst {burst} packets counter name policed drop"));
        }
        if self.live.is_some() {
            rule(&format!("ip daddr {v4} ip daddr != @live4 counter name silent drop"));
            rule(&format!("ip6 daddr {v6} ip6 daddr != @live6 counter name silent drop"));
        }
        let lose = self.lose();
        rule(&lose);
        rule("counter name out");
        rule(&format!("fwd to {FAR}"));

        let note = if self.note_answers {
            "tcp flags & (syn | ack) == (syn | ack) update @answered { ip saddr . tcp sport }"
        } else {
            ""
        };
        let back = format!(
            "  meta protocol != {{ ip, ip6 }} fwd to {NEAR}\n  \
             icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} fwd to {NEAR}\n  \
             {lose}\n  {note}\n  counter name back\n  fwd to {NEAR}\n"
        );
        let counters = ["asked", "silent", "lost", "policed", "banned", "blocked", "out", "back"];
        format!(
            // A table that is not there cannot be deleted.
            "add table netdev passage\ndelete table netdev passage\ntable netdev passage {{\n{sets}{counters}\n \
             chain out {{ type filter hook ingress device {NEAR} priority 0;\n{out} }}\n \
             chain back {{ type filter hook ingress device {FAR} priority 0;\n{back} }}\n}}\n",
            sets = self.sets(),
            counters = counters.map(|name| format!(" counter {name} {{ }}")).join("\n"),
        )
    }

    fn lose(&self) -> String {
        if self.loss <= 0.0 {
            return String::new();
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a million")]
        let share = (self.loss * 1_000_000.0).round() as u32;
        format!("numgen random mod 1000000 < {share} counter name lost drop")
    }

    fn sets(&self) -> String {
        let mut sets = String::new();
        let mut add = |text: String| sets.push_str(&text);
        if self.note_answers {
            let kept = KEPT.as_secs();
            let flags = format!("size 1048576; flags dynamic,timeout; timeout {kept}s");
            add(format!(" set answered {{ typeof ip saddr . tcp sport; {flags}; }}\n"));
        }
        if let Some(live) = &self.live {
            for (number, kind, is_v4) in [(4, "ipv4_addr", true), (6, "ipv6_addr", false)] {
                let own: Vec<String> =
                    live.iter().filter(|ip| ip.is_ipv4() == is_v4).map(ToString::to_string).collect();
                let elements =
                    if own.is_empty() { String::new() } else { format!(" elements = {{ {} }}", own.join(", ")) };
                add(format!(" set live{number} {{ type {kind};{elements} }}\n"));
            }
        }
        if let Some(ban) = self.ban {
            for (number, kind) in [(4, "ipv4_addr"), (6, "ipv6_addr")] {
                add(format!(
                    " set rates{number} {{ type {kind}; size 65536; flags dynamic,timeout; timeout 1m; }}\n \
                     set banned{number} {{ type {kind}; size 65536; flags dynamic,timeout; timeout {}s; }}\n",
                    ban.lasts.as_secs().max(1)
                ));
            }
        }
        sets
    }
}
