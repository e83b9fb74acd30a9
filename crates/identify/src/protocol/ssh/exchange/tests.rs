use super::*;
use proptest::prelude::*;

/// What real servers said in a whole exchange, the name of their key's format, and its fingerprint by `ssh-keygen -lf`.
const CAPTURED: [(&[u8], &str, &str); 4] = [
    (
        include_bytes!("samples/openssh-ed25519.bin"),
        "ssh-ed25519",
        "50da211346dfbf6e2d3137833a3081cd0c7532ca897767393929d29fadd9aa43",
    ),
    (
        include_bytes!("samples/openssh-ecdsa.bin"),
        "ecdsa-sha2-nistp256",
        "9c9ba4016b25b690ba793c64b02e73202cf7d37a3186f8845da9210f82924483",
    ),
    (
        include_bytes!("samples/openssh-rsa.bin"),
        "ssh-rsa",
        "a13c408b119d8064c54e3de8ec5d302e7e0a06a7923f511c3bd3222477b0d5f6",
    ),
    (
        include_bytes!("samples/dropbear-ed25519.bin"),
        "ssh-ed25519",
        "23dc8b88565782772209876c30ddabdd8d1923d959bbcc4c49cc8ec15b01161f",
    ),
];

fn key_of(heard: &[u8]) -> Option<SshKey> {
    match read(heard) {
        Exchange::Key(key) => Some(key),
        _ => None,
    }
}

#[test]
fn real_servers_show_their_keys() {
    for (heard, algorithm, sha256) in CAPTURED {
        let key = key_of(heard).expect(algorithm);
        assert_eq!((key.algorithm.as_str(), key.sha256.to_string().as_str()), (algorithm, sha256));
    }
}

/// However the bytes come in: first nothing, then the same answer all the time, then the key.
#[test]
fn every_beginning_of_an_exchange_leads_on() {
    for (heard, algorithm, _) in CAPTURED {
        let mut stage = 0;
        let mut said = None;
        for end in 0..=heard.len() {
            let now = match read(&heard[..end]) {
                Exchange::Continue => 0,
                Exchange::Answer(answer) => {
                    assert_eq!(said.get_or_insert_with(|| answer.clone()), &answer, "{algorithm}");
                    1
                }
                Exchange::Key(_) => 2,
                Exchange::Over => panic!("{algorithm}: over after {end} bytes"),
            };
            assert!(now == stage || now == stage + 1, "{algorithm}: from {stage} to {now} after {end} bytes");
            stage = now;
        }
        assert_eq!(stage, 2, "{algorithm}");
    }
}

fn server(methods: &str, signatures: &str) -> Vec<u8> {
    let mut payload = vec![KEXINIT];
    payload.extend([7; 16]);
    for list in [methods, signatures, "", "", "", "", "", "", "", ""] {
        string(&mut payload, list.as_bytes());
    }
    payload.extend([0; 5]);
    [b"Keep out!\r\nSSH-2.0-Test_1\r\n".to_vec(), packet(&payload)].concat()
}

fn reply(name: &str, value: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    string(&mut blob, name.as_bytes());
    string(&mut blob, value);
    let mut payload = vec![KEX_REPLY];
    string(&mut payload, &blob);
    string(&mut payload, &[9; 32]);
    string(&mut payload, &[1; 64]);
    packet(&payload)
}

#[test]
fn the_method_is_the_first_of_ours_that_is_also_theirs() {
    for (methods, signatures, expect) in [
        ("sntrup761x25519-sha512@openssh.com,curve25519-sha256", "ssh-ed25519", Some(Half::Curve25519)),
        ("ecdh-sha2-nistp256,curve25519-sha256@libssh.org", "rsa-sha2-512", Some(Half::Curve25519)),
        ("diffie-hellman-group-exchange-sha256,ecdh-sha2-nistp256", "ssh-rsa", Some(Half::P256)),
        ("diffie-hellman-group1-sha1,diffie-hellman-group14-sha1", "ssh-dss", Some(Half::ModP(256))),
        ("diffie-hellman-group1-sha1", "ssh-rsa", Some(Half::ModP(128))),
        ("diffie-hellman-group16-sha512", "ssh-ed25519", Some(Half::ModP(512))),
        ("curve25519-sha25", "ssh-ed25519", None),
        ("curve25519-sha256", "sk-ssh-ed25519@openssh.com", None),
        ("", "", None),
    ] {
        let expect = expect.map_or(Exchange::Over, |half| Exchange::Answer(request(half)));
        assert_eq!(read(&server(methods, signatures)), expect, "{methods} {signatures}");
    }
}

