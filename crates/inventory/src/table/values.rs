//! The values hosts share: what servers say, what the configuration says of them, keys, TLS parameters.

use super::moment::Moment;
use super::pool::{Id, NONE, Pool};
use crate::{Approval, PathState, Suspicion, TlsState};
use jiff::Timestamp;
use model::{Os, Service, Sha256, SshKey, Staple, TlsPosture, Verdict, Weakness};
use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// What the configuration said of a host last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Words {
    pub(super) assets: Arc<[Arc<str>]>,
    pub(super) tags: Arc<[Arc<str>]>,
    pub(super) value: u8,
}

#[derive(Debug, Clone, PartialEq)]
struct Key {
    algorithm: Id,
    sha256: [u8; 32],
}

/// Without alternates.
#[derive(Debug, Clone, PartialEq)]
struct Tls {
    version: Id,
    cipher: Id,
    alpn: Id,
    certificate: Option<Sha256>,
    /// Four bits each, the first in the lowest: one more than its place in [`Verdict::ALL`].
    verdicts: u64,
    rest: Id,
    posture: Id,
    /// Of the posture, which without its times and what is stapled is the same on many.
    staple: Id,
    looked_at: Option<Moment>,
    audited: Option<Moment>,
}

/// What of it is often the same although the leaf differs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Rest {
    chain: Vec<Sha256>,
    path: Option<Box<PathState>>,
    weaknesses: BTreeMap<Weakness, u8>,
    suspected: BTreeMap<Weakness, Suspicion>,
}

/// A posture in parts.
#[derive(Debug, Clone, Copy)]
struct Looked {
    posture: Id,
    staple: Id,
    at: Option<Moment>,
    audited: Option<Moment>,
}

/// Every method that interns adds a user and gives none where the value does not fit; every `release` takes one away.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    text: Pool<Box<str>>,
    services: Pool<Arc<Service>>,
    systems: Pool<Os>,
    words: Pool<Words>,
    tls: Pool<Tls>,
    rests: Pool<Rest>,
    postures: Pool<TlsPosture>,
    staples: Pool<Staple>,
    keys: Pool<Key>,
    approvals: Pool<Approval>,
    hasher: RandomState,
}

impl Values {
    pub(super) fn text(&mut self, text: &str) -> Option<Id> {
        let digest = self.hasher.hash_one(text);
        self.text.intern(digest, |known| **known == *text, || text.into())
    }

    pub(super) fn text_of(&self, id: Id) -> &str {
        self.text.get(id).map_or("", |text| text)
    }

    pub(super) fn release_text(&mut self, id: Id) {
        self.text.release(id);
    }

    /// As it is, key included.
    pub(super) fn service(&mut self, service: &Arc<Service>) -> Option<Id> {
        let digest = self.hasher.hash_one((digest_of(service), &service.ssh_key));
        self.services.intern(digest, |known| known == service, || service.clone())
    }

    /// Without its key, which is each machine's own while the rest is the same on many; the key has a number of its own.
    pub(super) fn service_and_key(&mut self, service: &Arc<Service>) -> Option<(Id, Id)> {
        let Some(key) = &service.ssh_key else { return Some((self.service(service)?, NONE)) };
        let key = self.key(key)?;
        let digest = self.hasher.hash_one((digest_of(service), None::<&SshKey>));
        let keyless = || Service { ssh_key: None, ..Service::clone(service) };
        let is = |known: &Arc<Service>| known.ssh_key.is_none() && same_but_key(known, service);
        let Some(id) = self.services.intern(digest, is, || Arc::new(keyless())) else {
            self.release_key(key);
            return None;
        };
        Some((id, key))
    }

    pub(super) fn service_of(&self, service: Id, key: Id) -> Option<Arc<Service>> {
        let service = self.services.get(service)?;
        if key == NONE {
            return Some(service.clone());
        }
        Some(Arc::new(Service { ssh_key: self.key_of(key), ..Service::clone(service) }))
    }

    pub(super) fn release_service(&mut self, id: Id) {
        self.services.release(id);
    }

    pub(super) fn key(&mut self, key: &SshKey) -> Option<Id> {
        let algorithm = self.text(&key.algorithm)?;
        let digest = self.hasher.hash_one((algorithm, key.sha256));
        let sha256 = key.sha256.0;
        let is = |known: &Key| known.algorithm == algorithm && known.sha256 == sha256;
        let mut made = false;
        let id = self.keys.intern(digest, is, || {
            made = true;
            Key { algorithm, sha256 }
        });
        // The pool's own copy holds one user of each text in it.
        if !made {
            self.release_text(algorithm);
        }
        id
    }

