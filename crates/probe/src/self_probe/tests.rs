use super::*;
use model::Endpoint;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Mutex,
};
use tokio::time::sleep;

fn endpoint(last: u8) -> Endpoint {
    Endpoint::tcp(Ipv4Addr::new(192, 0, 2, last).into(), 22)
}

/// A network of hosts that can be asked in one way, both or none.
#[derive(Debug, Default)]
struct Network {
    /// From which raw SYN on each answers.
    raw: BTreeMap<Endpoint, usize>,
    open: BTreeSet<Endpoint>,
    refuses: bool,
    halted: bool,
    asked: Mutex<Vec<(Endpoint, &'static str)>>,
}

impl Network {
    fn asked(&self, endpoint: Endpoint, how: &'static str) -> usize {
        let mut asked = self.asked.lock().expect("not poisoned");
        asked.push((endpoint, how));
        asked.iter().filter(|known| **known == (endpoint, how)).count()
    }
}

impl BothWays for Network {
    async fn syn(&self, endpoint: Endpoint, within: Duration) -> RawAnswer {
        let count = self.asked(endpoint, "raw");
        if self.refuses {
            return RawAnswer::Refused("Operation not permitted".to_owned());
        }
        if self.halted {
            return RawAnswer::NotAsked;
        }
        if self.raw.get(&endpoint).is_some_and(|from| count >= *from) {
            return RawAnswer::Heard;
        }
        sleep(within).await;
        RawAnswer::Silent
    }

    async fn connect(&self, endpoint: Endpoint) -> bool {
        self.asked(endpoint, "connect");
        self.open.contains(&endpoint)
    }
}

#[tokio::test(start_paused = true)]
async fn a_trial_tells_what_both_ways_give() {
    let [one, two, three] = [1, 2, 3].map(endpoint);
    let raw = |answers: &[(Endpoint, usize)]| answers.iter().copied().collect::<BTreeMap<_, _>>();
    // What answers raw and from which SYN on, what accepts, whom is asked, and what that shows.
    let cases = vec![
        (raw(&[(one, 1)]), vec![one], vec![one], Finding::Works),
        // Lost twice.
        (raw(&[(one, 3)]), vec![one], vec![one], Finding::Works),
        // Lost all through the first round, and the second.
        (raw(&[(one, 7)]), vec![one], vec![one], Finding::Works),
        (raw(&[]), vec![one], vec![one], Finding::Dropped(vec![one])),
        // It went away: that says nothing of the way.
        (raw(&[]), vec![], vec![one], Finding::Undecided),
        (raw(&[]), vec![], vec![], Finding::Undecided),
        // One host has something against raw packets.
        (raw(&[(two, 1)]), vec![one, two], vec![one, two], Finding::Works),
        (raw(&[(three, 1)]), vec![one, two, three], vec![one, two, three], Finding::Works),
        (raw(&[]), vec![two], vec![one, two], Finding::Dropped(vec![two])),
    ];
    for (answers, open, asked, expect) in cases {
        let network = Network { raw: answers, open: open.into_iter().collect(), ..Network::default() };
        assert_eq!(trial(&network, &asked).await, expect, "{network:?}");
    }
    let refuses = Network { refuses: true, ..Network::default() };
    assert_eq!(trial(&refuses, &[one]).await, Finding::Refused("Operation not permitted".to_owned()));
    // What was not asked did not stay silent.
    let halted = Network { halted: true, open: [one].into(), ..Network::default() };
    assert_eq!(trial(&halted, &[one]).await, Finding::Undecided);
}

#[tokio::test(start_paused = true)]
async fn a_trial_is_short_and_patient() {
    let begun = Instant::now();
    let works = Network { raw: [(endpoint(1), 1)].into(), ..Network::default() };
    trial(&works, &[endpoint(1)]).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);

    // Everything drops raw packets, and every port of every host is offered.
    let all: Vec<Endpoint> =
        (1..=200).flat_map(|last| [22, 80].map(|port| Endpoint { port, ..endpoint(last) })).collect();
    let dropped = Network { open: all.iter().copied().collect(), ..Network::default() };
    assert_eq!(trial(&dropped, &all).await, Finding::Dropped([1, 2, 3, 4].map(endpoint).to_vec()));
    assert_eq!(begun.elapsed(), Duration::from_secs(3 * 4));
    let asked = dropped.asked.into_inner().expect("not poisoned");
    assert_eq!(asked.iter().filter(|(_, how)| *how == "connect").count(), 4 * 2);
    assert_eq!(asked.iter().filter(|(_, how)| *how == "raw").count(), 4 * 9);
    let first: Vec<&str> =
        asked.iter().filter(|(whom, _)| *whom == endpoint(1)).take(10).map(|(_, how)| *how).collect();
    assert_eq!(first, ["raw", "raw", "raw", "connect", "raw", "raw", "raw", "connect", "raw", "raw"]);
    // Nobody there at all.
    let nobody = Network::default();
    assert_eq!(trial(&nobody, &all).await, Finding::Undecided);
    assert_eq!(nobody.asked.lock().expect("not poisoned").len(), 4 * 4);
}

fn backend(probe: &SelfProbe) -> (Backend, bool) {
    let choice = probe.choice();
    (choice.backend, choice.is_proven)
}

const RAW: (Backend, bool) = (Backend::Raw, true);
const HOPEFUL: (Backend, bool) = (Backend::Raw, false);
const CONNECT: (Backend, bool) = (Backend::Connect, true);

