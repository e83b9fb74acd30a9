//! The subject, and counts in words. Nothing in here was chosen by an attacker: counts, types, times, and the operator's own names.

use super::story::Story;
use crate::{
    Digest,
    plain::{count, line},
};
use jiff::Timestamp;
use model::EventType;

/// Types named in a subject before the rest is only counted.
const NAMED: usize = 3;

/// `[perimeterd DMZ] 3 critical, 12 total: 2 ports opened, 1 certificate expired (10:00-10:05 UTC)`.
pub(super) fn subject(story: &Story<'_>, digest: &Digest) -> String {
    if story.test {
        return format!("[perimeterd] TEST alert for {}: nothing happened", line(&digest.recipient, 60));
    }
    let mut profiles = digest.notices.iter().map(|notice| notice.alert.profile.as_str());
    let first = profiles.next().unwrap_or_default();
    let prefix = if first.is_empty() || profiles.any(|profile| profile != first) {
        "[perimeterd]".to_owned()
    } else {
        format!("[perimeterd {}]", line(first, 40))
    };
    let (worst, number) = story.severities.first().map_or(("info", 0), |&(severity, number)| (severity.word(), number));
    let total = if number == story.alerts { String::new() } else { format!(", {} total", story.alerts) };
    let window = window(story.from, story.to);
    format!("{prefix} {number} {worst}{total}: {} ({window})", types(&story.types, NAMED))
}

/// `2 ports opened, 1 certificate expired and 5 more`.
pub(super) fn types(types: &[(EventType, usize)], named: usize) -> String {
    let words: Vec<String> = types.iter().take(named).map(|&(kind, number)| counted(kind, number)).collect();
    let more: usize = types.iter().skip(named).map(|&(_, number)| number).sum();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", words.join(", "))
}

/// `10:00-10:05 UTC` within a day, whole days beyond; with the day where it is not that of the end.
pub(super) fn window(from: Timestamp, to: Timestamp) -> String {
    let (day, minute) = ("%Y-%m-%d", "%H:%M");
    let (first, last) = (from.strftime(day).to_string(), to.strftime(day).to_string());
    let (start, end) = (from.strftime(minute).to_string(), to.strftime(minute).to_string());
    match (first == last, start == end) {
        (true, true) => format!("{end} UTC"),
        (true, false) => format!("{start}-{end} UTC"),
        (false, _) => format!("{first} {start} to {last} {end} UTC"),
    }
}

/// `2 ports opened`.
fn counted(kind: EventType, number: usize) -> String {
    let (one, many) = match kind {
        EventType::HostFound => ("host found", "hosts found"),
        EventType::HostUp => ("host returned", "hosts returned"),
        EventType::HostLost => ("host lost", "hosts lost"),
        EventType::HostNameChanged => ("host name changed", "host names changed"),
        EventType::PortOpen => ("port opened", "ports opened"),
        EventType::PortChanged => ("service changed", "services changed"),
        EventType::PortClosed => ("port closed", "ports closed"),
        EventType::SslNew => ("new certificate", "new certificates"),
        EventType::SslChanged => ("certificate replaced", "certificates replaced"),
        EventType::SslExpiry => ("certificate expiring", "certificates expiring"),
        EventType::SslExpired => ("certificate expired", "certificates expired"),
        EventType::SslRogue => ("unauthorised certificate", "unauthorised certificates"),
        EventType::SoftwareAdded => ("software added", "software added"),
        EventType::SoftwareUpdated => ("software changed version", "software changed version"),
        EventType::SoftwareRemoved => ("software removed", "software removed"),
        EventType::VulnOpen => ("vulnerability found", "vulnerabilities found"),
        EventType::HostPurged => ("host purged", "hosts purged"),
        EventType::HostUpdated => ("host changed", "hosts changed"),
        EventType::HostReplaced => ("host replaced", "hosts replaced"),
        EventType::HostkeyChanged => ("SSH key changed", "SSH keys changed"),
        EventType::SharedKey => ("shared key", "shared keys"),
        EventType::EventStorm => ("storm of changes", "storms of changes"),
        EventType::PolicyViolation => ("policy violated", "policies violated"),
        EventType::PolicyCleared => ("policy satisfied", "policies satisfied"),
        EventType::NotifyFailed => ("notification failed", "notifications failed"),
        kind => return format!("{number} × {}", kind.title().to_lowercase()),
    };
    count(number, one, many)
}
