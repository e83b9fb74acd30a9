use super::*;
use crate::*;
use inventory::Approval;
use model::{AddressRange, Severity, Target, Verdict};
use monitor::Journal as _;
use notifiers::Outbox as _;

fn within(text: &str) -> Vec<AddressRange> {
    text.parse::<Target>().expect("a target").range().into_iter().collect()
}

async fn filled(folder: &Path) -> (Store, Reader) {
    let store = open(folder);
    store.commit(everything()).await.expect("commits");
    let mut names = host("198.51.100.1", vec![endpoint(80, PortStatus::Open, Vec::new())]);
    names.names.insert(model::NameSource::Ptr, ["db_1.example.net".to_owned()].into());
    names.os = None;
    names.approved = Some(Approval { at: at(55), by: "inventory.csv".to_owned() });
    let mut lost = host("192.0.2.8", Vec::new());
    (lost.up, lost.lost_since) = (false, Some(at(50)));
    let mut provisional = host("192.0.2.9", Vec::new());
    provisional.up = false;
    let mut expiring = event(EventType::SslExpiry, 40, None);
    expiring.endpoints = vec!["192.0.2.7:443/tcp".to_owned(), "[2001:db8::7]:443/tcp".to_owned()];
    let closed = event(EventType::PortClosed, 50, Some(("198.51.100.1", 25)));
    let critical = Event { severity: Severity::CRITICAL, profile: Some("other".to_owned()), ..closed };
    let batch = Batch { hosts: vec![names, lost, provisional], events: vec![expiring, critical], ..Batch::default() };
    store.commit(batch).await.expect("commits");
    let reader = store.reader();
    (store, reader)
}

#[tokio::test]
async fn hosts_by_filter() {
    let folder = folder();
    let (_store, reader) = filled(folder.path()).await;
    let all = ["192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::7"];
    let filter = HostFilter::default;
    for (filter, expected) in [
        (filter(), all.as_slice()),
        (HostFilter { within: within("192.0.2.0/24"), ..filter() }, &["192.0.2.7", "192.0.2.8"]),
        (
            HostFilter { within: [within("2001:db8::/32"), within("192.0.2.8")].concat(), ..filter() },
            &["192.0.2.8", "2001:db8::7"],
        ),
        (HostFilter { up: Some(false), ..filter() }, &["192.0.2.8"]),
        (HostFilter { approved: Some(true), ..filter() }, &["198.51.100.1"]),
        (HostFilter { approved: Some(false), ..filter() }, &["192.0.2.7", "192.0.2.8", "2001:db8::7"]),
        (HostFilter { approved: Some(false), up: Some(false), ..filter() }, &["192.0.2.8"]),
        (
            HostFilter { approved: Some(false), after: Some(key("192.0.2.8")), limit: Some(1), ..filter() },
            &["2001:db8::7"],
        ),
        (HostFilter { asset: Some("dmz".to_owned()), ..filter() }, &all),
        (HostFilter { asset: Some("dm".to_owned()), ..filter() }, &[]),
        (HostFilter { tag: Some("production".to_owned()), limit: Some(1), ..filter() }, &["192.0.2.7"]),
        (HostFilter { os: Some("linux".to_owned()), up: Some(true), ..filter() }, &["192.0.2.7", "2001:db8::7"]),
        (HostFilter { name: Some("DB_1.".to_owned()), ..filter() }, &["198.51.100.1"]),
        (HostFilter { name: Some("b%1".to_owned()), ..filter() }, &[]),
        (HostFilter { after: Some(key("192.0.2.8")), limit: Some(1), ..filter() }, &["198.51.100.1"]),
    ] {
        let found = reader.hosts(filter.clone()).await.expect("reads");
        let addresses: Vec<String> = found.iter().map(|host| host.ip.to_string()).collect();
        assert_eq!(addresses, expected, "{filter:?}");
    }
    let first = reader.hosts(HostFilter { limit: Some(1), ..filter() }).await.expect("reads").remove(0);
    let open: Vec<_> = first.open.iter().map(|open| (open.port, open.service.as_deref())).collect();
    assert_eq!(open, [(22, Some("ssh")), (443, Some("http"))]);
    assert_eq!(serde_json::to_value(&first).expect("serialises")["approved"], serde_json::Value::Null);
    let approved = reader.hosts(HostFilter { approved: Some(true), ..filter() }).await.expect("reads").remove(0);
    assert_eq!(approved.approved, Some(Approval { at: at(55), by: "inventory.csv".to_owned() }));
}

