use std::{
    ffi::c_void,
    io,
    mem::offset_of,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, Ordering},
};

/// The ring of a packet socket that sends (`PACKET_TX_RING` of `TPACKET_V2`): frames of memory shared with the kernel.
///
/// A frame belongs to either side, and the status word at its beginning says to which. It is ours until it is handed over, and the
/// kernel's until it has been sent; one that the kernel has not begun to send can be taken back, since it takes frames only while
/// the socket is told to send, which nobody does but whoever has this value.
#[derive(Debug)]
pub(crate) struct Frames {
    start: NonNull<u8>,
    /// Bytes in a frame.
    frame: usize,
    count: usize,
}

/// Where in a frame its header says how long its bytes are, and where those begin.
const LENGTH: usize = offset_of!(libc::tpacket2_hdr, tp_len);
const BYTES: usize = libc::TPACKET2_HDRLEN - size_of::<libc::sockaddr_ll>();

// SAFETY: the mapping is the process's, not a thread's, and only this value has its address.
unsafe impl Send for Frames {}

impl Frames {
    /// Maps the ring that the socket was given with `PACKET_TX_RING`, and no other one: `frames` frames of `frame` bytes each, one
    /// behind the other. The kernel refuses sizes that are not those of the ring.
    pub(crate) fn new(socket: BorrowedFd<'_>, frame: usize, frames: usize) -> io::Result<Self> {
        let fits = frame >= BYTES && frame.is_multiple_of(libc::TPACKET_ALIGNMENT);
        let length = frame.checked_mul(frames).filter(|_| fits);
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a new mapping at an address of the kernel's choice; no memory of ours is touched.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        Ok(Self { start, frame, count: frames })
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Writes these bytes, one part behind the other, into a frame that is ours and hands it over. `false`, and nothing is written,
    /// where it is the kernel's or too short for them.
    pub(crate) fn hand_over(&mut self, number: usize, parts: [&[u8]; 2]) -> bool {
        let [first, second] = parts;
        let length = first.len() + second.len();
        let Some(start) = self.frame_start(number).filter(|_| length <= self.frame - BYTES) else { return false };
        let Some(status) = self.status(number) else { return false };
        if status.load(Ordering::Acquire) != libc::TP_STATUS_AVAILABLE {
            return false;
        }
        // SAFETY: the frame lies inside the mapping, which lives as long as `self`. It is ours: the kernel neither reads nor writes it
        // before its status says otherwise, and `self` is borrowed exclusively, so that nobody else here does either. Its status word
        // is left out of the slice.
        let bytes = unsafe { slice::from_raw_parts_mut(start.as_ptr().add(LENGTH), self.frame - LENGTH) };
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or_default().to_ne_bytes());
        let bytes = &mut bytes[BYTES - LENGTH..];
        bytes[..first.len()].copy_from_slice(first);
        bytes[first.len()..length].copy_from_slice(second);
        if let Some(status) = self.status(number) {
            // The kernel sees what was written before it sees this.
            status.store(libc::TP_STATUS_SEND_REQUEST, Ordering::Release);
        }
        true
    }

    /// Whether a frame that was handed over has been left lying: the kernel has not begun to send it, or found fault with it.
    pub(crate) fn was_left(&self, number: usize) -> bool {
        let status = self.status(number).map_or(libc::TP_STATUS_AVAILABLE, |status| status.load(Ordering::Acquire));
        matches!(status, libc::TP_STATUS_SEND_REQUEST | libc::TP_STATUS_WRONG_FORMAT)
    }

    /// Makes a frame that was left lying ours again.
    pub(crate) fn take_back(&mut self, number: usize) {
        if self.was_left(number)
            && let Some(status) = self.status(number)
        {
            status.store(libc::TP_STATUS_AVAILABLE, Ordering::Release);
        }
    }

    fn status(&self, number: usize) -> Option<&AtomicU32> {
        let start = self.frame_start(number)?;
        // SAFETY: the status word is at the beginning of the frame, which is inside the mapping and at a multiple of 16 (`new` has seen to
        // both). The kernel, too, reads and writes it whole.
        Some(unsafe { AtomicU32::from_ptr(start.cast().as_ptr()) })
    }

    fn frame_start(&self, number: usize) -> Option<NonNull<u8>> {
        // SAFETY: below `frames`, the offset is inside the mapping.
        (number < self.count).then(|| unsafe { self.start.add(number * self.frame) })
    }
}

const _: () =
    assert!(offset_of!(libc::tpacket2_hdr, tp_status) == 0 && LENGTH >= size_of::<u32>() && LENGTH + 4 <= BYTES);

impl Drop for Frames {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`, and nothing borrows from it any more.
        let code = unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), self.frame * self.count) };
        debug_assert_eq!(code, 0, "a mapping of our own can be undone: {}", io::Error::last_os_error());
    }
}