#[tokio::test(start_paused = true)]
async fn the_start_says_what_and_why() {
    let now = Instant::now();
    for (wanted, obstacle, expect, says, is_handicap) in [
        (Mode::Auto, None, HOPEFUL, "shows with the first endpoint", false),
        (Mode::Raw, None, HOPEFUL, "shows with the first endpoint", false),
        (Mode::Connect, None, CONNECT, "is configured", false),
        (Mode::Connect, Some(Obstacle::NotPermitted), CONNECT, "is configured", false),
        (Mode::Auto, Some(Obstacle::NotPermitted), CONNECT, "CAP_NET_RAW", false),
        (Mode::Raw, Some(Obstacle::NotPermitted), CONNECT, "CAP_NET_RAW", true),
        (Mode::Auto, Some(Obstacle::NoPorts), CONNECT, "programs listen", false),
        (Mode::Auto, Some(Obstacle::NoWay("there is no route to it".to_owned())), CONNECT, "no route", false),
    ] {
        let probe = SelfProbe::new("eth0", wanted, obstacle.clone(), now);
        let why = probe.choice().why;
        assert_eq!(backend(&probe), expect, "{wanted:?} {obstacle:?}");
        assert!(why.contains(says), "{why}");
        assert_eq!(probe.handicap().is_some(), is_handicap, "{wanted:?} {obstacle:?}");
        assert_eq!(probe.is_due(now), wanted != Mode::Connect && obstacle.is_none(), "{wanted:?} {obstacle:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_raw_packets_never_worked_connecting_is_a_choice() {
    let begun = Instant::now();
    let mut probe = SelfProbe::new("eth0", Mode::Auto, None, begun);
    probe.take(Finding::Undecided, begun);
    assert_eq!((backend(&probe), probe.is_due(begun), probe.is_due(begun + UNDECIDED)), (HOPEFUL, false, true));
    probe.take(Finding::Dropped(vec![endpoint(1), endpoint(2)]), begun);
    assert_eq!((backend(&probe), probe.handicap()), (CONNECT, None));
    let why = probe.choice().why;
    assert!(why.contains("eth0") && why.contains("192.0.2.1:22/tcp, 192.0.2.2:22/tcp accepts connections"), "{why}");
    // An answer to what was sent before does not make it work.
    probe.note_heard();
    assert_eq!(backend(&probe), CONNECT);
    // Tried again later and later.
    let mut at = begun;
    for wait in [RETRY_FIRST, RETRY_FIRST * 2, RETRY_FIRST * 4] {
        assert!(!probe.is_due(at + wait - Duration::from_secs(1)) && probe.is_due(at + wait));
        at += wait;
        probe.take(Finding::Dropped(vec![endpoint(1)]), at);
    }
    for _ in 0..20 {
        at += RETRY_MOST;
        assert!(probe.is_due(at));
        probe.take(Finding::Dropped(vec![endpoint(1)]), at);
    }
    probe.take(Finding::Works, at);
    assert_eq!((backend(&probe), probe.is_due(at + RETRY_MOST), probe.handicap()), (RAW, false, None));
}

#[tokio::test(start_paused = true)]
async fn what_stops_working_is_a_handicap_until_it_works_again() {
    let begun = Instant::now();
    let mut probe = SelfProbe::new("eth0", Mode::Auto, None, begun);
    probe.note_heard();
    assert_eq!((backend(&probe), probe.is_due(begun)), (RAW, false));

    // A canary is silent: looked at once, and not again and again.
    probe.doubt(begun);
    assert!(probe.is_due(begun));
    probe.take(Finding::Works, begun);
    probe.doubt(begun);
    assert!(!probe.is_due(begun) && probe.is_due(begun + DOUBT_EVERY));

    let later = begun + DOUBT_EVERY;
    probe.take(Finding::Dropped(vec![endpoint(1)]), later);
    assert_eq!(backend(&probe), CONNECT);
    let said = probe.handicap().expect("a handicap");
    assert!(said.contains("raw packets by eth0 get no answer") && said.contains("scanned by connecting"), "{said}");
    // Connections that fail say nothing about raw packets.
    probe.doubt(later);
    assert!(!probe.is_due(later));
    probe.take(Finding::Works, later + RETRY_FIRST);
    assert_eq!((backend(&probe), probe.handicap()), (RAW, None));

    // The capability is lost, and given back.
    probe.take(Finding::Refused("Operation not permitted".to_owned()), later);
    assert_eq!(backend(&probe), CONNECT);
    assert!(probe.handicap().is_some_and(|said| said.contains("Operation not permitted")));
    assert!(!probe.is_due(later) && probe.is_due(later + UNDECIDED));
    probe.take(Finding::Undecided, later + UNDECIDED);
    assert!(probe.is_due(later + UNDECIDED * 2));
    probe.take(Finding::Works, later + UNDECIDED * 2);
    assert_eq!((backend(&probe), probe.handicap()), (RAW, None));
    // Nobody is there any more who could be asked: that is no reason to ask again and again.
    let doubted = later + UNDECIDED * 2 + DOUBT_EVERY;
    probe.doubt(doubted);
    probe.take(Finding::Undecided, doubted);
    assert!(!probe.is_due(doubted + RETRY_MOST));
    probe.set_obstacle(Some(Obstacle::NotPermitted), later);
    assert!(probe.handicap().is_some_and(|said| said.contains("CAP_NET_RAW")));
    probe.set_obstacle(None, later);
    assert_eq!((backend(&probe), probe.handicap(), probe.is_due(later)), (HOPEFUL, None, true));
}

/// As whoever runs the tests: either it may or it is told what it lacks.
#[test]
fn the_right_to_send_is_known_beforehand() {
    match may_send_raw() {
        Ok(()) => assert!(testkit::is_root()),
        Err(obstacle) => assert_eq!(obstacle, Obstacle::NotPermitted),
    }
}
