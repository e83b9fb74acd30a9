use super::*;
use crate::canary::{Dead, Verdict};
use inventory::HostState;
use model::{
    ClosedReason, Coverage, HostKey, Lane, LocalErrorKind, OpenReason, PassId, PassKind, PassRef, PortObservation,
};

const OPEN: Outcome = Outcome::Open(OpenReason::Connected);
const REFUSED: Outcome = Outcome::Closed(ClosedReason::Refused);

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn host(last: u8, asset: &str) -> HostState {
    let key = HostKey { vantage: "scan1".into(), ip: address(last) };
    HostState { up: true, assets: [asset.into()].into(), ..HostState::new(key, Timestamp::UNIX_EPOCH) }
}

/// Hosts 0 to 49 are up and in one asset, 50 to 99 in another.
fn known() -> Inventory {
    let hosts = (0..100).map(|last| host(last, if last < 50 { "dmz" } else { "lab" })).collect();
    Inventory::restore("scan1".into(), hosts, Vec::new(), Vec::new(), Vec::new())
}

fn slice(last: u8, outcome: Outcome) -> HostSlice {
    let at = Timestamp::UNIX_EPOCH;
    let ip = address(last);
    HostSlice {
        vantage: "scan1".into(),
        ip,
        pass: PassRef {
            id: PassId(model::derive_id(at, "pass", &1)),
            profile: "dmz".into(),
            lane: Lane::Known,
            kind: PassKind::Sweep,
        },
        at,
        covered: Coverage::default(),
        ports: vec![PortObservation {
            endpoint: Endpoint::tcp(ip, 22),
            outcome,
            at,
            attempts: 1,
            refused: 0,
            rtt_us: None,
        }],
        services: Vec::new(),
        audits: Vec::new(),
        names: Vec::new(),
        mac: None,
        presence: None,
    }
}

fn slices(count: u8, outcome: Outcome) -> Vec<HostSlice> {
    (0..count).map(|last| slice(last, outcome)).collect()
}

fn now() -> Now {
    Now { wall: Timestamp::UNIX_EPOCH, instant: Instant::now() }
}

fn later(begin: Now, after: Duration) -> Now {
    let wall = begin.wall + jiff::SignedDuration::try_from(after).expect("short");
    Now { wall, instant: begin.instant + after }
}

const NOTHING: AddressSet = AddressSet::empty();

fn look(health: &mut Health, slices: &mut Vec<HostSlice>, local_errors: u64, probes: u64) -> Option<Turn> {
    let tally = Tally { covered: &NOTHING, spoilt: &NOTHING, local_errors, probes };
    health.examine(slices, &tally, &Worth::fine(Instant::now()), &known(), now());
    health.turn(Instant::now())
}

fn dead(refusing: &[u8]) -> Doubt {
    let asked = vec![Endpoint::tcp(address(1), 22), Endpoint::tcp(address(2), 22)];
    let refusal = (!refusing.is_empty()).then_some("refused");
    Doubt::Dead(Dead { asked, refusing: refusing.iter().map(|&last| address(last)).collect(), refusal })
}

fn doubted(health: &mut Health, slices: &mut Vec<HostSlice>, doubt: Doubt, now: Now) -> (bool, Option<Turn>) {
    let tally = Tally { covered: &NOTHING, spoilt: &NOTHING, local_errors: 0, probes: 20 };
    let worth = Worth { doubt: Some(doubt), ..Worth::fine(now.instant) };
    let covers = health.examine(slices, &tally, &worth, &known(), now);
    (covers, health.turn(now.instant))
}

#[test]
fn the_silence_of_many_is_ours() {
    let mut health = Health::default();
    let mut seven = slices(7, Outcome::Silent);
    assert_eq!(look(&mut health, &mut seven, 0, 7), None);
    assert_eq!(seven.len(), 7, "of seven silent hosts canaries decide, and there are none here");
    let mut eight = slices(8, Outcome::Silent);
    assert!(matches!(look(&mut health, &mut eight, 0, 8), Some(Turn::Degraded(_))));
    assert!(eight.is_empty(), "eight are not believed");
    assert_eq!(look(&mut health, &mut slices(8, Outcome::Silent), 0, 8), None, "told once");
    assert_eq!(look(&mut health, &mut slices(8, OPEN), 0, 8), None);
    assert!(matches!(look(&mut health, &mut slices(8, OPEN), 0, 8), Some(Turn::Recovered(_))));
}

