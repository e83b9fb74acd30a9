use std::{
    ffi::c_void,
    io,
    mem::offset_of,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, Ordering},
};

/// The ring of a packet socket (`TPACKET_V3`): blocks of memory shared with the kernel.
///
/// A block belongs to either side, and the status word in its header says to which. While it is ours the kernel neither writes
/// to it nor reads from it; while it is the kernel's, nothing but the status word is touched here.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    /// Bytes in a block.
    block: usize,
    blocks: usize,
}

/// Where in a block its status word is.
const STATUS: usize = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);

// SAFETY: the mapping is the process's, not a thread's, and only this value has its address.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the ring that the socket was given with `PACKET_RX_RING`: `blocks` blocks of `block` bytes each. The kernel refuses sizes
    /// that are not those of the ring.
    pub(crate) fn new(socket: BorrowedFd<'_>, block: usize, blocks: usize) -> io::Result<Self> {
        let length = block.checked_mul(blocks).filter(|_| block >= STATUS + size_of::<u32>());
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
        Ok(Self { start, block, blocks })
    }

    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The bytes of a block that is ours; none while it is the kernel's.
    pub(crate) fn block(&self, number: usize) -> Option<&[u8]> {
        let start = self.block_start(number)?;
        // What the kernel wrote before it gave the block away is seen after this.
        let is_ours = self.status(number)?.load(Ordering::Acquire) & libc::TP_STATUS_USER != 0;
        // SAFETY: the block lies inside the mapping, which lives as long as `self`. It is ours, so the kernel does not write to it until
        // its status is set back, which `release` does, and that needs `self` exclusively: not while this slice lives.
        is_ours.then(|| unsafe { slice::from_raw_parts(start.as_ptr(), self.block) })
    }

    /// Gives a block back to the kernel.
    pub(crate) fn release(&mut self, number: usize) {
        if let Some(status) = self.status(number) {
            // What we read of it was read before this.
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
    }

    fn status(&self, number: usize) -> Option<&AtomicU32> {
        let start = self.block_start(number)?;
        // SAFETY: the status word lies inside the block (`new` has seen to it), blocks begin at multiples of the page size and the word
        // at a multiple of 4. The kernel, too, reads and writes it whole.
        Some(unsafe { AtomicU32::from_ptr(start.add(STATUS).cast().as_ptr()) })
    }

    fn block_start(&self, number: usize) -> Option<NonNull<u8>> {
        // SAFETY: below `blocks`, the offset is inside the mapping.
        (number < self.blocks).then(|| unsafe { self.start.add(number * self.block) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`, and nothing borrows from it any more.
        let code = unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), self.block * self.blocks) };
        debug_assert_eq!(code, 0, "a mapping of our own can be undone: {}", io::Error::last_os_error());
    }
}
