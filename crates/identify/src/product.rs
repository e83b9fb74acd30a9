//! How a name and a version get into a service.

use crate::{fingerprint, text};
use model::Service;

/// Names the product, by the word it calls itself with (its key in `rules/products.toml`), and its version. A product we do not know keeps its own word and
/// gets no CPE: one is never invented.
pub(crate) fn name(service: &mut Service, token: &str, version: Option<&str>) {
    let token = text::printable(token.as_bytes());
    let version = version.map(|version| text::printable(version.as_bytes())).filter(|version| !version.is_empty());
    if let Some(known) = fingerprint::known(&token) {
        service.vendor = Some(known.vendor.clone());
        service.product = Some(known.name.clone());
        service.cpe = known.cpe(version.as_deref()).into_iter().collect();
    } else if !token.is_empty() {
        service.product = Some(token);
    }
    service.version = version;
}

/// The products of `among` that the text mentions as a word of its own; the first in the order given.
pub(crate) fn mentioned<'a>(text: &str, among: &[&'a str]) -> Option<&'a str> {
    among.iter().copied().find(|token| {
        if token.contains(['-', ' ']) { text::after(text, token).is_some() } else { text::has_word(text, token) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpe_names() {
        for (token, version, expect) in [
            ("OpenSSH", Some("9.2p1"), Some("cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*")),
            ("OpenSSH", None, Some("cpe:2.3:a:openbsd:openssh:*:*:*:*:*:*:*:*")),
            ("nginx", Some("1.22.1"), Some("cpe:2.3:a:f5:nginx:1.22.1:*:*:*:*:*:*:*")),
            ("ProFTPD", Some("1.3.8~rc+1"), Some("cpe:2.3:a:proftpd:proftpd:1.3.8\\~rc\\+1:*:*:*:*:*:*:*")),
            ("zorbd", Some("1"), None),
        ] {
            let mut service = Service::default();
            name(&mut service, token, version);
            assert_eq!(service.cpe.first().map(String::as_str), expect, "{token}");
            assert_eq!(service.version.as_deref(), version);
        }
    }
}
