//! What answers on an endpoint, and when another answer is a change.

use crate::{
    EndpointState, Pending, PendingService, ServiceState, TlsState, Turn,
    apply::Plan,
    certificate::Leaf,
    confirm, event, hidden, software, turns,
    version::{self, Direction},
};
use jiff::Timestamp;
use model::{
    AuditObservation, Event, EventType, Service, ServiceName, ServiceObservation, Severity, Sha256, Software,
    TlsObservation, TlsPosture,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The fact that a package's whole version is.
pub(crate) const REVISION: &str = "package.version";
/// A service first asked this long after its port opened is one newly asked for (a name was added): learnt.
const FIRST_LOOK: Duration = Duration::from_hours(24);

/// What of an answer counts as a change, side by side with what was known.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    service: Option<Arc<Service>>,
    tls: bool,
}

impl Plan<'_> {
    pub(crate) fn judge_service(
        &mut self,
        endpoint: &mut EndpointState,
        seen: &ServiceObservation,
        told: &mut Vec<Event>,
    ) {
        let mut state = match endpoint.services.iter().position(|state| state.name == seen.name) {
            Some(index) if seen.at <= endpoint.services[index].last_observed => return,
            Some(index) => endpoint.services.remove(index),
            None => {
                let news =
                    !endpoint.learnt && !seen.learnt && confirm::between(endpoint.changed_at, seen.at) <= FIRST_LOOK;
                let mut state = ServiceState {
                    name: seen.name.clone(),
                    learnt: seen.learnt,
                    service: None,
                    tls: None,
                    first_seen: seen.at,
                    last_seen: seen.at,
                    changed_at: seen.at,
                    last_observed: seen.at,
                    pending_service: None,
                    pending_certificate: None,
                    pending_key: None,
                    pending_trust: None,
                };
                self.fill(endpoint, &mut state, seen, news, told);
                self.judge_key(endpoint, &mut state, seen, told);
                return endpoint.put(state);
            }
        };
        state.last_seen = seen.at;
        state.last_observed = seen.at;
        state.learnt = seen.learnt;
        self.compare(endpoint, &mut state, seen, told);
        self.judge_key(endpoint, &mut state, seen, told);
        endpoint.put(state);
    }

    /// Takes an answer where nothing was known.
    fn fill(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        seen: &ServiceObservation,
        news: bool,
        told: &mut Vec<Event>,
    ) {
        state.service = seen.service.clone().map(Arc::new);
        state.pending_service = None;
        if news {
            self.note_product(state.service.as_deref());
        }
        if let Some(tls) = &seen.tls {
            let before = state.tls.take();
            state.tls = Some(Box::new(TlsState::first(tls)));
            match before {
                None => self.first_leaf(endpoint, state, tls, seen.at, news, told),
                Some(known) => {
                    state.tls = Some(known);
                    self.judge_leaf(endpoint, state, tls, seen.at, told);
                }
            }
        }
    }

    fn compare(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        seen: &ServiceObservation,
        told: &mut Vec<Event>,
    ) {
        let never_changed = state.changed_at == state.first_seen;
        let same_tls = state.tls.is_none() || seen.tls.is_some();
        if never_changed && same_tls && is_vague(state.service.as_deref()) && state.pending_service.is_none() {
            let vague = is_vague(seen.service.as_ref());
            // Who said something for long and says something else now is another; who said nothing may only not have been asked well.
            let is_another = state.service.as_ref().is_some_and(|known| known.banner.is_some())
                && confirm::between(state.first_seen, seen.at) > FIRST_LOOK;
            if (!vague && !is_another) || (state.tls.is_none() && state.service.is_none()) {
                return self.fill(endpoint, state, seen, !endpoint.learnt, told);
            }
        }
        let both_tls = state.tls.is_some() && seen.tls.is_some();
        if let Some(known) = &state.service
            && hidden::says_nothing(known, seen.service.as_ref(), both_tls)
            && let Some(known) = hidden::unseen(known, seen.at)
        {
            state.service = Some(known);
            // What is in doubt is asked for again, but not at once.
            if let Some(pending) = state.pending_service.as_mut().filter(|pending| pending.is_doubt()) {
                pending.evidence.due = pending.evidence.due.max(confirm::after(self.now, hidden::AGAIN));
            }
            if let Some(tls) = seen.tls.as_ref().filter(|_| both_tls) {
                self.judge_leaf(endpoint, state, tls, seen.at, told);
            }
            return;
        }
        let answer = Answer { service: merged(state.service.as_ref(), seen.service.as_ref()), tls: seen.tls.is_some() };
        let known = Answer { service: state.service.clone(), tls: state.tls.is_some() };
        let pending = state.pending_service.take();
        if answer.says_the_same_as(&known) {
            state.service = match (answer.service, &seen.service) {
                (Some(merged), Some(said)) => Some(hidden::settle(known.service.as_ref(), said, merged, seen.at)),
                (merged, _) => merged,
            };
            state.pending_service = pending.and_then(|mut pending| {
                pending.join();
                pending.clear();
                pending.meet(None, seen.at);
                (!pending.turns.is_empty()).then_some(pending)
            });
        } else {
            let empty = || PendingService::empty(Pending::begin(seen.at, &self.slice.pass, "", self.now));
            let (mut pending, is_stranger) = self.gather_answer(pending.unwrap_or_else(empty), answer, seen);
            // Who only takes its turn is believed to have taken over when the one in force was not met for long.
            let rule = if is_stranger {
                turns::rule_for(self.policy.confirm.service_changed, self.policy.identify, state.changed_at, seen.at)
            } else {
                turns::FORSAKEN
            };
            if pending.evidence.last == seen.at && pending.evidence.satisfies(&rule) {
                return self.change(endpoint, state, &pending, seen, told);
            }
            pending.evidence.schedule(&rule, self.now);
            state.pending_service = Some(pending);
        }
        // While TLS itself is in doubt there is no leaf to compare.
        if let Some(tls) = seen.tls.as_ref().filter(|_| state.tls.is_some()) {
            self.judge_leaf(endpoint, state, tls, seen.at, told);
        }
    }

    /// One more conversation without the answer in force. Tells whether what was answered is a stranger to it.
    fn gather_answer(
        &self,
        mut pending: Box<PendingService>,
        answer: Answer,
        seen: &ServiceObservation,
    ) -> (Box<PendingService>, bool) {
        let member = pending.turns.iter().find_map(|turn| {
            let again =
                Answer { service: merged(turn.service.as_ref(), seen.service.as_ref()), tls: seen.tls.is_some() };
            again.says_the_same_as(&Answer::of_turn(turn)).then_some(again)
        });
        let (is_stranger, answer) = (member.is_none(), member.unwrap_or(answer));
        let (in_doubt, suspect) = (pending.is_doubt(), Answer::of(&pending));
        let says_less = is_vague(answer.service.as_deref()) && !is_vague(suspect.service.as_deref());
        if is_stranger && in_doubt && says_less {
            // A conversation that got less far speaks neither for the suspect nor against it.
            return (pending, true);
        }
        pending.meet((!is_stranger).then_some(&answer), seen.at);
        let goes_on = if is_stranger { in_doubt && answer.says_the_same_as(&suspect) } else { !in_doubt };
        if !goes_on || pending.evidence.count == 0 {
            if is_vague(suspect.service.as_deref()) && is_stranger {
                pending.clear();
            }
            pending.join();
            pending.evidence = Pending { count: 0, ..Pending::begin(seen.at, &self.slice.pass, "", self.now) };
        }
        let text = format!("identified as {}", describe(answer.service.as_deref(), answer.tls));
        if pending.evidence.count == 0 || pending.evidence.last_pass != self.slice.pass.id {
            pending.evidence.add(seen.at, &self.slice.pass, &event::printable(&text));
        }
        pending.service = answer.service;
        pending.tls = answer.tls;
        (pending, is_stranger)
    }

    /// Takes a confirmed change over and tells it.
    fn change(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        pending: &PendingService,
        seen: &ServiceObservation,
        told: &mut Vec<Event>,
    ) {
        let old = Answer { service: state.service.take(), tls: state.tls.is_some() };
        let new = Answer::of(pending);
        // A stranger that is believed stands alone; one of those that took turns leaves the others in place.
        let mut rest = PendingService::empty(pending.evidence.clone());
        rest.turns.clone_from(&pending.turns);
        rest.turns.retain(|turn| !pending.is_doubt() && !Answer::of_turn(turn).says_the_same_as(&new));
        state.pending_service = (!rest.turns.is_empty()).then_some(rest);
        let before = state.changed_at;
        state.changed_at = seen.at;
        state.service.clone_from(&new.service);
        if new.tls != old.tls {
            if let Some(gone) = state.tls.take() {
                self.withdraw(self.host.endpoint_at(endpoint), state.name.as_ref(), &gone);
            }
            state.pending_certificate = None;
            state.tls = seen.tls.as_ref().map(TlsState::first).map(Box::new);
        }
        self.note_product(state.service.as_deref());
        // The same change under another name of the same endpoint was told already.
        let echoed = endpoint.services.iter().any(|other| {
            other.changed_at > before
                && other.changed_at > other.first_seen
                && Answer { service: other.service.clone(), tls: other.tls.is_some() }.says_the_same_as(&new)
        });
        if !echoed {
            told.extend(self.changed_event(endpoint, state, &old, &new, &pending.evidence));
            told.extend(self.updated_behind(endpoint, state, &old, &new, &pending.evidence));
        }
        if let Some(tls) = &seen.tls {
            if old.tls {
                self.judge_leaf(endpoint, state, tls, seen.at, told);
            } else {
                self.first_leaf(endpoint, state, tls, seen.at, true, told);
            }
        }
    }

    /// `PORT_CHANGED` or `SOFTWARE_UPDATED`, never both; none where only a product came to light.
    fn changed_event(
        &self,
        endpoint: &EndpointState,
        state: &ServiceState,
        old: &Answer,
        new: &Answer,
        evidence: &Pending,
    ) -> Option<Event> {
        let subject = (self.slice.ip, endpoint.transport, endpoint.port, &state.name);
        let (old_product, new_product) = (old.product(), new.product());
        let mut event = if old.name() != new.name()
            || old.tls != new.tls
            || (old_product.is_some() && old_product != new_product)
        {
            let mut event = Event::new(EventType::PortChanged, self.now, &self.inventory.vantage, &subject);
            let mut kinds = Vec::new();
            if old.name() != new.name() {
                kinds.push("service");
            }
            if old_product.is_some() && old_product != new_product {
                kinds.push("product");
            }
            if old.tls != new.tls {
                kinds.push(if new.tls { "TLS on" } else { "TLS off" });
            }
            event.old = Some(describe(old.service.as_deref(), old.tls));
            event.new = Some(describe(new.service.as_deref(), new.tls));
            event.reason = Some(format!("{} changed, seen {}", kinds.join(", "), times(evidence.count)));
            event
        } else if let Some((from, to)) = old_product.is_some().then(|| old.moved_on(new)).flatten() {
            let mut event = Event::new(EventType::SoftwareUpdated, self.now, &self.inventory.vantage, &subject);
            let direction = version::direction(from, to);
            if direction == Direction::Downgrade {
                event.severity = Severity::MEDIUM;
            }
            event.old = old.shown(new);
            event.new = new.shown(old);
            event.software = new.service.as_deref().and_then(Service::software);
            event.reason = Some(format!("{}, seen {}", direction.as_str(), times(evidence.count)));
            event
        } else {
            return None;
        };
        event::on_service(&mut event, endpoint, state);
        event.evidence = event::gathered(evidence);
        event.evidence.extend(event::banner(state.last_seen, new.service.as_deref()));
        Some(event)
    }

    /// `SOFTWARE_UPDATED` for each product behind the one that answers that shows in another version.
    fn updated_behind(
        &self,
        endpoint: &EndpointState,
        state: &ServiceState,
        old: &Answer,
        new: &Answer,
        evidence: &Pending,
    ) -> Vec<Event> {
        let (before, after) = (old.behind(), new.behind());
        let pairs = before.iter().filter_map(|known| {
            let key = software::product_key(&known.product);
            let now = after.iter().find(|now| software::product_key(&now.product) == key)?;
            (known.version.is_some() && now.version.is_some() && known.version != now.version).then_some((known, now))
        });
        let told = pairs.map(|(known, now)| {
            let subject = (self.slice.ip, endpoint.transport, endpoint.port, &state.name, &now.product);
            let mut event = Event::new(EventType::SoftwareUpdated, self.now, &self.inventory.vantage, &subject);
            let [from, to] = [known, now].map(|software| software.version.as_deref().unwrap_or_default());
            let direction = version::direction(from, to);
            if direction == Direction::Downgrade {
                event.severity = Severity::MEDIUM;
            }
            (event.old, event.new) = (Some(software::shown(known)), Some(software::shown(now)));
            event.software = Some(now.clone());
            event.reason = Some(format!("{}, seen {}", direction.as_str(), times(evidence.count)));
            event::on_service(&mut event, endpoint, state);
            event.evidence = event::gathered(evidence);
            event
        });
        told.collect()
    }

    fn note_product(&mut self, service: Option<&Service>) {
        let software = service.into_iter().flat_map(Service::all_software);
        self.news.extend(software.map(|software| software::product_key(&software.product)));
    }

    fn first_leaf(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        tls: &TlsObservation,
        at: Timestamp,
        news: bool,
        told: &mut Vec<Event>,
    ) {
        if let Some(leaf) = Leaf::of(tls, at) {
            self.adopt_leaf(endpoint, state, leaf, news, told);
        }
    }

    fn judge_leaf(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        tls: &TlsObservation,
        at: Timestamp,
        told: &mut Vec<Event>,
    ) {
        if let Some(known) = &mut state.tls {
            known.version.clone_from(&tls.version);
            known.cipher.clone_from(&tls.cipher);
            known.alpn.clone_from(&tls.alpn);
            if let Some(posture) = &tls.posture {
                known.posture.get_or_insert_default().learn(posture);
            }
        }
        if let Some(leaf) = Leaf::of(tls, at) {
            self.compare_leaf(endpoint, state, leaf, told);
        }
    }

    /// Takes an audit of a service that is known to speak TLS.
    pub(crate) fn take_audit(&self, endpoint: &mut EndpointState, seen: &AuditObservation, told: &mut Vec<Event>) {
        let known = |state: &ServiceState| state.name == seen.name && state.tls.is_some();
        let Some(index) = endpoint.services.iter().position(known) else { return };
        let mut state = endpoint.services.remove(index);
        if let Some(tls) = &mut state.tls {
            let posture = tls.posture.get_or_insert_default();
            if posture.audited.is_none_or(|before| before < seen.at) {
                posture.learn(&TlsPosture { audited: Some(seen.at), ..TlsPosture::clone(&seen.posture) });
                self.judge_audit(endpoint, &mut state, &seen.weaknesses, seen.at, told);
            }
        }
        endpoint.put(state);
    }

    /// Lets go, in silence, of the names that an endpoint's own certificate told once and tells no more.
    pub(crate) fn forget_learnt(&mut self, endpoint: &mut EndpointState) {
        if !endpoint.services.iter().any(|service| service.learnt) {
            return;
        }
        let bare = endpoint.services.iter().find(|service| service.name.is_none());
        let told: Option<BTreeSet<ServiceName>> = match bare.and_then(|bare| bare.tls.as_deref()) {
            // A certificate that could not be had, or read, takes nothing back.
            Some(tls) if tls.certificate.is_none() => None,
            Some(tls) => Some(tls.certificates().iter().flat_map(|sha256| self.names_on(sha256)).collect()),
            None => Some(BTreeSet::new()),
        };
        let Some(mut told) = told else { return };
        // A name that the host goes by otherwise is no worse.
        told.extend(self.host.all_names().iter().filter_map(|name| name.parse::<ServiceName>().ok()));
        let is_gone = |service: &mut ServiceState| {
            service.learnt && service.name.as_ref().is_none_or(|name| !told.contains(name))
        };
        for gone in endpoint.services.extract_if(.., is_gone).collect::<Vec<_>>() {
            self.withdraw_all(self.host.endpoint_at(endpoint), &gone);
            let software = gone.service.iter().flat_map(|service| service.all_software());
            self.unasked.products.extend(software.map(|software| software::product_key(&software.product)));
            self.unasked.places.insert((self.host.endpoint_at(endpoint), gone.name));
        }
    }

    fn names_on(&self, sha256: &Sha256) -> Vec<ServiceName> {
        let known = self.certificates.get(sha256).or_else(|| self.inventory.certificates.get(sha256));
        let sans = known.into_iter().flat_map(|state| &state.certificate.sans);
        sans.filter_map(|name| name.parse().ok()).collect()
    }
}

