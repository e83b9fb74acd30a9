//! What became of a certificate when another took its place: a renewal, or something to look at.

use crate::{confirm, trust};
use jiff::Timestamp;
use model::{Certificate, EventType, Severity, Verdict};
use std::collections::BTreeSet;

/// In words, and how much it matters. `is_known_key`: some other certificate in the inventory has the new one's key.
///
/// A renewal is the same names from the same organisation, for longer, in the last third of the old one's life: information.
/// The same with a key that was seen before is a reissue. Everything else is worth a look, and most of all a key never seen
/// before while nobody had to renew: that is what a certificate obtained behind one's back looks like, whoever signed it.
///
/// What a certificate says of its issuer anybody can write: one that nobody vouches for, where somebody did for the old one (`distrusted`),
/// is no renewal whatever it says.
pub(crate) fn what_changed(
    old: &Certificate,
    new: &Certificate,
    is_known_key: bool,
    distrusted: Option<Verdict>,
    at: Timestamp,
) -> (String, Severity) {
    let set = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>();
    let (old_names, new_names) = (set(&old.sans), set(&new.sans));
    let same_issuer = is_same_issuer(old, new);
    let life = confirm::between(old.not_before, old.not_after);
    let left = confirm::between(at, old.not_after);
    let in_window = left <= life / 3;
    let is_like_it = same_issuer && old_names == new_names && new.not_after > old.not_after && !new.self_signed;
    let is_successor = is_like_it && distrusted.is_none();
    let same_key = old.spki_sha256 == new.spki_sha256;
    let is_renewal = is_successor && in_window;
    let mut parts = Vec::new();
    if is_renewal {
        parts.push("renewal by the same issuer".to_owned());
    } else if !same_issuer {
        parts.push(format!("another issuer ({} instead of {})", new.issuer, old.issuer));
    }
    if let Some(verdict) = distrusted.filter(|_| !new.self_signed) {
        parts.push(format!("nobody vouches for it as for the one before ({})", verdict.as_str()));
    }
    if new.self_signed && !old.self_signed {
        parts.push("self-signed instead of issued by an authority".to_owned());
    }
    parts.push(match (same_key, is_known_key, in_window) {
        (true, ..) => "same key".to_owned(),
        (false, true, _) => "another key, seen before".to_owned(),
        (false, false, true) => "new key".to_owned(),
        (false, false, false) => {
            let days = left.as_secs() / 86_400;
            format!("new key outside the renewal window ({days} days were left)")
        }
    });
    let mut names = |verb: &str, names: Vec<&String>| {
        if !names.is_empty() {
            let shown: Vec<_> = names.iter().take(8).map(|name| name.as_str()).collect();
            let more = if names.len() > shown.len() { " and more" } else { "" };
            parts.push(format!("{verb} {}{more}", shown.join(", ")));
        }
    };
    names("names lost:", old_names.difference(&new_names).collect());
    names("names gained:", new_names.difference(&old_names).collect());
    match new.not_after.cmp(&old.not_after) {
        std::cmp::Ordering::Less => parts.push("expires earlier".to_owned()),
        std::cmp::Ordering::Greater => parts.push("expires later".to_owned()),
        std::cmp::Ordering::Equal => {}
    }
    let severity = if is_renewal {
        Severity::INFO
    } else if is_successor && (same_key || is_known_key) {
        Severity::LOW
    } else {
        EventType::SslChanged.default_severity()
    };
    (parts.join("; "), severity)
}

/// Why nobody vouches for a new certificate, by its verdicts, where by the verdicts of the old one somebody did for that.
pub(crate) fn distrusted(old: &[Verdict], new: &[Verdict]) -> Option<Verdict> {
    if trust::distrust(old).is_some() { None } else { trust::distrust(new) }
}

/// The same organisation, where both are somebody's: public authorities issue from several certificates in turn.
fn is_same_issuer(old: &Certificate, new: &Certificate) -> bool {
    let organisation = |certificate: &Certificate| {
        let attributes = certificate.issuer_attributes.iter().map(|attribute| attribute.to_lowercase());
        attributes.filter(|attribute| attribute.starts_with("o=")).collect::<BTreeSet<_>>()
    };
    let (before, after) = (organisation(old), organisation(new));
    if before.is_empty() || after.is_empty() { old.issuer == new.issuer } else { before == after }
}