    pub(super) fn key_of(&self, id: Id) -> Option<SshKey> {
        let key = self.keys.get(id)?;
        Some(SshKey { algorithm: self.text_of(key.algorithm).to_owned(), sha256: Sha256(key.sha256) })
    }

    pub(super) fn release_key(&mut self, id: Id) {
        if let Some(key) = self.keys.release(id) {
            self.release_text(key.algorithm);
        }
    }

    pub(super) fn system(&mut self, os: &Os) -> Option<Id> {
        let digest = self.hasher.hash_one(digest_of_system(os));
        self.systems.intern(digest, |known| known == os, || os.clone())
    }

    pub(super) fn system_of(&self, id: Id) -> Option<Os> {
        self.systems.get(id).cloned()
    }

    pub(super) fn release_system(&mut self, id: Id) {
        self.systems.release(id);
    }

    pub(super) fn words(&mut self, assets: &Arc<[Arc<str>]>, tags: &Arc<[Arc<str>]>, value: u8) -> Option<Id> {
        let digest = self.hasher.hash_one((assets, tags, value));
        let is = |known: &Words| known.value == value && known.assets == *assets && known.tags == *tags;
        self.words.intern(digest, is, || Words { assets: assets.clone(), tags: tags.clone(), value })
    }

    pub(super) fn words_of(&self, id: Id) -> Option<&Words> {
        self.words.get(id)
    }

    pub(super) fn release_words(&mut self, id: Id) {
        self.words.release(id);
    }

    pub(super) fn approval(&mut self, approval: &Approval) -> Option<Id> {
        let digest = self.hasher.hash_one((approval.at, &approval.by));
        self.approvals.intern(digest, |known| known == approval, || approval.clone())
    }

    pub(super) fn approval_of(&self, id: Id) -> Option<Approval> {
        self.approvals.get(id).cloned()
    }

    pub(super) fn release_approval(&mut self, id: Id) {
        self.approvals.release(id);
    }

    /// None also where it has alternates, or more verdicts than fit.
    pub(super) fn tls(&mut self, state: &TlsState) -> Option<Id> {
        if !state.alternates.is_empty() {
            return None;
        }
        let verdicts = pack_verdicts(&state.verdicts)?;
        let version = self.text(&state.version);
        let cipher = self.text(&state.cipher);
        let alpn = state.alpn.as_deref().map_or(Some(NONE), |alpn| self.text(alpn));
        let rest = self.rest(state);
        let looked = self.looked(state.posture.as_deref());
        let (Some(version), Some(cipher), Some(alpn), Some(rest), Some(looked)) = (version, cipher, alpn, rest, looked)
        else {
            for id in [version, cipher, alpn].into_iter().flatten() {
                self.release_text(id);
            }
            self.rests.release(rest.unwrap_or(NONE));
            self.postures.release(looked.map_or(NONE, |looked| looked.posture));
            self.staples.release(looked.map_or(NONE, |looked| looked.staple));
            return None;
        };
        let Looked { posture, staple, at: looked_at, audited } = looked;
        let certificate = state.certificate;
        let tls = Tls { version, cipher, alpn, certificate, verdicts, rest, posture, staple, looked_at, audited };
        let digest = self.hasher.hash_one((version, cipher, alpn, certificate, verdicts, rest, posture, staple));
        let mut made = false;
        let id = self.tls.intern(
            digest,
            |known| *known == tls,
            || {
                made = true;
                tls.clone()
            },
        );
        if !made {
            self.release_parts_of(&tls);
        }
        id
    }

    fn rest(&mut self, state: &TlsState) -> Option<Id> {
        let TlsState { chain, path, weaknesses, suspected, .. } = state;
        let rest = Rest {
            chain: chain.clone(),
            path: path.clone(),
            weaknesses: weaknesses.clone(),
            suspected: suspected.clone(),
        };
        if rest == Rest::default() {
            return Some(NONE);
        }
        let digest = self.hasher.hash_one(&rest);
        self.rests.intern(digest, |known| *known == rest, || rest.clone())
    }