impl EndpointState {
    /// Puts a service back in its place: the bare address first, names ascending.
    fn put(&mut self, state: ServiceState) {
        let index = self.services.partition_point(|other| other.name < state.name);
        self.services.insert(index, state);
    }
}

impl Answer {
    pub(crate) fn of(pending: &PendingService) -> Self {
        Self { service: pending.service.clone(), tls: pending.tls }
    }

    pub(crate) fn of_turn(turn: &Turn) -> Self {
        Self { service: turn.service.clone(), tls: turn.tls }
    }

    fn name(&self) -> Option<String> {
        self.service.as_ref().map(|service| service.name.to_lowercase())
    }

    fn product(&self) -> Option<String> {
        self.service.as_ref()?.product.as_deref().map(software::product_key)
    }

    fn version(&self) -> Option<&str> {
        self.service.as_ref()?.version.as_deref()
    }

    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        self.tls == other.tls
            && self.name() == other.name()
            && self.product() == other.product()
            && self.version() == other.version()
            && !self.has_another_revision_than(other)
            && shows_the_same(self.behind(), other.behind())
    }

    /// The package's whole version, with the distribution's revision.
    fn revision(&self) -> Option<&str> {
        self.service.as_ref()?.facts.get(REVISION).map(String::as_str)
    }

    fn has_another_revision_than(&self, other: &Self) -> bool {
        self.revision().zip(other.revision()).is_some_and(|(one, other)| one != other)
    }

    /// From which version to which, where both are known: upstream's, or else the distribution's of the same one.
    fn moved_on<'a>(&'a self, new: &'a Self) -> Option<(&'a str, &'a str)> {
        let (from, to) = self.version().zip(new.version())?;
        if from != to {
            return Some((from, to));
        }
        self.revision().zip(new.revision()).filter(|(from, to)| from != to)
    }

    /// The software, with the package's version where nothing else tells it from the other.
    fn shown(&self, other: &Self) -> Option<String> {
        let shown = software::shown(&self.service.as_deref()?.software()?);
        let revision = self.revision().filter(|_| self.version() == other.version());
        Some(revision.map_or(shown.clone(), |revision| format!("{shown} (package {revision})")))
    }

    fn behind(&self) -> &[Software] {
        self.service.as_deref().map_or(&[], |service| &service.behind)
    }
}

