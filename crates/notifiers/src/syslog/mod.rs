//! CEF over syslog: UDP, TCP and TLS.
//!
//! Syslog over a stream has no acknowledgement, so a collector's crash may cost what it had not read yet. The channel narrows that: it
//! watches for the end of the stream, counts a batch as taken only while the stream stands, and repeats what was written in the
//! last seconds before an end. Receivers recognise repeats by `externalId`.

mod cef;
mod deliver;
mod link;
mod rfc5424;

#[cfg(test)]
mod tests;

use crate::{Channel, ChannelError, Identity};
use config::Syslog;
use deliver::{StreamState, SyslogChannel};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::sync::Mutex;

pub(crate) const KIND: &str = "syslog";

pub(crate) fn build(recipient: &str, config: &Syslog, identity: &Identity) -> Result<Arc<dyn Channel>, ChannelError> {
    let server_name = ServerName::try_from(config.host.clone())
        .map_err(|_| ChannelError::Host { recipient: recipient.to_owned(), host: config.host.clone() })?;
    Ok(Arc::new(SyslogChannel {
        config: config.clone(),
        server_name,
        identity: identity.clone(),
        stream: Mutex::new(StreamState::default()),
    }))
}
