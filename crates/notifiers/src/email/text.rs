//! The text part: complete by itself, at most 80 columns where words allow.

use super::{
    story::{Entry, Story},
    subject::types,
};
use crate::{
    Digest,
    plain::{count, line, moment},
    sentence::{sentence, told},
};
use model::{Category, Event, Notice};
use std::fmt::Write as _;

const COLUMNS: usize = 78;
/// The longest value of a detail, in characters.
const VALUE: usize = 300;

/// The answer first: how many, how bad, and the worst of them.
pub(super) fn answer(story: &Story<'_>) -> String {
    let worst = story.worst.map(told).unwrap_or_default();
    if story.alerts == 1 {
        let severity = story.severities.first().map_or("info", |(severity, _)| severity.word());
        return format!("{worst} ({severity}).");
    }
    let severities: Vec<String> =
        story.severities.iter().map(|(severity, number)| format!("{number} {}", severity.word())).collect();
    let (alerts, about) = (count(story.alerts, "alert", "alerts"), &story.about);
    format!("{alerts} on {about}: {}. Worst: {worst}.", severities.join(", "))
}

/// What else there is to know of an alert, as label and value; nothing from the network in it can act.
pub(super) fn details(notice: &Notice) -> Vec<(&'static str, String)> {
    let event = &notice.event;
    let value = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(|text| line(text, VALUE));
    let mut details = Vec::new();
    match (value(&event.old), value(&event.new)) {
        (Some(old), Some(new)) => details.push(("change", format!("{old} → {new}"))),
        (Some(old), None) => details.push(("before", old)),
        (None, Some(new)) => details.push(("now", new)),
        (None, None) => {}
    }
    details.push(("since", moment(event.time)));
    details.extend(value(&event.reason).map(|reason| ("because", reason)));
    if let Some(banner) = event.service.as_ref().and_then(|service| value(&service.banner)) {
        details.push(("banner", banner));
    }
    let evidence = event.evidence.iter().rev().take(3).rev();
    details.extend(evidence.map(|seen| ("evidence", format!("{}: {}", moment(seen.at), line(&seen.what, 256)))));
    if let Some(certificate) = &event.certificate {
        details.push(("sha256", certificate.sha256.to_string()));
        details.extend(served_at(event).map(|places| ("served at", places)));
    }
    let mut rules = vec![(&notice.alert.profile, &notice.alert.rules)];
    let others = event.alerts.iter().filter(|alert| alert.id != notice.alert.id);
    rules.extend(others.map(|alert| (&alert.profile, &alert.rules)));
    details.extend(rules.into_iter().map(|(profile, rules)| {
        ("rule", format!("{} (profile {})", line(&rules.join(", "), VALUE), line(profile, VALUE)))
    }));
    details
}

/// `192.0.2.7:443/tcp, 192.0.2.8:443/tcp and 3 more`, where a certificate is served at more than the one place the sentence names.
fn served_at(event: &Event) -> Option<String> {
    const SHOWN: usize = 8;
    let places = &event.endpoints;
    if event.kind.category() != Category::Certificate || places.len() < 2 {
        return None;
    }
    let shown = places.iter().take(SHOWN).map(|place| line(place, 60)).collect::<Vec<_>>().join(", ");
    Some(match places.len() {
        more if more > SHOWN => format!("{shown} and {} more", more - SHOWN),
        _ => shown,
    })
}

/// The whole part. `attached` is how many alerts the attachment holds.
pub(super) fn body(story: &Story<'_>, digest: &Digest, attached: usize) -> String {
    let mut text = String::new();
    wrap(&mut text, "", &answer(story));
    let sensor = digest.notices.first().map(|notice| line(&notice.event.sensor.0, 60)).unwrap_or_default();
    wrap(&mut text, "", &format!("From {} to {}, seen by sensor {sensor}.", moment(story.from), moment(story.to)));
    for block in &story.blocks {
        let _ = write!(text, "\n{}\n{}\n", block.title, "-".repeat(block.title.chars().count().min(COLUMNS)));
        for entry in &block.entries {
            entry_text(&mut text, entry);
        }
        if let Some(ip) = block.ip {
            let _ = writeln!(text, "Look further: perimeterd host {ip}");
        }
    }
    if !story.left_out.is_empty() {
        let number: usize = story.left_out.iter().map(|(_, number)| number).sum();
        text.push('\n');
        wrap(
            &mut text,
            "",
            &format!("And {number} more, not shown one by one: {}.", types(&story.left_out, usize::MAX)),
        );
    }
    text.push_str("\n-- \n");
    for note in notes(story, digest, attached) {
        wrap(&mut text, "", &note);
    }
    text
}

/// How to get at the rest and how to be told less.
pub(super) fn notes(story: &Story<'_>, digest: &Digest, attached: usize) -> Vec<String> {
    let attachment = if attached == story.alerts {
        "All of it, for machines: the attached alerts.jsonl.".to_owned()
    } else {
        format!(
            "For machines: the attached alerts.jsonl holds the first {attached} of {}; all: perimeterd alerts --json",
            story.alerts
        )
    };
    let recipient = line(&digest.recipient, 60);
    vec![attachment, format!("To be told less or later: min_severity and every of [recipient.{recipient}].")]
}

fn entry_text(text: &mut String, entry: &Entry<'_>) {
    let notice = entry.notice;
    wrap(text, "  ", &format!("[{}] {}", notice.alert.severity.word().to_uppercase(), told(notice)));
    for (label, value) in details(notice) {
        wrap(text, "              ", &format!("    {label:<8}  {value}"));
    }
    for effect in &entry.effects {
        let (severity, rules) = (effect.alert.severity.word(), line(&effect.alert.rules.join(", "), VALUE));
        wrap(text, "      ", &format!("    + [{severity}] {} ({rules})", sentence(&effect.event)));
    }
    text.push('\n');
}

/// Appends a paragraph broken at spaces; lines after the first begin with `indent`. A word longer than a line stays whole.
fn wrap(text: &mut String, indent: &str, paragraph: &str) {
    let mut column = 0;
    for (place, word) in paragraph.split(' ').enumerate() {
        let length = word.chars().count();
        if place > 0 && column + 1 + length > COLUMNS && column > indent.len() {
            text.push('\n');
            text.push_str(indent);
            column = indent.len();
        } else if place > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}
