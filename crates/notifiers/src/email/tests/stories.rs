//! What is worst comes first, and effects stand under their cause.

use super::super::{story::Story, subject, text};
use crate::sample;
use model::{Event, EventHost, EventType, Notice, Severity};
use std::{collections::BTreeMap, sync::Arc};

fn at(host: u8, kind: EventType, port: u16, seq: u64, severity: u8) -> Notice {
    let mut event: Event = sample::on_port(kind, port);
    event.host = Some(EventHost { ip: [192, 0, 2, host].into(), names: Vec::new(), os: None });
    event.assets = vec![format!("asset{host}")];
    sample::notice(event, seq, severity)
}

/// Each block's host and what stands in it; effects in brackets.
fn shape(notices: Vec<Notice>, values: &[(&str, u8)]) -> Vec<String> {
    let digest = sample::digest(notices);
    let values: BTreeMap<Arc<str>, u8> = values.iter().map(|&(name, value)| (name.into(), value)).collect();
    let story = Story::of(&digest, &values);
    story
        .blocks
        .iter()
        .map(|block| {
            let entries: Vec<String> = block
                .entries
                .iter()
                .map(|entry| {
                    let effects: Vec<String> = entry.effects.iter().map(|notice| notice.seq.to_string()).collect();
                    let effects = if effects.is_empty() { String::new() } else { format!("[{}]", effects.join(" ")) };
                    format!("{}{effects}", entry.notice.seq)
                })
                .collect();
            format!("{}: {}", block.title, entries.join(" "))
        })
        .collect()
}

#[test]
fn one_block_a_host_the_worst_first() {
    let notices = vec![
        at(1, EventType::PortOpen, 22, 1, 2),
        at(2, EventType::PortOpen, 23, 2, 5),
        at(3, EventType::PortOpen, 24, 3, 2),
        at(2, EventType::PortClosed, 25, 4, 2),
        at(1, EventType::SslExpired, 443, 5, 4),
        at(4, EventType::PortOpen, 24, 6, 2),
    ];
    // Equal in severity, 4 is worth more than 3.
    let expect = ["192.0.2.2: 2 4", "192.0.2.1: 5 1", "192.0.2.4: 6", "192.0.2.3: 3"];
    assert_eq!(shape(notices, &[("asset4", 5), ("asset3", 1)]), expect);
}

#[test]
fn effects_are_folded_under_their_cause() {
    let found = vec![
        at(1, EventType::HostFound, 0, 1, 3),
        at(1, EventType::PortOpen, 22, 2, 3),
        at(1, EventType::SslNew, 443, 3, 2),
        at(1, EventType::SslRogue, 443, 4, 4),
        at(2, EventType::PortOpen, 22, 5, 3),
    ];
    assert_eq!(shape(found, &[]), ["192.0.2.1: 4 1[2 3]", "192.0.2.2: 5"]);
    let lost = vec![
        at(1, EventType::PortClosed, 22, 1, 2),
        at(1, EventType::PolicyViolation, 0, 2, 5),
        at(1, EventType::HostLost, 0, 3, 3),
    ];
    assert_eq!(shape(lost, &[]), ["192.0.2.1: 3[1] 2"], "a lost host is said first");
}

#[test]
fn beyond_two_hundred_they_are_counted_by_type() {
    let mut notices: Vec<Notice> = (0..300).map(|seq| at(1, EventType::PortOpen, 1, seq, 2)).collect();
    notices.push(at(2, EventType::SslRogue, 443, 400, 5));
    let digest = sample::digest(notices);
    let story = Story::of(&digest, &BTreeMap::new());
    let shown: usize = story.blocks.iter().flat_map(|block| &block.entries).map(|entry| entry.notices().count()).sum();
    assert_eq!(shown, 200);
    assert_eq!(story.left_out, [(EventType::PortOpen, 101)]);
    assert_eq!(story.blocks[0].title, "192.0.2.2", "the worst is among those shown");
    let text = text::body(&story, &digest, 301);
    assert!(text.contains("And 101 more, not shown one by one: 101 ports opened."), "{text}");
    assert!(text.starts_with("301 alerts on 2 hosts: 1 critical, 300 low. Worst: 192.0.2.2 port"), "{text}");
}

#[test]
fn the_subject_counts_and_names_no_stranger() {
    let mut notices = vec![
        at(1, EventType::PortOpen, 1, 1, 5),
        at(1, EventType::PortOpen, 2, 2, 5),
        at(1, EventType::SslExpired, 443, 3, 4),
        at(1, EventType::HostUp, 0, 4, 2),
        at(1, EventType::PortClosed, 0, 5, 2),
        at(1, EventType::PortClosed, 0, 6, 2),
    ];
    let subject = |notices: &[Notice]| {
        let digest = sample::digest(notices.to_vec());
        subject::subject(&Story::of(&digest, &BTreeMap::new()), &digest)
    };
    assert_eq!(
        subject(&notices),
        "[perimeterd dmz] 2 critical, 6 total: 2 ports opened, 1 certificate expired, 2 ports closed and 1 more (10:00-10:05 UTC)"
    );
    notices[0].alert.profile = "office".into();
    assert!(subject(&notices).starts_with("[perimeterd] 2 critical"));
    notices[0].test = true;
    assert_eq!(subject(&notices), "[perimeterd] TEST alert for soc: nothing happened");
    for (from, to, expect) in [
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:30Z", "10:00 UTC"),
        ("2026-11-14T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-14 00:00 to 2026-11-21 00:00 UTC"),
    ] {
        assert_eq!(subject::window(from.parse().expect("a time"), to.parse().expect("a time")), expect);
    }
    assert!(notices.iter().all(|notice| notice.alert.severity >= Severity::LOW));
}