/// Approval and its withdrawal are the last word, also of a host that is stored already.
#[tokio::test]
async fn a_review_counts_at_once() {
    let folder = folder();
    let (store, reader) = filled(folder.path()).await;
    let mut host = host("192.0.2.8", Vec::new());
    for approved in [Some(Approval { at: at(90), by: "operator".to_owned() }), None] {
        host.approved = approved.clone();
        store.commit(Batch { hosts: vec![host.clone()], ..Batch::default() }).await.expect("commits");
        for wanted in [true, false] {
            let filter = HostFilter { within: within("192.0.2.8"), approved: Some(wanted), ..HostFilter::default() };
            let found = reader.hosts(filter).await.expect("reads");
            assert_eq!(found.len(), usize::from(wanted == approved.is_some()), "{wanted} of {approved:?}");
        }
    }
}

#[tokio::test]
async fn everything_about_one_address() {
    let folder = folder();
    let (store, reader) = filled(folder.path()).await;
    assert_eq!(reader.host(ip("192.0.2.200")).await.expect("reads"), None);
    let mut elsewhere = host("192.0.2.7", Vec::new());
    elsewhere.key.vantage = "scan2".into();
    elsewhere.last_seen = at(10);
    store.commit(Batch { hosts: vec![elsewhere.clone()], ..Batch::default() }).await.expect("commits");
    let detail = reader.host(ip("192.0.2.7")).await.expect("reads").expect("known");
    assert_eq!(detail.host, everything().hosts[0]);
    assert_eq!(detail.others, [elsewhere]);
    let digests: Vec<_> = detail.certificates.iter().map(|state| state.certificate.sha256).collect();
    assert_eq!(digests, [Sha256([2; 32]), Sha256([1; 32])], "next to expire first");
    let kinds: Vec<_> = detail.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::SslExpiry, EventType::PortOpen], "newest first, by further endpoints too");
    serde_json::to_value(&detail).expect("serialises");
}

#[tokio::test]
async fn services_by_filter() {
    let folder = folder();
    let (_store, reader) = filled(folder.path()).await;
    let www = "192.0.2.7:443/tcp www.example.org";
    let bare = "192.0.2.7:443/tcp";
    let filter = ServiceFilter::default;
    let all = ["192.0.2.7:22/tcp", bare, www, "198.51.100.1:80/tcp", "[2001:db8::7]:22/tcp"];
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (filter(), all.as_slice()),
        (ServiceFilter { port: Some(22), within: within("192.0.2.0/24"), ..filter() }, &["192.0.2.7:22/tcp"]),
        (ServiceFilter { transport: Some(Transport::Udp), ..filter() }, &[]),
        (ServiceFilter { protocol: text("http"), ..filter() }, &[bare, www]),
        (ServiceFilter { product: text("openss"), ..filter() }, &["192.0.2.7:22/tcp"]),
        (ServiceFilter { version: text("1.22"), ..filter() }, &[bare]),
        (ServiceFilter { version: text("22"), ..filter() }, &[]),
        (ServiceFilter { name: text("www.example.org"), ..filter() }, &[www]),
        (ServiceFilter { tls: Some(true), ..filter() }, &[bare, www]),
        (ServiceFilter { tls: Some(false), limit: Some(1), ..filter() }, &["192.0.2.7:22/tcp"]),
        (ServiceFilter { certificate: Some(Sha256([2; 32])), ..filter() }, &[www]),
        (ServiceFilter { status: Some(PortStatus::Closed), ..filter() }, &["192.0.2.7:25/tcp"]),
    ] {
        let found = reader.services(filter.clone()).await.expect("reads");
        let shown: Vec<String> = found
            .iter()
            .map(|row| row.name.iter().fold(row.endpoint().to_string(), |text, name| format!("{text} {name}")))
            .collect();
        assert_eq!(shown, expected, "{filter:?}");
    }
    // Page by page gives the same as all at once.
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = reader.services(ServiceFilter { after, limit: Some(2), ..filter() }).await.expect("reads");
        let Some(last) = page.last() else { break };
        after = Some(model::ServiceKey {
            vantage: last.vantage.clone(),
            endpoint: last.endpoint(),
            name: last.name.as_ref().map(|name| name.parse().expect("a name")),
        });
        pages.extend(page);
        assert!(pages.len() <= all.len());
    }
    assert_eq!(pages, reader.services(filter()).await.expect("reads"));
    assert_eq!(pages[2].service, Some(service("http", None)));
}

