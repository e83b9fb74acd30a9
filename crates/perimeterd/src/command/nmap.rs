//! What nmap wrote with `-oX`: the ports it asked, and what it says of them on the hosts it found up.
//!
//! Such a file comes from anywhere. Entities other than XML's own five are refused, as are files that are too large or too
//! deep, and nothing outside the file is ever read.

use model::Transport;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    net::IpAddr,
    path::Path,
};

/// A /16 with a few dozen ports each is a tenth of it.
const LARGEST: u64 = 512 << 20;
/// nmap's own reach seven.
const DEEPEST: usize = 64;
const NOT_NMAP: &str = "it is not nmap's: `nmaprun` is missing; write it with `nmap -oX FILE`";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    asked: BTreeSet<(Transport, u16)>,
    /// Those that were up, each once.
    pub(super) hosts: BTreeMap<IpAddr, Host>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) ports: BTreeMap<(Transport, u16), Port>,
    /// The states of those it only counts.
    extra: BTreeSet<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Port {
    /// `open`, `closed`, `filtered`, `open|filtered`, …
    pub(super) state: String,
    pub(super) service: Option<String>,
}

pub(super) fn read(path: &Path) -> Result<Scan, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    parse(&bytes)
}

pub(super) fn parse(bytes: &[u8]) -> Result<Scan, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| not_xml(&error))?;
    let mut reader = Reader::from_str(text);
    let mut scan = Scan::default();
    let mut path: Vec<String> = Vec::new();
    let mut now = Now::default();
    let mut is_nmap = false;
    loop {
        let event = reader.read_event().map_err(|error| not_xml(&error))?;
        let (element, is_empty) = match event {
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::End(_) => {
                let Some(name) = path.pop() else { return Err(not_xml(&"an end without a start")) };
                now.end(&name, &path, &mut scan);
                continue;
            }
            Event::Eof if !is_nmap => return Err(NOT_NMAP.to_owned()),
            Event::Eof if !path.is_empty() => return Err("it ends in the middle; was nmap stopped?".to_owned()),
            Event::Eof => return Ok(scan),
            _ => continue,
        };
        let name = element.name().as_ref().to_owned();
        if path.is_empty() {
            if name != "nmaprun" || is_nmap {
                return Err(NOT_NMAP.to_owned());
            }
            is_nmap = true;
        }
        if path.len() >= DEEPEST {
            return Err(not_xml(&format!("it is nested deeper than {DEEPEST}")));
        }
        now.start(&element, &path, &mut scan)?;
        if is_empty {
            now.end(&name, &path, &mut scan);
        } else {
            path.push(name);
        }
    }
}

impl Scan {
    /// What nmap says of an endpoint, if it asked it and the host was up.
    pub(super) fn state_of(&self, endpoint: model::Endpoint) -> Option<&str> {
        let host = self.hosts.get(&endpoint.ip)?;
        let place = (endpoint.transport, endpoint.port);
        if let Some(port) = host.ports.get(&place) {
            return Some(&port.state);
        }
        if !self.asked.contains(&place) {
            return None;
        }
        // One that is only counted: which state it has is known where there is but one.
        match host.extra.len() {
            0 => None,
            1 => host.extra.first().map(String::as_str),
            _ if host.extra.iter().any(|state| state.contains("open")) => None,
            _ => Some("not open"),
        }
    }
}

/// The host and the port that are being read.
#[derive(Debug, Default)]
struct Now {
    up: bool,
    addresses: Vec<IpAddr>,
    host: Host,
    port: Option<((Transport, u16), Port)>,
}

