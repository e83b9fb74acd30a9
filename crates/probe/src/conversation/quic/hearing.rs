//! The beginning of what a server says in a handshake, as it was said: the library tells nobody which suite it has chosen.

use identify::tls::{Record, Version};
use quinn_proto::{
    ConnectError, ConnectionId, Side, TransportError,
    crypto::{
        ClientConfig, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session, rustls::QuicClientConfig,
    },
    transport_parameters::TransportParameters,
};
use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

/// No server's hello is longer.
const KEPT: usize = 4096;

/// A client's side of TLS that keeps the first bytes it reads.
pub(super) struct Hearing {
    tls: Arc<QuicClientConfig>,
    first: Arc<Mutex<Vec<u8>>>,
}

impl Hearing {
    pub(super) fn new(tls: QuicClientConfig) -> Self {
        Self { tls: Arc::new(tls), first: Arc::default() }
    }

    /// What was heard first, in a record as it would have come in by TCP: QUIC has none (RFC 9001 §4.1.3).
    pub(super) fn first(&self) -> Vec<u8> {
        let message = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = vec![Record::HANDSHAKE];
        record.extend_from_slice(&Version::TLS1_2.0.to_be_bytes());
        record.extend_from_slice(&u16::try_from(message.len()).unwrap_or_default().to_be_bytes());
        record.extend_from_slice(&message);
        record
    }
}

impl ClientConfig for Hearing {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = Arc::clone(&self.tls).start_session(version, server_name, params)?;
        Ok(Box::new(Heard { inner, first: Arc::clone(&self.first) }))
    }
}

struct Heard {
    inner: Box<dyn Session>,
    first: Arc<Mutex<Vec<u8>>>,
}

impl Session for Heard {
    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(first.len()).min(buf.len());
        first.extend_from_slice(buf.get(..room).unwrap_or_default());
        drop(first);
        self.inner.read_handshake(buf)
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.inner.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.inner.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}