#[test]
fn what_is_no_key_is_none() {
    let hello = server("curve25519-sha256", "ssh-ed25519");
    let after = |packets: &[Vec<u8>]| read(&[hello.clone(), packets.concat()].concat());
    let ignored = packet(b"\x02\0\0\0\x01x");
    let goodbye = packet(b"\x01\0\0\0\x02\0\0\0\0\0\0\0\0");
    assert!(matches!(after(&[ignored.clone(), reply("ssh-ed25519", &[3; 32])]), Exchange::Key(_)));
    for (what, packets) in [
        ("a goodbye", vec![goodbye]),
        ("an unknown format", vec![reply("ssh-evil", &[3; 32])]),
        ("a format without a key", vec![reply("ssh-ed25519", b"")]),
        ("a huge key", vec![reply("ssh-rsa", &[3; 9_000])]),
        ("an empty packet", vec![packet(b"")]),
        ("more padding than packet", vec![vec![0, 0, 0, 4, 9, 1, 2, 3]]),
        ("a huge packet", vec![vec![0, 1, 0, 0, 4]]),
        ("text", vec![b"Protocol mismatch.\r\n".to_vec()]),
        ("remarks without end", vec![ignored; MOST_PACKETS]),
    ] {
        assert_eq!(after(&packets), Exchange::Over, "{what}");
    }
    assert_eq!(read(b"220 mail ESMTP\r\n"), Exchange::Continue);
}

/// OpenSSH refuses values outside (1, p-1), and those with hardly a bit set.
#[test]
fn our_halves_are_valid() {
    for (name, half) in METHODS {
        let bytes = request(half);
        let mut packet = Reader::new(&bytes);
        let Packet::Whole(payload) = next_packet(&mut packet) else { panic!("{name}: no packet") };
        assert!(packet.is_empty() && bytes.len().is_multiple_of(8), "{name}");
        let mut payload = Reader::new(payload);
        assert_eq!(payload.u8(), Some(KEX_REQUEST));
        let value = taken_string(&mut payload).expect("a value");
        assert!(payload.is_empty(), "{name}");
        match half {
            Half::Curve25519 => assert_eq!(value.len(), 32),
            Half::P256 => assert_eq!((value.len(), value[0]), (65, 4)),
            Half::ModP(length) => assert!(value.len() == length && value[0] < 0x80 && value[0] > 0, "{name}"),
        }
    }
}

#[test]
fn we_say_who_we_are() {
    for (agent, expect) in [
        ("perimeterd/1.2.3 (https://example.org/security)", "SSH-2.0-perimeterd_1.2.3 (https://example.org/security)"),
        ("perimeterd/1.2.3-rc.1", "SSH-2.0-perimeterd_1.2.3_rc.1"),
        ("p/1 (a\r\nb\u{e9}c)", "SSH-2.0-p_1 (abc)"),
    ] {
        let greeting = greeting(agent);
        let mut reader = Reader::new(&greeting);
        assert_eq!(reader.line(), Some(expect.as_bytes()));
        let Packet::Whole(payload) = next_packet(&mut reader) else { panic!("no packet") };
        assert_eq!(payload[0], KEXINIT);
        assert!(reader.is_empty());
    }
    let long = greeting(&format!("{} {}", "x".repeat(500), "y".repeat(500)));
    assert!(long.iter().position(|&byte| byte == b'\n').is_some_and(|end| end < 255), "RFC 4253 §4.2");
    let farewell = farewell("perimeterd/1.2.3");
    let Packet::Whole(payload) = next_packet(&mut Reader::new(&farewell)) else { panic!("no packet") };
    assert_eq!(payload, b"\x01\0\0\0\x0b\0\0\0\x10perimeterd/1.2.3\0\0\0\0");
}

proptest! {
    #[test]
    fn takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes);
        let _ = read(&[b"SSH-2.0-x\r\n".to_vec(), bytes].concat());
    }

    #[test]
    fn takes_what_is_nearly_right(
        pick in 0_usize..4,
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut heard = CAPTURED[pick].0.to_vec();
        for (at, value) in edits {
            let at = at.index(heard.len());
            heard[at] = value;
        }
        if let Some(key) = key_of(&heard) {
            prop_assert!(KEYS.contains(&key.algorithm.as_str()));
        }
    }
}

#[test]
fn what_a_server_offers() {
    let greeting = super::greeting("zorbd");
    let facts = super::algorithms(&greeting);
    let names: Vec<&str> = facts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["ssh.kex", "ssh.host_keys", "ssh.ciphers", "ssh.macs"]);
    assert!(facts[0].1.starts_with("curve25519-sha256,") && facts[1].1.starts_with("ssh-ed25519,"));
    for end in 0..greeting.len() {
        super::algorithms(&greeting[..end]);
    }
}
