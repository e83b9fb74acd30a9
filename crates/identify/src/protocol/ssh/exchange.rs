//! An SSH server's host key, from the first half of a key exchange (RFC 4253 §6 to §8).
//!
//! The server shows its key, and proves that it has it, in its answer to our half of a Diffie-Hellman exchange, before anybody
//! is authenticated and before anything is encrypted. The proof is not checked and the exchange not finished: what is kept is
//! which key the server shows, and one that shows another's key has nothing from it. So our half needs no secret, and any valid
//! public value will do.

use crate::{Reader, sha256};
use model::SshKey;

/// What to do next, after everything a server has said so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// Listen.
    Continue,
    /// It has said what it can do: say this, once, and listen.
    Answer(Vec<u8>),
    /// It has shown its key.
    Key(SshKey),
    /// Nothing more is to be learnt: it left, has no algorithm in common with us, or does not speak SSH.
    Over,
}

/// The size of a packet that everybody has to take (RFC 4253 §6.1), and with it the largest we take.
const LARGEST_PACKET: u32 = 35_000;
/// Packets to look at. The key comes with the second; some servers send remarks in between.
const MOST_PACKETS: usize = 16;
const LARGEST_KEY: usize = 8 * 1024;

const DISCONNECT: u8 = 1;
const KEXINIT: u8 = 20;
/// Of every method of exchange here: RFC 4253 §8, RFC 5656 §7.1, RFC 8731 §3.1.
const KEX_REQUEST: u8 = 30;
const KEX_REPLY: u8 = 31;
/// RFC 4250 §4.2.2.
const BY_APPLICATION: u32 = 11;

/// A method of exchange, and our half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// The base point (RFC 7748 §4.1).
    Curve25519,
    /// The generator, uncompressed (SEC 2 §2.4.2).
    P256,
    /// A number of that many bytes, below the prime and with many bits set (OpenSSH refuses those with few).
    ModP(usize),
}

/// In order of preference: the cheapest for the server first, the old ones last.
const METHODS: [(&str, Half); 8] = [
    ("curve25519-sha256", Half::Curve25519),
    ("curve25519-sha256@libssh.org", Half::Curve25519),
    ("ecdh-sha2-nistp256", Half::P256),
    ("diffie-hellman-group14-sha256", Half::ModP(256)),
    ("diffie-hellman-group16-sha512", Half::ModP(512)),
    ("diffie-hellman-group18-sha512", Half::ModP(1024)),
    ("diffie-hellman-group14-sha1", Half::ModP(256)),
    ("diffie-hellman-group1-sha1", Half::ModP(128)),
];

/// Always in the same order, so that a server with several keys always shows the same one.
const SIGNATURES: &str = "ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-256,rsa-sha2-512,ssh-rsa,ecdsa-sha2-nistp384,\
                          ecdsa-sha2-nistp521,ssh-ed448,ssh-dss";
const KEYS: [&str; 7] = SshKey::ASKED_FOR;

// Never used, but a server without any in common would hang up.
const CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,\
                       aes256-gcm@openssh.com,aes128-cbc,aes256-cbc,3des-cbc";
const MACS: &str = "hmac-sha2-256,hmac-sha2-512,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,\
                    umac-128-etm@openssh.com,hmac-sha1,hmac-md5";

const GENERATOR_P256: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03,
    0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe,
    0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce,
    0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

/// Our identification and what we can do. `agent` is who we are: `perimeterd/0.1.0 (https://example.org/security)`.
pub fn greeting(agent: &str) -> Vec<u8> {
    let (software, comment) = agent.split_once(' ').unwrap_or((agent, ""));
    // RFC 4253 §4.2: printable US-ASCII, in the software's name neither spaces nor hyphens, 255 bytes at most.
    let software: String = software
        .chars()
        .take(64)
        .map(|char| if char.is_ascii_graphic() && !matches!(char, '-' | '/') { char } else { '_' })
        .collect();
    let comment: String = comment.chars().filter(|char| matches!(char, ' '..='~')).take(160).collect();
    let mut greeting = format!("SSH-2.0-{software} {comment}").trim_end().as_bytes().to_vec();
    greeting.extend(b"\r\n");
    let methods = METHODS.map(|(name, _)| name).join(",");
    // The cookie and the padding want to be random for the sake of keys that nobody here will derive.
    let mut payload = vec![KEXINIT];
    payload.extend([0; 16]);
    for list in [&methods, SIGNATURES, CIPHERS, CIPHERS, MACS, MACS, "none", "none", "", ""] {
        string(&mut payload, list.as_bytes());
    }
    // No guess follows; reserved.
    payload.extend([0; 5]);
    greeting.extend(packet(&payload));
    greeting
}

/// The algorithms a server offers (RFC 4253 §7.1), as facts: methods of exchange, kinds of host keys, ciphers and
/// authentication codes towards us. Empty where it has not said.
pub fn algorithms(heard: &[u8]) -> Vec<(&'static str, String)> {
    let mut reader = Reader::new(heard);
    for _ in 0..64 {
        match reader.line() {
            Some(line) if line.starts_with(b"SSH-") => break,
            Some(_) => {}
            None => return Vec::new(),
        }
    }
    let Packet::Whole(payload) = next_packet(&mut reader) else { return Vec::new() };
    let mut payload = Reader::new(payload);
    if payload.u8() != Some(KEXINIT) || payload.take(16).is_none() {
        return Vec::new();
    }
    // The fourth and the sixth list are those from the server to us.
    let names = [Some("ssh.kex"), Some("ssh.host_keys"), None, Some("ssh.ciphers"), None, Some("ssh.macs")];
    let mut facts = Vec::new();
    for name in names {
        let list = payload.u32().and_then(|length| payload.take(usize::try_from(length).ok()?));
        let Some(list) = list else { break };
        facts.extend(name.map(|name| (name, crate::printable(list))));
    }
    facts
}

