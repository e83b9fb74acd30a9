//! What may stand behind the `?`: filters and the page.

use crate::refusal::Refusal;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use model::{AddressRange, EventType, Severity, Sha256, Target, Transport, parse_duration};
use std::time::Duration;
use store::PortStatus;

/// A page is as long as this where nobody says.
const USUAL_PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;

/// The parameters of a list, checked. Which of them a list takes is decided where it is parsed.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Query {
    pub ip: Option<AddressRange>,
    pub transport: Option<Transport>,
    pub port: Option<u16>,
    /// A service's protocol: `ssh`.
    pub service: Option<String>,
    pub product: Option<String>,
    /// A host's, or one a service was asked under.
    pub name: Option<String>,
    pub os: Option<String>,
    pub asset: Option<String>,
    pub tag: Option<String>,
    pub subject: Option<String>,
    pub issuer: Option<String>,
    pub profile: Option<String>,
    pub recipient: Option<String>,
    pub state: Option<PortStatus>,
    pub sha256: Option<Sha256>,
    pub types: Vec<EventType>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub severity: Option<Severity>,
    /// Another time than now.
    pub at: Option<Timestamp>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Certificates that end within this.
    pub expiring: Option<Duration>,
    pub up: Option<bool>,
    /// Approved by an operator; otherwise unreviewed.
    pub approved: Option<bool>,
    /// Everything, also what is no longer there.
    pub all: bool,
    /// The newest first.
    pub newest: bool,
    /// Where the page begins: what `next` of the page before it said.
    pub after: Option<String>,
    pub limit: usize,
}

impl Query {
    /// `allowed` are the parameters this list takes; any other, or one said twice, is refused.
    pub(crate) fn parse(pairs: &[(String, String)], allowed: &[&str], now: Timestamp) -> Result<Self, Refusal> {
        let mut query = Self { limit: USUAL_PAGE, ..Self::default() };
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in pairs {
            if !allowed.contains(&key.as_str()) {
                let known = allowed.join(", ");
                return Err(Refusal::question(format!("there is no parameter `{key}` here; there are {known}")));
            }
            if seen.contains(&key.as_str()) {
                return Err(Refusal::question(format!("`{key}` is given twice")));
            }
            seen.push(key);
            query.set(key, value, now).map_err(|why| Refusal::question(format!("{key}: {why}")))?;
        }
        Ok(query)
    }

    fn set(&mut self, key: &str, value: &str, now: Timestamp) -> Result<(), String> {
        match key {
            "ip" => self.ip = Some(addresses(value)?),
            "transport" => {
                self.transport = Some(match value {
                    "tcp" => Transport::Tcp,
                    "udp" => Transport::Udp,
                    _ => return Err(format!("`{value}` is neither `tcp` nor `udp`")),
                });
            }
            "port" => {
                let port = value.parse().ok().filter(|&port: &u16| port > 0);
                self.port = Some(port.ok_or_else(|| format!("`{value}` is not a port, 1 to 65535"))?);
            }
            "service" => self.service = Some(value.to_owned()),
            "product" => self.product = Some(value.to_owned()),
            "name" => self.name = Some(value.to_owned()),
            "os" => self.os = Some(value.to_owned()),
            "asset" => self.asset = Some(value.to_owned()),
            "tag" => self.tag = Some(value.to_owned()),
            "subject" => self.subject = Some(value.to_owned()),
            "issuer" => self.issuer = Some(value.to_owned()),
            "recipient" => self.recipient = Some(value.to_owned()),
            "state" => {
                self.state = Some(match value {
                    "open" => PortStatus::Open,
                    "closed" => PortStatus::Closed,
                    "opening" => PortStatus::Opening,
                    _ => return Err(format!("`{value}` is none of `open`, `closed` and `opening`")),
                });
            }
            "profile" => self.profile = Some(value.to_owned()),
            "sha256" => self.sha256 = Some(value.parse()?),
            "type" => {
                let types = value.split(',').map(|kind| kind.trim().parse::<EventType>());
                self.types = types.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
            }
            "since" => self.since = Some(time(value, now)?),
            "until" => self.until = Some(time(value, now)?),
            "at" => self.at = Some(time(value, now)?),
            "from" => self.from = Some(time(value, now)?),
            "to" => self.to = Some(time(value, now)?),
            "severity" => {
                let severity = value.parse::<u8>().ok().and_then(|number| Severity::try_from(number).ok());
                self.severity = Some(severity.ok_or_else(|| format!("`{value}` is not a severity, 1 to 5"))?);
            }
            "expiring" => self.expiring = Some(parse_duration(value).map_err(|error| error.to_string())?),
            "up" => self.up = Some(flag(value)?),
            "approved" => self.approved = Some(flag(value)?),
            "all" => self.all = flag(value)?,
            "newest" => self.newest = flag(value)?,
            "after" => self.after = Some(value.to_owned()),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
                self.limit = limit.ok_or_else(|| format!("`{value}` is not a number from 1 to {LONGEST_PAGE}"))?;
            }
            _ => return Err("not understood".to_owned()),
        }
        Ok(())
    }

    /// The cursor of lists that are ordered by sequence number.
    pub(crate) fn after_seq(&self) -> Result<Option<u64>, Refusal> {
        self.after.as_deref().map(sequence_number).transpose()
    }
}

