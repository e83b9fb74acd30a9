use crate::{Digest, Identity};
use model::{Alert, AlertId, Event, EventType, Notice, Severity, derive_id};

/// The marked alert of `notify test RECIPIENT`: nothing happened, and it says so wherever it is shown.
pub fn test_notice(recipient: &str, identity: &Identity) -> Notice {
    let now = identity.clock.now();
    let mut event = Event::new(EventType::Audit, now, &identity.sensor, &("notify test", recipient));
    event.severity = Severity::INFO;
    event.reason = Some(format!("test alert for recipient {recipient}, asked for by the operator; nothing happened"));
    event.first_seen = Some(now);
    event.last_seen = Some(now);
    let alert = Alert {
        id: AlertId::of(event.id, now, "test"),
        event: event.id,
        profile: "test".to_owned(),
        rules: vec!["notify-test".to_owned()],
        severity: event.severity,
        time: now,
    };
    Notice { seq: 0, alert, event, test: true }
}

/// A digest of just that, never stored. Its id tells it from every real one.
pub fn test_digest(recipient: &str, identity: &Identity) -> Digest {
    let notice = test_notice(recipient, identity);
    let time = notice.alert.time;
    let id = format!("test.{}", derive_id(time, "test digest", &recipient).simple());
    Digest { id, recipient: recipient.to_owned(), from: time, to: time, notices: vec![notice] }
}
