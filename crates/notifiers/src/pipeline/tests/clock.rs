//! What the wall clock does, and how long the machine was off, costs nobody an alert.

use super::*;

/// A wall clock that can be set.
#[derive(Debug)]
struct Wall(Mutex<(Timestamp, Instant)>);

impl Wall {
    fn at(time: &str) -> Arc<Self> {
        Arc::new(Self(Mutex::new((time.parse().expect("a time"), Instant::now()))))
    }

    fn set(&self, time: &str) {
        *self.0.lock().expect("not poisoned") = (time.parse().expect("a time"), Instant::now());
    }
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let (base, since) = *self.0.lock().expect("not poisoned");
        model::to_millisecond(base + since.elapsed())
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_neither_bursts_nor_stalls() {
    let wall = Wall::at(START);
    let set = |time: &str| wall.set(time);
    let outbox = Memory::new(Arc::clone(&wall) as Arc<dyn Clock>);
    let channel = Scripted::new("email", []);
    let _running = Running::start(&outbox, vec![outlet("soc", FIVE, &channel)]);
    minutes(1).await;
    outbox.owe("soc", 1..=1);
    set("2027-11-21T10:02:00Z");
    minutes(2).await;
    assert_eq!(channel.ids(), ["soc.1-1"], "a tick passed in the jump");
    outbox.owe("soc", 2..=2);
    set("2020-01-01T00:00:30Z");
    minutes(6).await;
    assert_eq!(channel.ids(), ["soc.1-1", "soc.2-2"], "not waiting for 2027");
}

/// Until the network is up, nothing can be delivered; after a weekend off, or with a clock that only then is put right, that must not
/// be the end of what waits.
#[tokio::test(start_paused = true)]
async fn three_days_off_are_not_three_days_of_trying() {
    for later_on in ["2026-11-26T10:02:00Z", "2031-01-01T00:00:00Z"] {
        let wall = Wall::at(START);
        let outbox = Memory::new(Arc::clone(&wall) as Arc<dyn Clock>);
        let down = || Answer::Now(later("the network is unreachable"));
        let channel = Scripted::new("email", [down(), down(), down(), down()]);
        outbox.owe("soc", 1..=3);
        let running = Running::start(&outbox, vec![outlet("soc", Interval::Immediate, &channel)]);
        minutes(1).await;
        drop(running);
        wall.set(later_on);
        let mut running = Running::start(&outbox, vec![outlet("soc", Interval::Immediate, &channel)]);
        minutes(60).await;
        assert_eq!(channel.ids(), ["soc.1-3"; 5], "{later_on}");
        assert!(matches!(outbox.rows().ended[0].1, Ending::Delivered { .. }), "{later_on}");
        assert!(!running.failures.try_recv().expect("reported all the same").given_up);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_does_not_hide_that_nothing_arrives() {
    let wall = Wall::at(START);
    let outbox = Memory::new(Arc::clone(&wall) as Arc<dyn Clock>);
    let channel = Scripted::new("email", [Answer::Always(later("connection refused"))]);
    outbox.owe("soc", 1..=3);
    let mut running = Running::start(&outbox, vec![outlet("soc", Interval::Immediate, &channel)]);
    minutes(1).await;
    wall.set("2020-01-01T00:00:30Z");
    minutes(60).await;
    assert!(!running.failures.try_recv().expect("reported within the hour").given_up);
    minutes(74 * 60).await;
    assert!(matches!(outbox.rows().ended[0].1, Ending::Dead { .. }), "and given up in the end");
}
