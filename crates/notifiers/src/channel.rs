use crate::{Channel, Digest, Identity, email, jsonl, syslog};
use config::{ChannelConfig, Config, Interval, Recipient};
use model::Delivery;
use std::{future::Future, pin::Pin, sync::Arc};

/// One recipient and the way to it: what the pipeline works with.
#[derive(Debug, Clone)]
pub struct Outlet {
    pub recipient: Arc<str>,
    pub every: Interval,
    pub channel: Arc<dyn Channel>,
}

/// Why a channel could not be made. The operator's to put right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    #[error("recipient {recipient}: `{address}` is not an e-mail address; write it like soc@example.org")]
    Address { recipient: String, address: String },
    #[error("[channel.email]: from = \"{from}\" is not an e-mail address; write it like perimeterd@example.org")]
    From { from: String },
    #[error(
        "recipient {recipient}: `{host}` is neither a host name nor an address; put it right in its syslog address"
    )]
    Host { recipient: String, host: String },
}

/// The channel of one recipient. What may still come right without a change of the configuration (a secret, a file of roots, a
/// server) is no error here: the channel answers [`Delivery::RetryAfter`] with a sentence that says what is missing.
pub fn build(
    recipient_name: &str,
    recipient: &Recipient,
    config: &Config,
    identity: &Identity,
) -> Result<Arc<dyn Channel>, ChannelError> {
    match &recipient.channel {
        ChannelConfig::Email { to } => email::build(recipient_name, to, config, identity),
        ChannelConfig::Syslog(syslog) => syslog::build(recipient_name, syslog, identity),
        ChannelConfig::Jsonl(path) => Ok(jsonl::build(path)),
    }
}

/// Every recipient of the configuration with its channel. One that cannot be built keeps its alerts waiting and says why.
pub fn outlets(config: &Config, identity: &Identity) -> Vec<Outlet> {
    let outlet = |(name, recipient): (&Arc<str>, &Recipient)| {
        let channel = build(name, recipient, config, identity).unwrap_or_else(|error| {
            tracing::error!(recipient = %name, %error, "a channel cannot be used; its alerts wait");
            Unready::channel(kind(&recipient.channel), error.to_string())
        });
        Outlet { recipient: Arc::clone(name), every: recipient.every, channel }
    };
    config.recipients.iter().map(outlet).collect()
}

fn kind(channel: &ChannelConfig) -> &'static str {
    match channel {
        ChannelConfig::Email { .. } => email::KIND,
        ChannelConfig::Syslog(_) => syslog::KIND,
        ChannelConfig::Jsonl(_) => jsonl::KIND,
    }
}

/// Stands for a channel that lacks something: keeps every digest waiting and says what is missing.
#[derive(Debug)]
pub(crate) struct Unready {
    kind: &'static str,
    missing: String,
}

impl Unready {
    pub(crate) fn channel(kind: &'static str, missing: String) -> Arc<dyn Channel> {
        Arc::new(Self { kind, missing })
    }
}

impl Channel for Unready {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn describe(&self) -> String {
        format!("{} (not ready)", self.kind)
    }

    fn deliver<'a>(&'a self, _: &'a Digest) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>> {
        let missing = self.missing.clone();
        Box::pin(async move { Delivery::RetryAfter { after: None, reason: missing } })
    }
}

#[cfg(test)]
pub(crate) mod tests;