/// For what takes no parameters.
pub(crate) fn none(pairs: &[(String, String)]) -> Result<(), Refusal> {
    match pairs.first() {
        Some((key, _)) => Err(Refusal::question(format!("there is no parameter `{key}` here; there are none"))),
        None => Ok(()),
    }
}

pub(crate) fn sequence_number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::question(format!("after: `{text}` is not a sequence number")))
}

fn addresses(text: &str) -> Result<AddressRange, String> {
    let target: Target = text.parse().map_err(|error: model::TargetError| error.to_string())?;
    target.range().ok_or_else(|| format!("`{text}` is a host name; give an address, a prefix or a range"))
}

/// A time (RFC 3339), a day (its beginning, UTC), or a duration back from now.
fn time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = || {
        format!(
            "`{text}` is neither a time (2026-11-21T10:00:00Z), a day (2026-11-21) nor a duration back from now (24h)"
        )
    };
    // Only the bare day: a time without a zone would be anybody's guess.
    if let Some(day) = Some(text).filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok()) {
        return day.to_zoned(TimeZone::UTC).map(|day| day.timestamp()).map_err(|_| wrong());
    }
    let back = parse_duration(text).map_err(|_| wrong())?;
    now.checked_sub(back).map_err(|_| wrong())
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    const ALL: &[&str] = &[
        "ip",
        "port",
        "type",
        "since",
        "severity",
        "limit",
        "after",
        "expiring",
        "up",
        "approved",
        "transport",
        "sha256",
    ];

    fn parse(pairs: &[(&str, &str)]) -> Result<Query, Refusal> {
        let pairs: Vec<_> = pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Query::parse(&pairs, ALL, Timestamp::from_second(1_800_000_000).expect("in range"))
    }

    #[test]
    fn reads_filters() {
        let query = parse(&[
            ("ip", "192.0.2.0/24"),
            ("port", "443"),
            ("type", "PORT_OPEN,PORT_CLOSED"),
            ("since", "1h"),
            ("severity", "4"),
            ("limit", "7"),
            ("after", "12"),
        ])
        .expect("fine");
        assert_eq!(query.ip.map(AddressRange::len), Some(256));
        assert_eq!(query.types, [EventType::PortOpen, EventType::PortClosed]);
        assert_eq!(query.since.map(Timestamp::as_second), Some(1_799_996_400));
        assert_eq!((query.port, query.severity, query.limit), (Some(443), Some(Severity::HIGH), 7));
        assert_eq!(query.after_seq(), Ok(Some(12)));
        let day = parse(&[("since", "2026-11-01")]).expect("fine").since;
        assert_eq!(day.map(|day| day.to_string()), Some("2026-11-01T00:00:00Z".to_owned()));
        assert_eq!(parse(&[]).expect("fine").limit, USUAL_PAGE);
    }

    #[test]
    fn says_what_is_wrong() {
        for (pairs, part) in [
            (&[("color", "red")][..], "no parameter `color`"),
            (&[("port", "1"), ("port", "2")], "`port` is given twice"),
            (&[("port", "0")], "port: `0` is not a port"),
            (&[("port", "65536")], "not a port"),
            (&[("ip", "www.example.org")], "host name"),
            (&[("ip", "192.0.2.1/24")], "192.0.2.0/24"),
            (&[("type", "PORT_OPENED")], "`PORT_OPENED` is not an event type"),
            (&[("since", "yesterday")], "neither a time"),
            (&[("since", "2026-02-30")], "neither a time"),
            (&[("since", "2026-11-21T10:00")], "neither a time"),
            (&[("severity", "9")], "1 to 5"),
            (&[("limit", "0")], "from 1 to"),
            (&[("limit", "100000")], "from 1 to"),
            (&[("expiring", "30")], "not a duration"),
            (&[("up", "maybe")], "neither `true`"),
            (&[("approved", "unreviewed")], "approved: `unreviewed` is neither `true`"),
            (&[("transport", "sctp")], "neither `tcp`"),
            (&[("sha256", "abc")], "SHA-256"),
        ] {
            let refusal = parse(pairs).expect_err(part);
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            assert!(refusal.message.contains(part), "{} / {part}", refusal.message);
        }
        assert!(parse(&[("after", "x")]).expect("a cursor").after_seq().is_err());
    }
}
