//! Raw packets or connections: which of the two works on a link, why, and whether it still does.
//!
//! Nothing tells beforehand whether raw packets get through: networks of virtual machines drop frames that no connection of
//! theirs accounts for, and say nothing. What tells is an endpoint that accepts a connection and never answers a raw SYN
//! ([`trial`]). Until one is known, raw packets are taken to work but are [not proven to](Choice::is_proven): their silence is
//! worth nothing yet, and a few of the silent should be asked by connecting too.
//!
//! That a sensor connects where raw packets never worked is a choice, and no trouble. That raw packets stopped working, or are
//! what the operator wants and cannot have, is one ([`SelfProbe::handicap`]): it goes on, at less than it could do.

mod dialled;
mod first_look;
mod links;
#[cfg(test)]
mod tests;
mod trial;

pub use dialled::try_packets;
pub(crate) use first_look::first_look;
pub use links::Due;
pub(crate) use links::Links;
pub use trial::{BothWays, Finding, RawAnswer, trial};

use config::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::{io, time::Duration};
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Packets of our own making.
    Raw,
    /// The kernel's connections.
    Connect,
}

/// What is used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub backend: Backend,
    /// A sentence without a full stop.
    pub why: String,
    /// Whether anything was heard that shows it to work. Connections need no proof.
    pub is_proven: bool,
}

/// What stands in the way of raw packets before one is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error(
        "raw sockets take CAP_NET_RAW, which this process lacks (run it as root, or with AmbientCapabilities=CAP_NET_RAW under systemd)"
    )]
    NotPermitted,
    #[error("this machine has no raw sockets: {0}")]
    NoSockets(String),
    #[error("no port is left to send raw packets from: programs listen on nearly all of them")]
    NoPorts,
    #[error("no target can be reached from here: {0}")]
    NoWay(String),
    /// What the kernel said to a packet.
    #[error("the kernel sends no raw packets: {0}")]
    Refused(String),
}

/// Whether raw packets may be sent at all: opens a packet socket, and closes it again. Nothing is sent.
pub fn may_send_raw() -> Result<(), Obstacle> {
    match socket_with(AddressFamily::PACKET, SocketType::DGRAM, SocketFlags::CLOEXEC, None) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => Err(Obstacle::NotPermitted),
        Err(error) => Err(Obstacle::NoSockets(io::Error::from(error).to_string())),
    }
}

/// Before raw packets that were dropped are tried again, and at most.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_MOST: Duration = Duration::from_hours(6);
/// Before a trial that came to nothing is repeated.
const UNDECIDED: Duration = Duration::from_secs(30);
/// Between two trials of what works, however often it is doubted.
const DOUBT_EVERY: Duration = Duration::from_mins(1);

/// How raw packets fare on one link: its name is in what is said. Pure; whoever sends calls it.
#[derive(Debug)]
pub struct SelfProbe {
    link: String,
    wanted: Mode,
    obstacle: Option<Obstacle>,
    standing: Standing,
    /// Raw packets have worked since the start.
    worked: bool,
    /// When the next trial is due; none while nothing is in doubt.
    due: Option<Instant>,
    tried: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Unproven,
    Proven,
    /// Those that accepted connections and did not answer raw packets, and how long until the next try.
    Dropped {
        witnesses: String,
        wait: Duration,
    },
}

impl SelfProbe {
    /// `obstacle`: what is known to stand in the way ([`may_send_raw`]).
    pub fn new(link: &str, wanted: Mode, obstacle: Option<Obstacle>, now: Instant) -> Self {
        Self {
            link: link.to_owned(),
            wanted,
            obstacle,
            standing: Standing::Unproven,
            worked: false,
            due: Some(now),
            tried: None,
        }
    }