#[tokio::test]
async fn software_and_certificates() {
    let folder = folder();
    let (_store, reader) = filled(folder.path()).await;
    let software = reader.software(SoftwareFilter::default()).await.expect("reads");
    let shown: Vec<_> = software
        .iter()
        .map(|row| (row.software.product.as_str(), row.software.version.as_deref(), row.count))
        .collect();
    assert_eq!(shown, [("OpenSSH", Some("9.2p1"), 1), ("nginx", Some("1.22.1"), 1)]);
    let filter = SoftwareFilter { product: Some("NGI".to_owned()), ..Default::default() };
    assert_eq!(reader.software(filter).await.expect("reads").len(), 1);

    let filter = CertificateFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (filter(), [2, 1].as_slice()),
        (CertificateFilter { expires_before: Some(at(500)), ..filter() }, &[2]),
        (CertificateFilter { expires_after: Some(at(500)), ..filter() }, &[1]),
        (CertificateFilter { subject: text("WWW1."), ..filter() }, &[1]),
        (CertificateFilter { issuer: text("example ca inc"), limit: Some(1), ..filter() }, &[2]),
        (CertificateFilter { served: Some(false), ..filter() }, &[]),
        (CertificateFilter { sha256: Some(Sha256([1; 32])), ..filter() }, &[1]),
        (CertificateFilter { spki_sha256: Some(Sha256([0xfd; 32])), ..filter() }, &[2]),
        (CertificateFilter { after: Some((at(500), Sha256([2; 32]))), ..filter() }, &[1]),
    ] {
        let found = reader.certificates(filter.clone()).await.expect("reads");
        let digests: Vec<u8> = found.iter().map(|state| state.certificate.sha256.0[0]).collect();
        assert_eq!(digests, expected, "{filter:?}");
    }
    let digests = [1, 2, 7].map(|digest| Sha256([digest; 32]));
    let verdicts = reader.verdicts(digests.to_vec()).await.expect("reads");
    let served: Vec<_> = verdicts.iter().map(|(sha256, verdicts)| (sha256.0[0], verdicts.iter().collect())).collect();
    assert_eq!(served, [(2, vec![&Verdict::NameMismatch])]);
    assert_eq!(reader.certificate_der(Sha256([1; 32])).await.expect("reads"), Some(vec![0x30, 0x82]));
    assert_eq!(reader.certificate_der(Sha256([7; 32])).await.expect("reads"), None);
}

#[tokio::test]
async fn events_by_filter() {
    let folder = folder();
    let (_store, reader) = filled(folder.path()).await;
    let filter = EventFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (filter(), [1, 2, 3].as_slice()),
        (EventFilter { after: Some(1), limit: Some(1), ..filter() }, &[2]),
        (EventFilter { newest_first: true, limit: Some(2), ..filter() }, &[3, 2]),
        (EventFilter { newest_first: true, before: Some(2), ..filter() }, &[1]),
        (EventFilter { types: vec![EventType::PortOpen, EventType::PortClosed], ..filter() }, &[1, 3]),
        (EventFilter { within: within("192.0.2.0/24"), ..filter() }, &[1, 2]),
        (EventFilter { within: within("2001:db8::/64"), ..filter() }, &[2]),
        (EventFilter { port: Some(25), transport: Some(Transport::Tcp), ..filter() }, &[3]),
        (EventFilter { since: Some(at(40)), until: Some(at(50)), ..filter() }, &[2]),
        (EventFilter { min_severity: Some(Severity::CRITICAL), ..filter() }, &[3]),
        (EventFilter { profile: text("dmz"), ..filter() }, &[1]),
        (EventFilter { profile: text("other"), ..filter() }, &[3]),
        (EventFilter { sensor: Some("scan2".into()), ..filter() }, &[]),
        (EventFilter { name: text("www.example.org"), ..filter() }, &[]),
        (EventFilter { alerted: Some(true), ..filter() }, &[1]),
        (EventFilter { alerted: Some(false), after: Some(u64::MAX), ..filter() }, &[]),
    ] {
        let found = reader.events(filter.clone()).await.expect("reads");
        let seqs: Vec<u64> = found.iter().filter_map(|event| event.seq).collect();
        assert_eq!(seqs, expected, "{filter:?}");
    }
    let first = reader.events(EventFilter { limit: Some(1), ..filter() }).await.expect("reads").remove(0);
    assert_eq!(
        (first.alerts[0].profile.as_str(), first.alerts[0].rules.as_slice()),
        ("dmz", ["open-not-web".into()].as_slice())
    );
    assert_eq!(reader.event(first.id).await.expect("reads"), Some(first));
    let unknown = event(EventType::HostLost, 9, None).id;
    assert_eq!(reader.event(unknown).await.expect("reads"), None);
}

