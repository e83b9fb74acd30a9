use crate::{
    Arrival, Filter, Link, Receive, ReceiveCounters, WireError,
    sys::{Mapping, bind_to_link, set_option, statistics},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::{io, os::fd::AsFd, time::Duration};

mod walk;

/// Bytes in a block of a ring that is large enough for several.
const BLOCK: usize = 256 << 10;
/// What the kernel wants to know of rings whose frames all have one size; here it only has to divide a block.
const FRAME: usize = 2048;
/// How long the kernel waits for a block to fill before it hands it over, in milliseconds.
const RETIRE: u32 = 10;

/// Packets of one link that a [`Filter`] lets through, in a ring of memory shared with the kernel (`TPACKET_V3`). Needs
/// `CAP_NET_RAW`.
///
/// The kernel collects packets in a block for at most 10 ms. What finds the ring full is lost, and counted: the
/// answers in it were not silence.
#[derive(Debug)]
pub struct RingReceive {
    link: String,
    socket: Socket,
    map: Mapping,
    /// The block that will be handed over next.
    next: usize,
    counters: ReceiveCounters,
}

impl RingReceive {
    /// A ring by default: room for about 100,000 answers.
    pub const BYTES: usize = 16 << 20;

    /// Begins to receive on a link. The ring has about `bytes` bytes, and at least two pages.
    pub fn open(link: &Link, filter: &Filter, bytes: usize) -> Result<Self, WireError> {
        let open = |step| move |error| WireError::open(&link.name, step, error);
        // Of no protocol at first: nothing comes in before the filter and the ring are there.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0))).map_err(open("open it"))?;
        let version = libc::tpacket_versions::TPACKET_V3 as i32;
        let options = [(libc::PACKET_VERSION, version), (libc::PACKET_IGNORE_OUTGOING, 1)];
        for (name, value) in options {
            set_option(socket.as_fd(), libc::SOL_PACKET, name, value).map_err(open("make it a ring"))?;
        }
        let program: Vec<SockFilter> =
            filter.program().iter().map(|it| SockFilter::new(it.code, it.jt, it.jf, it.k)).collect();
        socket.attach_filter(&program).map_err(open("take a filter"))?;
        let (block, blocks) = shape(bytes, rustix::param::page_size());
        set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_RX_RING, request(block, blocks))
            .map_err(open("make room for a ring"))?;
        let map = Mapping::new(socket.as_fd(), block, blocks).map_err(open("share its ring"))?;
        let everything = u16::try_from(libc::ETH_P_ALL).unwrap_or_default();
        bind_to_link(socket.as_fd(), link.index, everything).map_err(open("bind it"))?;
        Ok(Self { link: link.name.clone(), socket, map, next: 0, counters: ReceiveCounters::default() })
    }

    fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut entries = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut entries, Some(&timeout)) {
            // A signal: as if the time were over.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if entries[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            // Taking the error clears it.
            return self.socket.take_error()?.map_or(Ok(()), Err);
        }
        Ok(())
    }
}

impl Receive for RingReceive {
    fn receive(&mut self, timeout: Duration, each: &mut dyn FnMut(&[u8], &Arrival)) -> Result<(), WireError> {
        let mut waited = Ok(());
        if self.map.block(self.next).is_none() {
            waited = self.wait(timeout).map_err(|error| WireError::receive(&self.link, error));
        }
        let now = wall_clock();
        // Once around at most, however fast the kernel fills the blocks that are given back.
        for _ in 0..self.map.blocks() {
            let Some(block) = self.map.block(self.next) else { break };
            walk::walk(block, now, each);
            self.map.release(self.next);
            self.next = (self.next + 1) % self.map.blocks();
        }
        waited
    }

    fn counters(&mut self) -> Result<ReceiveCounters, WireError> {
        let new = statistics(self.socket.as_fd()).map_err(|error| WireError::receive(&self.link, error))?;
        // The kernel counts what it dropped among the packets, too.
        self.counters.received += u64::from(new.tp_packets.saturating_sub(new.tp_drops));
        self.counters.dropped += u64::from(new.tp_drops);
        self.counters.frozen += u64::from(new.tp_freeze_q_cnt);
        Ok(self.counters)
    }
}

/// Since 1970 UTC: the clock that the kernel marks packets with, and only compared with those marks.
fn wall_clock() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Realtime)).unwrap_or_default()
}

/// How large a block is, and how many there are: at least two, so that one can be read while another is filled, and in a small ring
/// rather eight small ones. Each is handed over after a while, however little is in it: few are soon used up.
fn shape(bytes: usize, page: usize) -> (usize, usize) {
    let part = (bytes / 8).max(page);
    // The kernel wants whole pages, and finds powers of two most easily.
    let block = (part / page).checked_ilog2().map_or(page, |power| page << power).min(BLOCK.max(page));
    (block, (bytes / block).max(2))
}

fn request(block: usize, blocks: usize) -> libc::tpacket_req3 {
    let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
    libc::tpacket_req3 {
        tp_block_size: number(block),
        tp_block_nr: number(blocks),
        tp_frame_size: number(FRAME),
        tp_frame_nr: number(block / FRAME * blocks),
        tp_retire_blk_tov: RETIRE,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_two_blocks_of_whole_pages_at_least() {
        for (bytes, page, expect) in [
            (0, 4096, (4096, 2)),
            (8192, 4096, (4096, 2)),
            (20_000, 4096, (4096, 4)),
            (64 << 10, 4096, (8 << 10, 8)),
            (1 << 20, 4096, (128 << 10, 8)),
            (16 << 20, 4096, (256 << 10, 64)),
            (16 << 20, 64 << 10, (256 << 10, 64)),
            (0, 64 << 10, (64 << 10, 2)),
        ] {
            assert_eq!(shape(bytes, page), expect, "{bytes} in pages of {page}");
        }
    }
}