impl TlsState {
    /// Without its certificate, which is judged apart.
    fn first(seen: &TlsObservation) -> Self {
        Self {
            version: seen.version.clone(),
            cipher: seen.cipher.clone(),
            alpn: seen.alpn.clone(),
            certificate: None,
            alternates: BTreeMap::new(),
            verdicts: seen.verdicts.clone(),
            chain: Vec::new(),
            path: None,
            posture: seen.posture.clone(),
            weaknesses: BTreeMap::new(),
            suspected: BTreeMap::new(),
        }
    }
}

/// The same products in the same versions, whatever else is known of them.
fn shows_the_same(one: &[Software], other: &[Software]) -> bool {
    let words = |software: &Software| (software::product_key(&software.product), software.version.clone());
    one.len() == other.len() && one.iter().map(words).collect::<BTreeSet<_>>() == other.iter().map(words).collect()
}

/// Says nothing of what speaks there.
pub(crate) fn is_vague(service: Option<&Service>) -> bool {
    service.is_none_or(|service| matches!(service.name.as_str(), "tls" | "unknown" | ""))
}

/// The new answer, with what the old one knew and the new one only leaves out: a server that stops naming its product, or
/// a conversation that got less far, takes nothing away. What comes to the same as before stays the same piece of memory.
fn merged(old: Option<&Arc<Service>>, new: Option<&Service>) -> Option<Arc<Service>> {
    let mut service = new?.clone();
    let Some(old) = old.filter(|old| old.name.eq_ignore_ascii_case(&service.name)) else {
        return Some(Arc::new(service));
    };
    let product = |service: &Service| service.product.as_deref().map(software::product_key);
    if service.product.is_none() && old.product.is_some() {
        service.vendor.clone_from(&old.vendor);
        service.product.clone_from(&old.product);
        service.version.clone_from(&old.version);
        service.cpe.clone_from(&old.cpe);
        service.confidence = old.confidence;
    } else if service.version.is_none() && product(&service) == product(old) {
        service.version.clone_from(&old.version);
        service.cpe.clone_from(&old.cpe);
    }
    // What another product, or another version of it, runs on is for that one to say.
    if service.version == old.version && product(&service) == product(old) {
        if let Some(revision) = old.facts.get(REVISION) {
            service.facts.entry(REVISION.to_owned()).or_insert_with(|| revision.clone());
        }
        service.os = service.os.or_else(|| old.os.clone());
    }
    keep_behind(&mut service, old);
    // Another key than the known one is judged apart.
    service.ssh_key = old.ssh_key.clone().or(service.ssh_key);
    Some(if service == **old { old.clone() } else { Arc::new(service) })
}

