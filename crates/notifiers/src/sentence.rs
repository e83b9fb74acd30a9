use crate::plain::{count, line, moment};
use model::{Category, Event, EventCertificate, EventType, Notice, Software, format_duration};
use std::time::Duration;

/// The longest name, subject or version repeated in a sentence, in characters.
const VALUE: usize = 120;

/// One sentence for people, without a full stop: `192.0.2.7 opened 3389/tcp (ms-wbt-server)`. Plain text on one line, in which
/// nothing from the network can move, hide or reorder what is shown; markup is up to the place it is shown in.
pub fn sentence(event: &Event) -> String {
    let at = place(event);
    let value = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(|text| line(text, VALUE));
    let (old, new, reason) = (value(&event.old), value(&event.new), value(&event.reason));
    let because = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let certificate = event.certificate.as_ref();
    match event.kind {
        EventType::HostFound => match open_ports(event) {
            Some(ports) => format!("{at} answered for the first time, with {ports} open"),
            None => format!("{at} answered for the first time"),
        },
        EventType::HostUp => match event.metric.and_then(seconds) {
            Some(away) => format!("{at} answers again after {away}"),
            None => format!("{at} answers again"),
        },
        EventType::HostLost => match event.last_seen {
            Some(last) => format!("{at} no longer answers; last seen {}", moment(last)),
            None => format!("{at} no longer answers"),
        },
        EventType::HostNameChanged => match (old, new) {
            (Some(old), Some(new)) => format!("{at} is now called {new}, was {old}"),
            (None, Some(new)) => format!("{at} is now called {new}"),
            (Some(old), None) => format!("{at} is no longer called {old}"),
            (None, None) => format!("{at} changed its name"),
        },
        EventType::PortOpen => format!("{} opened {}{}", host(event), port(event), service(event)),
        EventType::PortClosed => format!("{} closed {}{}", host(event), port(event), service(event)),
        EventType::PortChanged => format!("{at} changed its service{}", change(old, new)),
        EventType::SslNew => format!("{at} serves a new certificate{}", described(certificate, ": ")),
        EventType::SslChanged if event.old.is_some() && event.old == event.new => {
            format!("nobody vouches any more for the certificate of {at}{}", named(certificate))
        }
        EventType::SslChanged => format!("{at} replaced its certificate{}", described(certificate, " by ")),
        EventType::SslExpiry => match event.metric {
            Some(days) if days <= 0 => format!("the certificate of {at} expires today{}", named(certificate)),
            Some(days) => {
                let days = count(usize::try_from(days).unwrap_or(usize::MAX), "day", "days");
                format!("the certificate of {at} expires in {days}{}", named(certificate))
            }
            None => format!("the certificate of {at} expires soon{}", named(certificate)),
        },
        EventType::SslExpired => match certificate {
            Some(of) => {
                format!("the certificate of {at} expired on {}{}", of.not_after.strftime("%F"), named(certificate))
            }
            None => format!("the certificate of {at} has expired"),
        },
        EventType::SslRogue => format!("{at} serves a certificate that is not allowed{because}{}", named(certificate)),
        EventType::SoftwareAdded => format!("{at} now runs {}", software(event, new)),
        EventType::SoftwareRemoved => format!("{at} no longer runs {}", software(event, old)),
        EventType::SoftwareUpdated => {
            let product = event.software.as_ref().map_or("software".into(), |of| line(&of.product, VALUE));
            // The values may name the product as well; once is enough.
            let version = |text: Option<String>| {
                let text = text?;
                let rest = text.strip_prefix(&product).map(str::trim).filter(|rest| !rest.is_empty());
                Some(rest.map_or_else(|| text.clone(), str::to_owned))
            };
            format!("{at} changed {product}{}", change(version(old), version(new)))
        }
        EventType::HostPurged => format!("{at} was forgotten{because}"),
        EventType::HostUpdated => format!("{at} is another system{}{because}", change(old, new)),
        EventType::HostReplaced => format!("another machine answers at {at}{because}"),
        EventType::HostkeyChanged => format!("{at} proves itself with another SSH key{}", change(old, new)),
        EventType::SharedKey => format!("{at} shares its key with {}{because}", others(event)),
        EventType::AnswersEverything => format!("something answers for everything at {at}{because}"),
        EventType::FindingClosed => {
            let finding = event.finding.as_ref().map_or("a finding".into(), |finding| line(&finding.id, VALUE));
            format!("{at}: {finding} is gone{because}")
        }
        EventType::FlapStart => match new {
            Some(new) => format!("{at} keeps changing, {new} at present{because}"),
            None => format!("{at} keeps changing{because}"),
        },
        EventType::FlapStop => match new {
            Some(new) => format!("{at} has settled: {new}{because}"),
            None => format!("{at} has settled{because}"),
        },
        EventType::EventStorm => match &event.new {
            Some(over) if over == "over" => format!("the storm of changes of {at} is over{because}"),
            _ => format!("too much changes at once in {at}{because}"),
        },
        EventType::ScanStale => format!("{at} is not looked at{because}"),
        EventType::ScanRecovered => format!("{at} is looked at again{because}"),
        EventType::SensorBlocked => format!("sensor {} is kept out{because}", sensor(event)),
        EventType::PolicyViolation => format!("{at} breaks the policy{because}"),
        // What the host broke is no longer asked of it: nothing about the host has become better.
        EventType::PolicyCleared if event.new.is_some() => {
            format!("{at} breaks a policy that is no longer in force{because}")
        }
        EventType::PolicyCleared => format!("{at} satisfies the policy again{because}"),
        EventType::SensorDegraded => format!("sensor {} is degraded{because}", sensor(event)),
        EventType::SensorOk => format!("sensor {} is healthy again{because}", sensor(event)),
        EventType::NotifyFailed => {
            let whom = event.name.as_ref().map_or("a recipient".into(), |name| line(name, VALUE));
            format!("{whom} could not be notified{because}")
        }
        EventType::BaselineDone => {
            let learnt = event.metric.and_then(|n| usize::try_from(n).ok());
            let learnt = learnt.map(|n| format!(": {} known", count(n, "endpoint", "endpoints"))).unwrap_or_default();
            match &event.profile {
                Some(profile) => format!("the baseline of {} is learnt{learnt}", line(profile, VALUE)),
                None => format!("the baseline is learnt{learnt}"),
            }
        }
        EventType::ConfigReloaded => format!("the configuration was reloaded{because}"),
        EventType::Audit => format!("an operator acted{because}"),
        // Types that later versions raise; until each has its own words its title and the change say enough.
        kind => format!("{at}: {}{}{because}", kind.title().to_lowercase(), change(old, new)),
    }
}

