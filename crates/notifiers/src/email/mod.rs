//! E-mail: one message a digest, complete as text, readable as HTML, with the machine's form attached.

mod html;
mod message;
mod smtp;
mod story;
mod subject;
mod text;

#[cfg(test)]
pub(crate) mod tests;

use crate::{Channel, ChannelError, Identity, channel::Unready};
use config::Config;
use lettre::{message::Mailbox, transport::smtp::authentication::Credentials};
use smtp::{Email, Server};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Mutex;

pub(crate) const KIND: &str = "email";

pub(crate) fn build(
    recipient: &str,
    to: &[String],
    config: &Config,
    identity: &Identity,
) -> Result<Arc<dyn Channel>, ChannelError> {
    let to = to
        .iter()
        .map(|address| {
            let wrong = |_| ChannelError::Address { recipient: recipient.to_owned(), address: address.clone() };
            address.parse::<Mailbox>().map_err(wrong)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let Some(channel) = &config.email else {
        return Ok(Unready::channel(
            KIND,
            "there is no [channel.email]: e-mail needs smtp = … and from = …".to_owned(),
        ));
    };
    let from: Mailbox = channel.from.parse().map_err(|_| ChannelError::From { from: channel.from.clone() })?;
    let credentials = match (&channel.username, &channel.password) {
        (Some(user), Some(password)) => Some(Credentials::new(user.clone(), password.reveal().to_owned())),
        (Some(user), None) => {
            let missing = format!("[channel.email]: user {user} has no password; check password_file");
            return Ok(Unready::channel(KIND, missing));
        }
        (None, _) => None,
    };
    let server = Server {
        security: channel.security,
        host: channel.host.clone(),
        port: channel.port,
        ca_file: channel.ca_file.clone(),
        credentials,
    };
    let values: BTreeMap<Arc<str>, u8> =
        config.assets.iter().map(|(name, asset)| (Arc::clone(name), asset.value)).collect();
    Ok(Arc::new(Email { from, to, server, values, identity: identity.clone(), progress: Mutex::default() }))
}
