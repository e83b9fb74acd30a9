use crate::sys::{Frames, bind_to_link, set_option};
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, os::fd::AsFd};

/// Short frames of Ethernet in a ring of memory shared with the kernel (`PACKET_TX_RING`): one system call for a whole batch, in which the
/// kernel neither looks at a list of messages nor at where each lies. A fifth cheaper than `sendmmsg(2)`.
///
/// Each frame begins with the header that virtual machines hand packets over with (`PACKET_VNET_HDR`), which asks for nothing here
/// but that all of the frame be copied: without it the kernel would keep a page of the ring for each packet on its way.
#[derive(Debug)]
pub(crate) struct TransmitRing {
    socket: Socket,
    frames: Frames,
    /// The frame that the kernel looks at next.
    next: usize,
}

/// Bytes of a frame of the ring, with the kernel's header of 32, and how many there are: what may be on its way at a time.
const FRAME: usize = 256;
const FRAMES: usize = 512;
/// Bytes in a block of the ring.
const BLOCK: usize = 64 << 10;
/// What stands in front of each packet in its frame, without the kernel's own header.
const HEADER: usize = 10;

impl TransmitRing {
    /// The longest frame, Ethernet header on.
    pub(crate) const LONGEST: usize = FRAME - 32 - HEADER;

    pub(crate) fn open(index: u32) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        super::packet::grow_send_buffer(&socket)?;
        let version = libc::tpacket_versions::TPACKET_V2 as i32;
        for (name, value) in [(libc::PACKET_VERSION, version), (libc::PACKET_VNET_HDR, 1)] {
            set_option(socket.as_fd(), libc::SOL_PACKET, name, value)?;
        }
        set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_TX_RING, request())?;
        let frames = Frames::new(socket.as_fd(), FRAME, FRAMES)?;
        bind_to_link(socket.as_fd(), index, 0)?;
        Ok(Self { socket, frames, next: 0 })
    }

    pub(crate) fn bypass_queue(&self, bypass: bool) -> io::Result<()> {
        set_option(self.socket.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, i32::from(bypass))
    }

    /// As many frames as there is room for. Gives how many the kernel took; an error is about the first.
    pub(crate) fn send<'a>(&mut self, packets: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let Self { socket, frames, next } = self;
        let place = |count: usize| (*next + count) % FRAMES;
        let mut count = 0;
        for packet in packets.take(frames.count()) {
            if !frames.hand_over(place(count), [&header(packet.len()), packet]) {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        let told = socket.send_with_flags(&[], libc::MSG_DONTWAIT);
        // It says how many bytes left, or what kept one back; which one, only the ring says.
        let taken = (0..count).find(|at| frames.was_left(place(*at))).unwrap_or(count);
        for at in taken..count {
            frames.take_back(place(at));
        }
        *next = place(taken);
        match told {
            Err(error) if taken == 0 => Err(error),
            _ => Ok(taken),
        }
    }
}

/// Nothing is left to the card, and all of the frame is copied. In the machine's own order.
fn header(length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[2..4].copy_from_slice(&u16::try_from(length).unwrap_or_default().to_ne_bytes());
    header
}

fn request() -> libc::tpacket_req {
    let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
    libc::tpacket_req {
        tp_block_size: number(BLOCK),
        tp_block_nr: number(FRAME * FRAMES / BLOCK),
        tp_frame_size: number(FRAME),
        tp_frame_nr: number(FRAMES),
    }
}

const _: () = assert!((FRAME * FRAMES).is_multiple_of(BLOCK) && BLOCK.is_multiple_of(FRAME));
