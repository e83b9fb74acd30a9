//! What `openssl x509 -text` prints of a certificate, in the words of the scan.

use serde_json::Value;
use std::net::IpAddr;
use testkit::server::tls::Pair;

const FIELDS: [&str; 9] =
    ["sha256", "subject", "issuer", "sans", "serial", "not_before", "not_after", "key", "signature"];

/// Each field, as OpenSSL has it.
pub(crate) fn of(pair: &Pair) -> Vec<(&'static str, String)> {
    let text = pair.ask(&["-text", "-fingerprint", "-sha256", "-nameopt", "sname,sep_comma_plus_space,utf8"]);
    FIELDS.map(|field| (field, read(&text, field).unwrap_or_else(|| panic!("no {field} in {text}")))).to_vec()
}

/// The same field, as the scan has it.
pub(crate) fn said(certificate: &Value, field: &str) -> String {
    match &certificate[field] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        Value::String(text) if field == "serial" => number(text),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The line after the one that begins so, or the rest of that one where it has one.
fn after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with(words));
    let rest = lines.next()?.strip_prefix(words)?.trim();
    if rest.is_empty() { lines.next() } else { Some(rest) }
}

fn read(text: &str, field: &str) -> Option<String> {
    Some(match field {
        "sha256" => after(text, "sha256 Fingerprint=")?.replace(':', "").to_lowercase(),
        "subject" => after(text, "Subject:")?.to_owned(),
        "issuer" => after(text, "Issuer:")?.to_owned(),
        "sans" => {
            let names = after(text, "X509v3 Subject Alternative Name:")?.split(", ");
            names.filter_map(name).collect::<Vec<_>>().join(" ")
        }
        "serial" => match after(text, "Serial Number:")? {
            bytes if bytes.contains(':') => number(&bytes.replace(':', "")),
            // `4711 (0x1267)`.
            small => number(small.split_once("(0x")?.1.trim_end_matches(')')),
        },
        "not_before" => date(after(text, "Not Before:")?)?,
        "not_after" => date(after(text, "Not After :")?)?,
        "key" => key(text)?,
        "signature" => match after(text, "Signature Algorithm:")? {
            "ED25519" => "Ed25519".to_owned(),
            "ED448" => "Ed448".to_owned(),
            name => name.to_owned(),
        },
        _ => return None,
    })
}

/// The names of servers, as they are in a list of alternative names.
fn name(text: &str) -> Option<String> {
    let (kind, name) = text.split_once(':')?;
    match kind {
        "DNS" => Some(name.to_lowercase()),
        // `FD77:0:0:0:0:0:0:2`.
        "IP Address" => name.parse::<IpAddr>().ok().map(|ip| ip.to_string()),
        _ => None,
    }
}

/// Hexadecimal, without the zeros before it.
fn number(hex: &str) -> String {
    let digits = hex.trim_start_matches('0').to_lowercase();
    if digits.is_empty() { "0".to_owned() } else { digits }
}

/// `Nov 22 18:05:03 2026 GMT`.
fn date(text: &str) -> Option<String> {
    let date = jiff::civil::DateTime::strptime("%b %e %H:%M:%S %Y GMT", text).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().to_string())
}

fn key(text: &str) -> Option<String> {
    let bits = || text.lines().find_map(|line| line.split_once("Public-Key: (")?.1.split(' ').next());
    Some(match after(text, "Public Key Algorithm:")? {
        "rsaEncryption" | "rsassaPss" => format!("RSA {}", bits()?),
        "id-ecPublicKey" => format!("EC {}", bits()?),
        "dsaEncryption" => format!("DSA {}", bits()?),
        // These have one size.
        "ED25519" => "Ed25519 256".to_owned(),
        "ED448" => "Ed448 456".to_owned(),
        _ => return None,
    })
}