/// What everything heard of a server, from its first byte on, comes to.
pub fn read(heard: &[u8]) -> Exchange {
    let mut reader = Reader::new(heard);
    loop {
        match reader.line() {
            Some(line) if line.starts_with(b"SSH-") => break,
            Some(_) => {}
            None => return Exchange::Continue,
        }
    }
    let mut method = None;
    for _ in 0..MOST_PACKETS {
        let payload = match next_packet(&mut reader) {
            Packet::Whole(payload) => payload,
            Packet::Part => return method.map_or(Exchange::Continue, |half| Exchange::Answer(request(half))),
            Packet::Broken => return Exchange::Over,
        };
        let mut payload = Reader::new(payload);
        match payload.u8() {
            Some(KEXINIT) => {
                method = common_method(payload);
                if method.is_none() {
                    return Exchange::Over;
                }
            }
            Some(KEX_REPLY) => return host_key(payload).map_or(Exchange::Over, Exchange::Key),
            None | Some(DISCONNECT) => return Exchange::Over,
            // IGNORE, DEBUG and the like.
            Some(_) => {}
        }
    }
    Exchange::Over
}

/// Leaves in the proper way, saying who it was: the server's log then shows an end, not a breach.
pub fn farewell(agent: &str) -> Vec<u8> {
    let mut payload = vec![DISCONNECT];
    payload.extend(BY_APPLICATION.to_be_bytes());
    let description: String = agent.chars().filter(|char| matches!(char, ' '..='~')).take(200).collect();
    string(&mut payload, description.as_bytes());
    string(&mut payload, b"");
    packet(&payload)
}

enum Packet<'a> {
    Whole(&'a [u8]),
    Part,
    Broken,
}

/// The payload of a packet before keys are in use (RFC 4253 §6).
fn next_packet<'a>(reader: &mut Reader<'a>) -> Packet<'a> {
    let mut ahead = *reader;
    let Some(length) = ahead.u32() else { return Packet::Part };
    if !(1..=LARGEST_PACKET).contains(&length) {
        return Packet::Broken;
    }
    let Some(body) = usize::try_from(length).ok().and_then(|length| ahead.take(length)) else { return Packet::Part };
    *reader = ahead;
    let payload = body.split_first().and_then(|(&padding, rest)| {
        let payload = rest.len().checked_sub(usize::from(padding))?;
        rest.get(..payload)
    });
    payload.map_or(Packet::Broken, Packet::Whole)
}

/// The first of ours that is also the server's (RFC 4253 §7.1), if it has a key we know as well.
fn common_method(mut kexinit: Reader<'_>) -> Option<Half> {
    kexinit.take(16)?;
    let (methods, signatures) = (taken_string(&mut kexinit)?, taken_string(&mut kexinit)?);
    let has = |list: &[u8], name: &str| list.split(|&byte| byte == b',').any(|item| item == name.as_bytes());
    if !SIGNATURES.split(',').any(|name| has(signatures, name)) {
        return None;
    }
    METHODS.into_iter().find(|(name, _)| has(methods, name)).map(|(_, half)| half)
}

fn request(half: Half) -> Vec<u8> {
    let mut payload = vec![KEX_REQUEST];
    match half {
        Half::Curve25519 => {
            let mut base = [0; 32];
            base[0] = 9;
            string(&mut payload, &base);
        }
        Half::P256 => string(&mut payload, &GENERATOR_P256),
        // All these primes begin with 64 bits set; the highest bit of an mpint (RFC 4251 §5) is its sign.
        Half::ModP(bytes) => string(&mut payload, &vec![0x5a; bytes]),
    }
    packet(&payload)
}

/// `K_S` of a reply: a string that begins with the name of its format (RFC 4253 §6.6).
fn host_key(mut reply: Reader<'_>) -> Option<SshKey> {
    let blob = taken_string(&mut reply).filter(|blob| blob.len() <= LARGEST_KEY)?;
    let mut key = Reader::new(blob);
    let name = taken_string(&mut key)?;
    let algorithm = KEYS.into_iter().find(|known| known.as_bytes() == name)?;
    // The value of the key, and after the blob the server's half and its signature: without them it is no reply.
    taken_string(&mut key).filter(|value| !value.is_empty())?;
    taken_string(&mut reply)?;
    taken_string(&mut reply)?;
    Some(SshKey { algorithm: algorithm.to_owned(), sha256: sha256(blob) })
}

fn taken_string<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.u32()?;
    reader.take(usize::try_from(length).ok()?)
}

/// Ours are all far shorter than 4 GiB.
fn string(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(bytes);
}

/// Length, padding length, payload, padding: together a multiple of eight, with at least four bytes of padding.
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 4 + (8 - (4 + 1 + payload.len() + 4) % 8) % 8;
    let mut packet = Vec::with_capacity(4 + 1 + payload.len() + padding);
    packet.extend(u32::try_from(1 + payload.len() + padding).unwrap_or(u32::MAX).to_be_bytes());
    packet.push(u8::try_from(padding).unwrap_or(u8::MAX));
    packet.extend(payload);
    packet.resize(4 + 1 + payload.len() + padding, 0);
    packet
}

#[cfg(test)]
mod tests;
