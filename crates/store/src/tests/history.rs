use super::*;
use crate::{Difference, DifferenceKind, Ending, PastFilter, Reader, ServiceInterval};
use model::{AddressRange, Endpoint, Target};
use monitor::Journal as _;
use rusqlite::Connection;
use std::sync::atomic::{AtomicI64, Ordering};

/// A clock that is set by hand, in seconds.
#[derive(Debug, Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::Relaxed))
    }
}

/// Hosts of which one or two things change at a time.
struct Story {
    _folder: TempDir,
    clock: Arc<Hand>,
    store: Store,
}

impl Story {
    fn new() -> Self {
        let folder = folder();
        let clock = Arc::new(Hand::default());
        let store = Store::open(&folder.path().join("perimeter.db"), clock.clone(), &Options::default());
        Self { _folder: folder, clock, store: store.expect("opens") }
    }

    async fn commit(&self, seconds: i64, batch: Batch) {
        self.clock.0.store(seconds, Ordering::Relaxed);
        self.store.commit(batch).await.expect("commits");
    }

    async fn put(&self, seconds: i64, host: HostState) {
        self.commit(seconds, Batch { hosts: vec![host], ..Batch::default() }).await;
    }

    fn reader(&self) -> Reader {
        self.store.reader()
    }

    /// `22 ssh OpenSSH 9.2p1 [0,100) changed`
    async fn services(&self, address: &str) -> Vec<String> {
        let history = self.reader().host_history(ip(address)).await.expect("reads");
        history.services.iter().map(shown).collect()
    }

    async fn up(&self, address: &str) -> Vec<String> {
        let history = self.reader().host_history(ip(address)).await.expect("reads");
        history.up.iter().map(|interval| span(interval.since, interval.until, interval.ending)).collect()
    }

    async fn diff(&self, from: i64, to: i64) -> Vec<String> {
        let (found, next) = self.reader().diff(at(from), at(to), PastFilter::default()).await.expect("reads");
        assert_eq!(next, None);
        found.iter().map(told).collect()
    }
}

fn span(since: Timestamp, until: Option<Timestamp>, ending: Option<Ending>) -> String {
    let seconds = |time: Timestamp| time.as_second() - at(0).as_second();
    match (until, ending) {
        (Some(until), Some(ending)) => format!("[{},{}) {}", seconds(since), seconds(until), ending.as_str()),
        (None, None) => format!("[{},", seconds(since)),
        other => panic!("{other:?}"),
    }
}

