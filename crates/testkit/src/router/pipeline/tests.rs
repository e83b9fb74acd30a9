use super::*;
use crate::router::stage::trial::{answer, data, ping, syn, syn_to};
use crate::router::{FIN, RST, SYN};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn pipeline(text: &str) -> Pipeline {
    Pipeline::new(&Scenario::read(text).expect("it is well written"))
}

/// Lets one packet in, and gives everything that leaves, with when.
fn run(pipeline: &mut Pipeline, packet: Packet, way: Way, at: Duration) -> Vec<(Duration, Way, Packet)> {
    pipeline.enter(packet, way, at);
    let mut left = Vec::new();
    while let Some(due) = pipeline.next() {
        let due = due.max(at);
        left.extend(pipeline.leave(due).into_iter().map(|(way, packet)| (due, way, packet)));
    }
    left
}

#[test]
fn stages_are_passed_in_order_each_way() {
    // The firewall stands behind the delay: its RST comes after a there and back, a passed packet after one way.
    let text = r#"
        stage = [
            { kind = "latency", delay = "20ms", always = true },
            { kind = "firewall", connections = 1, window = "10s", ban = "10s", manner = "reset" },
            { kind = "latency", name = "last mile", delay = "5ms", always = true },
        ]
    "#;
    let mut pipeline = pipeline(text);
    pipeline.switch_on(ms(0));
    let first = run(&mut pipeline, syn(1_000, 80), Way::Out, ms(100));
    assert_eq!(first.iter().map(|(at, way, _)| (*at, *way)).collect::<Vec<_>>(), [(ms(125), Way::Out)]);
    let banned = run(&mut pipeline, syn(1_001, 80), Way::Out, ms(200));
    assert_eq!(banned.len(), 1);
    assert_eq!((banned[0].0, banned[0].1), (ms(240), Way::Back));
    assert_eq!(banned[0].2.tcp().map(|tcp| tcp.flags & RST), Some(RST));
    let counts = pipeline.counts();
    for (what, expected) in [("latency.delayed", 3), ("firewall.bans", 1), ("last mile.delayed", 1), ("router.out", 1)]
    {
        assert_eq!(counts.get(what), Some(&expected), "{what} in {counts:?}");
    }
}

#[test]
fn what_is_not_switched_on_does_nothing_and_only_has_its_limits() {
    let mut pipeline = pipeline(r#"stage = [{ kind = "loss", share = 1.0, only = ["10.77.0.2"] }]"#);
    let other = || syn_to([10, 77, 0, 3].into(), 1_000, 80);
    let passes = |pipeline: &mut Pipeline, packet| run(pipeline, packet, Way::Out, ms(0)).len();
    assert_eq!(passes(&mut pipeline, syn(1_000, 80)), 1);
    pipeline.switch_on(ms(0));
    assert_eq!((passes(&mut pipeline, syn(1_000, 80)), passes(&mut pipeline, other())), (0, 1));
    assert!(run(&mut pipeline, answer(&syn(1_000, 80), SYN), Way::Back, ms(0)).is_empty());
    pipeline.switch_off();
    assert_eq!(passes(&mut pipeline, syn(1_000, 80)), 1);
    assert_eq!(pipeline.counts().get("loss.lost"), Some(&2));
}

#[test]
fn schedules_begin_when_it_is_switched_on() {
    let mut pipeline = pipeline(r#"stage = [{ kind = "link", outage = [{ at = "5s", for = "30s" }] }]"#);
    pipeline.switch_on(Duration::from_secs(100));
    for (at, passes) in [(104, true), (105, false), (134, false), (135, true)] {
        let left = run(&mut pipeline, syn(1_000, 80), Way::Out, Duration::from_secs(at));
        assert_eq!(left.len() == 1, passes, "at {at} s");
    }
}

#[test]
fn a_cut_line_carries_nothing_either_way() {
    let mut pipeline = pipeline("");
    pipeline.cut(true);
    pipeline.cut(true);
    for way in [Way::Out, Way::Back] {
        assert!(run(&mut pipeline, syn(1_000, 80), way, ms(0)).is_empty());
    }
    pipeline.cut(false);
    assert_eq!(run(&mut pipeline, syn(1_000, 80), Way::Out, ms(0)).len(), 1);
    assert_eq!(pipeline.counts().get("router.cuts"), Some(&1));
    assert_eq!(pipeline.counts().get("router.cut"), Some(&2));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed: u64| {
        let text =
            format!("seed = {seed}\nstage = [{{ kind = 'loss', share = 0.3 }}, {{ kind = 'loss', share = 0.3 }}]");
        let mut pipeline = pipeline(&text);
        pipeline.switch_on(ms(0));
        (0..200).map(|_| run(&mut pipeline, syn(1, 80), Way::Out, ms(0)).len()).collect::<Vec<_>>()
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever comes through all stages at once, what leaves is whole, and the router holds back nothing for ever.
    #[test]
    fn what_leaves_is_whole(seed in 0_u64..1_000, kinds in proptest::collection::vec((0_u8..6, 0_u16..8, 0_u64..50), 0..60)) {
        let text = format!(r#"
            seed = {seed}
            stage = [
                {{ kind = "latency", delay = "3ms", jitter = "9ms", reorder = true }},
                {{ kind = "nat", entries = 6, address = "10.79.0.1" }},
                {{ kind = "balancer", address = "10.77.0.2", hosts = ["10.77.0.3", "10.77.0.4"] }},
                {{ kind = "syn-proxy", prefix = ["10.77.0.3"], nothing_behind = "reset" }},
                {{ kind = "resets", syn = 0.2, stream = 0.2 }},
                {{ kind = "firewall", connections = 9, window = "10s", ban = "20ms", manner = "port-unreachable" }},
                {{ kind = "burst-loss", worsen = 0.05, recover = 0.5 }},
            ]
        "#);
        let mut pipeline = pipeline(&text);
        pipeline.switch_on(ms(0));
        let mut now = ms(0);
        let mut last: Option<Packet> = None;
        for (kind, port, pause) in kinds {
            now += ms(pause);
            let packet = match (kind, &last) {
                (0 | 1, _) => syn(1_000 + port, 80),
                (2, _) => data(1_000 + port, 80, b"hello"),
                (3, _) | (_, None) => ping(),
                (4, Some(last)) => last.port_unreachable().unwrap_or_else(ping),
                (_, Some(last)) => answer(last, if port < 4 { SYN } else { FIN }),
            };
            let way = if kind < 4 { Way::Out } else { Way::Back };
            for (_, way, packet) in run(&mut pipeline, packet, way, now) {
                proptest::prop_assert!(packet.checksums_hold(), "{packet:?}");
                if way == Way::Out && packet.sockets().is_some() && !packet.is_icmp_error() {
                    last = Some(packet);
                }
            }
            proptest::prop_assert!(pipeline.next().is_none());
        }
    }
}