    pub fn choice(&self) -> Choice {
        let connect = |why: String| Choice { backend: Backend::Connect, why, is_proven: true };
        if self.wanted == Mode::Connect {
            return connect("`mode = \"connect\"` is configured".to_owned());
        }
        if let Some(obstacle) = &self.obstacle {
            return connect(obstacle.to_string());
        }
        let link = &self.link;
        match &self.standing {
            Standing::Dropped { witnesses, .. } => connect(format!(
                "raw packets by {link} get no answer, although {witnesses} accepts connections: something on the way drops them"
            )),
            Standing::Proven => {
                Choice { backend: Backend::Raw, why: format!("raw packets by {link} are answered"), is_proven: true }
            }
            Standing::Unproven => Choice {
                backend: Backend::Raw,
                why: format!(
                    "raw packets by {link} can be sent; whether they are answered shows with the first endpoint that is open"
                ),
                is_proven: false,
            },
        }
    }

    /// What is worse than it was, or than the operator wants, in a sentence. None: nothing.
    pub fn handicap(&self) -> Option<String> {
        let choice = self.choice();
        let is_expected = self.wanted == Mode::Connect || (self.wanted == Mode::Auto && !self.worked);
        (choice.backend == Backend::Connect && !is_expected)
            .then(|| format!("{}; it is scanned by connecting meanwhile, which is slower", choice.why))
    }

    /// Something answered a raw packet, and proved by its cookie that it did.
    pub fn note_heard(&mut self) {
        if self.standing == Standing::Unproven {
            self.prove();
        }
    }

    /// What should have answered did not: raw packets may be dropped by now.
    pub fn doubt(&mut self, now: Instant) {
        if self.choice().backend == Backend::Raw {
            let earliest = self.tried.map_or(now, |tried| tried + DOUBT_EVERY);
            self.due = Some(earliest.max(now));
        }
    }

    /// What stands in the way has changed: sockets were lost or may be opened again, ways came or went.
    pub fn set_obstacle(&mut self, obstacle: Option<Obstacle>, now: Instant) {
        if self.obstacle.is_some() && obstacle.is_none() {
            // Meanwhile much may have changed.
            self.standing = Standing::Unproven;
            self.due = Some(now);
        }
        self.obstacle = obstacle;
    }

    /// Another mode is wanted from now on.
    pub(crate) fn want(&mut self, wanted: Mode) {
        self.wanted = wanted;
    }

    /// Whether [`trial`] should be run now, with endpoints that are known to be open on this link. Where there are none, it waits for some.
    pub fn is_due(&self, now: Instant) -> bool {
        let may_be_tried = matches!(self.obstacle, None | Some(Obstacle::Refused(_)));
        self.wanted != Mode::Connect && may_be_tried && self.due.is_some_and(|due| due <= now)
    }

    /// Takes what a trial came to. A kernel that refuses to send is an obstacle, until a trial shows that it does so no more.
    pub fn take(&mut self, finding: Finding, now: Instant) {
        self.tried = Some(now);
        if matches!(finding, Finding::Works | Finding::Dropped(_)) {
            self.obstacle = None;
        }
        match finding {
            Finding::Works => self.prove(),
            Finding::Dropped(witnesses) => {
                let wait = match &self.standing {
                    Standing::Dropped { wait, .. } => (*wait * 2).min(RETRY_MOST),
                    Standing::Unproven | Standing::Proven => RETRY_FIRST,
                };
                let witnesses: Vec<String> = witnesses.iter().map(ToString::to_string).collect();
                self.standing = Standing::Dropped { witnesses: witnesses.join(", "), wait };
                self.due = Some(now + wait);
            }
            Finding::Refused(why) => {
                self.obstacle = Some(Obstacle::Refused(why));
                self.due = Some(now + UNDECIDED);
            }
            // What has worked was doubted without a reason that holds.
            Finding::Undecided if self.standing == Standing::Proven && self.obstacle.is_none() => self.due = None,
            Finding::Undecided => self.due = Some(now + UNDECIDED),
        }
    }

    fn prove(&mut self) {
        self.standing = Standing::Proven;
        self.worked = true;
        self.due = None;
    }
}
