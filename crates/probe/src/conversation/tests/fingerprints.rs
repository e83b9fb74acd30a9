//! The operator's own rules see what was heard in a conversation.

use super::*;
use identify::{
    Fingerprints,
    fingerprint::{probes::ServiceProbes, recog::Database},
};

const RECOG: &str = r#"<fingerprints matches="ssh.banner" protocol="ssh"><fingerprint pattern="^ZorbSSH-v([\d.]+) for (\w+)$">
    <param pos="0" name="service.vendor" value="Zorb Inc"/><param pos="0" name="service.product" value="Zorb SSH"/>
    <param pos="1" name="service.version"/><param pos="2" name="hw.product"/></fingerprint></fingerprints>"#;
const PROBES: &[u8] = b"Probe TCP NULL q||\nmatch zorb m|^ZORB (\\d) ready\\r\\n| p/Zorb daemon/ v/$1/\n";

async fn asked(server: &Server, rules: Option<Fingerprints>) -> Service {
    let dialer = dialer();
    if let Some(rules) = rules {
        dialer.use_fingerprints(rules);
    }
    let roots = Roots::public();
    let ask = Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: timeouts() };
    identify(&dialer, server.endpoint, ask).await.observation.and_then(|heard| heard.service).unwrap()
}

#[tokio::test]
async fn what_was_heard_goes_through_the_operators_rules() {
    let rules = Fingerprints::default()
        .with_recog(vec![Database::read("ssh_banners", RECOG).unwrap()])
        .with_probes(ServiceProbes::read(PROBES).unwrap());
    let server = Server::start(|stream| greet(stream, b"SSH-1.5-ZorbSSH-v7.1 for Toaster\r\n")).await;
    let plain = asked(&server, None).await;
    assert_eq!((plain.vendor, plain.facts.get("hardware.product")), (None, None));
    let named = asked(&server, Some(rules.clone())).await;
    assert_eq!((named.product.as_deref(), named.version.as_deref()), (Some("Zorb SSH"), Some("7.1")));
    assert_eq!(named.facts["hardware.product"], "Toaster");
    let server = Server::start(|stream| greet(stream, b"ZORB 7 ready\r\n")).await;
    assert_eq!(asked(&server, None).await.name, "unknown");
    let named = asked(&server, Some(rules)).await;
    assert_eq!((named.name.as_str(), named.product.as_deref()), ("zorb", Some("Zorb daemon")));
    assert_eq!(named.facts["fingerprint"], "service probes line 2");
}
