//! SSH host keys on services: known, taking turns, replaced.
//!
//! A server has one key of each algorithm and shows one of them at a time, the first of those asked for, so only another key of the
//! same algorithm is a change, or one of an algorithm that is asked for later. In a service's first day (longer where conversations are rare: [`turns::learning`]) keys that take turns are a balancer's, and learnt; so another one counts as a change
//! only while the known one is absent (see [`crate::turns`]). Later a key never met before is news wherever it comes from,
//! and told as soon as it was shown in the passes the profile asks for, the known one in between or not: once, for then it
//! is known, and takes turns in silence.

use crate::{
    EndpointState, HostState, Identity, IdentityKey, Pending, PendingKey, ServiceState,
    apply::Plan,
    confirm, event,
    turns::{self, FORSAKEN},
};
use jiff::Timestamp;
use model::{ConfirmRule, Event, EventType, ServiceObservation, SshKey};
use std::{sync::Arc, time::Duration};

impl Plan<'_> {
    /// Compares the key of an answer, after the answer itself was taken in.
    pub(crate) fn judge_key(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        seen: &ServiceObservation,
        told: &mut Vec<Event>,
    ) {
        let Some(answer) = &seen.service else { return };
        let Some(shown) = &answer.ssh_key else { return };
        let Some(service) = state.service.as_ref().filter(|known| known.name.eq_ignore_ascii_case(&answer.name)) else {
            return;
        };
        let in_force = service.ssh_key.clone();
        if in_force.as_ref() == Some(shown) {
            let awaited = state.pending_key.as_ref().is_some_and(|pending| self.host.holds(&pending.key));
            if awaited {
                state.pending_key = None;
            }
            self.learn_turn(state, None, seen.at);
            return self.meet(&IdentityKey::Ssh(shown.clone()), seen.at);
        }
        let old = in_force
            .as_ref()
            .filter(|known| known.algorithm == shown.algorithm)
            .cloned()
            .or_else(|| self.host.latest_key(&shown.algorithm));
        // A server shows the first that it has of those asked for: one further behind means that the one before has gone.
        let old = old.or(in_force.filter(|known| shown.stands_behind(known)));
        match old {
            // A key of an algorithm not shown before, beside the others.
            None => self.meet(&IdentityKey::Ssh(shown.clone()), seen.at),
            Some(old) if self.host.holds(shown) => self.take_turns(state, &old, shown, seen.at),
            Some(old) => self.doubt_key(endpoint, state, &old, shown, seen.at, told),
        }
    }

    /// A known key that is not the one in force: one of a balancer's.
    fn take_turns(&mut self, state: &mut ServiceState, old: &SshKey, shown: &SshKey, at: Timestamp) {
        self.meet(&IdentityKey::Ssh(shown.clone()), at);
        if old == shown {
            return self.note_other_key(state, shown, at);
        }
        if state.pending_key.as_ref().is_some_and(|pending| !self.host.holds(&pending.key)) {
            self.learn_turn(state, Some(shown), at);
        }
        let mut pending = self.gather_key(state.pending_key.take(), shown, at);
        if pending.evidence.satisfies(&FORSAKEN) {
            take_over(state, shown);
            self.host.identities.retain(|held| held.key != IdentityKey::Ssh(old.clone()));
        } else {
            pending.evidence.schedule(&FORSAKEN, self.now);
            state.pending_key = Some(pending);
        }
    }

    /// Shown twice now, where one of another algorithm was: a sign of another machine while nobody has shown that one since.
    fn note_other_key(&mut self, state: &ServiceState, shown: &SshKey, at: Timestamp) {
        let in_force = state.service.as_ref().and_then(|service| service.ssh_key.as_ref());
        let Some(in_force) = in_force.filter(|known| known.algorithm != shown.algorithm) else { return };
        let held = |key: &SshKey| {
            let is_it = |held: &&Identity| matches!(&held.key, IdentityKey::Ssh(known) if known == key);
            self.host.identities.iter().find(is_it).map(|held| (held.since, held.last))
        };
        let Some(((since, _), (_, last))) = held(shown).zip(held(in_force)) else { return };
        let is_young = confirm::between(since, at) <= crate::replaced::TOGETHER;
        let told = self.host.turnover.as_ref().and_then(|signs| signs.told);
        if since < at && is_young && last < since && told.is_none_or(|told| told < since) {
            self.host.turnover.get_or_insert_default().other_key = Some(at);
        }
    }

    /// In a service's first day: what was in doubt takes turns with another key, so it is a balancer's.
    fn learn_turn(&mut self, state: &mut ServiceState, shown: Option<&SshKey>, at: Timestamp) {
        let is_other = |pending: &PendingKey| Some(&pending.key) != shown;
        if confirm::between(state.first_seen, at) < turns::learning(self.policy.identify)
            && let Some(pending) = state.pending_key.take_if(|pending| is_other(pending))
            && !self.host.holds(&pending.key)
        {
            self.meet(&IdentityKey::Ssh(pending.key), pending.evidence.last);
        }
    }

    fn doubt_key(
        &mut self,
        endpoint: &EndpointState,
        state: &mut ServiceState,
        old: &SshKey,
        shown: &SshKey,
        at: Timestamp,
        told: &mut Vec<Event>,
    ) {
        self.learn_turn(state, Some(shown), at);
        let mut pending = self.gather_key(state.pending_key.take(), shown, at);
        let profile = self.policy.confirm.service_changed;
        let rule = if confirm::between(state.first_seen, at) < turns::learning(self.policy.identify) {
            turns::rule_for(profile, self.policy.identify, state.first_seen, at)
        } else {
            ConfirmRule { at_least: Duration::ZERO, ..profile }
        };
        if !pending.evidence.satisfies(&rule) {
            pending.evidence.schedule(&rule, self.now);
            state.pending_key = Some(pending);
            return;
        }
        self.note_rekeyed(pending.evidence.since, at);
        let subject = (self.host.endpoint_at(endpoint), &state.name, shown);
        let mut event = Event::new(EventType::HostkeyChanged, self.now, &self.inventory.vantage, &subject);
        event::on_service(&mut event, endpoint, state);
        event.old = Some(displayed(old));
        event.new = Some(displayed(shown));
        let what = if old.algorithm == shown.algorithm {
            "another key of the same algorithm"
        } else {
            "a key of another algorithm, and none of the first any more"
        };
        event.reason = Some(format!("{what}, {}", pending.evidence.told()));
        event.evidence = event::gathered(&pending.evidence);
        told.push(event);
        state.changed_at = at;
        take_over(state, shown);
        self.meet(&IdentityKey::Ssh(shown.clone()), at);
    }

    /// One more handshake with that key; what gathered for another one is void.
    fn gather_key(&self, pending: Option<Box<PendingKey>>, shown: &SshKey, at: Timestamp) -> Box<PendingKey> {
        let text = event::printable(&format!("host key {}", displayed(shown)));
        match pending.filter(|pending| pending.key == *shown) {
            Some(mut pending) => {
                if pending.evidence.last_pass != self.slice.pass.id {
                    pending.evidence.add(at, &self.slice.pass, &text);
                }
                pending
            }
            None => Box::new(PendingKey {
                evidence: Pending::begin(at, &self.slice.pass, &text, self.now),
                key: shown.clone(),
            }),
        }
    }

    /// Its key changed, and no other algorithm's is still the old one: a sign of another machine.
    fn note_rekeyed(&mut self, since: Timestamp, at: Timestamp) {
        let young = |time: Timestamp| confirm::between(time, at) <= crate::replaced::TOGETHER;
        let keeps_one = self
            .host
            .identities
            .iter()
            .any(|held| matches!(held.key, IdentityKey::Ssh(_)) && held.last >= since && !young(held.since));
        if !keeps_one {
            self.host.turnover.get_or_insert_default().key = Some(at);
        }
    }
}

