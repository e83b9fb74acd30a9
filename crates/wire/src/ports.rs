//! The block of source ports that raw probes leave from.

use crate::WireError;

/// A block of source ports: a power of two of them, so that a cookie can say which one, and at least as many as there are
/// [tags](crate::Tag). Nobody else on the machine may use them: the kernel answers what arrives there with RST, which is what
/// frees the target's half-open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortBlock {
    first: u16,
    length: u16,
}

impl PortBlock {
    /// The shortest block: one port for each tag.
    pub const SHORTEST: u16 = 256;
    pub const LONGEST: u16 = 4096;

    /// The ports `first..first + length`; the length is a power of two from 256 to 4096.
    pub fn new(first: u16, length: u16) -> Result<Self, WireError> {
        let fits = (Self::SHORTEST..=Self::LONGEST).contains(&length)
            && length.is_power_of_two()
            && first > 0
            && first.checked_add(length - 1).is_some();
        if fits { Ok(Self { first, length }) } else { Err(WireError::PortBlock { first, length }) }
    }

    pub fn first(self) -> u16 {
        self.first
    }

    pub fn last(self) -> u16 {
        self.first + (self.length - 1)
    }

    /// How many ports there are.
    #[expect(clippy::len_without_is_empty, reason = "a block is never empty")]
    pub fn len(self) -> u16 {
        self.length
    }

    pub fn contains(self, port: u16) -> bool {
        self.offset(port).is_some()
    }

    /// The port that many steps into the block, which goes round.
    pub fn at(self, steps: u16) -> u16 {
        self.first + (steps & (self.length - 1))
    }

    /// How many steps into the block a port is; none for a port outside.
    pub fn offset(self, port: u16) -> Option<u16> {
        port.checked_sub(self.first).filter(|steps| *steps < self.length)
    }
}

/// 61000 to 65095: above the kernel's usual `ip_local_port_range` (32768 to 60999).
impl Default for PortBlock {
    fn default() -> Self {
        Self { first: 61_000, length: Self::LONGEST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_powers_of_two_that_fit() {
        for (first, length, good) in [
            (61_000, 4096, true),
            (1, 256, true),
            (65_280, 256, true),
            (65_281, 256, false),
            (61_000, 8192, false),
            (61_000, 128, false),
            (61_000, 3000, false),
            (0, 256, false),
            (61_000, 0, false),
        ] {
            assert_eq!(PortBlock::new(first, length).is_ok(), good, "{first}+{length}");
        }
    }

    #[test]
    fn goes_round_and_back() {
        let block = PortBlock::default();
        assert_eq!((block.first(), block.last(), block.len()), (61_000, 65_095, 4096));
        for steps in [0, 1, 4095, 4096, 5000, u16::MAX] {
            assert_eq!(block.offset(block.at(steps)), Some(steps % 4096));
        }
        for port in [0, 60_999, 65_096, 65_535] {
            assert_eq!(block.offset(port), None);
        }
    }
}
