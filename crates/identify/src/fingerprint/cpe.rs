//! Names of the CPE dictionary: version 2.3 formatted strings (NISTIR 7695 §6.2), and how URIs of version 2.2 (§6.1) become
//! such.

/// What a product is called in the dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// `a` an application, `o` an operating system, `h` hardware.
    pub(crate) part: char,
    pub(crate) vendor: &'a str,
    pub(crate) product: &'a str,
    /// None is any.
    pub(crate) version: Option<&'a str>,
    pub(crate) update: Option<&'a str>,
}

impl Name<'_> {
    /// `cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*`.
    pub(crate) fn formatted(&self) -> String {
        let any = || "*".to_owned();
        let version = self.version.map_or_else(any, quoted);
        let update = self.update.map_or_else(any, quoted);
        format!("cpe:2.3:{}:{}:{}:{version}:{update}:*:*:*:*:*:*", self.part, quoted(self.vendor), quoted(self.product))
    }
}

/// A value as it stands in a formatted string: lower case; everything but letters, digits, `_`, `-` and `.` behind a
/// backslash; white space as `_`; a hyphen alone, which would mean "not applicable", quoted too. What is no printable ASCII
/// is left out: the dictionary has none.
pub(crate) fn quoted(text: &str) -> String {
    if text == "-" {
        return "\\-".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for char in text.chars().flat_map(char::to_lowercase) {
        match char {
            ' ' => out.push('_'),
            'a'..='z' | '0'..='9' | '_' | '-' | '.' => out.push(char),
            '!'..='~' => out.extend(['\\', char]),
            _ => {}
        }
    }
    if out.is_empty() { "*".to_owned() } else { out }
}

/// The formatted string of a URI such as `cpe:/a:isc:bind:9.18.33`; none where it is no name. A version of `-` is an unknown
/// one, so any: nobody who publishes such rules means software without versions by it.
pub(crate) fn from_uri(uri: &str) -> Option<String> {
    let mut parts = uri.strip_prefix("cpe:/")?.split(':');
    let part = parts.next().filter(|part| matches!(*part, "a" | "o" | "h"))?;
    // Vendor, product, version, update, edition, language; then software edition, target software and hardware, other.
    let mut attributes = [const { String::new() }; 10];
    for (index, component) in parts.enumerate().take(6) {
        // The fifth may pack what 2.3 added: `~edition~software~target~hardware~other`.
        if let Some(packed) = component.strip_prefix('~').filter(|_| index == 4) {
            for (place, component) in [4, 6, 7, 8, 9].into_iter().zip(packed.split('~')) {
                if let Some(slot) = attributes.get_mut(place) {
                    *slot = component_of(component);
                }
            }
        } else if let Some(slot) = attributes.get_mut(index) {
            let value = component_of(component);
            *slot = if index >= 2 && value == "-" { "*".to_owned() } else { value };
        }
    }
    let named = |value: &String| !matches!(value.as_str(), "" | "*" | "-");
    if !attributes.iter().take(2).all(named) {
        return None;
    }
    for value in attributes.iter_mut().filter(|value| value.is_empty()) {
        "*".clone_into(value);
    }
    Some(format!("cpe:2.3:{part}:{}", attributes.join(":")))
}

/// One component of a URI: percent-encoded characters are decoded and then quoted anew; nothing at all is any value.
fn component_of(component: &str) -> String {
    match component {
        "" | "*" => return "*".to_owned(),
        "-" => return "-".to_owned(),
        _ => {}
    }
    let mut decoded = String::with_capacity(component.len());
    let mut rest = component;
    while let Some(char) = rest.chars().next() {
        let escaped = rest.strip_prefix('%').and_then(|_| rest.get(1..3));
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(char::from(byte));
            rest = rest.get(3..).unwrap_or_default();
        } else {
            decoded.push(char);
            rest = rest.get(char.len_utf8()..).unwrap_or_default();
        }
    }
    // Some write a formatted string's backslashes into a URI.
    quoted(&decoded.replace('\\', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_strings() {
        for (vendor, product, version, update, expect) in [
            ("openbsd", "openssh", Some("9.2"), Some("p1"), "cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*"),
            ("f5", "nginx", None, None, "cpe:2.3:a:f5:nginx:*:*:*:*:*:*:*:*"),
            ("a b", "C++", Some("1.0~rc+1"), None, "cpe:2.3:a:a_b:c\\+\\+:1.0\\~rc\\+1:*:*:*:*:*:*:*"),
            ("v", "p", Some("-"), Some("\u{202e}"), "cpe:2.3:a:v:p:\\-:*:*:*:*:*:*:*"),
            ("v", "p:q", Some("*"), None, "cpe:2.3:a:v:p\\:q:\\*:*:*:*:*:*:*:*"),
        ] {
            assert_eq!(Name { part: 'a', vendor, product, version, update }.formatted(), expect);
        }
    }

    #[test]
    fn uris() {
        for (uri, expect) in [
            ("cpe:/a:isc:bind:9.18.33", Some("cpe:2.3:a:isc:bind:9.18.33:*:*:*:*:*:*:*")),
            ("cpe:/o:linux:linux_kernel:-", Some("cpe:2.3:o:linux:linux_kernel:*:*:*:*:*:*:*:*")),
            ("cpe:/a:openbsd:openssh:9.2p1:", Some("cpe:2.3:a:openbsd:openssh:9.2p1:*:*:*:*:*:*:*")),
            ("cpe:/a:v:p:1%2b2%7e3", Some("cpe:2.3:a:v:p:1\\+2\\~3:*:*:*:*:*:*:*")),
            ("cpe:/a:v:p:1:u:~pro~~windows~~", Some("cpe:2.3:a:v:p:1:u:pro:*:*:windows:*:*")),
            (
                "cpe:/o:microsoft:windows_server_2008:r2:sp1",
                Some("cpe:2.3:o:microsoft:windows_server_2008:r2:sp1:*:*:*:*:*:*"),
            ),
            ("cpe:/a:v:p\\!", Some("cpe:2.3:a:v:p\\!:*:*:*:*:*:*:*:*")),
            ("cpe:/x:v:p:1", None),
            ("cpe:/a:v", None),
            ("cpe:/a::p:1", None),
            ("cpe:2.3:a:v:p:1:*:*:*:*:*:*:*", None),
            ("%zz%", None),
        ] {
            assert_eq!(from_uri(uri).as_deref(), expect, "{uri}");
        }
    }
}