#[tokio::test]
async fn alerts_by_filter_with_who_was_told() {
    let folder = folder();
    let (store, reader) = filled(folder.path()).await;
    store.commit(told(70, 8080, &["soc"])).await.expect("commits");
    let digest = store.begin("soc", at(80), 1).await.expect("begins").expect("owed");
    store.postpone(&digest.id, at(90), "451 later").await.expect("postpones");
    let filter = AlertFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (filter(), [1, 2].as_slice()),
        (AlertFilter { after: Some(1), ..filter() }, &[2]),
        (AlertFilter { newest_first: true, before: Some(9), limit: Some(1), ..filter() }, &[2]),
        (AlertFilter { profile: text("dmz"), port: Some(8080), ..filter() }, &[2]),
        (AlertFilter { profile: text("none"), ..filter() }, &[]),
        (AlertFilter { recipient: text("siem"), ..filter() }, &[1]),
        (AlertFilter { delivery: Some(DeliveryState::Waiting), ..filter() }, &[1, 2]),
        (AlertFilter { delivery: Some(DeliveryState::Waiting), recipient: text("soc"), ..filter() }, &[2]),
        (AlertFilter { delivery: Some(DeliveryState::Sending), ..filter() }, &[1]),
        (AlertFilter { delivery: Some(DeliveryState::Delivered), ..filter() }, &[]),
        (AlertFilter { types: vec![EventType::PortClosed], ..filter() }, &[]),
        (AlertFilter { within: within("192.0.2.7"), since: Some(at(31)), ..filter() }, &[2]),
        (AlertFilter { until: Some(at(70)), ..filter() }, &[1]),
        (AlertFilter { min_severity: Some(Severity::HIGH), ..filter() }, &[]),
    ] {
        let found = reader.alerts(filter.clone()).await.expect("reads");
        let seqs: Vec<u64> = found.iter().map(|row| row.notice.seq).collect();
        assert_eq!(seqs, expected, "{filter:?}");
    }
    let row = reader.alerts(AlertFilter { limit: Some(1), ..filter() }).await.expect("reads").remove(0);
    assert_eq!(row.notice.alert, everything().alerts[0]);
    let waiting = Told {
        recipient: "siem".to_owned(),
        state: DeliveryState::Waiting,
        digest: None,
        attempts: 0,
        at: None,
        detail: None,
    };
    let sending = Told {
        recipient: "soc".to_owned(),
        state: DeliveryState::Sending,
        digest: Some(digest.id),
        attempts: 1,
        at: None,
        detail: Some("451 later".to_owned()),
    };
    assert_eq!(row.told, [waiting, sending]);
    assert_eq!(serde_json::to_value(&row).expect("serialises")["told"][1]["state"], "sending");
}

#[tokio::test]
async fn counts_and_the_rest() {
    let folder = folder();
    let (_store, reader) = filled(folder.path()).await;
    let counts = reader.counts().await.expect("counts");
    let expected = Counts {
        hosts: 4,
        hosts_up: 3,
        endpoints: 4,
        certificates: 2,
        events: 3,
        newest_event: 3,
        alerts: 1,
        newest_alert: 1,
        owed: 2,
        bytes: counts.bytes,
    };
    assert_eq!(counts, expected);
    assert!(counts.bytes >= 4096);
    let filter = PassFilter { lane: Some(Lane::Hot), finished: Some(false), limit: Some(1), ..Default::default() };
    assert_eq!(reader.passes(filter).await.expect("reads"), [pass(2, Lane::Hot)]);
    assert_eq!(reader.violations().await.expect("reads"), everything().violations);
    assert_eq!(Some(reader.leases().await.expect("reads")), everything().leases);
}
