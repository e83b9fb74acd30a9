use clap::Args;
use model::{EventType, Severity, Target};

/// What narrows a list of hosts, services or software. The same words as the API's.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InventoryFilter {
    /// Only these addresses: one, a prefix or a range
    #[arg(long, value_name = "ADDRESSES", value_parser = addresses)]
    pub ip: Option<Target>,
    /// Only this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// At most this many [default: all]
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<u64>,
}

/// What narrows a list of events or alerts.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct EventFilter {
    /// Only what is about these addresses: one, a prefix or a range
    #[arg(long, value_name = "ADDRESSES", value_parser = addresses)]
    pub ip: Option<Target>,
    /// Only what is about this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Only these types, such as `PORT_OPEN` (may be repeated)
    #[arg(long = "type", value_name = "TYPE", value_parser = event_type, value_delimiter = ',')]
    pub types: Vec<EventType>,
    /// Only since then: a time, or a duration back from now (24h)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only this severity and worse, 1 to 5
    #[arg(long, value_name = "1-5", value_parser = severity)]
    pub severity: Option<Severity>,
    /// At most this many, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub limit: u64,
    /// Only what was committed after this sequence number, the oldest first
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
}

impl InventoryFilter {
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let ip = self.ip.iter().map(|target| ("ip", target.to_string()));
        ip.chain(self.port.iter().map(|port| ("port", port.to_string()))).collect()
    }
}

impl EventFilter {
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.ip.iter().map(|target| ("ip", target.to_string())));
        query.extend(self.port.iter().map(|port| ("port", port.to_string())));
        if !self.types.is_empty() {
            let types: Vec<_> = self.types.iter().map(|kind| kind.as_str()).collect();
            query.push(("type", types.join(",")));
        }
        query.extend(self.since.iter().map(|since| ("since", since.clone())));
        query.extend(self.severity.iter().map(|severity| ("severity", severity.get().to_string())));
        query
    }
}

pub(super) fn addresses(text: &str) -> Result<Target, String> {
    match text.parse() {
        Ok(Target::Name(name)) => Err(format!("`{name}` is a host name; give addresses")),
        Ok(target) => Ok(target),
        Err(error) => Err(error.to_string()),
    }
}

fn event_type(text: &str) -> Result<EventType, String> {
    text.to_ascii_uppercase().parse().map_err(|error: model::UnknownEventType| error.to_string())
}

fn severity(text: &str) -> Result<Severity, String> {
    let number: u8 = text.parse().map_err(|_| format!("`{text}` is not a severity, 1 to 5"))?;
    Severity::try_from(number).map_err(|error| error.to_string())
}
