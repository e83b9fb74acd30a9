use super::*;
use crate::{Expired, ProbeFilter, ProbeRow, Probes};
use monitor::{
    Numbering,
    ledger::{Entry, Errand, Mode, Order, Territory, Volley, VolleyId, Why},
};
use rusqlite::Connection;
use std::time::Duration;

const DAY: i64 = 86_400;

fn sweep(pass: u32, begins: i64, ended: Option<i64>) -> Entry {
    let addresses = ["192.0.2.0/28", "2001:db8::/125"]
        .iter()
        .filter_map(|text| text.parse::<model::Target>().expect(text).range())
        .collect();
    let numbering = Numbering::product(&addresses, &[22, 80, 443].into_iter().collect(), &[53].into_iter().collect())
        .expect("small");
    let volley = Volley {
        id: VolleyId::after(VolleyId::at(at(begins)), at(begins)),
        errand: Errand {
            profile: Some("dmz".into()),
            lane: Some(Lane::Hot),
            pass: Some(PassId(Uuid::from_u128(pass.into()))),
            why: Why::Lane,
        },
        attempts: (1, 1),
        mode: Mode::Connect,
        source: None,
        order: Order::Permuted(u64::MAX - u64::from(pass % 2)),
        indices: 0..numbering.len(),
        some: false,
        began: at(begins),
        ended: ended.map(at),
    };
    Entry { volley, territory: Arc::new(Territory::of(&numbering)) }
}

fn conversation(begins: i64, endpoints: &[model::Endpoint]) -> Entry {
    let numbering = Numbering::list(endpoints.iter().copied());
    let moments: Vec<u8> = (0..numbering.len()).map(|_| 255).collect();
    let errand = Errand { profile: None, lane: None, pass: None, why: Why::Conversation };
    let entry = sweep(1, begins, Some(begins + 10));
    let volley = Volley {
        errand,
        order: Order::Moments(moments.into()),
        indices: 0..numbering.len(),
        mode: Mode::Raw,
        source: Some(ip("192.0.2.1")),
        ..entry.volley
    };
    Entry { volley, territory: Arc::new(Territory::of(&numbering)) }
}

async fn commit(store: &Store, probes: Vec<Entry>) {
    store.commit(Batch { probes, ..Batch::default() }).await.expect("commits");
}

fn about(text: &str, port: Option<u16>) -> ProbeFilter {
    ProbeFilter { ip: ip(text), transport: None, port, since: None, until: None, before: None, limit: 100 }
}

async fn asked(store: &Store, filter: ProbeFilter) -> Probes {
    store.reader().probes(filter).await.expect("reads")
}

fn count(folder: &Path, table: &str) -> i64 {
    let connection = Connection::open(folder.join("perimeter.db")).expect("opens");
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counts")
}

#[tokio::test]
async fn says_when_and_why_and_that_nobody_did() {
    let folder = folder();
    let store = open_with(folder.path(), &Options { vantage: "scan1".into(), ..Options::default() });
    assert_eq!(
        asked(&store, about("192.0.2.7", None)).await,
        Probes { since: None, gaps: Vec::new(), rows: Vec::new() }
    );
    let ssh = model::Endpoint::tcp(ip("192.0.2.7"), 22);
    commit(&store, vec![sweep(1, 0, Some(60)), conversation(30, &[ssh])]).await;
    commit(&store, vec![sweep(2, 300, Some(360))]).await;

    let Probes { since, rows, .. } = asked(&store, about("192.0.2.7", Some(22))).await;
    assert_eq!(since, Some(at(1800)), "the clock of the test");
    let told: Vec<_> = rows.iter().map(|row| (row.why, row.not_before, row.not_after, row.sure)).collect();
    assert_eq!(
        told,
        [
            ("lane", at(300), Some(at(360)), true),
            ("conversation", at(30), Some(at(40)), true),
            ("lane", at(0), Some(at(60)), true),
        ]
    );
    let [newest, talk, _] = rows.as_slice() else { panic!("{rows:?}") };
    assert!(
        newest.first >= at(300) && newest.last <= at(360) && newest.tcp.to_string() == "22" && newest.udp.is_empty()
    );
    assert_eq!((newest.profile.as_deref(), newest.lane.as_deref(), newest.mode), (Some("dmz"), Some("hot"), "connect"));
    assert_eq!((newest.pass, newest.sensor.as_str()), (Some(PassId(Uuid::from_u128(2))), "scan1"));
    assert_eq!((talk.first, talk.mode, talk.source), (at(40), "raw", Some(ip("192.0.2.1"))));
    assert_eq!((&talk.profile, &talk.lane, talk.pass), (&None, &None, None));

    // An address: all its ports. IPv6 as well.
    let rows = asked(&store, about("2001:db8::3", None)).await.rows;
    let ports: Vec<_> = rows.iter().map(|row| (row.tcp.to_string(), row.udp.to_string())).collect();
    assert_eq!(ports, [("22,80,443".to_owned(), "53".to_owned()), ("22,80,443".to_owned(), "53".to_owned())]);
    let udp = ProbeFilter { transport: Some(Transport::Udp), ..about("2001:db8::3", None) };
    assert!(asked(&store, udp).await.rows.iter().all(|row| row.tcp.is_empty() && row.udp.to_string() == "53"));

    for (address, port) in
        [("192.0.2.7", Some(23)), ("192.0.2.16", None), ("192.0.3.7", None), ("2001:db8::8", Some(22))]
    {
        assert!(asked(&store, about(address, port)).await.rows.is_empty(), "{address}:{port:?}");
    }
    store.close().await.expect("closes");
}