#[test]
fn the_silence_of_a_whole_asset_is_ours_unless_a_canary_of_it_answers() {
    // The last host that is silent, the canary that answers, what is left of the silent slices.
    for (silent, canary, left) in [(20, None, 0), (20, Some(70), 0), (20, Some(40), 20), (7, Some(70), 7)] {
        let mut health = Health::default();
        let mut mixed = slices(silent, Outcome::Silent);
        // The other asset answers.
        mixed.push(slice(60, OPEN));
        let alive = canary.map(|last| Endpoint::tcp(address(last), 22)).into_iter().collect();
        let worth = Worth { alive, ..Worth::fine(Instant::now()) };
        let tally = Tally { covered: &NOTHING, spoilt: &NOTHING, local_errors: 0, probes: 21 };
        health.examine(&mut mixed, &tally, &worth, &known(), now());
        assert_eq!(mixed.len(), left + 1, "{silent} silent, {canary:?} answers");
    }
}

#[test]
fn one_answer_among_many_is_enough_to_believe_the_rest() {
    let mut health = Health::default();
    let mut mixed = slices(20, Outcome::Silent);
    mixed.push(slice(49, OPEN));
    assert_eq!(look(&mut health, &mut mixed, 0, 21), None);
    assert_eq!(mixed.len(), 21);
}

#[test]
fn hosts_that_are_lost_already_prove_nothing() {
    let mut health = Health::default();
    let mut lost: Vec<_> = (200..220).map(|last| slice(last, Outcome::Silent)).collect();
    assert_eq!(look(&mut health, &mut lost, 0, 20), None);
}

#[test]
fn local_errors_take_the_silence_out() {
    let mut health = Health::default();
    let mut unplugged = slices(2, Outcome::LocalError(LocalErrorKind::NoRoute));
    unplugged.push(slice(3, Outcome::Silent));
    let Some(Turn::Degraded(sentence)) = look(&mut health, &mut unplugged, 2, 3) else { panic!("degraded") };
    assert!(sentence.contains("no route"), "{sentence}");
    assert!(unplugged.iter().all(|slice| slice.ports.iter().all(|port| !port.outcome.is_evidence())));
}

#[test]
fn local_errors_of_a_broken_link_are_told_as_that() {
    let (mut health, begun) = (Health::default(), now());
    let down = ["eth0 is down".to_owned()];
    health.links(&down, begun);
    let mut unplugged = slices(4, Outcome::LocalError(LocalErrorKind::NoRoute));
    unplugged.push(slice(5, Outcome::Silent));
    assert_eq!(look(&mut health, &mut unplugged, 4, 5), None, "a cable plugged over is not worth it");
    assert!(!unplugged.iter().any(is_silent_for_sure), "{unplugged:?}");
    health.links(&down, later(begun, Duration::from_secs(3)));
    let Some(Turn::Degraded(sentence)) = health.turn(Instant::now()) else { panic!("degraded") };
    assert!(sentence.starts_with("eth0 is down"), "{sentence}");
    assert_eq!(
        look(&mut health, &mut slices(4, Outcome::LocalError(LocalErrorKind::NoRoute)), 4, 4),
        None,
        "told once"
    );
}

fn is_silent_for_sure(slice: &HostSlice) -> bool {
    slice.ports.iter().any(|port| port.outcome == Outcome::Silent)
}

#[test]
fn a_handicap_is_told_once_with_its_end_and_casts_no_doubt() {
    let (mut health, at) = (Health::default(), now());
    let dropped = ["raw packets by eth0 get no answer".to_owned()];
    health.handicaps(&dropped, at);
    let Some(Turn::Degraded(sentence)) = health.turn(at.instant) else { panic!("degraded") };
    assert_eq!(sentence, "raw packets by eth0 get no answer");
    health.handicaps(&dropped, at);
    assert_eq!(health.turn(at.instant), None);
    assert!(!health.doubts_everything() && !health.holds_up_lanes());
    // Who is silent is silent.
    let mut one = vec![slice(1, Outcome::Silent)];
    assert_eq!((look(&mut health, &mut one, 0, 1), one.len()), (None, 1));
    // Over a restart it is neither told again nor forgotten.
    let notes = health.notes();
    let mut restarted = Health::restore(&notes, std::collections::BTreeSet::new(), at);
    restarted.handicaps(&dropped, at);
    assert_eq!(restarted.turn(at.instant), None);
    restarted.handicaps(&[], at);
    assert!(matches!(restarted.turn(at.instant), Some(Turn::Recovered(_))));
    // Another trouble on top of it is the same one.
    let outage = doubted(&mut health, &mut Vec::new(), dead(&[]), at);
    assert_eq!(outage, (false, None));
    assert!(health.holds_up_lanes());
    health.handicaps(&[], at);
    assert_eq!(health.turn(at.instant), None, "the outage still stands");
}

