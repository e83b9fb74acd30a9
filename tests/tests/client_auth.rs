//! Whoever wants a certificate of ours says in TLS 1.3 what he makes of there being none only after the handshake: it is heard behind
//! STARTTLS of Debian's servers, beside them and through a network that takes two seconds for there and back, on one connection.

use identify::Roots;
use model::{AddressSet, ClientAuth, Endpoint, SystemClock};
use probe::{
    Dialer, DialerSettings, Identity,
    conversation::{Ask, Timeouts, identify},
};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{collections::BTreeMap, sync::Arc};
use testkit::{
    Authority, Host, Lab, lacks_root,
    router::Scenario,
    server::{Dovecot, Postfix, Slapd, Vsftpd},
};

/// What is said of clients, and on how many connections, by address and port.
type Told = BTreeMap<Endpoint, (Option<ClientAuth>, u8)>;

fn ask(from: &Host, places: Vec<Endpoint>) -> Told {
    let asking = from.namespace().enter(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let targets = vec!["10.77.0.0/24".parse().expect("a prefix")];
            let scope =
                Scope::new(vec![AssetScope { name: "own".into(), targets, until: None }], AddressSet::default());
            let rate: model::Rate = "1k/s".parse().expect("a rate");
            let identity = Identity { sensor: "test".into(), contact: None, version: "1".into() };
            let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
            let dialer = Dialer::with_concurrency(ScopeHandle::new(scope), Arc::new(SystemClock), settings, 64);
            let roots = Roots::public();
            let look = async |endpoint: Endpoint| {
                let ask =
                    Ask { name: None, prior: None, prior_tls: false, roots: &roots, timeouts: Timeouts::default() };
                let heard = identify(&dialer, endpoint, ask).await.observation.expect("it answers");
                let posture = heard.tls.as_ref().and_then(|tls| tls.posture.as_ref());
                (endpoint, (posture.and_then(|posture| posture.client_auth), heard.connections))
            };
            futures_util::future::join_all(places.into_iter().map(look)).await
        })
    });
    asking.join().expect("the conversations end").into_iter().collect()
}

#[test]
fn who_wants_a_certificate_is_told_behind_starttls_however_far_away() {
    if lacks_root("who_wants_a_certificate_is_told_behind_starttls_however_far_away") {
        return;
    }
    let scenario = "seed = 7\nstage = [{ kind = 'latency', delay = '1s', always = true }]";
    let (mut lab, watcher) = Lab::across_router(&Scenario::read(scenario).expect("a scenario"));
    let hosts = [2, 3, 4].map(|last| lab.host(&format!("server{last}"), &[&format!("10.77.0.{last}")]));
    let [required, optional, none] = &hosts;
    let authority = Authority::new("Lab Example CA");
    let issue = |host: &Host| authority.issue(&["mail.lab.example"], host.addresses());
    let ca = required.write("ca.pem", authority.certificate()).display().to_string();
    let directory = |host, word| {
        Slapd::start_with(host, &issue(host), &format!("TLSCACertificateFile {ca}\nTLSVerifyClient {word}"))
    };
    let _directories = [directory(required, "demand"), directory(none, "never")];
    let _files = [
        Vsftpd::start_with(
            required,
            &issue(required),
            &format!("require_cert=YES\nvalidate_cert=YES\nca_certs_file={ca}"),
        ),
        Vsftpd::start_with(optional, &issue(optional), "ssl_request_cert=YES"),
    ];
    let asks = format!("ssl_verify_client_cert = yes\nssl_ca = <{ca}\nssl_require_crl = no");
    let _mail = Dovecot::start_with(optional, &issue(optional), &asks);
    let _mx = [
        Postfix::start_with(optional, &issue(optional), "smtpd_tls_ask_ccert = yes"),
        Postfix::start_with(none, &issue(none), ""),
    ];
    let expected: BTreeMap<Endpoint, ClientAuth> = [
        (required, 389, ClientAuth::Required),
        (required, 21, ClientAuth::Required),
        (optional, 21, ClientAuth::Optional),
        (optional, 143, ClientAuth::Optional),
        (optional, 25, ClientAuth::Optional),
        (none, 389, ClientAuth::No),
        (none, 25, ClientAuth::No),
    ]
    .into_iter()
    .map(|(host, port, expect)| (Endpoint::tcp(host.address(), port), expect))
    .collect();
    let mut wrong = Vec::new();
    for (way, from) in [("near", None), ("far", Some(&watcher))] {
        for host in &hosts {
            let places: Vec<Endpoint> = expected.keys().copied().filter(|at| at.ip == host.address()).collect();
            for (place, told) in ask(from.unwrap_or(host), places) {
                if told.0 != Some(expected[&place]) {
                    wrong.push(format!("{way}, {place}: {told:?} and not {:?}", expected[&place]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
