//! A handful of packets on their way out.

/// Room in front of every packet for a link-layer header: 14 bytes of Ethernet, and two so that the IP header starts at a
/// multiple of 16.
const HEADROOM: usize = 16;
/// An Ethernet header: destination, source, type.
pub(crate) const ETHERNET: usize = 14;

/// Packets that leave together: a fixed arena, so that nothing is allocated after it was made.
///
/// Each packet starts with its IP header. What was sent is taken off the front, so that after a send the batch holds what
/// is still to be sent.
#[derive(Debug)]
pub struct Batch {
    bytes: Box<[u8]>,
    longest: usize,
    /// From one packet's place in `bytes` to the next.
    stride: usize,
    capacity: usize,
    /// Places given out since the batch was empty.
    used: usize,
    slots: Vec<Slot>,
    /// How many of `slots` have left.
    gone: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Where the IP header starts in `bytes`.
    start: usize,
    length: usize,
}

impl Batch {
    /// Packets in a batch by default: more make a system call hardly cheaper.
    pub const PACKETS: usize = 64;

    /// Room for `capacity` packets of at most `longest` bytes each, IP header on.
    pub fn new(capacity: usize, longest: usize) -> Self {
        let stride = (HEADROOM + longest).next_multiple_of(HEADROOM);
        Self {
            bytes: vec![0; stride * capacity].into_boxed_slice(),
            longest,
            stride,
            capacity,
            used: 0,
            slots: Vec::with_capacity(capacity),
            gone: 0,
        }
    }

    /// Adds a packet of `length` bytes that `fill` writes; what the place held before is still there, so every byte has to be
    /// written. `false`, and `fill` is not called, where the batch is full or the packet longer than the batch was made for.
    #[must_use = "a packet that found no room was not added"]
    pub fn push(&mut self, length: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        if self.is_empty() {
            self.clear();
        }
        if self.is_full() || length > self.longest {
            return false;
        }
        let start = self.used * self.stride + HEADROOM;
        let Some(place) = self.bytes.get_mut(start..start + length) else {
            return false;
        };
        fill(place);
        self.used += 1;
        self.slots.push(Slot { start, length });
        true
    }

    /// The packet added last goes to this Ethernet address, where the way out is to [neighbours](crate::NextHop::Neighbours).
    pub fn direct(&mut self, to: [u8; 6]) {
        let Self { bytes, slots, gone, .. } = self;
        if let Some(slot) = slots.get(*gone..).and_then(<[Slot]>::last)
            && let Some(header) = bytes.get_mut(slot.start - ETHERNET..slot.start)
        {
            header[..6].copy_from_slice(&to);
        }
    }