#[test]
fn what_goes_well_elsewhere_ends_no_trouble() {
    let mut health = Health::default();
    assert!(matches!(look(&mut health, &mut slices(8, Outcome::Silent), 0, 8), Some(Turn::Degraded(_))));
    for _ in 0..5 {
        assert_eq!(look(&mut health, &mut Vec::new(), 0, 4_096), None, "dark addresses prove nothing");
        assert_eq!(look(&mut health, &mut vec![slice(99, OPEN)], 0, 1), None, "nor do others");
    }
    assert_eq!(look(&mut health, &mut vec![slice(3, OPEN)], 0, 1), None);
    assert!(matches!(look(&mut health, &mut vec![slice(3, OPEN)], 0, 1), Some(Turn::Recovered(_))));
    // A range this machine has no route to, beside one that it has.
    let dark: AddressSet = [AddressRange::single([198, 51, 100, 1].into())].into_iter().collect();
    let bright: AddressSet = [AddressRange::single(address(1))].into_iter().collect();
    let mut turns = Vec::new();
    for _ in 0..4 {
        let bad = Tally { covered: &NOTHING, spoilt: &dark, local_errors: 20, probes: 20 };
        let good = Tally { covered: &bright, spoilt: &NOTHING, local_errors: 0, probes: 20 };
        for tally in [bad, good] {
            health.examine(&mut vec![slice(1, OPEN)], &tally, &Worth::fine(Instant::now()), &known(), now());
            turns.extend(health.turn(Instant::now()));
        }
    }
    assert!(matches!(turns.as_slice(), [Turn::Degraded(_)]), "{turns:?}");
}

#[test]
fn what_left_the_scope_keeps_no_trouble_alive() {
    let [gone, kept] = [9, 1].map(|last| [AddressRange::single(address(last))].into_iter().collect::<AddressSet>());
    // Where it showed, and whether it stands once one of the two has left the scope.
    for (doubted, stands) in [(&gone, false), (&kept, true), (&gone.union(&kept), true)] {
        let mut health = Health::default();
        let tally = Tally { covered: &NOTHING, spoilt: doubted, local_errors: 20, probes: 20 };
        health.examine(&mut Vec::new(), &tally, &Worth::fine(Instant::now()), &known(), now());
        assert!(matches!(health.turn(Instant::now()), Some(Turn::Degraded(_))));
        health.keep_to(&gone.union(&kept));
        assert_eq!(health.turn(Instant::now()), None, "it is asked again");
        health.keep_to(&kept);
        assert_eq!(health.turn(Instant::now()).is_none(), stands, "{doubted:?}");
        health.keep_to(&kept);
        assert_eq!(health.turn(Instant::now()), None);
    }
}

#[test]
fn a_silence_ends_with_what_was_watched_there() {
    let mut health = Health::default();
    let tally = Tally { covered: &NOTHING, spoilt: &NOTHING, local_errors: 0, probes: 8 };
    health.examine(&mut slices(8, Outcome::Silent), &tally, &Worth::fine(Instant::now()), &known(), now());
    assert!(matches!(health.turn(Instant::now()), Some(Turn::Degraded(_))));
    assert!(health.is_confined());
    let all =
        |range: std::ops::Range<u8>| range.map(|last| AddressRange::single(address(last))).collect::<AddressSet>();
    health.keep_to(&all(4..100));
    assert_eq!(health.turn(Instant::now()), None, "four of them are watched");
    health.keep_to(&all(50..100));
    assert!(matches!(health.turn(Instant::now()), Some(Turn::Recovered(_))));
    assert!(!health.is_confined());
}

#[test]
fn a_standing_trouble_doubts_the_few_as_well_but_not_for_ever() {
    let mut health = Health::default();
    let tally = Tally { covered: &NOTHING, spoilt: &NOTHING, local_errors: 0, probes: 8 };
    let begin = now();
    health.examine(&mut slices(8, Outcome::Silent), &tally, &Worth::fine(begin.instant), &known(), begin);
    for (minutes, last, believed) in [(1, 99, 0), (61, 99, 1), (61, 3, 0)] {
        let mut one = vec![slice(last, Outcome::Silent)];
        let then = later(begin, Duration::from_mins(minutes));
        health.examine(&mut one, &tally, &Worth::fine(then.instant), &known(), then);
        assert_eq!(one.len(), believed, "host {last} after {minutes} min");
    }
}

