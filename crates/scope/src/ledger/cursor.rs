//! Numbers in as few bytes as they need, seven bits a byte, the lowest first.

/// Puts a number down.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0x7f);
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// Reads numbers back; none at the end, and where there is none.
#[derive(Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl Cursor<'_> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u128> {
        let mut number = 0_u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let low = u128::from(byte & 0x7f);
            if low << shift >> shift != low {
                return None;
            }
            number |= low << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Of something of which each takes at least a byte: more cannot follow.
    pub(super) fn count(&mut self) -> Option<usize> {
        self.number().and_then(|count| usize::try_from(count).ok()).filter(|count| *count <= self.0.len())
    }

    pub(super) fn is_at_its_end(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_what_was_put_down(numbers in prop::collection::vec(any::<u128>().prop_flat_map(|n| (0_u32..128).prop_map(move |shift| n >> shift)), 0..20)) {
            let mut bytes = Vec::new();
            for number in &numbers {
                put(&mut bytes, *number);
            }
            let mut cursor = Cursor(&bytes);
            for number in numbers {
                prop_assert_eq!(cursor.number(), Some(number));
            }
            prop_assert!(cursor.is_at_its_end() && cursor.number().is_none());
        }

        #[test]
        fn reads_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut cursor = Cursor(&bytes);
            while cursor.number().is_some() {}
        }
    }
}