fn facts(interval: &crate::ServiceFacts) -> String {
    let digest = interval.certificate.map(|sha256| format!("certificate {}", sha256.0[0]));
    let parts = [interval.service.clone(), interval.product.clone(), interval.version.clone(), digest];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn shown(interval: &ServiceInterval) -> String {
    let name = interval.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
    let what = facts(&interval.facts);
    format!("{}{name} {what} {}", interval.port, span(interval.since, interval.until, interval.ending))
        .replace("  ", " ")
}

fn told(difference: &Difference) -> String {
    let kind = serde_json::to_value(difference.kind).expect("serialises");
    let kind = kind.as_str().expect("a text");
    let port = difference.port.map(|port| format!(":{port}")).unwrap_or_default();
    let side = |side: &Option<crate::ServiceFacts>| side.as_ref().map(facts).unwrap_or_default();
    let change = match (&difference.old, &difference.new) {
        (None, None) => String::new(),
        (old, new) => format!(" {} -> {}", side(old), side(new)),
    };
    format!("{kind} {}{port}{change}", difference.ip)
}

fn changed(mut endpoint: EndpointState, seconds: i64) -> EndpointState {
    endpoint.changed_at = at(seconds);
    for service in &mut endpoint.services {
        service.changed_at = at(seconds);
    }
    endpoint
}

fn ssh(version: &str, seconds: i64) -> EndpointState {
    let mut endpoint =
        endpoint(22, PortStatus::Open, vec![asked(None, service("ssh", Some(("OpenSSH", version))), None)]);
    endpoint.services[0].changed_at = at(seconds);
    endpoint
}

fn lost(mut host: HostState, seconds: i64) -> HostState {
    (host.up, host.lost_since) = (false, Some(at(seconds)));
    host
}

const A: &str = "192.0.2.7";
const B: &str = "192.0.2.9";

#[tokio::test]
async fn a_life_of_a_host() {
    let story = Story::new();
    // Met at 0, one port waits for its confirmation.
    story.put(10, host(A, vec![ssh("9.2", 0), endpoint(80, PortStatus::Opening, Vec::new())])).await;
    assert_eq!(story.services(A).await, ["22 ssh OpenSSH 9.2 [0,"]);
    // Confirmed, and later identified: one opening.
    let web = |services| changed(endpoint(80, PortStatus::Open, services), 20);
    story.put(20, host(A, vec![ssh("9.2", 0), web(Vec::new())])).await;
    let mut identified = web(vec![asked(None, service("http", None), None)]);
    identified.services[0].changed_at = at(25);
    story.put(25, host(A, vec![ssh("9.2", 0), identified.clone()])).await;
    assert_eq!(story.services(A).await, ["22 ssh OpenSSH 9.2 [0,", "80 http [20,"]);
    // Updated, then better known without a change.
    story.put(40, host(A, vec![ssh("9.6", 35), identified.clone()])).await;
    let mut better = ssh("9.6", 35);
    better.services[0].service = Some(Arc::new(service("ssh", Some(("OpenSSH", "9.6p1")))));
    story.put(45, host(A, vec![better.clone(), identified.clone()])).await;
    // Closed.
    let closed = changed(EndpointState { status: PortStatus::Closed, ..identified }, 50);
    story.put(50, host(A, vec![better.clone(), closed.clone()])).await;
    let until_now = ["22 ssh OpenSSH 9.2 [0,35) changed", "80 http [20,50) closed", "22 ssh OpenSSH 9.6p1 [35,"];
    assert_eq!(story.services(A).await, until_now);
    // Lost, with what it had open; and back.
    let mut gone = lost(host(A, vec![better.clone(), closed.clone()]), 60);
    story.put(80, gone.clone()).await;
    assert_eq!(story.up(A).await, ["[0,60) lost"]);
    assert_eq!(story.services(A).await[2], "22 ssh OpenSSH 9.6p1 [35,60) lost");
    story.put(85, gone.clone()).await;
    (gone.up, gone.lost_since, gone.last_seen) = (true, None, at(100));
    story.put(101, gone.clone()).await;
    assert_eq!(story.up(A).await, ["[0,60) lost", "[100,"]);
    assert_eq!(story.services(A).await[3], "22 ssh OpenSSH 9.6p1 [100,");
    // Forgotten.
    let mut purged = event(EventType::HostPurged, 120, Some((A, 0)));
    purged.endpoint = None;
    let batch = Batch { removed_hosts: vec![key(A)], events: vec![purged], ..Batch::default() };
    story.commit(120, batch.clone()).await;
    story.commit(130, batch).await;
    assert_eq!(story.up(A).await, ["[0,60) lost", "[100,120) purged"]);
    assert_eq!(story.services(A).await[3], "22 ssh OpenSSH 9.6p1 [100,120) purged");
    // Met again: nothing of before is its own.
    story.put(200, HostState { first_seen: at(190), last_seen: at(190), ..host(A, Vec::new()) }).await;
    story.commit(210, Batch { removed_hosts: vec![key(A)], ..Batch::default() }).await;
    assert_eq!(story.up(A).await[2], "[190,210) released");

    let open = story.reader().endpoint_history(Endpoint::tcp(ip(A), 80)).await.expect("reads");
    assert_eq!(open.iter().map(shown).collect::<Vec<_>>(), ["80 http [20,50) closed"]);
}

#[tokio::test]
async fn an_unchanged_host_writes_no_history_and_no_service_row() {
    let folder = folder();
    let options = Options::default();
    let store = open_with(folder.path(), &options);
    let state = host(A, vec![ssh("9.2", 0), endpoint(80, PortStatus::Open, Vec::new())]);
    let batch = Batch { hosts: vec![state.clone()], ..Batch::default() };
    store.commit(batch.clone()).await.expect("commits");
    let statements = async |batch: Batch| {
        // Never reached, so it counts what is left of it.
        options.fault.arm(1_000, 10, || {});
        store.commit(batch).await.expect("commits");
        1_000 - options.fault.left().expect("has not struck")
    };
    // BEGIN, the host's row, COMMIT.
    assert_eq!(statements(batch).await, 3);
    let mut seen = state;
    seen.endpoints[1].last_seen = at(70);
    assert_eq!(statements(Batch { hosts: vec![seen], ..Batch::default() }).await, 4, "and the row that changed");
}

#[tokio::test]
async fn what_was_open_then() {
    let story = Story::new();
    story.put(10, host(A, vec![ssh("9.2", 0), endpoint(443, PortStatus::Open, Vec::new())])).await;
    story.put(10, host("2001:db8::7", vec![ssh("9.2", 0)])).await;
    let late =
        HostState { first_seen: at(50), ..host(B, vec![changed(endpoint(80, PortStatus::Open, Vec::new()), 50)]) };
    story.put(50, late.clone()).await;
    let closed = changed(endpoint(443, PortStatus::Closed, Vec::new()), 70);
    story.put(70, host(A, vec![ssh("9.9", 60), closed])).await;
    story.put(90, lost(late, 80)).await;

    let reader = story.reader();
    for (time, expect) in [
        (-1, &[][..]),
        (0, &["192.0.2.7 22 443", "2001:db8::7 22"]),
        (49, &["192.0.2.7 22 443", "2001:db8::7 22"]),
        (50, &["192.0.2.7 22 443", "192.0.2.9 80", "2001:db8::7 22"]),
        (69, &["192.0.2.7 22 443", "192.0.2.9 80", "2001:db8::7 22"]),
        (70, &["192.0.2.7 22", "192.0.2.9 80", "2001:db8::7 22"]),
        (80, &["192.0.2.7 22", "2001:db8::7 22"]),
    ] {
        let mut pages = Vec::new();
        let mut filter = PastFilter { limit: Some(1), ..PastFilter::default() };
        loop {
            let page = reader.inventory_at(at(time), filter.clone()).await.expect("reads");
            let Some(last) = page.last() else { break };
            filter.after = Some(last.key());
            pages.extend(page);
        }
        let whole = reader.inventory_at(at(time), PastFilter::default()).await.expect("reads");
        assert_eq!(pages, whole, "pages at {time}");
        let shown: Vec<String> = whole
            .iter()
            .map(|host| {
                host.services.iter().fold(host.ip.to_string(), |text, service| format!("{text} {}", service.port))
            })
            .collect();
        assert_eq!(shown, expect, "at {time}");
        let flat: Vec<_> = whole.into_iter().flat_map(|host| host.services).collect();
        assert_eq!(reader.services_at(at(time), PastFilter::default(), None).await.expect("reads"), flat);
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let filter = PastFilter { limit: Some(1), ..PastFilter::default() };
            let page = reader.services_at(at(time), filter, after.take()).await.expect("reads");
            let Some(last) = page.last() else { break };
            after = Some(model::ServiceKey { vantage: last.vantage.clone(), endpoint: last.endpoint(), name: None });
            pages.extend(page);
        }
        assert_eq!(pages, flat, "pages of services at {time}");
    }
    let within = |texts: &[&str]| -> Vec<AddressRange> {
        texts.iter().filter_map(|text| text.parse::<Target>().expect("a target").range()).collect()
    };
    for (filter, expect) in [
        (PastFilter { port: Some(443), ..PastFilter::default() }, &[A][..]),
        (PastFilter { within: within(&["192.0.2.9", "192.0.2.8-192.0.2.10"]), ..PastFilter::default() }, &[B]),
        (PastFilter { within: within(&["2001:db8::/32", A]), limit: Some(1), ..PastFilter::default() }, &[A]),
        (PastFilter { after: Some(key(B)), ..PastFilter::default() }, &["2001:db8::7"]),
    ] {
        let found = reader.inventory_at(at(55), filter.clone()).await.expect("reads");
        assert_eq!(found.iter().map(|host| host.ip.to_string()).collect::<Vec<_>>(), expect, "{filter:?}");
    }
    let at_443 = reader.services_at(at(55), PastFilter { port: Some(443), ..PastFilter::default() }, None).await;
    assert_eq!(at_443.expect("reads").len(), 1);
}