impl HostState {
    /// Whether a key is among those it is known to have.
    pub(crate) fn holds(&self, key: &SshKey) -> bool {
        self.identities.iter().any(|held| matches!(&held.key, IdentityKey::Ssh(known) if known == key))
    }

    fn latest_key(&self, algorithm: &str) -> Option<SshKey> {
        let keys = self.identities.iter().filter_map(|held| match &held.key {
            IdentityKey::Ssh(key) if key.algorithm == algorithm => Some((held.last, key)),
            _ => None,
        });
        keys.max().map(|(_, key)| key.clone())
    }
}

/// Makes it the one in force, if the one in force is of its algorithm or would have been shown before it.
fn take_over(state: &mut ServiceState, key: &SshKey) {
    if let Some(service) = &mut state.service
        && service.ssh_key.as_ref().is_some_and(|known| known.algorithm == key.algorithm || key.stands_behind(known))
    {
        Arc::make_mut(service).ssh_key = Some(key.clone());
    }
}

/// `SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDBs8IVYnIk0pr9Dew`, as `ssh-keygen -lf` shows it: base64 (RFC 4648 §4) unpadded.
pub(crate) fn fingerprint(key: &SshKey) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "SHA256:".to_owned();
    for chunk in key.sha256.0.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let digit = bits >> (18 - 6 * place) & 0x3f;
            text.extend(DIGITS.get(digit as usize).map(|&byte| char::from(byte)));
        }
    }
    text
}

/// With the algorithm as `ssh-keygen` names it: `SHA256:… (ED25519)`.
pub(crate) fn displayed(key: &SshKey) -> String {
    let algorithm = match key.algorithm.as_str() {
        "ssh-ed25519" => "ED25519",
        "ssh-rsa" => "RSA",
        "ssh-dss" => "DSA",
        "sk-ssh-ed25519@openssh.com" => "ED25519-SK",
        "sk-ecdsa-sha2-nistp256@openssh.com" => "ECDSA-SK",
        other if other.starts_with("ecdsa-sha2-") => "ECDSA",
        other => other,
    };
    event::printable(&format!("{} ({algorithm})", fingerprint(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        // SHA-256 of nothing.
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let key = |algorithm: &str| SshKey { algorithm: algorithm.into(), sha256: digest.parse().expect("a digest") };
        for (algorithm, shown) in
            [("ssh-ed25519", "ED25519"), ("ecdsa-sha2-nistp256", "ECDSA"), ("ssh-rsa", "RSA"), ("odd", "odd")]
        {
            let expect = format!("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU ({shown})");
            assert_eq!(displayed(&key(algorithm)), expect);
        }
    }
}