/// The sentence of a notice, marked where it is a test.
pub(crate) fn told(notice: &Notice) -> String {
    let text = sentence(&notice.event);
    if notice.test { format!("TEST ALERT, nothing happened: {text}") } else { text }
}

/// What it is about: `192.0.2.7`, `192.0.2.7 port 443/tcp as www.example.org`, or the profile.
fn place(event: &Event) -> String {
    let mut text = host(event);
    if event.endpoint.is_some() {
        text.push_str(" port ");
        text.push_str(&port(event));
    }
    if let Some(name) = event.name.as_deref().filter(|name| event.host.is_some() && !name.is_empty()) {
        text.push_str(" as ");
        text.push_str(&line(name, VALUE));
    }
    // Who renews it where the sentence says, and only there, would be told again.
    let elsewhere = event.endpoints.len().saturating_sub(1);
    if elsewhere > 0 && event.host.is_some() && event.kind.category() == Category::Certificate {
        text.push_str(" and ");
        text.push_str(&count(elsewhere, "other place", "other places"));
    }
    text
}

/// Who it is about: an address, a name, an endpoint, a profile, or the sensor itself.
pub(crate) fn host(event: &Event) -> String {
    match (&event.host, &event.name, event.endpoints.first(), &event.profile) {
        (Some(host), ..) => host.ip.to_string(),
        (None, Some(name), ..) => line(name, VALUE),
        (None, None, Some(endpoint), _) => match event.endpoints.len() {
            1 => line(endpoint, VALUE),
            more => format!("{} and {} more", line(endpoint, VALUE), more - 1),
        },
        (None, None, None, Some(profile)) => format!("profile {}", line(profile, VALUE)),
        (None, None, None, None) => sensor(event),
    }
}

fn sensor(event: &Event) -> String {
    line(&event.sensor.0, VALUE)
}

fn port(event: &Event) -> String {
    event.endpoint.map_or_else(|| "a port".to_owned(), |at| format!("{}/{}", at.port, at.transport))
}

fn service(event: &Event) -> String {
    let Some(service) = event.service.as_ref() else { return String::new() };
    let product = service.product.as_ref().map(|product| {
        let version = service.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        format!("{product}{version}")
    });
    let words: Vec<String> = [(!service.name.is_empty()).then(|| service.name.clone()), product]
        .into_iter()
        .flatten()
        .map(|word| line(&word, VALUE))
        .collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

fn change(old: Option<String>, new: Option<String>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!(" from {old} to {new}"),
        (None, Some(new)) => format!(" to {new}"),
        (Some(old), None) => format!(" from {old}"),
        (None, None) => String::new(),
    }
}

