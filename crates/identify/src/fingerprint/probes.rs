//! Files in the format of nmap's service probes, read where the operator names one: a format that others write too. Only its
//! match lines are used, as rules on the bytes that came back; none of its probes is ever sent.
//!
//! A match line says a service, a pattern over the bytes, and templates for product, version, further words, host, system,
//! kind of device and CPE names, which the pattern's groups fill. Nothing of such a file is part of this program or kept by it.

mod pattern;
mod read;
mod template;

pub use read::ProbesError;

use super::{claim::Claim, cpe, prefilter::Prefilter};
use crate::text;
use model::{Os, Service, Transport};
use pattern::Pattern;
use std::sync::OnceLock;
use template::Template;

/// A file of that format.
#[derive(Debug, Default)]
pub struct ServiceProbes {
    probes: Vec<Probe>,
    /// Lines that were left out, each with its reason: a pattern of a kind that no engine here runs in bounded time.
    pub left_out: Vec<LeftOut>,
}

/// A line that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Counted from 1.
    pub line: usize,
    pub why: String,
}

#[derive(Debug)]
struct Probe {
    transport: Transport,
    name: String,
    fallback: Vec<String>,
    lines: Vec<Line>,
    prefilter: Prefilter,
}

/// A match line.
#[derive(Debug)]
pub struct Line {
    /// In the file, counted from 1.
    pub number: usize,
    /// The service's name; `ssl/` before it (seen in the clear, it speaks inside TLS) is taken off.
    pub service: String,
    /// It tells the service, and not yet the product.
    pub is_soft: bool,
    pub pattern: String,
    ignore_case: bool,
    dot_all: bool,
    templates: Vec<(Key, Template)>,
    compiled: OnceLock<Option<Pattern>>,
}

/// What a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Product,
    Version,
    Info,
    Host,
    System,
    Device,
    /// By its part.
    Cpe(char),
}

/// The most of an answer that is looked at, as nmap does.
const LONGEST: usize = 4096;
/// Hops from a probe to those it falls back to.
const MOST_FALLBACKS: usize = 20;

impl ServiceProbes {
    /// How many match lines there are.
    pub fn len(&self) -> usize {
        self.lines().count()
    }

    pub fn is_empty(&self) -> bool {
        self.lines().next().is_none()
    }

    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.probes.iter().flat_map(|probe| &probe.lines)
    }

    /// What the first match line says that speaks of this service, or of any where it has not been recognised. Only lines of
    /// those probes are tried whose answer this could be: what a server says unasked, or what it says to a question like ours.
    pub(crate) fn claim(&self, transport: Transport, service: &Service, heard: &[u8]) -> Option<(Claim, String)> {
        let heard = heard.get(..LONGEST).unwrap_or(heard);
        let mut soft = None;
        for probe in self.asked(transport, &service.name) {
            for index in probe.prefilter.candidates(heard) {
                let Some(line) = probe.lines.get(index).filter(|line| line.speaks_of(&service.name)) else { continue };
                let Some(claim) = line.read(heard) else { continue };
                if !line.is_soft {
                    return Some((claim, line.service.clone()));
                }
                soft = soft.or(Some((claim, line.service.clone())));
            }
        }
        soft
    }

    /// The probes whose answer it could be, with those they fall back to.
    fn asked<'s>(&'s self, transport: Transport, service: &str) -> Vec<&'s Probe> {
        let mut names: Vec<&str> = match (transport, service) {
            (Transport::Tcp, "http") => vec!["GetRequest", "NULL"],
            (Transport::Tcp, "domain") => vec!["DNSVersionBindReqTCP"],
            (Transport::Tcp, "ldap") => vec!["LDAPSearchReq", "LDAPBindReq"],
            (Transport::Tcp, "smtp" | "ftp" | "lmtp") => vec!["NULL", "Help", "GenericLines"],
            (Transport::Tcp, "unknown" | "redis") => vec!["NULL", "GenericLines", "GetRequest"],
            (Transport::Tcp, _) => vec!["NULL"],
            (Transport::Udp, "domain") => vec!["DNSVersionBindReq"],
            (Transport::Udp, "ntp") => vec!["NTPRequest"],
            (Transport::Udp, "snmp") => vec!["SNMPv3GetRequest", "SNMPv1public"],
            (Transport::Udp, _) => {
                let all = self.probes.iter().filter(|probe| probe.transport == Transport::Udp);
                return all.collect();
            }
        };
        let mut asked: Vec<&Probe> = Vec::new();
        let mut at = 0;
        while let Some(name) = names.get(at).copied().filter(|_| at < MOST_FALLBACKS) {
            at += 1;
            let found = self.probes.iter().find(|probe| probe.transport == transport && probe.name == name);
            let Some(probe) = found.filter(|probe| !asked.iter().any(|other| std::ptr::eq(*other, *probe))) else {
                continue;
            };
            asked.push(probe);
            names.extend(probe.fallback.iter().map(String::as_str));
        }
        asked
    }
}

