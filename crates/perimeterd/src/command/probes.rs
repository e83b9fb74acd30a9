use super::{Format, Global, row};
use crate::{
    client::Client,
    failure::Outcome,
    output::{self, Table, ago},
};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use model::Transport;
use serde::Deserialize;
use serde_json::Value;
use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

/// Pages are of this length at most.
const PAGE: u64 = 500;

#[derive(Debug, Args)]
pub(crate) struct Probes {
    /// The address, with or without a port: `192.0.2.7`, `192.0.2.7:443`, `192.0.2.7:53/udp`, `[2001:db8::7]:443`
    #[arg(value_name = "ADDR[:PORT]", value_parser = subject)]
    subject: Subject,
    /// Only since then: a time, or a duration back from now (24h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only until then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// At most this many, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: u64,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    ip: IpAddr,
    port: Option<u16>,
    transport: Option<Transport>,
}

#[derive(Debug, Deserialize)]
struct Page {
    since: Option<Timestamp>,
    #[serde(default)]
    gaps: Vec<Gap>,
    items: Vec<Value>,
    next: Option<String>,
}

/// The daemon was killed between these.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Gap {
    from: Timestamp,
    to: Timestamp,
}

impl Gap {
    fn said(self) -> String {
        let (from, to) = (output::short_time(self.from), output::short_time(self.to));
        format!(
            "the daemon was killed between {from} and {to}: single questions of the 20 seconds before may be missing"
        )
    }
}