fn software(event: &Event, otherwise: Option<String>) -> String {
    match &event.software {
        Some(Software { product, version: Some(version), .. }) => line(&format!("{product} {version}"), VALUE),
        Some(Software { product, .. }) => line(product, VALUE),
        None => otherwise.unwrap_or_else(|| "software".to_owned()),
    }
}

fn described(certificate: Option<&EventCertificate>, before: &str) -> String {
    certificate
        .map(|of| {
            let issuer = if of.self_signed { "itself".to_owned() } else { line(&of.issuer, VALUE) };
            let subject = line(&of.subject, VALUE);
            format!("{before}{subject}, issued by {issuer}, valid until {}", of.not_after.strftime("%F"))
        })
        .unwrap_or_default()
}

fn named(certificate: Option<&EventCertificate>) -> String {
    certificate
        .map(|of| format!(" ({}, issued by {})", line(&of.subject, VALUE), line(&of.issuer, VALUE)))
        .unwrap_or_default()
}

/// `22/tcp, 80/tcp and 3 more`: the ports of endpoints written as `192.0.2.7:22/tcp`.
fn open_ports(event: &Event) -> Option<String> {
    const SHOWN: usize = 8;
    let ports: Vec<String> = event
        .endpoints
        .iter()
        .map(|endpoint| line(endpoint.rsplit_once(':').map_or(endpoint.as_str(), |(_, port)| port), 16))
        .collect();
    let shown = ports.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match ports.len() {
        0 => None,
        n if n > SHOWN => Some(format!("{shown} and {} more", n - SHOWN)),
        _ => Some(shown),
    }
}

/// `3 other hosts`: how many endpoints it is about besides the first.
fn others(event: &Event) -> String {
    match event.endpoints.len() {
        0 | 1 => "other hosts".to_owned(),
        n => count(n - 1, "other host", "other hosts"),
    }
}

fn seconds(metric: i64) -> Option<String> {
    u64::try_from(metric).ok().map(|seconds| format_duration(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plain::is_unseen, sample};
    use proptest::prelude::*;

    fn check(event: &Event, expect: &str) {
        assert_eq!(sentence(event), expect);
    }

    #[test]
    fn says_what_happened() {
        check(&sample::port_open().event, "192.0.2.7 opened 3389/tcp (ms-wbt-server)");
        let mut event = sample::event(EventType::HostFound);
        event.endpoints = vec!["192.0.2.7:22/tcp".into(), "192.0.2.7:53/udp".into()];
        check(&event, "192.0.2.7 answered for the first time, with 22/tcp, 53/udp open");
        let mut event = sample::event(EventType::HostUp);
        event.metric = Some(3900);
        check(&event, "192.0.2.7 answers again after 1h5m");
        let mut event = sample::event(EventType::HostLost);
        event.last_seen = Some(sample::time());
        check(&event, "192.0.2.7 no longer answers; last seen 2026-11-21 10:05:03 UTC");
        let mut event = sample::on_port(EventType::SslRogue, 443);
        event.certificate = Some(sample::certificate());
        event.reason = Some("issuer not allowed".into());
        check(
            &event,
            "192.0.2.7 port 443/tcp serves a certificate that is not allowed: issuer not allowed \
             (CN=www.example.org, issued by CN=Other CA)",
        );
        let mut event = sample::on_port(EventType::SslExpiry, 443);
        event.metric = Some(1);
        check(&event, "the certificate of 192.0.2.7 port 443/tcp expires in 1 day");
        let mut event = sample::on_port(EventType::SoftwareUpdated, 22);
        event.software =
            Some(Software { vendor: None, product: "OpenSSH".into(), version: Some("9.6".into()), cpe: None });
        (event.old, event.new) = (Some("9.2".into()), Some("9.6".into()));
        check(&event, "192.0.2.7 port 22/tcp changed OpenSSH from 9.2 to 9.6");
        (event.old, event.new) = (Some("OpenSSH 9.2".into()), Some("OpenSSH 9.6".into()));
        check(&event, "192.0.2.7 port 22/tcp changed OpenSSH from 9.2 to 9.6");
        let mut event = sample::event(EventType::NotifyFailed);
        (event.host, event.name, event.reason) = (None, Some("soc".into()), Some("550 no such user".into()));
        check(&event, "soc could not be notified: 550 no such user");
    }

    #[test]
    fn every_type_has_words() {
        for &kind in EventType::ALL {
            let mut event = sample::on_port(kind, 443);
            assert!(sentence(&event).len() > 10, "{kind}");
            event.host = None;
            event.endpoint = None;
            assert!(sentence(&event).len() > 10, "{kind} with nothing filled in");
        }
    }

    proptest! {
        #[test]
        fn hostile_text_never_acts(notice in sample::hostile()) {
            let text = sentence(&notice.event);
            prop_assert!(!text.is_empty() && !text.chars().any(is_unseen), "{text:?}");
        }
    }
}
