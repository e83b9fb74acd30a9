//! Two sockets to the kernel: one to ask, one on which it says that something has changed.

use super::message::{Message, News, Question, messages, news};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::SocketAddrNetlink,
        recv, send, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use std::{io, os::fd::OwnedFd, time::Duration};

#[derive(Debug)]
pub(super) struct Kernel {
    questions: OwnedFd,
    news: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// What the kernel is to tell of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscription {
    /// Links, addresses, routes, rules, next hops; not neighbours, who come and go.
    Place,
    /// And neighbours.
    PlaceAndNeighbours,
}

/// The kernel answers before `send()` has returned; this is for one that does not.
const PATIENCE: Duration = Duration::from_secs(1);
/// Larger than anything the kernel puts into one datagram.
const LARGEST: usize = 64 * 1024;
/// Datagrams read for one question, and at a time of news.
const MOST: usize = 16 * 1024;

/// `RTMGRP_…`: links, addresses, routes, rules of IPv4; `RTNLGRP_…`: rules of IPv6, next hops.
const PLACE: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << (19 - 1) | 1 << (32 - 1);
const NEIGHBOURS: u32 = 0x4;

impl Kernel {
    pub(super) fn open(subscription: Subscription) -> io::Result<Self> {
        let socket = |flags| socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC | flags, None);
        let questions = socket(SocketFlags::empty())?;
        set_socket_timeout(&questions, Timeout::Recv, Some(PATIENCE))?;
        let news = socket(SocketFlags::NONBLOCK)?;
        let groups = match subscription {
            Subscription::Place => PLACE,
            Subscription::PlaceAndNeighbours => PLACE | NEIGHBOURS,
        };
        bind(&news, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { questions, news, sequence: 0, buffer: vec![0; LARGEST] })
    }

    /// Asks and waits for the answer, which takes no time to speak of. An error of the kernel's is an answer
    /// ([`Message::Error`]).
    pub(super) fn ask(&mut self, question: Question) -> io::Result<Vec<Message>> {
        let mut answer = Vec::new();
        self.ask_each(question, |message| answer.push(message))?;
        Ok(answer)
    }

    /// The same, message by message: a router's tables are too long to keep what nobody needs of them.
    pub(super) fn ask_each(&mut self, question: Question, mut each: impl FnMut(Message)) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.questions, &question.to_bytes(self.sequence), SendFlags::empty())?;
        for _ in 0..MOST {
            let count = match recv(&self.questions, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for (sequence, message) in messages(self.buffer.get(..count).unwrap_or_default()) {
                // Others belong to a question that was given up.
                if sequence != self.sequence {
                    continue;
                }
                if message == Message::Done {
                    return Ok(());
                }
                let is_last = !question.is_dump() || matches!(message, Message::Error(_));
                each(message);
                if is_last {
                    return Ok(());
                }
            }
        }
        Err(io::Error::other("the kernel's answer has no end"))
    }

    /// Whether anything changed since it was last asked. News that were lost count.
    pub(super) fn has_news(&mut self) -> bool {
        let mut any = false;
        self.news(|_| any = true);
        any
    }

    /// What changed since it was last asked. Where news were lost, it is said that something did.
    pub(super) fn news(&mut self, mut each: impl FnMut(News)) {
        for _ in 0..MOST {
            match recv(&self.news, self.buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((count, _)) => news(self.buffer.get(..count).unwrap_or_default()).for_each(&mut each),
                Err(Errno::NOBUFS) => each(News::Other),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
    }
}