/// What stands behind a server shows on the same page or not at all; on the page of an error it does not, however often that comes,
/// and is there all the same.
pub(crate) fn keep_behind(service: &mut Service, old: &Service) {
    let status = |service: &Service| service.facts.get("http.status").cloned();
    let is_broken = status(service).is_some_and(|status| status.starts_with('5'));
    let is_same_page = status(service) == status(old);
    service.behind = service.behind.iter().map(|now| keeps_version(now, &old.behind)).collect();
    if is_broken || !is_same_page {
        for software in &old.behind {
            service.note_behind(software.clone());
        }
    }
}

/// A product that shows without its version now has the one it showed before.
fn keeps_version(now: &Software, before: &[Software]) -> Software {
    let is_it = |known: &&Software| software::product_key(&known.product) == software::product_key(&now.product);
    let known = before.iter().find(is_it).filter(|_| now.version.is_none());
    known.unwrap_or(now).clone()
}

/// `http (nginx 1.22.1) over TLS`, `unknown`.
fn describe(service: Option<&Service>, tls: bool) -> String {
    let name = service.map_or("unknown", |service| &service.name);
    let product = service.and_then(Service::software).map(|software| format!(" ({})", software::shown(&software)));
    format!("{name}{}{}", product.unwrap_or_default(), if tls { " over TLS" } else { "" })
}

fn times(count: u16) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}
