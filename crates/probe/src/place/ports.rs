//! Which source ports raw probes are sent from: a block of its own, so that answers to them are told from everybody else's by
//! the kernel's filter, and no connection or server of this machine is mistaken for a probe.

use model::PortSet;
use std::{fs, io, ops::RangeInclusive, path::Path};
use wire::PortBlock;

/// Source ports, and what the operator should do about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePorts {
    pub block: PortBlock,
    /// A sentence, where the kernel may give the same ports to connections of its own.
    pub advice: Option<String>,
}

/// What is known of this machine's ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortFacts {
    /// What the kernel takes ports for connections from (`ip_local_port_range`).
    pub ephemeral: RangeInclusive<u16>,
    /// What of it the kernel leaves alone (`ip_local_reserved_ports`).
    pub reserved: PortSet,
    /// Ports that a program listens on, or has bound for datagrams.
    pub taken: PortSet,
}

/// Those below are servers'.
const LOWEST: u16 = 1_024;

impl SourcePorts {
    /// As many as possible up to 4,096, away from what programs listen on: best where the kernel takes none for connections, and
    /// else where it does, which is worth an advice. None where there is no room for even 256.
    pub fn choose(facts: &PortFacts) -> Option<Self> {
        let is_shared = |port: u16| facts.ephemeral.contains(&port) && !facts.reserved.contains(port);
        let is_free = |port: u16| !facts.taken.contains(port);
        if let Some(block) = find(PortBlock::LONGEST, |port| is_free(port) && !is_shared(port)) {
            return Some(Self { block, advice: None });
        }
        let sizes = std::iter::successors(Some(PortBlock::LONGEST), |len| Some(len / 2));
        let sizes = sizes.take_while(|len| *len >= PortBlock::SHORTEST);
        let block = sizes.clone().find_map(|len| find(len, is_free))?;
        let (first, last) = (block.first(), block.last());
        let advice = format!(
            "the kernel may give source ports of raw probes ({first}-{last}) to connections of its own: add \
             `{first}-{last}` to net.ipv4.ip_local_reserved_ports (sysctl), or narrow net.ipv4.ip_local_port_range"
        );
        Some(Self { block, advice: (first..=last).any(is_shared).then_some(advice) })
    }
}

/// A block of ports that all pass: the usual one, or else the highest.
fn find(len: u16, passes: impl Fn(u16) -> bool) -> Option<PortBlock> {
    let usual = PortBlock::default();
    if (usual.first()..=usual.last()).take(usize::from(len)).all(&passes) {
        return PortBlock::new(usual.first(), len).ok();
    }
    let mut row = 0;
    for port in (LOWEST..=u16::MAX).rev() {
        row = if passes(port) { row + 1 } else { 0 };
        if row == len {
            return PortBlock::new(port, len).ok();
        }
    }
    None
}