#[tokio::test]
async fn is_narrowed_by_time_and_read_page_by_page() {
    let folder = folder();
    let store = open(folder.path());
    let passes: Vec<Entry> = (0..10).map(|n| sweep(n, i64::from(n) * 300, Some(i64::from(n) * 300 + 60))).collect();
    commit(&store, passes).await;
    let within = ProbeFilter { since: Some(at(600)), until: Some(at(1_000)), ..about("192.0.2.7", Some(80)) };
    let begins: Vec<_> = asked(&store, within).await.rows.iter().map(|row| row.not_before).collect();
    assert_eq!(begins, [at(900), at(600)]);
    let all = asked(&store, about("192.0.2.7", Some(80))).await.rows;
    assert_eq!(all.len(), 10);
    let mut pages: Vec<ProbeRow> = Vec::new();
    loop {
        let before = pages.last().map(|row| row.id);
        let page = asked(&store, ProbeFilter { before, limit: 3, ..about("192.0.2.7", Some(80)) }).await.rows;
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages, all);
    assert_eq!(count(folder.path(), "probe_territory"), 1, "what does not change is stored once");
    store.close().await.expect("closes");
}

#[tokio::test]
async fn a_volley_that_was_cut_short_says_perhaps() {
    let folder = folder();
    let store = open(folder.path());
    commit(&store, vec![sweep(1, 0, None)]).await;
    // What a kill leaves.
    let killed = snapshot(folder.path());
    let again = open(killed.path());
    let rows = asked(&again, about("192.0.2.7", Some(22))).await.rows;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.sure, row.not_before, row.not_after), (false, at(0), None));
    // The same volley, when it is over.
    commit(&store, vec![sweep(1, 0, Some(60))]).await;
    let rows = asked(&store, about("192.0.2.7", Some(22))).await.rows;
    assert_eq!(rows.iter().map(|row| (row.sure, row.not_after)).collect::<Vec<_>>(), [(true, Some(at(60)))]);
    // One of which nothing left was none.
    let mut nothing = sweep(1, 0, Some(60));
    nothing.volley.indices = 0..0;
    commit(&store, vec![nothing]).await;
    assert!(asked(&store, about("192.0.2.7", Some(22))).await.rows.is_empty());
    store.close().await.expect("closes");
}

#[tokio::test]
async fn what_is_old_goes_and_what_is_too_much() {
    let folder = folder();
    let store = open_with(folder.path(), &Options { most_volleys: 30, ..Options::default() });
    let ssh = model::Endpoint::tcp(ip("192.0.2.7"), 22);
    let mut probes: Vec<Entry> =
        (0..40).map(|day| sweep(1, i64::from(day) * DAY, Some(i64::from(day) * DAY + 60))).collect();
    probes.push(conversation(5 * DAY, &[ssh]));
    commit(&store, probes).await;
    let expire = async |days: u64| {
        let retention = Duration::from_secs(days * 86_400);
        store.expire(at(40 * DAY), retention).await.expect("expires")
    };
    assert_eq!(expire(100).await.volleys, 11, "too many: the oldest, in steps of an eighth of the retention");
    assert_eq!((count(folder.path(), "probe_volley"), count(folder.path(), "probe_territory")), (30, 1));
    assert_eq!(expire(10).await, Expired { volleys: 20, ..Expired::default() });
    let Probes { since, rows, .. } = asked(&store, about("192.0.2.7", Some(22))).await;
    assert_eq!((since, rows.len()), (Some(at(30 * DAY)), 10));
    assert_eq!(expire(0).await.volleys, 10);
    assert_eq!((count(folder.path(), "probe_volley"), count(folder.path(), "probe_territory")), (0, 0));
    store.close().await.expect("closes");
}

/// 10,000 known endpoints every five minutes, in batches of 256 as the lane asks them.
#[tokio::test]
async fn a_day_of_the_known_lane_is_small() {
    let folder = folder();
    let store = open(folder.path());
    let batch = |number: u32| {
        let address = |n: u32| std::net::Ipv4Addr::from(0x0a00_0000 + (number * 256 + n) / 3).into();
        Numbering::list((0..256).map(|n| model::Endpoint::tcp(address(n), [22, 80, 443][n as usize % 3])))
    };
    let territories: Vec<_> = (0..40).map(|number| Arc::new(Territory::of(&batch(number)))).collect();
    let mut last = VolleyId::at(at(0));
    for pass in 0..288_u32 {
        let begins = i64::from(pass) * 300;
        let probes = territories.iter().map(|territory| {
            last = VolleyId::after(last, at(begins));
            let entry = sweep(pass, begins, Some(begins + 5));
            let volley = Volley { id: last, order: Order::Ascending, indices: 0..256, ..entry.volley };
            Entry { volley, territory: territory.clone() }
        });
        commit(&store, probes.collect()).await;
    }
    store.close().await.expect("closes");
    let size = fs::metadata(folder.path().join("perimeter.db")).expect("is there").len();
    assert_eq!(count(folder.path(), "probe_volley"), 288 * 40);
    // 2.9 million questions.
    assert!(size < 1_500_000, "{size} bytes");
}

#[tokio::test]
async fn how_it_was_asked_is_what_was_said_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let begun = sweep(1, 0, None);
    commit(&store, vec![begun.clone()]).await;
    for mode in [Mode::Raw, Mode::Knock, Mode::Connect] {
        let mut over = begun.clone();
        (over.volley.mode, over.volley.ended) = (mode, Some(at(60)));
        commit(&store, vec![over]).await;
        let rows = asked(&store, about("192.0.2.7", Some(22))).await.rows;
        assert_eq!(rows.iter().map(|row| row.mode).collect::<Vec<_>>(), [mode.as_str()]);
    }
}
