/// A bounds-checked reader over bytes from outside. Every read answers `None` when there is not enough left, and then
/// consumes nothing; integers are big-endian unless the name says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        self.rest = tail;
        Some(head)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk()?;
        self.rest = tail;
        Some(*head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u16_le(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32_le(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64_le(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn u24_le(&mut self) -> Option<u32> {
        self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// Everything before the next `stop`, which is consumed and left out.
    pub fn until(&mut self, stop: u8) -> Option<&'a [u8]> {
        let at = self.rest.iter().position(|&byte| byte == stop)?;
        let (head, tail) = (self.rest.get(..at)?, self.rest.get(at + 1..)?);
        self.rest = tail;
        Some(head)
    }

    /// The next line without its end (LF or CR LF).
    pub fn line(&mut self) -> Option<&'a [u8]> {
        let line = self.until(b'\n')?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// One BER or DER element (X.690): its tag and contents. Single-byte tags and definite lengths of up to four bytes,
    /// which is all that certificates and SNMP use.
    pub fn element(&mut self) -> Option<Element<'a>> {
        let mut ahead = *self;
        let tag = ahead.u8()?;
        let length = match ahead.u8()? {
            short @ 0..=0x7f => usize::from(short),
            long @ 0x81..=0x84 => {
                ahead.take(usize::from(long & 0x7f))?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
            }
            _ => return None,
        };
        let contents = ahead.take(length)?;
        let whole = self.rest.get(..self.rest.len().checked_sub(ahead.rest.len())?)?;
        *self = ahead;
        Some(Element { tag, contents, whole })
    }

    /// The same, where an element that claims to be longer than what is left is what is left: for the outer shells of
    /// something whose inside may be sound.
    pub fn element_or_rest(&mut self) -> Option<Element<'a>> {
        if let Some(element) = self.element() {
            return Some(element);
        }
        let mut ahead = *self;
        let tag = ahead.u8()?;
        let more = match ahead.u8()? {
            0..=0x7f => 0,
            long @ 0x81..=0x84 => usize::from(long & 0x7f),
            _ => return None,
        };
        ahead.take(more)?;
        let (contents, whole) = (ahead.rest, self.rest);
        self.rest = &[];
        Some(Element { tag, contents, whole })
    }

    /// The contents of the next element if it carries this tag.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let element = ahead.element().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element.contents)
    }
}

/// A BER or DER element.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    pub tag: u8,
    pub contents: &'a [u8],
    /// Tag and length included.
    pub whole: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_refuses_without_consuming() {
        let mut reader = Reader::new(b"\x01\x02\x03line\r\nrest");
        assert_eq!(reader.u16(), Some(0x0102));
        assert_eq!(reader.take(100), None);
        assert_eq!(reader.u8(), Some(3));
        assert_eq!(reader.line(), Some(b"line".as_slice()));
        assert_eq!(reader.line(), None);
        assert_eq!(reader.rest(), b"rest");
    }

    #[test]
    fn elements() {
        let mut reader = Reader::new(&[0x30, 0x81, 0x03, 0x02, 0x01, 0x07, 0x04, 0x05, 0x00]);
        assert_eq!(reader.expect(0x31), None);
        assert_eq!(reader.expect(0x30), Some([2, 1, 7].as_slice()));
        assert!(reader.element().is_none(), "the length reaches beyond the end");
        assert_eq!(reader.rest(), [4, 5, 0]);
        let rest = reader.element_or_rest().map(|element| (element.tag, element.contents, element.whole.len()));
        assert_eq!(rest, Some((4, [0].as_slice(), 3)));
        assert!(reader.is_empty());
    }

    proptest! {
        #[test]
        fn never_gives_more_than_there_is(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            let mut seen = 0;
            while let Some(element) = reader.element() {
                seen += element.whole.len();
                prop_assert!(element.contents.len() < element.whole.len());
            }
            prop_assert_eq!(seen + reader.rest().len(), bytes.len());
        }
    }
}