impl Now {
    fn start(&mut self, element: &BytesStart<'_>, path: &[String], scan: &mut Scan) -> Result<(), String> {
        let parent = path.last().map(String::as_str).unwrap_or_default();
        match (parent, element.name().as_ref()) {
            ("nmaprun", "scaninfo") => {
                if let Some(transport) = transport(&attribute(element, "protocol")?.unwrap_or_default()) {
                    let list = attribute(element, "services")?.unwrap_or_default();
                    scan.asked.extend(ports(&list)?.into_iter().map(|port| (transport, port)));
                }
            }
            ("nmaprun", "host") => *self = Self::default(),
            ("host", "status") => self.up = attribute(element, "state")?.as_deref() == Some("up"),
            // A MAC address is one too.
            ("host", "address") if attribute(element, "addrtype")?.as_deref() != Some("mac") => {
                let text = attribute(element, "addr")?.unwrap_or_default();
                self.addresses.push(text.parse().map_err(|_| odd("an address", &text))?);
            }
            ("ports", "extraports") => self.host.extra.extend(attribute(element, "state")?),
            ("ports", "port") => {
                let number = attribute(element, "portid")?.unwrap_or_default();
                let number = number.parse().map_err(|_| odd("a port", &number))?;
                let transport = transport(&attribute(element, "protocol")?.unwrap_or_default());
                self.port = transport.map(|transport| ((transport, number), Port::default()));
            }
            ("port", "state") => {
                if let Some((_, port)) = &mut self.port {
                    port.state = attribute(element, "state")?.unwrap_or_default();
                }
            }
            ("port", "service") => {
                if let Some((_, port)) = &mut self.port {
                    port.service = attribute(element, "name")?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str, path: &[String], scan: &mut Scan) {
        let parent = path.last().map(String::as_str).unwrap_or_default();
        match (parent, name) {
            ("ports", "port") => {
                let known = self.port.take().filter(|(_, port)| !port.state.is_empty());
                self.host.ports.extend(known);
            }
            ("nmaprun", "host") => {
                let Self { up, addresses, host, .. } = std::mem::take(self);
                if let Some(ip) = addresses.into_iter().next().filter(|_| up) {
                    scan.hosts.insert(ip, host);
                }
            }
            _ => {}
        }
    }
}

/// Others, such as SCTP, are not ours to compare.
fn transport(name: &str) -> Option<Transport> {
    match name {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        _ => None,
    }
}

/// `22,80-81`. Port 0 is asked by nobody.
fn ports(list: &str) -> Result<Vec<u16>, String> {
    let mut ports = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u16>().map_err(|_| odd("a list of ports", list));
        ports.extend(number(first)?..=number(last)?);
        if ports.len() > 1 << 17 {
            return Err(odd("a list of ports", list));
        }
    }
    Ok(ports)
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let Some(found) = element.try_get_attribute(name).map_err(|error| not_xml(&error))? else { return Ok(None) };
    // Knows XML's own five and numbers; any other is an error.
    quick_xml::escape::unescape(&found.value).map(|text| Some(text.into_owned())).map_err(|error| not_xml(&error))
}

fn not_xml(error: &dyn std::fmt::Display) -> String {
    format!("it is not XML ({error}); write it with `nmap -oX FILE`")
}

fn odd(what: &str, value: &str) -> String {
    format!("{what} is `{}`, which nmap does not write", value.chars().take(60).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_scan_is_refused_with_a_sentence() {
        let deep = format!("<nmaprun>{}", "<a>".repeat(1_000));
        let billion = "<!DOCTYPE nmaprun [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><nmaprun><host>\
                       <address addr=\"&b;\"/></host></nmaprun>";
        let outside = "<!DOCTYPE nmaprun [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><nmaprun><host>\
                       <address addr=\"&x;\"/></host></nmaprun>";
        for (text, part) in [
            ("", "not nmap's"),
            ("hello", "not nmap's"),
            ("<html></html>", "not nmap's"),
            ("<nmaprun/><nmaprun/>", "not nmap's"),
            ("<nmaprun><host>", "middle"),
            ("<nmaprun></host>", "not XML"),
            ("</nmaprun>", "not XML"),
            (deep.as_str(), "deeper"),
            (billion, "not XML"),
            (outside, "not XML"),
            ("<nmaprun><host><address addr='localhost'/></host></nmaprun>", "an address is `localhost`"),
            ("<nmaprun><scaninfo protocol='tcp' services='1-99999'/></nmaprun>", "a list of ports"),
            ("<nmaprun><scaninfo protocol='tcp' services='0-65535,0-65535,0-65535'/></nmaprun>", "a list of ports"),
            ("<nmaprun><host><ports><port protocol='tcp' portid='-1'/></ports></host></nmaprun>", "a port is `-1`"),
        ] {
            let error = parse(text.as_bytes()).expect_err(part);
            assert!(error.contains(part), "{text}: {error}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let error = read(&folder.path().join("none.xml")).expect_err("is not there");
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn what_is_only_counted_has_a_state_where_there_is_but_one() {
        let scan = |extra: &str| {
            let text = format!(
                "<nmaprun><scaninfo protocol='tcp' services='80'/><host><status state='up'/>
                 <address addr='2001:db8::1' addrtype='ipv6'/><address addr='00:00:5E:00:53:01' addrtype='mac'/>
                 <ports>{extra}<port protocol='sctp' portid='80'><state state='open'/></port></ports></host></nmaprun>"
            );
            let scan = parse(text.as_bytes()).expect("parses");
            let endpoint = model::Endpoint::tcp("2001:db8::1".parse().expect("an address"), 80);
            scan.state_of(endpoint).map(str::to_owned)
        };
        for (extra, expect) in [
            ("", None),
            ("<extraports state='closed'/>", Some("closed")),
            ("<extraports state='closed'/><extraports state='filtered'/>", Some("not open")),
            ("<extraports state='closed'/><extraports state='open|filtered'/>", None),
        ] {
            assert_eq!(scan(extra).as_deref(), expect, "{extra}");
        }
    }

    proptest! {
        #[test]
        fn nothing_brings_it_down(parts in prop::collection::vec(prop::sample::select(vec![
            "<nmaprun>", "</nmaprun>", "<host>", "</host>", "<ports>", "</ports>", "<port protocol='tcp' portid='80'>", "</port>",
            "<state state='open'/>", "<address addr='192.0.2.7'/>", "<status state='up'/>", "<service name='&lt;'/>", "&amp;", "&x;",
            "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "\u{0}", "'", "\"", "<", "=",
        ]), 0..40)) {
            let _ = parse(parts.concat().as_bytes());
        }

        #[test]
        fn nor_do_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&[b"<nmaprun>".as_slice(), &bytes].concat());
        }
    }
}