#[tokio::test]
async fn differences_between_two_times() {
    let story = Story::new();
    let tls = |digest: u8, seconds| {
        let state = asked(Some("www.example.org"), service("http", None), Some(Sha256([digest; 32])));
        let mut endpoint = endpoint(443, PortStatus::Open, vec![state]);
        endpoint.services[0].changed_at = at(seconds);
        endpoint
    };
    story.put(0, host(A, vec![ssh("9.2", 0), endpoint(25, PortStatus::Open, Vec::new()), tls(1, 0)])).await;
    story
        .put(
            50,
            HostState { first_seen: at(50), ..host(B, vec![changed(endpoint(80, PortStatus::Open, Vec::new()), 50)]) },
        )
        .await;
    let closed = changed(endpoint(25, PortStatus::Closed, Vec::new()), 60);
    let opened = changed(endpoint(8080, PortStatus::Open, Vec::new()), 65);
    story.put(70, host(A, vec![ssh("9.3", 61), closed, tls(2, 62), opened])).await;
    assert_eq!(story.diff(0, 40).await, [""; 0]);
    let appeared = ["host-appeared 192.0.2.9", "port-opened 192.0.2.9:80  -> "];
    assert_eq!(story.diff(40, 50).await, appeared);
    let changes = [
        "service-changed 192.0.2.7:22 ssh OpenSSH 9.2 -> ssh OpenSSH 9.3",
        "port-closed 192.0.2.7:25  -> ",
        "certificate-changed 192.0.2.7:443 http certificate 1 -> http certificate 2",
        "port-opened 192.0.2.7:8080  -> ",
    ];
    assert_eq!(story.diff(55, 100).await, changes);
    assert_eq!(story.diff(10, 100).await, [&changes[..], &appeared].concat());
    // What came and went in between does not show; a later loss does.
    story.put(90, lost(HostState { first_seen: at(50), ..host(B, Vec::new()) }, 80)).await;
    assert_eq!(story.diff(10, 100).await, changes);
    assert_eq!(story.diff(59, 100).await[4..], ["host-vanished 192.0.2.9", "port-closed 192.0.2.9:80  -> "]);

    let reader = story.reader();
    let filter = PastFilter { port: Some(80), limit: Some(1), ..PastFilter::default() };
    // No port 80 on the first host: the page goes on until it has something to say.
    let (first, next) = reader.diff(at(60), at(100), filter).await.expect("reads");
    assert_eq!((first.len(), first[0].kind, next), (1, DifferenceKind::PortClosed, None));
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let filter = PastFilter { limit: Some(1), after, ..PastFilter::default() };
        let (page, next) = reader.diff(at(10), at(75), filter).await.expect("reads");
        pages.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, reader.diff(at(10), at(75), PastFilter::default()).await.expect("reads").0);
    assert_eq!(pages.len(), 6);
    let there = PastFilter { within: vec![AddressRange::single(ip(B))], ..PastFilter::default() };
    assert_eq!(reader.diff(at(60), at(100), there).await.expect("reads").0.len(), 2);
}

