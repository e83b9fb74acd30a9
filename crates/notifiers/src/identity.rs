use model::{Clock, Vantage};
use std::sync::Arc;

/// Who we are to the other end of a channel.
#[derive(Debug, Clone)]
pub struct Identity {
    pub sensor: Vantage,
    /// The sensor's host name: EHLO, syslog HOSTNAME, the right-hand side of Message-IDs. Reduced to the characters a host
    /// name may have.
    pub host: Arc<str>,
    /// Of the program, as in CEF's Device Version.
    pub version: Arc<str>,
    /// Syslog's PROCID; `-` where none.
    pub pid: Option<u32>,
    pub clock: Arc<dyn Clock>,
}

impl Identity {
    /// `host` may be anything; what cannot stand in a host name is replaced.
    pub fn new(sensor: &str, host: &str, version: &str, pid: Option<u32>, clock: Arc<dyn Clock>) -> Self {
        Self { sensor: sensor.into(), host: host_name(host).into(), version: version.into(), pid, clock }
    }
}

fn host_name(text: &str) -> String {
    let name: String = text
        .chars()
        .take(253)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '-' })
        .collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_only_ever_a_host_name() {
        for (text, expect) in [
            ("scan1.example.net", "scan1.example.net"),
            ("scan 1\r\nRCPT TO:<x@y>", "scan-1--RCPT-TO--x-y"),
            ("", "localhost"),
            ("...", "localhost"),
        ] {
            assert_eq!(host_name(text), expect, "{text:?}");
        }
    }
}