    /// None where one of its times does not fit; then nothing of it is among the values.
    fn looked(&mut self, posture: Option<&TlsPosture>) -> Option<Looked> {
        let Some(posture) = posture else {
            return Some(Looked { posture: NONE, staple: NONE, at: None, audited: None });
        };
        let (mut posture, moment) =
            (posture.clone(), |at: Option<Timestamp>| at.map_or(Some(None), |at| Moment::new(at).map(Some)));
        let (at, audited) = (moment(posture.at.take())?, moment(posture.audited.take())?);
        let staple = match posture.staple.take() {
            Some(staple) => {
                let digest = self.hasher.hash_one(&staple);
                self.staples.intern(digest, |known| *known == staple, || staple.clone())?
            }
            None => NONE,
        };
        let digest = self.hasher.hash_one(&posture);
        let Some(posture) = self.postures.intern(digest, |known| *known == posture, || posture.clone()) else {
            self.staples.release(staple);
            return None;
        };
        Some(Looked { posture, staple, at, audited })
    }

    pub(super) fn tls_of(&self, id: Id) -> Option<TlsState> {
        let tls = self.tls.get(id)?;
        let Rest { chain, path, weaknesses, suspected } = self.rests.get(tls.rest).cloned().unwrap_or_default();
        let posture = self.postures.get(tls.posture).map(|posture| {
            Box::new(TlsPosture {
                at: tls.looked_at.map(Moment::time),
                audited: tls.audited.map(Moment::time),
                staple: self.staples.get(tls.staple).cloned(),
                ..posture.clone()
            })
        });
        Some(TlsState {
            version: self.text_of(tls.version).to_owned(),
            cipher: self.text_of(tls.cipher).to_owned(),
            alpn: (tls.alpn != NONE).then(|| self.text_of(tls.alpn).to_owned()),
            certificate: tls.certificate,
            alternates: BTreeMap::new(),
            verdicts: unpack_verdicts(tls.verdicts),
            chain,
            path,
            posture,
            weaknesses,
            suspected,
        })
    }

    pub(super) fn release_tls(&mut self, id: Id) {
        if let Some(tls) = self.tls.release(id) {
            self.release_parts_of(&tls);
        }
    }

    fn release_parts_of(&mut self, tls: &Tls) {
        self.rests.release(tls.rest);
        self.postures.release(tls.posture);
        self.staples.release(tls.staple);
        for id in [tls.version, tls.cipher, tls.alpn] {
            self.release_text(id);
        }
    }

    /// How many different values of all kinds are in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.text.len()
            + self.services.len()
            + self.systems.len()
            + self.words.len()
            + self.tls.len()
            + self.rests.len()
            + self.postures.len()
            + self.staples.len()
            + self.keys.len()
            + self.approvals.len()
    }
}

/// What two equal services have in common, without their keys.
fn digest_of(service: &Service) -> impl std::hash::Hash + '_ {
    let Service { name, vendor, product, version, cpe, confidence: _, banner, facts, os, behind, ssh_key: _ } = service;
    (name, vendor, product, version, cpe, banner, facts, os.as_ref().map(digest_of_system), behind)
}

fn digest_of_system(os: &Os) -> impl std::hash::Hash + '_ {
    let Os { family, product, version, confidence: _ } = os;
    (family, product, version)
}

fn same_but_key(one: &Service, other: &Service) -> bool {
    let Service { name, vendor, product, version, cpe, confidence, banner, facts, os, behind, ssh_key: _ } = one;
    *name == other.name
        && *vendor == other.vendor
        && *product == other.product
        && *version == other.version
        && *cpe == other.cpe
        && confidence.total_cmp(&other.confidence).is_eq()
        && *banner == other.banner
        && *facts == other.facts
        && *os == other.os
        && *behind == other.behind
}

fn pack_verdicts(verdicts: &[Verdict]) -> Option<u64> {
    if verdicts.len() > 16 {
        return None;
    }
    verdicts.iter().rev().try_fold(0_u64, |packed, verdict| {
        let place = Verdict::ALL.iter().position(|known| known == verdict)?;
        Some(packed << 4 | (u64::try_from(place).ok()? + 1))
    })
}

fn unpack_verdicts(mut packed: u64) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    while packed != 0 {
        let place = usize::try_from(packed & 0xf).unwrap_or_default();
        verdicts.extend(place.checked_sub(1).and_then(|place| Verdict::ALL.get(place)));
        packed >>= 4;
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_service_to_service_is_small() {
        assert_eq!(size_of::<Tls>(), 104);
    }
}
