//! What a server shows no more.
//!
//! Versions: `Server: nginx`, where it was `nginx/1.22.1`. One page says less than another, so what is known
//! stays, marked with when it was missed first. Who has shown it to nobody for [`FORGOTTEN`] hides it, and may run anything by then: it
//! is let go. Nobody is told, for that somebody says less is no news; and where it comes to light again, that is none either.
//!
//! Itself: within TLS nothing is said, or what answers is the page of an error that another program made. Servers keep those waiting who
//! come too often, and what stands before a web server answers in its place while that is down. None of it says that another serves there,
//! unless it goes on for [`FORGOTTEN`].

use crate::{
    confirm,
    service::{REVISION, is_vague},
};
use jiff::Timestamp;
use model::Service;
use std::{sync::Arc, time::Duration};

/// The fact of a service whose version was shown once: since when it is not.
pub(crate) const UNSEEN: &str = "version.unseen";
/// After this time without it, a version is not believed any more.
const FORGOTTEN: Duration = Duration::from_hours(7 * 24);

/// The fact of a service that does not show: since when.
const SILENT: &str = "service.unseen";

/// Whoever is in doubt and says nothing is asked again after this time.
pub(crate) const AGAIN: Duration = Duration::from_mins(1);

/// Whether an answer says nothing of who serves there.
pub(crate) fn says_nothing(known: &Service, said: Option<&Service>, within_tls: bool) -> bool {
    let is_mute = within_tls && said.is_none_or(|said| said.name == "tls" && said.banner.is_none());
    let is_broken = |service: &Service| service.facts.get("http.status").is_some_and(|status| status.starts_with('5'));
    let is_error = said.is_some_and(|said| {
        let is_same_protocol = said.name == known.name;
        is_same_protocol
            && is_broken(said)
            && !is_broken(known)
            && known.product.is_some()
            && said.product != known.product
    });
    !is_vague(Some(known)) && (is_mute || is_error)
}

/// What is known, with since when it does not show. None where that is so for too long to be believed any more.
pub(crate) fn unseen(known: &Arc<Service>, at: Timestamp) -> Option<Arc<Service>> {
    let since = known.facts.get(SILENT).and_then(|mark| mark.parse::<Timestamp>().ok());
    if let Some(since) = since.filter(|since| *since <= at) {
        return (confirm::between(since, at) < FORGOTTEN).then(|| known.clone());
    }
    let mut service = Service::clone(known);
    service.facts.insert(SILENT.to_owned(), model::to_millisecond(at).to_string());
    Some(Arc::new(service))
}

/// What is known after an answer that is in keeping with it. `merged` is that answer with what was known and it left out.
pub(crate) fn settle(
    known: Option<&Arc<Service>>,
    said: &Service,
    merged: Arc<Service>,
    at: Timestamp,
) -> Arc<Service> {
    let mark = known.and_then(|known| known.facts.get(UNSEEN));
    if said.version.is_some() || merged.version.is_none() {
        return merged;
    }
    // The page of an error, or of a conversation that got less far, is no sign.
    let is_broken = said.facts.get("http.status").is_some_and(|status| status.starts_with('5'));
    let hides = said.product.is_some() && !is_broken;
    let since = mark.and_then(|mark| mark.parse::<Timestamp>().ok());
    let mut service = Service::clone(&merged);
    match since {
        Some(since) if hides && since <= at && confirm::between(since, at) >= FORGOTTEN => {
            service.version = None;
            service.cpe.clone_from(&said.cpe);
            service.facts.remove(REVISION);
        }
        // A clock that was set back begins anew.
        Some(since) if since <= at => {
            service.facts.insert(UNSEEN.to_owned(), since.to_string());
        }
        _ if hides => {
            service.facts.insert(UNSEEN.to_owned(), model::to_millisecond(at).to_string());
        }
        _ => return merged,
    }
    match known {
        Some(known) if service == **known => known.clone(),
        _ => Arc::new(service),
    }
}
