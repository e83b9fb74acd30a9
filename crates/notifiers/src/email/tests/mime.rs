//! Reads a message back, as far as ours go.

pub(super) struct Mail {
    pub(super) headers: Vec<(String, String)>,
    /// Content type, transfer encoding, decoded text; in the order they stand.
    pub(super) parts: Vec<(String, String, String)>,
}

impl Mail {
    pub(super) fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|(of, _)| of == name);
        let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        value
    }
}

pub(super) fn read(message: &str) -> Mail {
    assert!(
        message.split_inclusive('\n').all(|line| line.ends_with("\r\n") && line.len() <= 1000),
        "a bare LF or a long line"
    );
    let (headers, body) = split(message);
    let mut parts = Vec::new();
    collect(&headers, body, &mut parts);
    Mail { headers, parts }
}

fn split(text: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").expect("a header and a body");
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let headers = unfolded
        .split("\r\n")
        .map(|line| line.split_once(": ").expect("a header"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    (headers, body)
}

fn collect(headers: &[(String, String)], body: &str, parts: &mut Vec<(String, String, String)>) {
    let of = |name: &str| headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone()).unwrap_or_default();
    let kind = of("Content-Type");
    if let Some((_, boundary)) = kind.split_once("boundary=\"") {
        let mark = format!("--{}", boundary.split('"').next().expect("a boundary"));
        let mut sections = body.split(&mark).skip(1);
        for section in sections.by_ref().take_while(|section| !section.starts_with("--")) {
            let (headers, body) = split(section.strip_prefix("\r\n").expect("a line end"));
            collect(&headers, body, parts);
        }
        return;
    }
    let encoding = of("Content-Transfer-Encoding");
    let text = match encoding.as_str() {
        "quoted-printable" => quoted_printable(body),
        "base64" => base64(body),
        _ => body.to_owned(),
    };
    parts.push((kind, encoding, text));
}

fn quoted_printable(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let digit = |byte: Option<u8>| char::from(byte.expect("a digit")).to_digit(16).expect("a digit");
            let (high, low) = (digit(rest.next()), digit(rest.next()));
            bytes.push(u8::try_from(high * 16 + low).expect("a byte"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| ALPHABET.iter().position(|&of| of == byte));
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_usize, 0);
    for digit in digits {
        (held, bits) = (held << 6 | digit, bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).expect("a byte"));
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
