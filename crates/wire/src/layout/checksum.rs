//! The Internet checksum (RFC 1071), in parts that can be added up one after the other.

/// The sum of 16-bit words in network order; an odd last byte counts as if a zero followed.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    let mut chunks = bytes.chunks_exact(2);
    let words: u32 = chunks.by_ref().map(|word| <[u8; 2]>::try_from(word).map_or(0, half)).sum();
    words + chunks.remainder().first().map_or(0, |last| u32::from(*last) << 8)
}

/// The sum of a 32-bit field's two words.
pub(super) fn of_u32(value: u32) -> u32 {
    (value >> 16) + (value & 0xffff)
}

fn half(word: [u8; 2]) -> u32 {
    u32::from(u16::from_be_bytes(word))
}

/// The complement of a sum, its carries added in: what is written into a checksum field. `sum` must not have overflowed, which it
/// cannot below 65,537 words.
pub(super) fn finish(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    let twice = (once >> 16) + (once & 0xffff);
    !u16::try_from(twice).unwrap_or(u16::MAX)
}
