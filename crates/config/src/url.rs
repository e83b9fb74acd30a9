//! `scheme://host:port`, which is all the configuration's URLs are.

use crate::{names::show, walk::Value};
use model::{ServiceName, Target};
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url<S> {
    pub(crate) scheme: S,
    /// A host name in lower case, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Reads a value that is a URL. User names and passwords in it are refused and not shown.
pub(crate) fn read<S: Copy>(value: &Value<'_>, help: &str, schemes: &[(&str, S, u16)]) -> Option<Url<S>> {
    if value.as_text().is_some_and(|text| text.contains('@')) {
        value.refuse_secret("user names and passwords do not belong into a URL; use `username` and `password_file`");
        return None;
    }
    value.parse(help, |text| parse(text, schemes))
}

/// Reads a URL with one of these schemes, each with its default port.
pub(crate) fn parse<S: Copy>(text: &str, schemes: &[(&str, S, u16)]) -> Result<Url<S>, String> {
    let names = || schemes.iter().map(|(name, ..)| format!("`{name}://`")).collect::<Vec<_>>().join(", ");
    let form = || {
        format!(
            "{} is not a URL; write one of {} and then the host, with `:PORT` if it is unusual",
            show(text),
            names()
        )
    };
    let (name, rest) = text.split_once("://").ok_or_else(form)?;
    let Some((_, scheme, default)) = schemes.iter().find(|(known, ..)| *known == name) else {
        let meant = crate::names::nearest(name, schemes.iter().map(|(name, ..)| *name));
        let meant = meant.map(|meant| format!("; did you mean `{meant}://`?")).unwrap_or_default();
        return Err(format!("{} is not one of {}{meant}", show(&format!("{name}://")), names()));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(form)?)),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => *default,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => number,
            _ => return Err(format!("{} is not a port (1 to 65535)", show(port))),
        },
    };
    let host = match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv4() || rest.starts_with('[') => ip.to_string(),
        Ok(_) => return Err(format!("write the IPv6 address in brackets: `{name}://[{host}]`")),
        Err(_) if rest.starts_with('[') => return Err(format!("{} is not an IPv6 address", show(host))),
        Err(_) => host_name(host).ok_or_else(|| format!("{} is neither a host name nor an address", show(host)))?,
    };
    Ok(Url { scheme: *scheme, host, port })
}

fn host_name(text: &str) -> Option<String> {
    // A target's reader is stricter than a name's: it knows mistyped addresses.
    match text.parse::<Target>() {
        Ok(Target::Name(_)) => text.parse::<ServiceName>().ok().map(String::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCHEMES: &[(&str, u8, u16)] = &[("tcp", 1, 514), ("tls", 2, 6514)];

    #[test]
    fn reads_what_people_write() {
        for (text, host, port) in [
            ("tls://siem.example.org", "siem.example.org", 6514),
            ("tls://SIEM.example.org:99/", "siem.example.org", 99),
            ("tcp://192.0.2.1", "192.0.2.1", 514),
            ("tcp://[2001:db8::1]:5", "2001:db8::1", 5),
            ("tcp://localhost", "localhost", 514),
        ] {
            let url = parse(text, SCHEMES).expect(text);
            assert_eq!((url.host.as_str(), url.port), (host, port), "{text}");
        }
        for text in [
            "",
            "siem",
            "tls://",
            "tsl://a",
            "tls://a:0",
            "tls://a:99999",
            "tls://a:+5",
            "tls://u:p@a",
            "tls://a/b",
            "tls://2001:db8::1",
            "tls://[a]",
            "tls://[::1]5",
            "tls://a b",
            "tls://192.0.2.256",
        ] {
            assert!(parse(text, SCHEMES).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(tls://)?\\PC*") {
            let _ = parse(&text, SCHEMES);
        }
    }
}