#[test]
fn a_look_in_doubt_keeps_its_good_news_only() {
    let doubts = [Doubt::Moved, Doubt::Dropped, Doubt::Unsteady, dead(&[]), dead(&[1, 2]), Doubt::Fault("down".into())];
    for doubt in doubts {
        let mut mixed = vec![slice(1, Outcome::Silent), slice(2, OPEN)];
        let (covers, turn) = doubted(&mut Health::default(), &mut mixed, doubt.clone(), now());
        assert!(!covers, "{doubt:?}");
        assert_eq!(mixed, [slice(2, OPEN)], "{doubt:?}");
        match doubt {
            Doubt::Moved | Doubt::Dropped | Doubt::Unsteady => assert_eq!(turn, None),
            Doubt::Dead(dead) if !dead.refusing.is_empty() => assert!(matches!(turn, Some(Turn::Blocked(_)))),
            Doubt::Dead(_) | Doubt::Fault(_) => assert!(matches!(turn, Some(Turn::Degraded(_)))),
        }
    }
}

#[test]
fn a_trouble_ends_when_canaries_have_answered_twice() {
    let (mut health, begin) = (Health::default(), now());
    assert!(doubted(&mut health, &mut slices(2, Outcome::Silent), dead(&[]), begin).1.is_some());
    let alive = Verdict::Alive(vec![Endpoint::tcp(address(1), 22)]);
    let silent = Verdict::Dead(Dead::default());
    // Seconds since it began, whether a check is due, its verdict, whether it is over then.
    let story = [
        (1, false, &alive, false),
        (15, true, &silent, false),
        (20, false, &alive, false),
        (30, true, &alive, false),
        (33, false, &alive, false),
        (35, true, &silent, false),
        (50, true, &alive, false),
        (55, true, &alive, true),
    ];
    for (second, due, verdict, over) in story {
        let then = later(begin, Duration::from_secs(second));
        assert_eq!(health.begins_check(then.instant), due, "after {second} s");
        if due {
            assert_eq!(health.checked(verdict, then.instant), None);
        }
        let turn = health.turn(then.instant);
        assert_eq!(matches!(turn, Some(Turn::Recovered(_))), over, "after {second} s");
    }
    assert!(!health.begins_check(later(begin, Duration::from_hours(1)).instant), "nothing is asked any more");
    // What began to be looked at before that moment still does not count.
    let mut old = vec![slice(1, Outcome::Silent)];
    let worth = Worth::fine(later(begin, Duration::from_secs(50)).instant);
    let tally = Tally { covered: &NOTHING, spoilt: &NOTHING, local_errors: 0, probes: 1 };
    assert!(!health.examine(&mut old, &tally, &worth, &known(), later(begin, Duration::from_mins(1))));
    assert!(old.is_empty());
    // Nor does what went wrong in it begin a new trouble.
    let errors = Tally { covered: &NOTHING, spoilt: &NOTHING, local_errors: 9, probes: 9 };
    let fault = Worth { doubt: Some(Doubt::Fault("eth0 is down".into())), ..worth.clone() };
    for (outcome, tally, worth) in [
        (Outcome::LocalError(LocalErrorKind::NoRoute), &errors, &worth),
        (Outcome::Silent, &tally, &worth),
        (Outcome::Silent, &tally, &fault),
    ] {
        let (mut old, then) = (slices(9, outcome), later(begin, Duration::from_mins(1)));
        assert!(!health.examine(&mut old, tally, worth, &known(), then));
        assert_eq!(health.turn(then.instant), None, "{outcome:?}");
    }
}

#[test]
fn canaries_dead_for_a_day_are_replaced_by_what_answers() {
    let (mut health, begin) = (Health::default(), now());
    doubted(&mut health, &mut slices(2, Outcome::Silent), dead(&[]), begin);
    let silent = Verdict::Dead(Dead::default());
    for (hours, answers, replaced) in [(1, true, false), (23, true, false), (25, false, false), (26, true, true)] {
        let then = later(begin, Duration::from_hours(hours));
        if answers {
            let worth = Worth::fine(then.instant);
            let tally = Tally { covered: &NOTHING, spoilt: &NOTHING, local_errors: 0, probes: 1 };
            health.examine(&mut vec![slice(9, OPEN)], &tally, &worth, &known(), then);
        }
        assert!(health.begins_check(then.instant));
        let others = health.checked(&silent, then.instant);
        assert_eq!(others.is_some(), replaced, "after {hours} h: {others:?}");
    }
}

