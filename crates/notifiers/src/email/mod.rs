//! Being written.
use crate::{Channel, ChannelError, Identity, channel::Unready};
use std::sync::Arc;
pub(crate) const KIND: &str = "email";
pub(crate) fn build(_: &str, _: &[String], _: &config::Config, _: &Identity) -> Result<Arc<dyn Channel>, ChannelError> {
    Ok(Unready::channel(KIND, "e-mail is being written".into()))
}