impl PortFacts {
    /// Reads them from `/proc`, for the network namespace of the calling thread.
    pub fn read() -> io::Result<Self> {
        let setting = |name: &str| read(&Path::new("/proc/sys/net/ipv4").join(name));
        let ephemeral = ephemeral(&setting("ip_local_port_range")?)
            .ok_or_else(|| io::Error::other("net.ipv4.ip_local_port_range cannot be read"))?;
        let reserved = reserved(&setting("ip_local_reserved_ports")?);
        let mut taken = Vec::new();
        for (name, is_tcp) in [("tcp", true), ("tcp6", true), ("udp", false), ("udp6", false)] {
            // Without IPv6 there is no such file.
            match read(&Path::new("/proc/thread-self/net").join(name)) {
                Ok(table) => taken.extend(table.lines().skip(1).filter_map(|line| bound(line, is_tcp))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { ephemeral, reserved, taken: taken.into_iter().collect() })
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Two numbers with blanks between them: `32768 60999`.
fn ephemeral(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(first..=last)
}

/// `8080,9148-9150`, or nothing at all.
fn reserved(text: &str) -> PortSet {
    text.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flat_map(|range: RangeInclusive<u16>| range)
        .collect()
}

/// The local port of a line of `/proc/net/tcp` or its like, where a program waits on it for whoever comes.
fn bound(line: &str, is_tcp: bool) -> Option<u16> {
    const LISTEN: &str = "0A";
    let mut columns = line.split_whitespace();
    let local = columns.nth(1)?;
    let state = columns.nth(1)?;
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (port != 0 && (!is_tcp || state == LISTEN)).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> PortSet {
        if text.is_empty() { PortSet::default() } else { PortSet::parse(text, model::Transport::Tcp).expect("ports") }
    }

    #[test]
    fn a_block_of_its_own() {
        for (ephemeral, reserved, taken, expect, is_advised) in [
            // As Linux comes.
            ((32_768, 60_999), "", "22,80,443", Some((61_000, 4_096)), false),
            ((1_024, 60_999), "", "", Some((61_000, 4_096)), false),
            // Somebody listens there: next to it.
            ((32_768, 60_999), "", "62000", Some((28_672, 4_096)), false),
            ((32_768, 60_999), "", "65500", Some((61_000, 4_096)), false),
            // A range of the operator's own.
            ((10_000, 65_535), "", "", Some((5_904, 4_096)), false),
            ((1_024, 65_535), "", "", Some((61_000, 4_096)), true),
            ((1_024, 65_535), "61000-65095", "", Some((61_000, 4_096)), false),
            ((1_024, 65_535), "20000-24095", "", Some((20_000, 4_096)), false),
            ((1_024, 65_535), "20000-24095", "22000", Some((61_000, 4_096)), true),
            ((1_024, 65_535), "", "63000", Some((58_904, 4_096)), true),
        ] {
            let facts =
                PortFacts { ephemeral: ephemeral.0..=ephemeral.1, reserved: ports(reserved), taken: ports(taken) };
            let chosen = SourcePorts::choose(&facts);
            let block = chosen.as_ref().map(|chosen| (chosen.block.first(), chosen.block.len()));
            assert_eq!(block, expect, "{facts:?}");
            let advice = chosen.and_then(|chosen| chosen.advice);
            assert_eq!(advice.is_some(), is_advised, "{facts:?}");
            if let Some((first, len)) = expect.filter(|_| is_advised) {
                let said = format!("add `{first}-{}` to net.ipv4.ip_local_reserved_ports", first + (len - 1));
                assert!(advice.is_some_and(|advice| advice.contains(&said)), "{facts:?}");
            }
        }
    }

    #[test]
    fn where_little_is_free_little_is_taken() {
        let all_but =
            |free: RangeInclusive<u16>| (1..=u16::MAX).filter(|port| !free.contains(port)).collect::<PortSet>();
        for (free, expect) in [
            (30_000..=31_200, Some((30_177, 1_024))),
            (30_000..=30_255, Some((30_000, 256))),
            (65_279..=65_535, Some((65_280, 256))),
            (30_000..=30_254, None),
            (1..=1_023, None),
        ] {
            let facts =
                PortFacts { ephemeral: 32_768..=60_999, reserved: PortSet::default(), taken: all_but(free.clone()) };
            let block = SourcePorts::choose(&facts).map(|chosen| (chosen.block.first(), chosen.block.len()));
            assert_eq!(block, expect, "{free:?}");
        }
    }

    #[test]
    fn reads_what_the_kernel_says() {
        assert_eq!(ephemeral("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(ephemeral("32768"), None);
        assert_eq!(reserved("\n"), PortSet::default());
        assert_eq!(reserved("8080,9148-9150\n"), ports("8080,9148-9150"));
        let tcp = |state: &str| {
            format!(
                "   0: 0100007F:EE49 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 12345"
            )
        };
        for (line, is_tcp, expect) in [
            (tcp("0A"), true, Some(61_001)),
            (tcp("01"), true, None),
            (tcp("07"), false, Some(61_001)),
            (
                "  1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A x".to_owned(),
                true,
                Some(22),
            ),
            (String::new(), true, None),
            ("garbage".to_owned(), true, None),
            ("0: nowhere 0 0A".to_owned(), true, None),
        ] {
            assert_eq!(bound(&line, is_tcp), expect, "{line}");
        }
    }

    #[test]
    fn this_machine_has_room() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let facts = PortFacts::read().expect("/proc is there");
        for port in [listener.local_addr(), datagrams.local_addr()].map(|address| address.expect("bound").port()) {
            assert!(facts.taken.contains(port) && facts.ephemeral.contains(&port));
        }
        let block = SourcePorts::choose(&facts).expect("room").block;
        assert!(
            block.len().is_power_of_two() && (block.first()..=block.last()).all(|port| !facts.taken.contains(port))
        );
    }
}