impl Probes {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let mut client = Client::connect(global).await?;
        let (mut rows, mut after, mut known_since, mut gaps) = (Vec::new(), None, None, Vec::new());
        loop {
            let missing = self.limit.saturating_sub(rows.len() as u64).min(PAGE);
            if missing == 0 {
                break;
            }
            let page: Page = client.get("/api/v1/probes", &self.query(missing, after.take())).await?;
            known_since = known_since.or(page.since);
            gaps = page.gaps;
            let is_last = page.items.is_empty() || page.next.is_none();
            rows.extend(page.items);
            if is_last {
                break;
            }
            after = page.next;
        }
        if self.format.json {
            rows.iter().try_for_each(output::json)?;
        } else if rows.is_empty() {
            output::line(&self.no(known_since))?;
        } else {
            table(&rows).print()?;
        }
        if !self.format.json {
            gaps.into_iter().try_for_each(|gap| output::line(&gap.said()))?;
        }
        Ok(if rows.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    fn query(&self, limit: u64, after: Option<String>) -> Vec<(&'static str, String)> {
        let Subject { ip, port, transport } = &self.subject;
        let mut query = vec![("ip", ip.to_string()), ("limit", limit.to_string())];
        query.extend(port.map(|port| ("port", port.to_string())));
        query.extend(transport.map(|transport| ("transport", transport.to_string())));
        query.extend(self.since.iter().map(|since| ("since", since.clone())));
        query.extend(self.until.iter().map(|until| ("until", until.clone())));
        query.extend(after.map(|after| ("after", after)));
        query
    }

    fn no(&self, known_since: Option<Timestamp>) -> String {
        let Subject { ip, port, transport } = &self.subject;
        let whom = port.map_or_else(|| ip.to_string(), |port| SocketAddr::from((*ip, port)).to_string());
        let by = transport.map(|transport| format!("/{transport}")).unwrap_or_default();
        let when = if self.since.is_some() || self.until.is_some() { " in that time" } else { "" };
        let known = match known_since {
            Some(since) => format!("the ledger has everything that was asked since {}", output::short_time(since)),
            None => "nothing was asked of anybody".to_owned(),
        };
        format!("{whom}{by} was not asked{when}; {known}")
    }
}

fn table(rows: &[Value]) -> Table {
    let mut table =
        Table::new(&["TIME", "EXACT", "PORTS", "WHY", "PROFILE", "LANE", "ATTEMPT", "MODE", "SENSOR", "PASS"]);
    for probe in rows {
        let attempts = (row::text(probe, "/attempt"), row::text(probe, "/last_attempt"));
        table.row([
            row::time(probe, "/first"),
            exact(probe),
            ports(probe),
            row::text(probe, "/why"),
            row::text(probe, "/profile"),
            row::text(probe, "/lane"),
            if attempts.0 == attempts.1 { attempts.0 } else { format!("{}-{}", attempts.0, attempts.1) },
            row::text(probe, "/mode"),
            row::text(probe, "/sensor"),
            row::text(probe, "/pass"),
        ]);
    }
    table
}

fn ports(probe: &Value) -> String {
    let of = |transport: &str| {
        let ports = row::text(probe, &format!("/{transport}"));
        if ports.is_empty() { None } else { Some(format!("{ports}/{transport}")) }
    };
    ["tcp", "udp"].into_iter().filter_map(of).collect::<Vec<_>>().join(" ")
}

/// How far the time may be off, or that it may not have been at all.
fn exact(probe: &Value) -> String {
    let at = |name: &str| row::timestamp(probe, name);
    let (Some(first), Some(last), Some(begun)) = (at("/first"), at("/last"), at("/not_before")) else {
        return String::new();
    };
    let Some(ended) = at("/not_after") else {
        return "perhaps, then or later".to_owned();
    };
    if !row::flag(probe, "/sure") {
        return format!("perhaps, by {}", output::short_time(ended));
    }
    let second = SignedDuration::from_secs(1);
    let off = first.duration_since(begun).max(ended.duration_since(first));
    let off =
        first.checked_add(off.max(second)).map_or_else(|_| String::new(), |then| format!("±{}", ago(first, then)));
    // Several ports, one after the other.
    if last.duration_since(first) >= second { format!("{off}, to {}", output::short_time(last)) } else { off }
}

fn subject(text: &str) -> Result<Subject, String> {
    let (rest, transport) = match text.rsplit_once('/') {
        Some((rest, "tcp")) => (rest, Some(Transport::Tcp)),
        Some((rest, "udp")) => (rest, Some(Transport::Udp)),
        Some(_) => return Err("behind the `/` stands `tcp` or `udp`".to_owned()),
        None => (text, None),
    };
    if let Ok(ip) = rest.parse() {
        return Ok(Subject { ip, port: None, transport });
    }
    match rest.parse::<SocketAddr>() {
        Ok(socket) if socket.port() > 0 => Ok(Subject { ip: socket.ip(), port: Some(socket.port()), transport }),
        _ => Err("an address with or without a port reads 192.0.2.7, 192.0.2.7:443 or [2001:db8::7]:443".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_whom_it_is_about() {
        let of = |ip: &str, port, transport| Ok(Subject { ip: ip.parse().expect(ip), port, transport });
        for (text, expect) in [
            ("192.0.2.7", of("192.0.2.7", None, None)),
            ("192.0.2.7:443", of("192.0.2.7", Some(443), None)),
            ("192.0.2.7:53/udp", of("192.0.2.7", Some(53), Some(Transport::Udp))),
            ("192.0.2.7/tcp", of("192.0.2.7", None, Some(Transport::Tcp))),
            ("2001:db8::7", of("2001:db8::7", None, None)),
            ("[2001:db8::7]:443", of("2001:db8::7", Some(443), None)),
        ] {
            assert_eq!(subject(text), expect, "{text}");
        }
        for text in ["", "www.example.org", "192.0.2.7:0", "192.0.2.7:70000", "192.0.2.0/24", "192.0.2.7:22/sctp"] {
            assert!(subject(text).is_err(), "{text}");
        }
    }

    #[test]
    fn says_how_exact_the_time_is() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).expect("in range").to_string();
        let probe = |first, last, ended: Option<i64>, sure: bool| json!({ "first": at(first), "last": at(last), "not_before": at(0), "not_after": ended.map(at), "sure": sure });
        for (probe, expect) in [
            (probe(10, 10, Some(60), true), "±50s"),
            (probe(50, 50, Some(60), true), "±50s"),
            (probe(0, 0, Some(0), true), "±1s"),
            (probe(10, 40, Some(600), true), "±9m50s, to 2027-01-15 08:00:40Z"),
            (probe(10, 10, Some(60), false), "perhaps, by 2027-01-15 08:01:00Z"),
            (probe(0, 0, None, false), "perhaps, then or later"),
        ] {
            assert_eq!(exact(&probe), expect, "{probe}");
        }
        let both = json!({ "tcp": "22,80", "udp": "53" });
        assert_eq!(ports(&both), "22,80/tcp 53/udp");
    }

    #[test]
    fn says_no_with_what_it_knows() {
        let mut asked = Probes {
            subject: subject("[2001:db8::7]:443/tcp").expect("reads"),
            since: None,
            until: None,
            limit: 1,
            format: Format::default(),
        };
        let since = Timestamp::from_second(1_800_000_000).expect("in range");
        assert_eq!(
            asked.no(Some(since)),
            "[2001:db8::7]:443/tcp was not asked; the ledger has everything that was asked since 2027-01-15 08:00:00Z"
        );
        asked.until = Some("24h".to_owned());
        assert_eq!(asked.no(None), "[2001:db8::7]:443/tcp was not asked in that time; nothing was asked of anybody");
    }
}
