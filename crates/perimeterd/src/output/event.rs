//! How an event reads in a table.

use model::Event;

/// What it is about: `192.0.2.7:443/tcp`, `192.0.2.7`, a profile, or nothing.
pub(crate) fn subject(event: &Event) -> String {
    let mut text = match (&event.host, event.endpoint) {
        (Some(host), Some(endpoint)) => {
            format!("{}/{}", std::net::SocketAddr::from((host.ip, endpoint.port)), endpoint.transport)
        }
        (Some(host), None) => host.ip.to_string(),
        (None, _) => event.endpoints.first().cloned().or_else(|| event.profile.clone()).unwrap_or_default(),
    };
    if let Some(name) = &event.name {
        text.push_str(" as ");
        text.push_str(name);
    }
    text
}

/// What changed, in a few words.
pub(crate) fn change(event: &Event) -> String {
    let mut parts = Vec::new();
    match (&event.old, &event.new) {
        (Some(old), Some(new)) => parts.push(format!("{} -> {}", brief(old), brief(new))),
        (Some(old), None) => parts.push(format!("was {}", brief(old))),
        (None, Some(new)) => parts.push(brief(new).to_owned()),
        (None, None) => {}
    }
    if let Some(service) = &event.service {
        let product = [service.product.as_deref(), service.version.as_deref()];
        let product = product.into_iter().flatten().collect::<Vec<_>>().join(" ");
        parts.push(if product.is_empty() { service.name.clone() } else { format!("{} ({product})", service.name) });
    }
    if let Some(certificate) = &event.certificate {
        parts.push(if certificate.subject == certificate.issuer {
            format!("{} by itself", certificate.subject)
        } else {
            format!("{} by {}", certificate.subject, certificate.issuer)
        });
    }
    if let Some(software) = &event.software
        && event.service.is_none()
    {
        parts.push(format!("{} {}", software.product, software.version.as_deref().unwrap_or("")).trim().to_owned());
    }
    parts.extend(event.reason.clone());
    parts.join(", ")
}

/// The beginning of a SHA-256, as long as the certificates' table shows; anything else whole.
fn brief(value: &str) -> &str {
    let is_digest = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    value.get(..16).filter(|_| is_digest).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{EventEndpoint, EventHost, EventService, EventType, Transport};

    #[test]
    fn says_what_and_where() {
        let time = jiff::Timestamp::from_second(1_795_255_503).expect("in range");
        let mut event = Event::new(EventType::PortOpen, time, &"scan1".into(), &22);
        assert_eq!((subject(&event), change(&event)), (String::new(), String::new()));
        event.host = Some(EventHost { ip: "2001:db8::7".parse().expect("an address"), names: vec![], os: None });
        assert_eq!(subject(&event), "2001:db8::7");
        event.endpoint = Some(EventEndpoint { transport: Transport::Tcp, port: 3389 });
        event.service = Some(EventService { name: "ms-wbt-server".to_owned(), ..EventService::default() });
        event.new = Some("open".to_owned());
        event.reason = Some("connected twice".to_owned());
        assert_eq!(subject(&event), "[2001:db8::7]:3389/tcp");
        assert_eq!(change(&event), "open, ms-wbt-server, connected twice");
    }

    #[test]
    fn only_digests_are_shortened() {
        let digest = "0123456789abcdef".repeat(4);
        let long = "not a digest, ".repeat(6);
        for (value, expect) in [(&*digest, "0123456789abcdef"), ("open", "open"), (&*long, &*long)] {
            assert_eq!(brief(value), expect);
        }
    }
}
