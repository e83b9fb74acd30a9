//! What a service said the last time, and what it is therefore not asked again.
//!
//! Most of a conversation costs the other side nothing. Some questions leave a line in its log each time (a site's little picture,
//! the refusal of a version that there is not), and their answers hardly ever change: they are asked at first sight, once a day, and
//! where something else has changed.

use super::{Ask, Conversation, Earlier, Interview, datagram};
use crate::Dialer;
use jiff::Timestamp;
use model::{Endpoint, Service, Transport};
use std::{net::IpAddr, sync::Arc};

/// What one service, under its name or none, said the last time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    pub at: Timestamp,
    pub service: Arc<Service>,
}

/// What is known of a service from before, beside the question that worked then.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Of its TLS: whether a second look is due.
    pub earlier: Option<Earlier>,
    /// What it said the last time, where that is enough for what need not be asked every time; none asks everything.
    pub sighting: Option<Sighting>,
    /// The name it is asked under was learnt from the network: see [`identify_learnt`].
    pub is_learnt: bool,
}

/// Asks an endpoint that is known who it is, as [`identify`](super::identify) does: what would leave a line in its log each time is asked
/// once a day.
pub async fn identify_again(dialer: &Dialer, endpoint: Endpoint, ask: Ask<'_>, before: Before) -> Conversation {
    if endpoint.transport == Transport::Udp {
        return datagram::ask_again(dialer, endpoint, ask, before.is_learnt).await;
    }
    let mut interview = Interview::new(dialer, endpoint, ask);
    (interview.earlier, interview.is_learnt) = (before.earlier, before.is_learnt);
    interview.sighting = before.sighting;
    interview.hold().await
}

/// As [`identify`](super::identify), where more is known of its TLS than that it spoke it: the second look is taken where it is due.
pub async fn identify_known(
    dialer: &Dialer,
    endpoint: Endpoint,
    ask: Ask<'_>,
    earlier: Option<Earlier>,
) -> Conversation {
    identify_again(dialer, endpoint, ask, Before { earlier, ..Before::default() }).await
}

/// As [`identify_known`], under a name that was learnt from the network: it gives no leave, so the address must be in scope without it.
pub async fn identify_learnt(
    dialer: &Dialer,
    endpoint: Endpoint,
    ask: Ask<'_>,
    earlier: Option<Earlier>,
) -> Conversation {
    identify_again(dialer, endpoint, ask, Before { earlier, is_learnt: true, ..Before::default() }).await
}

const DAY: i64 = 24 * 60 * 60;
/// The facts a question in the clear brings that is not asked every time.
const SOURCE: [&str; 1] = ["postgresql.source"];
const ICON: [&str; 1] = ["http.favicon.md5"];
/// What of a page tells that another application stands behind it.
const PAGE: [&str; 6] =
    ["http.status", "http.location", "http.powered_by", "http.auth", "http.generator", "http.aspnet"];

impl Sighting {
    /// What was said then, where it need not be asked again now. Days change at another time for each endpoint, so that not all
    /// are asked at once; a clock that was set back asks.
    pub(super) fn lately(&self, endpoint: Endpoint, now: Timestamp) -> Option<&Service> {
        let day = |at: Timestamp| (at.as_second() + offset(endpoint)).div_euclid(DAY);
        (day(self.at) == day(now)).then_some(&*self.service)
    }
}

/// Between 0 and a day, in seconds; the same after every restart.
fn offset(endpoint: Endpoint) -> i64 {
    let octets = match endpoint.ip {
        IpAddr::V4(ip) => u32::from_be_bytes(ip.octets()),
        IpAddr::V6(ip) => u32::try_from(ip.to_bits() & u128::from(u32::MAX)).unwrap_or_default(),
    };
    let spread = octets.wrapping_mul(2_654_435_761).wrapping_add(u32::from(endpoint.port).wrapping_mul(40_503));
    i64::from(spread) % DAY
}

/// Whether the little picture of a site may stay unasked. If so, what is known of it goes over to the new answer.
pub(super) fn keeps_icon(known: Option<&Service>, said: &mut Service) -> bool {
    let title = |service: &Service| service.facts.get("http.title").map(|title| identify::stable(title));
    let is_same = |known: &&Service| {
        known.name == said.name
            && known.banner == said.banner
            && title(known) == title(said)
            && PAGE.iter().all(|fact| known.facts.get(*fact) == said.facts.get(*fact))
    };
    let Some(known) = known.filter(is_same) else { return false };
    carry(&ICON, known, said);
    true
}

/// Whether `PostgreSQL` need not be asked for its source again: it writes a line `FATAL` for that. If so, what is known goes over.
pub(super) fn keeps_source(known: Option<&Service>, said: &mut Service) -> bool {
    let knows = |known: &&Service| known.name == said.name && SOURCE.iter().any(|fact| known.facts.contains_key(*fact));
    let Some(known) = known.filter(knows) else { return false };
    carry(&SOURCE, known, said);
    said.confidence = said.confidence.max(known.confidence);
    if said.product.is_none() {
        said.vendor.clone_from(&known.vendor);
        said.product.clone_from(&known.product);
        said.version.clone_from(&known.version);
        said.cpe.clone_from(&known.cpe);
    }
    true
}

fn carry(facts: &[&str], known: &Service, said: &mut Service) {
    for fact in facts {
        if let Some(value) = known.facts.get(*fact) {
            said.facts.entry((*fact).to_owned()).or_insert_with(|| value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_a_line_is_asked_once_a_day() {
        let endpoints = [Endpoint::tcp([10, 0, 0, 1].into(), 80), Endpoint::tcp([10, 0, 0, 2].into(), 443)];
        for endpoint in endpoints {
            let begun = Timestamp::from_second(1_800_000_000).unwrap();
            let mut sighting = Sighting { at: begun, service: Arc::new(Service::default()) };
            let mut asked = 0;
            for hour in 1..=240 {
                let now = Timestamp::from_second(begun.as_second() + hour * 3600).unwrap();
                asked += u32::from(sighting.lately(endpoint, now).is_none());
                sighting.at = now;
            }
            assert_eq!(asked, 10, "{endpoint}");
        }
        assert_ne!(offset(endpoints[0]), offset(endpoints[1]));
    }

    #[test]
    fn another_page_asks_for_the_picture_again() {
        let page = |facts: &[(&str, &str)]| Service {
            name: "http".into(),
            facts: facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Service::default()
        };
        let known = page(&[("http.status", "200"), ("http.title", "Zorb"), ("http.favicon.md5", "abc")]);
        for (facts, keeps) in [
            (&[("http.status", "200"), ("http.title", "Zorb")][..], true),
            (&[("http.status", "200"), ("http.title", "Other")][..], false),
            (&[("http.status", "302"), ("http.location", "/login")][..], false),
        ] {
            let mut said = page(facts);
            assert_eq!(keeps_icon(Some(&known), &mut said), keeps, "{facts:?}");
            assert_eq!(said.facts.contains_key("http.favicon.md5"), keeps);
        }
        assert!(!keeps_icon(None, &mut page(&[])));
    }
}
