/// Base64 (RFC 4648 §4), with or without padding.
pub(crate) fn base64(bytes: &[u8], padded: bool) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = [0, 1, 2].iter().fold(0, |bits, &at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        let sixes = [18, 12, 6, 0].into_iter().take(chunk.len() + 1);
        text.extend(sixes.map(|shift| char::from(ALPHABET[bits >> shift & 0x3f])));
        if padded {
            text.extend(std::iter::repeat_n('=', 3 - chunk.len()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    /// RFC 4648 §10.
    #[test]
    fn as_the_standard_has_it() {
        for (bytes, expect) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes(), true), expect);
            assert_eq!(base64(bytes.as_bytes(), false), expect.trim_end_matches('='));
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe], true), "/+++");
    }
}
