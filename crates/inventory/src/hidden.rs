//! Versions that a server shows no more: `Server: nginx`, where it was `nginx/1.22.1`. One page says less than another, so what is known
//! stays, marked with when it was missed first. Who has shown it to nobody for [`FORGOTTEN`] hides it, and may run anything by then: it
//! is let go. Nobody is told, for that somebody says less is no news; and where it comes to light again, that is none either.

use crate::{confirm, service::REVISION};
use jiff::Timestamp;
use model::Service;
use std::{sync::Arc, time::Duration};

/// The fact of a service whose version was shown once: since when it is not.
pub(crate) const UNSEEN: &str = "version.unseen";
/// After this time without it, a version is not believed any more.
const FORGOTTEN: Duration = Duration::from_hours(7 * 24);

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