impl Line {
    /// Whether what it names can be what was recognised: the same service, by either's name of it.
    fn speaks_of(&self, service: &str) -> bool {
        const SAME: [(&str, &[&str]); 10] = [
            ("http", &["http-proxy", "https", "upnp", "websocket"]),
            ("mysql", &["mariadb"]),
            ("smtp", &["smtp-proxy", "smtp-stats"]),
            ("ftp", &["ftp-proxy"]),
            ("pop3", &["pop3-proxy"]),
            ("imap", &["imap-proxy"]),
            ("vnc", &["vnc-http"]),
            ("rfb", &["vnc"]),
            ("telnet", &["telnet-proxy", "router"]),
            ("xmpp-client", &["jabber", "xmpp"]),
        ];
        let kin =
            SAME.iter().find(|(name, _)| *name == service).is_some_and(|(_, kin)| kin.contains(&self.service.as_str()));
        service == "unknown" || service == self.service || kin
    }

    /// What it says of the bytes; none where they do not match.
    fn read(&self, heard: &[u8]) -> Option<Claim> {
        let groups = self.compiled()?.groups(heard)?;
        let mut claim = Claim { source: format!("service probes line {}", self.number), ..Claim::default() };
        claim.confidence = if self.is_soft { 0.6 } else { 0.85 };
        let mut os = None;
        for (key, template) in &self.templates {
            let within_uri = matches!(key, Key::Cpe(_));
            let Some(value) = template.fill(&groups, within_uri) else { continue };
            let shown = text::printable(value.trim_end_matches([' ', ',']).as_bytes());
            match key {
                _ if shown.is_empty() => {}
                Key::Product => claim.product = Some(shown),
                Key::Version => claim.version = Some(shown),
                Key::Info => claim.facts.push(("service.info", shown)),
                Key::System => os = Some(shown),
                Key::Device => claim.facts.push(("hardware.device", shown)),
                Key::Cpe('a') => claim.cpe = cpe::from_uri(&format!("cpe:/{value}")),
                // A host's own name is no fact about its software; a system's CPE name has no place of its own yet.
                Key::Host | Key::Cpe(_) => {}
            }
        }
        claim.os = os.map(|product| Os {
            family: product.split(' ').next().unwrap_or(&product).to_lowercase(),
            product: Some(product).filter(|product| product != "Linux"),
            version: None,
            confidence: 0.7,
        });
        Some(claim)
    }

    /// Compiled when it is first needed.
    fn compiled(&self) -> Option<&Pattern> {
        self.compiled.get_or_init(|| Pattern::new(&self.pattern, self.ignore_case, self.dot_all).ok()).as_ref()
    }

    /// Compiles it and runs it over a value, for those who want to know whether and how fast.
    pub(crate) fn is_match(&self, value: &[u8]) -> Option<bool> {
        Some(self.compiled()?.groups(value).is_some())
    }
}

#[cfg(test)]
mod tests;