    /// The packets still to be sent, in order.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.waiting().iter().map(|slot| self.slice(slot.start, slot.length))
    }

    /// Keeps the packets that `permits` says yes to, in order; gives how many were thrown out.
    pub fn retain(&mut self, mut permits: impl FnMut(&[u8]) -> bool) -> usize {
        let before = self.len();
        let Self { bytes, slots, gone, .. } = self;
        slots.drain(..std::mem::take(gone));
        slots.retain(|slot| bytes.get(slot.start..slot.start + slot.length).is_some_and(&mut permits));
        before - self.len()
    }

    /// Takes the first packet off without sending it, after the kernel refused it; `false` where there is none.
    pub fn skip(&mut self) -> bool {
        let is_there = !self.is_empty();
        self.gone += usize::from(is_there);
        is_there
    }

    pub fn clear(&mut self) {
        self.slots.clear();
        self.gone = 0;
        self.used = 0;
    }

    /// Packets still to be sent.
    pub fn len(&self) -> usize {
        self.slots.len() - self.gone
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no more packets fit before it is empty again.
    pub fn is_full(&self) -> bool {
        self.used == self.capacity && !self.is_empty()
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The longest packet it takes, in bytes.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Takes off the first `count`: the kernel has them.
    pub(crate) fn advance(&mut self, count: usize) {
        self.gone = self.slots.len().min(self.gone + count);
    }

    /// The `count` packets that left last, while the batch has not been changed since.
    pub(crate) fn left_last(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        let slots = self.slots.get(self.gone.saturating_sub(count)..self.gone).unwrap_or_default();
        slots.iter().map(|slot| self.slice(slot.start, slot.length))
    }

    /// Writes an Ethernet header in front of each packet: the two addresses, destination first, and the type its IP version asks
    /// for.
    pub(crate) fn address(&mut self, addresses: [u8; 12]) {
        let Self { bytes, slots, gone, .. } = self;
        for slot in slots.get(*gone..).unwrap_or_default() {
            let frame = bytes.get_mut(slot.start - ETHERNET..slot.start + slot.length);
            let Some((header, packet)) = frame.and_then(|frame| frame.split_first_chunk_mut::<ETHERNET>()) else {
                continue;
            };
            let version = packet.first().copied().unwrap_or_default();
            header[..12].copy_from_slice(&addresses);
            header[12..].copy_from_slice(&ether_type(version).to_be_bytes());
        }
    }

    /// The same from this address, to where each was [directed](Batch::direct).
    pub(crate) fn address_from(&mut self, mac: [u8; 6]) {
        let Self { bytes, slots, gone, .. } = self;
        for slot in slots.get(*gone..).unwrap_or_default() {
            let frame = bytes.get_mut(slot.start - ETHERNET..slot.start + slot.length);
            let Some((header, packet)) = frame.and_then(|frame| frame.split_first_chunk_mut::<ETHERNET>()) else {
                continue;
            };
            let version = packet.first().copied().unwrap_or_default();
            header[6..12].copy_from_slice(&mac);
            header[12..].copy_from_slice(&ether_type(version).to_be_bytes());
        }
    }

    /// The packets still to be sent with the last `head` bytes in front of each.
    pub(crate) fn frames(&self, head: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        self.waiting()
            .iter()
            .map(move |slot| self.slice(slot.start - head.min(HEADROOM), slot.length + head.min(HEADROOM)))
    }

    fn waiting(&self) -> &[Slot] {
        self.slots.get(self.gone..).unwrap_or_default()
    }

    fn slice(&self, start: usize, length: usize) -> &[u8] {
        self.bytes.get(start..start + length).unwrap_or_default()
    }
}

/// The Ethernet type of an IP packet, from its first byte.
pub(crate) fn ether_type(first: u8) -> u16 {
    if first >> 4 == 6 { 0x86dd } else { 0x0800 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(firsts: &[u8]) -> Batch {
        let mut batch = Batch::new(4, 20);
        for first in firsts {
            assert!(batch.push(3, |bytes| bytes.copy_from_slice(&[*first, 1, 2])));
        }
        batch
    }

    fn firsts(batch: &Batch) -> Vec<u8> {
        batch.packets().map(|packet| packet[0]).collect()
    }

    #[test]
    fn takes_what_fits() {
        let mut batch = filled(&[0x45, 0x60, 0x46, 0x47]);
        assert!(batch.is_full() && !batch.push(3, |_| panic!("there is no room")));
        batch.clear();
        assert!(batch.is_empty() && batch.packets().len() == 0);
        assert!(!batch.push(21, |_| panic!("it is too long")));
        assert!(batch.push(20, |bytes| bytes.fill(7)) && batch.push(0, |bytes| assert!(bytes.is_empty())));
        assert_eq!(batch.packets().map(<[u8]>::len).collect::<Vec<_>>(), [20, 0]);
    }

    #[test]
    fn what_has_left_is_gone_and_its_place_is_kept_until_all_have() {
        let mut batch = filled(&[1, 2, 3, 4]);
        batch.advance(1);
        assert_eq!((firsts(&batch), batch.len()), (vec![2, 3, 4], 3));
        assert!(!batch.push(3, |_| panic!("the first place may still be read")));
        assert_eq!(batch.left_last(1).map(|packet| packet[0]).collect::<Vec<_>>(), [1]);
        assert_eq!(batch.retain(|packet| packet[0] != 3), 1);
        assert_eq!(firsts(&batch), [2, 4]);
        assert!(batch.skip());
        assert_eq!(firsts(&batch), [4]);
        batch.advance(9);
        assert!(batch.is_empty() && !batch.skip());
        assert!(batch.push(3, |bytes| bytes.fill(5)));
        assert_eq!(firsts(&batch), [5]);
    }

    #[test]
    fn ethernet_stands_in_front_of_each() {
        let mut batch = filled(&[0x45, 0x60]);
        batch.address(*b"toAAAAbyBBBB");
        let frames: Vec<Vec<u8>> = batch.frames(ETHERNET).map(<[u8]>::to_vec).collect();
        assert_eq!(
            frames,
            [b"toAAAAbyBBBB\x08\x00\x45\x01\x02".to_vec(), b"toAAAAbyBBBB\x86\xdd\x60\x01\x02".to_vec()]
        );
        assert_eq!(batch.frames(0).map(<[u8]>::len).collect::<Vec<_>>(), [3, 3]);
    }

    #[test]
    fn each_goes_where_it_was_directed() {
        let mut batch = Batch::new(4, 20);
        batch.direct(*b"nobody");
        for (first, to) in [(0x45, b"toAAAA"), (0x46, b"toBBBB"), (0x60, b"toCCCC")] {
            assert!(batch.push(3, |bytes| bytes.copy_from_slice(&[first, 1, 2])));
            batch.direct(*to);
        }
        batch.retain(|packet| packet[0] != 0x46);
        batch.address_from(*b"byDDDD");
        let frames: Vec<Vec<u8>> = batch.frames(ETHERNET).map(<[u8]>::to_vec).collect();
        assert_eq!(frames, [b"toAAAAbyDDDD\x08\x00\x45\x01\x02", b"toCCCCbyDDDD\x86\xdd\x60\x01\x02"]);
    }
}
