use super::*;
use proptest::prelude::*;

/// Ours, in that format.
const OWN: &str = r#"# a comment
Exclude T:9100-9107

Probe TCP NULL q||
totalwaitms 6000
tcpwrappedms 3000
match ftp m|^220 Zorb FTP v([\d.]+)(?: \((\w+)\))?\r\n| p/Zorb FTP/ v/$1/ o/$2/ cpe:/a:zorb:ftp:$1/
softmatch ftp m|^220 [^\r\n]*FTP|i
match zorb m=^ZORB\x01(..)= p/Zorb/ v/$I(1,">")/ i/odd/ h/$9/
match empty m|^a*|
match ssl/zorb m|^look (?!round)here| p/Zorb/

Probe TCP GetRequest q|GET / HTTP/1.0\r\n\r\n|
rarity 1
ports 80,8000-8010
sslports 443
fallback NULL
match http m|^HTTP/1\.[01] \d\d\d .*\r\nServer: Zorb web ([\d_]+)\r\n|s p/Zorb web/ v/$SUBST(1,"_",".")/ d/router/

Probe UDP Zorb q|\0\x01| no-payload
match zorb m|^\0zorb$| p/Zorb/ v/1/ v/2/
"#;

fn claim(transport: Transport, name: &str, heard: &[u8]) -> Option<Claim> {
    let file = ServiceProbes::read(OWN.as_bytes()).unwrap();
    let service = Service { name: name.into(), ..Service::default() };
    file.claim(transport, &service, heard).map(|(claim, _)| claim)
}

#[test]
fn match_lines_speak_of_what_came_back() {
    let ftp = claim(Transport::Tcp, "ftp", b"220 Zorb FTP v7.1 (Linux)\r\n").unwrap();
    assert_eq!((ftp.product.as_deref(), ftp.version.as_deref()), (Some("Zorb FTP"), Some("7.1")));
    assert_eq!(ftp.cpe.as_deref(), Some("cpe:2.3:a:zorb:ftp:7.1:*:*:*:*:*:*:*"));
    assert_eq!(ftp.os.map(|os| os.family).as_deref(), Some("linux"));
    assert_eq!(ftp.source, "service probes line 7");
    // A group that took no part leaves its field out, and only that.
    let ftp = claim(Transport::Tcp, "ftp", b"220 Zorb FTP v7.1\r\n").unwrap();
    assert_eq!((ftp.product.as_deref(), ftp.os), (Some("Zorb FTP"), None));
    let soft = claim(Transport::Tcp, "ftp", b"220 some ftp here\r\n").unwrap();
    assert_eq!((soft.product, soft.confidence), (None, 0.6));
    let zorb = claim(Transport::Tcp, "unknown", b"ZORB\x01\x01\x02").unwrap();
    assert_eq!((zorb.version.as_deref(), zorb.facts), (Some("258"), vec![("service.info", "odd".to_owned())]));
    let web = claim(Transport::Tcp, "http", b"HTTP/1.1 200 OK\r\nServer: Zorb web 7_1\r\n\r\n").unwrap();
    assert_eq!((web.product.as_deref(), web.version.as_deref()), (Some("Zorb web"), Some("7.1")));
    assert_eq!(claim(Transport::Udp, "unknown", b"\0zorb\n").unwrap().version.as_deref(), Some("2"));
    assert!(claim(Transport::Tcp, "unknown", b"look here").is_some());
    assert_eq!(claim(Transport::Tcp, "unknown", b"look roundhere"), None);
    // What was recognised as one thing is not taken for another.
    assert_eq!(claim(Transport::Tcp, "smtp", b"220 Zorb FTP v7.1\r\n"), None);
    assert_eq!(claim(Transport::Tcp, "unknown", b"nothing"), None);
}

#[test]
fn what_cannot_be_used_is_listed() {
    let file = ServiceProbes::read(OWN.as_bytes()).unwrap();
    assert_eq!(file.len(), 6);
    assert!(!file.is_empty());
    let left: Vec<usize> = file.left_out.iter().map(|left| left.line).collect();
    assert_eq!(left, [10]);
    assert!(file.left_out[0].why.contains("nothing at all"), "{}", file.left_out[0].why);
    let cut = ServiceProbes::read(b"Probe TCP NULL q||\nmatch a m|(|\n").unwrap();
    assert_eq!((cut.len(), cut.left_out.len()), (0, 1));
}

#[test]
fn faults_are_told_with_their_line() {
    for (text, expect) in [
        ("match a m|b|", "line 1: `match` before any `Probe`"),
        ("Probe TCP\n", "line 1: a probe"),
        ("Probe SCTP A q||", "neither TCP nor UDP"),
        ("Probe TCP A x||", "begins with `q`"),
        ("Probe TCP A q|", "not closed"),
        ("Probe TCP A q|\\y|", "escapes"),
        ("Probe TCP A q|| fast", "no flag of a probe"),
        ("\n\nProbe TCP A q||\nmatch a b", "line 4: a pattern begins with `m`"),
        ("Probe TCP A q||\nmatch a m|b|x", "no flag of a pattern"),
        ("Probe TCP A q||\nmatch a m|b| z/1/", "no template"),
        ("Probe TCP A q||\nmatch a m|b| p/$0/", "no place for a group"),
        ("Probe TCP A q||\nmatch a m|b| cpe:/x:y/", "begins with `a`"),
        ("Probe TCP A q||\nports 1-99999", "no port"),
        ("Probe TCP A q||\nrarity 10", "within 1 and 9"),
        ("Probe TCP A q||\nfoo", "no directive"),
        ("Exclude 1\nExclude 2", "stands once"),
    ] {
        let fault = ServiceProbes::read(text.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains(expect), "{text}: {fault}");
    }
    let long = [b"#".as_slice(), &b"x".repeat(9000), b"\nProbe TCP A q|", &b"x".repeat(9000), b"|"].concat();
    assert_eq!(ServiceProbes::read(&long).unwrap_err().line, 2);
}

proptest! {
    /// Whatever is in the file is read or refused, and what was read bears any answer.
    #[test]
    fn spoilt_files_are_read_or_refused(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8),
        heard in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut bytes = OWN.as_bytes().to_vec();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(file) = ServiceProbes::read(&bytes) {
            let service = Service { name: "unknown".into(), ..Service::default() };
            for transport in [Transport::Tcp, Transport::Udp] {
                if let Some((claim, _)) = file.claim(transport, &service, &heard) {
                    prop_assert!(claim.product.is_none_or(|product| product.chars().count() <= 256));
                }
            }
        }
    }
}