#[tokio::test]
async fn a_certificate_goes_where_it_goes() {
    let story = Story::new();
    let serve = |version: &str, digest: u8, seconds| {
        let state = asked(None, service("http", Some(("nginx", version))), Some(Sha256([digest; 32])));
        let mut endpoint = endpoint(443, PortStatus::Open, vec![state]);
        endpoint.services[0].changed_at = at(seconds);
        endpoint
    };
    story.put(0, host(A, vec![serve("1.22", 1, 0)])).await;
    story.put(30, host(A, vec![serve("1.24", 1, 30)])).await;
    story.put(40, host(A, vec![serve("1.24", 2, 40)])).await;
    story.put(50, HostState { first_seen: at(50), ..host(B, vec![changed(serve("1.24", 1, 50), 50)]) }).await;
    let history = story.reader().certificate_history(Sha256([1; 32])).await.expect("reads");
    let spans: Vec<_> = history.iter().map(|row| (row.ip, span(row.since, row.until, row.ending))).collect();
    assert_eq!(spans, [(ip(A), "[0,40) changed".to_owned()), (ip(B), "[50,".to_owned())]);
}

#[tokio::test]
async fn names_come_and_go_while_the_port_stays_open() {
    let story = Story::new();
    let named = |name: Option<&str>, seconds| {
        let mut state = asked(name, service("http", None), None);
        (state.first_seen, state.changed_at) = (at(seconds), at(seconds));
        state
    };
    story.put(0, host(A, vec![endpoint(80, PortStatus::Open, vec![named(None, 0)])])).await;
    let both = vec![named(None, 0), named(Some("www.example.org"), 20)];
    story.put(20, host(A, vec![endpoint(80, PortStatus::Open, both)])).await;
    story.put(40, host(A, vec![endpoint(80, PortStatus::Open, vec![named(Some("www.example.org"), 20)])])).await;
    assert_eq!(story.services(A).await, ["80 http [0,40) renamed", "80 www.example.org http [20,"]);
    assert!(!story.diff(10, 50).await.iter().any(|line| line.contains("port-")), "it was open all the time");
}

