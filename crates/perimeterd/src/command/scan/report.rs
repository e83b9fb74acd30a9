//! What a scan prints: the objects of `--json`, and the table.

use super::audit::AuditLine;
use crate::output::{self, Table};
use model::{
    Certificate, NotEnumerable, Os, Outcome, PortObservation, ServiceObservation, SshKey, TlsObservation, TlsPosture,
    Transport, Verdict,
};
use serde::Serialize;
use std::{collections::BTreeMap, io, net::IpAddr};

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Line {
    Host(HostLine),
    Endpoint(Box<EndpointLine>),
    Finding(FindingLine),
    Summary(SummaryLine),
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct HostLine {
    pub ip: IpAddr,
    pub state: &'static str,
    pub names: Vec<String>,
    pub os: Option<Os>,
    /// What it answered to, where that was none of its ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct EndpointLine {
    pub ip: IpAddr,
    pub transport: Transport,
    pub port: u16,
    pub state: &'static str,
    pub reason: &'static str,
    /// What it was asked under.
    pub name: Option<String>,
    // Large, and most endpoints of a large scan have none: the table keeps all of them until the end.
    pub service: Option<Box<ServiceLine>>,
    pub tls: Option<Box<TlsLine>>,
    /// Only where an audit was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Box<AuditLine>>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct ServiceLine {
    pub name: String,
    pub product: Option<String>,
    pub version: Option<String>,
    pub cpe: Vec<String>,
    pub confidence: f64,
    pub banner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<SshKey>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct TlsLine {
    pub version: String,
    pub cipher: String,
    pub sni: Option<String>,
    pub certificate: Option<CertificateLine>,
    /// Certificates as presented, the leaf among them.
    pub chain_length: usize,
    /// The protocol that went over to TLS in the middle of a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starttls: Option<String>,
    /// How it does TLS beside: whether it wants a certificate or a name of clients, what it staples, renegotiation, compression,
    /// heartbeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posture: Option<Box<TlsPosture>>,
    /// Its weaknesses by their words, where an audit was asked for.
    pub weak: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct CertificateLine {
    pub sha256: String,
    pub subject: String,
    pub issuer: String,
    pub sans: Vec<String>,
    /// In hexadecimal, as it is written in the certificate.
    pub serial: String,
    pub not_before: jiff::Timestamp,
    pub not_after: jiff::Timestamp,
    pub key: String,
    pub signature: String,
    pub self_signed: bool,
    pub verdicts: Vec<Verdict>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct FindingLine {
    pub ip: IpAddr,
    /// None where it is the host's as a whole.
    #[serde(flatten)]
    pub place: Option<Place>,
    pub id: &'static str,
    pub verdict: &'static str,
    pub evidence: String,
}

/// Where on a host.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Place {
    pub transport: Transport,
    pub port: u16,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct SummaryLine {
    pub targets: u64,
    pub probes: u64,
    /// Packets or connections that took.
    pub attempts: u64,
    pub hosts_up: u64,
    /// Hosts of which no port answered, by what they answered to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub discovered: BTreeMap<&'static str, u64>,
    pub open: u64,
    /// None where nothing answered that it could be measured by.
    pub loss: Option<f64>,
    /// Between what the true loss lies with 95 % confidence.
    pub loss_interval: Option<(f64, f64)>,
    pub p_miss_random_loss: Option<f64>,
    /// Of hosts for which something answers on every port: answers that cost a connection or a question before that was known.
    pub answers_examined: u64,
    pub vantages: u32,
    pub seconds: f64,
    /// How TCP was asked, and why.
    pub mode: &'static str,
    pub mode_why: String,
    /// Where packets of our own asked: answers that were lost before they could be read, how often some of the questions were repeated
    /// for it, and what limited the rate in the end.
    #[serde(flatten)]
    pub packets: Option<PacketsLine>,
    /// Targets too large to ask every address of, and how many of each were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_enumerable: Vec<NotEnumerable>,
    /// Not everything that was asked for was asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct PacketsLine {
    pub ring_drops: u64,
    pub replayed: u64,
    /// Addresses on a link of ours that nobody answers for.
    pub absent: u64,
    pub limited_by: &'static str,
}

impl EndpointLine {
    /// A confirmed open endpoint, with what a conversation with it found.
    pub(super) fn new(port: &PortObservation, service: Option<&ServiceObservation>) -> Self {
        Self {
            ip: port.endpoint.ip,
            transport: port.endpoint.transport,
            port: port.endpoint.port,
            state: "open",
            reason: match port.outcome {
                Outcome::Open(reason) => reason.as_str(),
                other => other.as_str(),
            },
            name: service.and_then(|service| service.name.as_ref()).map(ToString::to_string),
            service: service.and_then(|service| service.service.as_ref()).map(|service| Box::new(service.into())),
            tls: service.and_then(|service| {
                let sni = service.name.as_ref().map(ToString::to_string);
                service.tls.as_ref().map(|tls| Box::new(TlsLine::new(tls, sni)))
            }),
            audit: None,
        }
    }
}

impl From<&model::Service> for ServiceLine {
    fn from(service: &model::Service) -> Self {
        Self {
            name: service.name.clone(),
            product: service.product.clone(),
            version: service.version.clone(),
            cpe: service.cpe.clone(),
            confidence: hundredths(service.confidence),
            banner: service.banner.clone(),
            ssh_key: service.ssh_key.clone(),
        }
    }
}

impl TlsLine {
    fn new(tls: &TlsObservation, sni: Option<String>) -> Self {
        Self {
            version: tls.version.clone(),
            cipher: tls.cipher.clone(),
            sni,
            certificate: tls.certificate.as_ref().map(|certificate| CertificateLine::new(certificate, &tls.verdicts)),
            chain_length: tls.chain.len(),
            starttls: tls.starttls.clone(),
            posture: tls.posture.clone(),
            weak: Vec::new(),
        }
    }
}

impl CertificateLine {
    fn new(certificate: &Certificate, verdicts: &[Verdict]) -> Self {
        Self {
            sha256: certificate.sha256.to_string(),
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            sans: certificate.sans.clone(),
            serial: certificate.serial.clone(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            key: certificate.key.to_string(),
            signature: certificate.signature.clone(),
            self_signed: certificate.self_signed,
            verdicts: verdicts.to_vec(),
        }
    }
}

/// A single-precision 0.98 would print as 0.9800000190734863.
fn hundredths(confidence: f32) -> f64 {
    (f64::from(confidence) * 100.0).round() / 100.0
}

/// Prints the table, findings and the summary.
pub(super) fn print(
    endpoints: &[EndpointLine],
    systems: &BTreeMap<IpAddr, Os>,
    findings: &[FindingLine],
    summary: &SummaryLine,
) -> io::Result<()> {
    if !endpoints.is_empty() {
        table(endpoints).print()?;
        output::line("")?;
    }
    if !systems.is_empty() {
        let mut table = Table::new(&["ADDRESS", "SYSTEM", "CONFIDENCE"]);
        for (ip, os) in systems {
            table.row([ip.to_string(), os.to_string(), format!("{:.2}", os.confidence)]);
        }
        table.print()?;
        output::line("")?;
    }
    for finding in findings {
        let place = finding.place.map(|place| format!(" {}/{}", place.port, place.transport)).unwrap_or_default();
        output::line(&output::printable(&format!("{}{place}: {} ({})", finding.ip, finding.id, finding.evidence)))?;
    }
    output::line(&sentence(summary))
}

fn table(endpoints: &[EndpointLine]) -> Table {
    let mut table = Table::new(&["ADDRESS", "PORT", "REASON", "SERVICE", "PRODUCT", "NAME", "CERTIFICATE"]);
    for line in endpoints {
        let service = line.service.as_ref();
        let product = [service.and_then(|s| s.product.as_deref()), service.and_then(|s| s.version.as_deref())];
        let product = product.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let upgraded = line.tls.as_ref().is_some_and(|tls| tls.starttls.is_some());
        let within = line.tls.is_some() && !upgraded && service.is_none_or(|s| s.name != "tls");
        let (before, after) = (if within { "tls/" } else { "" }, if upgraded { "+starttls" } else { "" });
        table.row([
            line.ip.to_string(),
            format!("{}/{}", line.port, line.transport),
            line.reason.to_owned(),
            service.map(|service| format!("{before}{}{after}", service.name)).unwrap_or_default(),
            if product.is_empty() { service.and_then(|s| s.banner.clone()).unwrap_or_default() } else { product },
            line.name.clone().unwrap_or_default(),
            line.tls.as_ref().and_then(|tls| tls.certificate.as_ref()).map(certificate).unwrap_or_default(),
        ]);
    }
    table
}

fn certificate(certificate: &CertificateLine) -> String {
    let until = certificate.not_after.strftime("%Y-%m-%d");
    let verdicts: Vec<_> = certificate.verdicts.iter().map(|verdict| verdict.as_str()).collect();
    let verdicts = if verdicts.is_empty() { String::new() } else { format!(", {}", verdicts.join(", ")) };
    format!("{} until {until}{verdicts}", certificate.subject)
}

fn sentence(summary: &SummaryLine) -> String {
    let count = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let loss = match summary.loss {
        Some(loss) => format!("{:.2}% loss measured", loss * 100.0),
        None => "loss not measurable".to_owned(),
    };
    let interval = summary
        .loss_interval
        .map_or_else(String::new, |(low, high)| format!(" (95% sure: {:.2}% to {:.2}%)", low * 100.0, high * 100.0));
    let miss = match summary.p_miss_random_loss {
        Some(p) if p > 0.0 => format!(", the chance that it hid a given open port {p:.0e}"),
        _ => String::new(),
    };
    let replayed = match summary.packets.as_ref().map_or(0, |packets| packets.replayed) {
        0 => String::new(),
        stretches => format!(", {} asked again for packets lost here", count(stretches, "stretch", "stretches")),
    };
    format!(
        "{}{} up of {}, {} open, {} asked by {} from {} in {:.1} s, {loss}{interval}{miss}{replayed}; TCP by {}: {}",
        if summary.incomplete { "incomplete: " } else { "" },
        count(summary.hosts_up, "host", "hosts"),
        count(summary.targets, "address", "addresses"),
        count(summary.open, "port", "ports"),
        count(summary.probes, "endpoint", "endpoints"),
        count(summary.attempts, "attempt", "attempts"),
        count(summary.vantages.into(), "vantage", "vantages"),
        summary.seconds,
        if summary.mode == "raw" { "packets of our own" } else { "connections" },
        summary.mode_why,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Endpoint, OpenReason, Service};

    fn port() -> PortObservation {
        let at = jiff::Timestamp::from_second(1_795_255_503).expect("in range");
        let endpoint = Endpoint::tcp("192.0.2.7".parse().expect("an address"), 22);
        PortObservation {
            endpoint,
            outcome: Outcome::Open(OpenReason::Connected),
            at,
            attempts: 1,
            refused: 0,
            rtt_us: None,
        }
    }

    #[test]
    fn lines_have_the_promised_shape() {
        let service = Service {
            name: "ssh".to_owned(),
            product: Some("OpenSSH".to_owned()),
            version: Some("9.2p1".to_owned()),
            cpe: vec!["cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*".to_owned()],
            confidence: 0.98,
            banner: Some("SSH-2.0-OpenSSH_9.2p1".to_owned()),
            ..Service::default()
        };
        let (port, at) = (port(), port().at);
        let heard = ServiceObservation {
            endpoint: port.endpoint,
            name: None,
            at,
            service: Some(service),
            tls: None,
            connections: 1,
            learnt: false,
            heard: None,
        };
        let summary = SummaryLine {
            targets: 256,
            probes: 4096,
            attempts: 4100,
            hosts_up: 3,
            discovered: BTreeMap::new(),
            open: 9,
            loss: Some(0.0004),
            loss_interval: Some((0.0001, 0.0014)),
            p_miss_random_loss: Some(0.00002),
            answers_examined: 3,
            vantages: 1,
            seconds: 2.1,
            mode: "connect",
            mode_why: "every target is this machine itself".to_owned(),
            packets: None,
            not_enumerable: Vec::new(),
            incomplete: false,
        };
        let host = HostLine { ip: port.endpoint.ip, state: "up", names: vec![], os: None, by: vec![] };
        for (line, expect) in [
            (
                Line::Endpoint(Box::new(EndpointLine::new(&port, Some(&heard)))),
                r#"{"kind":"endpoint","ip":"192.0.2.7","transport":"tcp","port":22,"state":"open","reason":"connected","name":null,"service":{"name":"ssh","product":"OpenSSH","version":"9.2p1","cpe":["cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*"],"confidence":0.98,"banner":"SSH-2.0-OpenSSH_9.2p1"},"tls":null}"#,
            ),
            (
                Line::Endpoint(Box::new(EndpointLine::new(&port, None))),
                r#"{"kind":"endpoint","ip":"192.0.2.7","transport":"tcp","port":22,"state":"open","reason":"connected","name":null,"service":null,"tls":null}"#,
            ),
            (Line::Host(host), r#"{"kind":"host","ip":"192.0.2.7","state":"up","names":[],"os":null}"#),
            (
                Line::Summary(summary.clone()),
                r#"{"kind":"summary","targets":256,"probes":4096,"attempts":4100,"hosts_up":3,"open":9,"loss":0.0004,"loss_interval":[0.0001,0.0014],"p_miss_random_loss":0.00002,"answers_examined":3,"vantages":1,"seconds":2.1,"mode":"connect","mode_why":"every target is this machine itself"}"#,
            ),
        ] {
            assert_eq!(output::to_line(&line).expect("serialises").trim_end(), expect);
        }
        assert_eq!(
            sentence(&summary),
            "3 hosts up of 256 addresses, 9 ports open, 4096 endpoints asked by 4100 attempts from 1 vantage in 2.1 s, 0.04% loss measured (95% sure: 0.01% \
             to 0.14%), the chance that it hid a given open port 2e-5; TCP by connections: every target \
             is this machine itself"
        );
    }
}