#[test]
fn several_troubles_are_one_and_a_block_counts_for_itself() {
    let (mut health, begin) = (Health::default(), now());
    let alive = Verdict::Alive(vec![Endpoint::tcp(address(1), 22)]);
    assert!(matches!(doubted(&mut health, &mut slices(2, REFUSED), dead(&[1, 2]), begin).1, Some(Turn::Blocked(_))));
    let fault = Doubt::Fault("eth0 is down".into());
    assert!(matches!(doubted(&mut health, &mut slices(2, Outcome::Silent), fault, begin).1, Some(Turn::Degraded(_))));
    assert_eq!(doubted(&mut health, &mut slices(2, Outcome::Silent), dead(&[]), begin).1, None);
    for second in [60, 66] {
        health.checked(&alive, later(begin, Duration::from_secs(second)).instant);
    }
    assert!(matches!(health.turn(begin.instant), Some(Turn::Recovered(_))));
    assert_eq!(health.turn(begin.instant), None);
}

#[test]
fn hosts_that_ban_the_sensor_are_told_together_when_it_lasts() {
    let (mut health, begin) = (Health::default(), now());
    let turn_with = |health: &mut Health, refusing: &[u8]| {
        health.judge_bans(refusing.iter().map(|&last| address(last)).collect(), begin);
        health.turn(begin.instant)
    };
    assert_eq!(turn_with(&mut health, &[]), None);
    let Some(Turn::Blocked(sentence)) = turn_with(&mut health, &[1, 2]) else { panic!("blocked") };
    assert!(sentence.contains("192.0.2.1, 192.0.2.2"), "{sentence}");
    let restraint = health.restraint(begin);
    assert!(restraint.silences(address(1)) && !restraint.silences(address(3)) && !restraint.everything);
    assert_eq!(turn_with(&mut health, &[2, 3]), None, "the same trouble goes on with others");
    assert!(!health.restraint(begin).silences(address(1)));
    let turn = turn_with(&mut health, &[]).expect("over");
    assert!(matches!(turn, Turn::Released(_)) && !turn.voids_doubts(), "what was gathered against others stands");
    assert!(health.void_before.is_none());
    assert_eq!(turn_with(&mut health, &[]), None);
    // Where more was wrong meanwhile, its end proves that what was gathered was worth nothing.
    assert!(matches!(turn_with(&mut health, &[1, 2]), Some(Turn::Blocked(_))));
    health.begin(Kind::Blocked, String::new(), &AddressSet::empty(), begin);
    assert_eq!(turn_with(&mut health, &[1, 2]), None);
    health.troubles.remove(&Kind::Blocked);
    assert!(matches!(turn_with(&mut health, &[]), Some(Turn::Recovered(_))));
}

#[test]
fn a_restart_tells_nothing_again() {
    let (mut health, begin) = (Health::default(), now());
    doubted(&mut health, &mut slices(2, Outcome::Silent), dead(&[]), begin);
    let notes = health.notes();
    assert_eq!(notes.len(), 1);
    assert!(health.notes().is_empty(), "what is written is not written again");
    let then = later(begin, Duration::from_mins(1));
    let mut again = Health::restore(&notes, std::collections::BTreeSet::new(), then);
    assert_eq!(again.turn(then.instant), None);
    assert_eq!(again.sentences().count(), 1);
    let alive = Verdict::Alive(vec![Endpoint::tcp(address(1), 22)]);
    for second in [20, 26] {
        let then = later(then, Duration::from_secs(second));
        assert!(again.begins_check(then.instant));
        again.checked(&alive, then.instant);
    }
    assert!(matches!(again.turn(then.instant), Some(Turn::Recovered(_))));
    assert_eq!(again.notes(), [crate::Note { value: None, ..notes[0].clone() }]);
}

#[test]
fn a_restart_changes_nothing_about_how_its_end_is_told() {
    let mut health = Health::default();
    let begin = now();
    health.handicaps(&["packets of its own are dropped".to_owned()], begin);
    assert!(matches!(health.turn(begin.instant), Some(Turn::Degraded(_))));
    let mut again = Health::restore(&health.notes(), std::collections::BTreeSet::new(), begin);
    again.handicaps(&[], begin);
    assert!(matches!(again.turn(begin.instant), Some(Turn::Recovered(_))), "not as that of single hosts");
}

#[test]
fn clocks_that_part_void_what_is_under_way() {
    let (mut health, begin) = (Health::default(), now());
    assert!(!health.clock_jumped(begin));
    for (minutes, ahead, jumped) in [(1, 0, false), (2, 20, false), (3, 60, true), (4, 60, false), (5, -60, true)] {
        let mut then = later(begin, Duration::from_mins(minutes));
        then.wall += jiff::SignedDuration::from_secs(ahead);
        assert_eq!(health.clock_jumped(then), jumped, "after {minutes} min, {ahead} s ahead");
    }
}
