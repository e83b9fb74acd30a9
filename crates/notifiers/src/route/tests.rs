use super::*;
use crate::sample;
use config::{ChannelConfig, JsonlPath};
use model::{AlertId, Severity};
use std::time::Duration;

const EVERY: Interval = Interval::Every(Duration::from_mins(5));

fn recipient(every: Interval, profiles: &[&str], min_severity: u8) -> Recipient {
    Recipient {
        channel: ChannelConfig::Jsonl(JsonlPath::Stdout),
        every,
        profiles: profiles.iter().map(|&name| name.into()).collect(),
        min_severity: Severity::try_from(min_severity).expect("1 to 5"),
    }
}

fn config(recipients: &[(&str, Recipient)], profiles: &[&str]) -> Config {
    let mut config = crate::channel::tests::empty_config();
    config.recipients = recipients.iter().map(|(name, recipient)| ((*name).into(), recipient.clone())).collect();
    config.profiles = profiles.iter().map(|&name| (name.into(), crate::channel::tests::empty_profile())).collect();
    config
}

fn alert(event: &Event, profile: &str, severity: u8) -> Alert {
    Alert {
        id: AlertId::of(event.id, event.time, profile),
        event: event.id,
        profile: profile.into(),
        rules: vec!["rule".into()],
        severity: Severity::try_from(severity).expect("1 to 5"),
        time: event.time,
    }
}

fn owed(config: &Config, alerts: &[Alert], events: &[Event]) -> Vec<(String, String)> {
    route(config, alerts, events)
        .into_iter()
        .map(|owed| {
            let alert = alerts.iter().find(|alert| alert.id == owed.alert).expect("one of them");
            (owed.recipient, alert.profile.clone())
        })
        .collect()
}

fn pairs(expect: &[(&str, &str)]) -> Vec<(String, String)> {
    expect.iter().map(|&(recipient, profile)| (recipient.into(), profile.into())).collect()
}

#[test]
fn filters_by_profile_severity_and_interval() {
    let event = sample::event(EventType::PortOpen);
    let alerts = [alert(&event, "dmz", 3), alert(&event, "office", 2)];
    let config = config(
        &[
            ("all", recipient(EVERY, &[], 1)),
            ("dmz-only", recipient(Interval::Immediate, &["dmz"], 1)),
            ("never", recipient(Interval::Never, &[], 1)),
            ("office-only", recipient(EVERY, &["office"], 1)),
            ("severe", recipient(EVERY, &[], 4)),
        ],
        &["dmz", "office"],
    );
    let expect = pairs(&[("all", "dmz"), ("dmz-only", "dmz"), ("office-only", "office")]);
    assert_eq!(owed(&config, &alerts, &[event]), expect);
}

#[test]
fn one_event_goes_to_a_recipient_once_as_its_worst_alert() {
    let event = sample::event(EventType::PortOpen);
    let config = config(&[("all", recipient(EVERY, &[], 1))], &["a", "b", "c"]);
    let equal = [alert(&event, "c", 3), alert(&event, "a", 3), alert(&event, "b", 3)];
    assert_eq!(owed(&config, &equal, std::slice::from_ref(&event)), pairs(&[("all", "a")]));
    let worse = [alert(&event, "a", 2), alert(&event, "b", 5)];
    assert_eq!(owed(&config, &worse, &[event]), pairs(&[("all", "b")]));
}

#[test]
fn what_no_profile_owns_goes_to_everyone() {
    let event = sample::event(EventType::SensorDegraded);
    let config = config(&[("dmz-only", recipient(EVERY, &["dmz"], 1))], &["dmz"]);
    assert_eq!(owed(&config, &[alert(&event, "sensor", 4)], &[event]), pairs(&[("dmz-only", "sensor")]));
}

#[test]
fn a_failed_notification_is_told_to_the_others() {
    let mut event = sample::event(EventType::NotifyFailed);
    event.name = Some("soc".into());
    let alerts = [alert(&event, "sensor", 3)];
    let two = [("soc", recipient(EVERY, &[], 1)), ("siem", recipient(EVERY, &[], 1))];
    assert_eq!(owed(&config(&two, &[]), &alerts, std::slice::from_ref(&event)), pairs(&[("siem", "sensor")]));
    // Alone, it still hears of it when it can be reached again.
    assert_eq!(owed(&config(&two[..1], &[]), &alerts, &[event]), pairs(&[("soc", "sensor")]));
}
