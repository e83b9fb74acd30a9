use super::*;

/// A recipient was taken out, what it was owed was given up, and just then it is back: its worker must not wait for ever for a digest
/// that is no more.
#[tokio::test(start_paused = true)]
async fn a_digest_given_up_under_its_worker_holds_nothing_up() {
    let outbox = memory();
    let channel = Scripted::new("syslog", [Answer::Now(later("busy")), Answer::Now(later("busy"))]);
    outbox.owe("siem", 1..=2);
    let running = Running::start(&outbox, vec![outlet("siem", Interval::Immediate, &channel)]);
    sleep(Duration::from_millis(100)).await;
    outbox.rows().open.clear();
    minutes(1).await;
    outbox.owe("siem", 3..=3);
    running.pipeline.nudge();
    minutes(1).await;
    assert_eq!(channel.ids(), ["siem.1-2", "siem.1-2", "siem.3-3"]);
    assert_eq!(outbox.rows().ended.len(), 1);
}
