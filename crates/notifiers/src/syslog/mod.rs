//! Being written.
use crate::{Channel, ChannelError, Identity, channel::Unready};
use std::sync::Arc;
pub(crate) const KIND: &str = "syslog";
pub(crate) fn build(_: &str, _: &config::Syslog, _: &Identity) -> Result<Arc<dyn Channel>, ChannelError> {
    Ok(Unready::channel(KIND, "syslog is being written".into()))
}