#[tokio::test]
async fn what_ended_before_the_retention_is_forgotten() {
    let story = Story::new();
    let day = 86_400;
    story.put(0, host(A, vec![ssh("9.2", 0), endpoint(80, PortStatus::Open, Vec::new())])).await;
    story.put(10, host(A, vec![ssh("9.3", 10), changed(endpoint(80, PortStatus::Closed, Vec::new()), 10)])).await;
    story.put(20, lost(host(A, vec![ssh("9.3", 10)]), 20)).await;
    let expire = async |seconds| {
        let expired = story.store.expire(at(seconds), std::time::Duration::from_hours(24)).await;
        expired.expect("expires").intervals
    };
    assert_eq!(expire(day + 10).await, 0);
    assert_eq!(expire(day + 11).await, 2);
    assert_eq!(story.services(A).await, ["22 ssh OpenSSH 9.3 [10,20) lost"]);
    assert_eq!(expire(day + 21).await, 2, "the host's and its last service's");
    assert!(story.up(A).await.is_empty());
}

#[tokio::test]
async fn a_database_of_the_first_schema_begins_its_history_with_what_it_holds() {
    let folder = folder();
    let path = folder.path().join("perimeter.db");
    {
        // As the first version left it.
        let connection = Connection::open(&path).expect("opens");
        connection.execute_batch(include_str!("../migrations/0001_first.sql")).expect("makes");
        connection
            .execute_batch(&format!("PRAGMA application_id = {}; PRAGMA user_version = 1;", 0x7065_726d))
            .expect("marks");
        let mut provisional = host(B, vec![endpoint(80, PortStatus::Open, Vec::new())]);
        provisional.up = false;
        let states = [
            host(
                A,
                vec![
                    ssh("9.2", 5),
                    endpoint(80, PortStatus::Opening, Vec::new()),
                    endpoint(81, PortStatus::Closed, Vec::new()),
                ],
            ),
            lost(host("192.0.2.8", vec![ssh("9.2", 5)]), 30),
            provisional,
        ];
        for state in states {
            let address = crate::column::address(state.key.ip);
            connection
                .execute(
                    "INSERT INTO host (vantage, address, up, told, first_seen, last_seen, os, state)
                     VALUES ('scan1', ?, ?, ?, ?, ?, NULL, ?)",
                    rusqlite::params![
                        address,
                        state.up,
                        !state.is_provisional(),
                        state.first_seen.as_millisecond(),
                        state.last_seen.as_millisecond(),
                        serde_json::to_string(&state).expect("serialises"),
                    ],
                )
                .expect("inserts");
            for endpoint in &state.endpoints {
                let changed_at = endpoint.services.first().map_or(endpoint.changed_at, |service| service.changed_at);
                connection
                    .execute(
                        "INSERT INTO service (vantage, address, transport, port, name, status, reason, protocol, first_seen,
                             last_seen, changed_at)
                         VALUES ('scan1', ?, 'tcp', ?, '', ?, 'connected', ?, ?, ?, ?)",
                        rusqlite::params![
                            address,
                            endpoint.port,
                            serde_json::to_value(endpoint.status).expect("serialises").as_str(),
                            endpoint.services.first().map(|_| "ssh"),
                            endpoint.first_seen.as_millisecond(),
                            endpoint.last_seen.as_millisecond(),
                            changed_at.as_millisecond(),
                        ],
                    )
                    .expect("inserts");
            }
        }
    }
    let store = open(folder.path());
    let reader = store.reader();
    let then = reader.inventory_at(at(10), PastFilter::default()).await.expect("reads");
    assert_eq!(then.len(), 1, "{then:?}");
    assert_eq!(then[0].services.iter().map(shown).collect::<Vec<_>>(), ["22 ssh [5,"]);
    assert!(reader.inventory_at(at(-1), PastFilter::default()).await.expect("reads").is_empty());
    assert_eq!(load(&store).await.0.len(), 3);
    // And goes on.
    store
        .commit(Batch { hosts: vec![lost(host(A, vec![ssh("9.2", 5)]), 40)], ..Batch::default() })
        .await
        .expect("commits");
    let history = reader.host_history(ip(A)).await.expect("reads");
    assert_eq!(history.services.iter().map(shown).collect::<Vec<_>>(), ["22 ssh [5,40) lost"]);
    assert_eq!(history.up.len(), 1);
}
