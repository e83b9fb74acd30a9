use super::version::Version;
use crate::Reader;

/// The record layer of SSL 3.0 to TLS 1.3 (RFC 5246 §6.2.1), reassembled from whatever pieces a stream comes in. Total on
/// hostile bytes. Holds at most what was fed and not yet taken, and nothing more once it is no TLS.
#[derive(Debug, Clone, Default)]
pub struct Records {
    buffer: Vec<u8>,
    /// What comes before this has been taken.
    start: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub kind: u8,
    pub version: Version,
    pub payload: Vec<u8>,
}

impl Record {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
    pub const APPLICATION_DATA: u8 = 23;
    pub const HEARTBEAT: u8 = 24;
}

/// What comes next is no record; [`Records::rest`] has the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRecord;

/// The standard's limit, which leaves room for compression and encryption.
const MAX_PAYLOAD: usize = (1 << 14) + 2048;
/// Kept of what is no TLS.
const MAX_REST: usize = 4096;

impl Records {
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.is_foreign() {
            let room = MAX_REST.saturating_sub(self.rest().len()).min(bytes.len());
            self.buffer.extend_from_slice(bytes.get(..room).unwrap_or_default());
            return;
        }
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole record, if there is one.
    pub fn take(&mut self) -> Result<Option<Record>, NoRecord> {
        if self.is_foreign() {
            return Err(NoRecord);
        }
        let mut reader = Reader::new(self.rest());
        let before = reader.rest().len();
        let (Some(kind), Some(version), Some(length)) = (reader.u8(), reader.u16(), reader.u16()) else {
            return Ok(None);
        };
        let Some(payload) = reader.take(usize::from(length)) else { return Ok(None) };
        let record = Record { kind, version: Version(version), payload: payload.to_vec() };
        self.start += before - reader.rest().len();
        Ok(Some(record))
    }

    /// What has come and was not taken.
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Whether what has come so far of the next record cannot be one.
    fn is_foreign(&self) -> bool {
        let mut reader = Reader::new(self.rest());
        let kind = reader.u8();
        let (major, _minor) = (reader.u8(), reader.u8());
        let length = reader.u16();
        kind.is_some_and(|kind| !(Record::CHANGE_CIPHER_SPEC..=Record::HEARTBEAT).contains(&kind))
            || major.is_some_and(|major| major != 3)
            || length.is_some_and(|length| usize::from(length) > MAX_PAYLOAD)
    }
}
