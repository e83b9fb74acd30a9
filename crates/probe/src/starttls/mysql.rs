//! `MySQL` and `MariaDB`: the greeting's capabilities, then a short packet that is not answered.
//!
//! Who leaves without having named an account has broken a handshake, and after a hundred of those the server shuts his address out
//! until somebody lets him in by hand (`max_connect_errors`, `ER_HOST_IS_BLOCKED`). No way of leaving early is spared that. So the
//! handshake is brought to its end: an account of our own name is asked for with a proof that cannot be right, and refused.

use super::{Refusal, Stage, Taken, Turn, reading, refuse, say};
use identify::Reader;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const ASKED: Stage = Stage::SECOND;

const CLIENT_LONG_PASSWORD: u32 = 1;
const CLIENT_PROTOCOL_41: u32 = 0x0200;
const CLIENT_SSL: u16 = 0x0800;
const CLIENT_SECURE_CONNECTION: u32 = 0x8000;
/// The most we would take in one packet.
const MAX_PACKET: u32 = 1 << 24;
const UTF8: u8 = 33;

pub(super) fn turn(stage: Stage, heard: &[u8]) -> Taken {
    if stage == ASKED {
        return Ok(Turn::Begin { used: 0 });
    }
    let mut reader = Reader::new(heard);
    let header = reading::take(&mut reader, 4)?;
    let &[low, middle, high, sequence] = header else { return Err(Turn::More) };
    let length = u32::from_le_bytes([low, middle, high, 0]);
    if sequence != 0 || !(3..=2048).contains(&length) {
        return refuse(Refusal::foreign(heard));
    }
    let mut greeting = Reader::new(reading::take(&mut reader, usize::try_from(length).unwrap_or(usize::MAX))?);
    match greeting.u8() {
        Some(10) => {}
        // Too many connections, or too many of ours that came to nothing.
        Some(0xff) => return refuse(Refusal::later(greeting.rest().get(2..).unwrap_or_default())),
        _ => return refuse(Refusal::foreign(heard)),
    }
    // Version, thread, half of the salt and its end.
    let capabilities = greeting.until(0).and_then(|_| greeting.take(13)).and_then(|_| greeting.u16_le());
    match capabilities {
        Some(capabilities) if capabilities & CLIENT_SSL != 0 => say(heard.len(), request(), ASKED),
        _ => refuse(Refusal::NotOffered),
    }
}

fn request() -> Vec<u8> {
    packet(1, &head(u32::from(CLIENT_SSL)))
}

/// The beginning that `SSLRequest` and `HandshakeResponse41` share.
fn head(further: u32) -> Vec<u8> {
    let capabilities = CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | further;
    let mut head = capabilities.to_le_bytes().to_vec();
    head.extend(MAX_PACKET.to_le_bytes());
    head.push(UTF8);
    head.extend([0; 23]);
    head
}

fn packet(sequence: u8, content: &[u8]) -> Vec<u8> {
    let [low, middle, high, _] = u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes();
    [&[low, middle, high, sequence], content].concat()
}

const CLIENT_PLUGIN_AUTH: u32 = 0x0008_0000;
/// Whom an administrator finds in the log.
const ACCOUNT: &[u8] = b"perimeterd\0";
/// A proof depends on what the server made up for this handshake: a fixed one is never right, for an account without a password
/// either.
const PROOF: [u8; 20] = [0x5a; 20];
const LONG_PROOF: [u8; 32] = [0x5a; 32];
/// A server asks back this often at most: for another kind of proof, and for the password itself.
const MOST_TURNS: usize = 3;
/// No refusal is longer.
const MOST_REFUSAL: usize = 2048;

/// Brings the handshake to its end after the greeting, in the clear or `within` TLS, so that it counts as a refused login and not as
/// a broken one. Errors mean that the server has gone, which is what is wanted.
pub(crate) async fn be_refused<S>(stream: &mut S, within: bool) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sequence, further) = if within { (2, u32::from(CLIENT_SSL)) } else { (1, 0) };
    let proof = [&[20], PROOF.as_slice()].concat();
    let named = [&head(further | CLIENT_PLUGIN_AUTH), ACCOUNT, &proof, b"mysql_native_password\0"].concat();
    stream.write_all(&packet(sequence, &named)).await?;
    stream.flush().await?;
    for _ in 0..MOST_TURNS {
        let mut header = [0; 4];
        stream.read_exact(&mut header).await?;
        let [low, middle, high, sequence] = header;
        let length = usize::try_from(u32::from_le_bytes([low, middle, high, 0])).unwrap_or(usize::MAX);
        if length > MOST_REFUSAL {
            return Ok(());
        }
        let mut content = vec![0; length];
        stream.read_exact(&mut content).await?;
        let answer: &[u8] = match content.as_slice() {
            // AuthSwitchRequest: another kind of proof.
            [0xfe, plugin @ ..] if plugin.starts_with(b"mysql_native_password\0") => &PROOF,
            [0xfe, ..] => &LONG_PROOF,
            // AuthMoreData: it wants the password itself, which is given to nobody in the clear. There is none.
            [1, 4] if within => ACCOUNT,
            // Refused.
            _ => return Ok(()),
        };
        stream.write_all(&packet(sequence.wrapping_add(1), answer)).await?;
        stream.flush().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn conversation(within: bool, said: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        let said: Vec<Vec<u8>> = said.iter().map(|said| said.to_vec()).collect();
        let server = tokio::spawn(async move {
            let mut heard = Vec::new();
            let mut said = said.into_iter();
            let mut header = [0; 4];
            while theirs.read_exact(&mut header).await.is_ok() {
                let mut content = vec![0; usize::from(header[0])];
                theirs.read_exact(&mut content).await.unwrap();
                heard.push([header.as_slice(), &content].concat());
                match said.next() {
                    // Who is not listened to any more has been left.
                    Some(said) if theirs.write_all(&packet(header[3] + 1, &said)).await.is_ok() => {}
                    _ => break,
                }
            }
            heard
        });
        // How it ends is the server's business.
        _ = be_refused(&mut ours, within).await;
        drop(ours);
        server.await.unwrap()
    }

    #[tokio::test]
    async fn leaving_is_a_refused_login() {
        let refusal = b"\xff\x15\x04#28000Access denied".as_slice();
        let heard = conversation(true, &[refusal]).await;
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0][3], 2, "behind the request for TLS");
        assert!(heard[0].windows(ACCOUNT.len()).any(|window| window == ACCOUNT));
        let heard = conversation(false, &[refusal]).await;
        assert_eq!((heard.len(), heard[0][3]), (1, 1));
        // A server that wants another proof, and then the password.
        let switch = b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0".as_slice();
        let heard = conversation(true, &[switch, b"\x01\x04", refusal]).await;
        assert_eq!(
            heard.iter().map(|packet| (packet[3], packet.len())).skip(1).collect::<Vec<_>>(),
            [(4, 36), (6, 15)]
        );
        // In the clear nothing is said that looks like a password.
        assert_eq!(conversation(false, &[switch, b"\x01\x04"]).await.len(), 2);
        // One that never ends is left.
        assert!(conversation(true, &[switch; 9]).await.len() <= MOST_TURNS + 1);
    }
}
