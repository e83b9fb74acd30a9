//! What is wrong with a chain as it was served, each reason by itself.

use crate::{Roots, certificate::Details};
use jiff::Timestamp;
use model::Verdict;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::{collections::BTreeSet, time::Duration};
use webpki::{EndEntityCert, KeyUsage};

#[cfg(test)]
mod tests;

/// More presented certificates than this are not looked at.
const MAX_CHAIN: usize = 16;

/// Judges a chain (DER, leaf first) at `now`. `name` is the name it was asked under; without one no name can be wrong.
/// Sorted, without repetition; empty when it verifies.
///
/// Trust is asked at a moment when the leaf is valid, so that an expired certificate of a trusted authority is called
/// expired and nothing else.
pub fn judge(chain: &[Vec<u8>], roots: &Roots, name: Option<&str>, now: Timestamp) -> Vec<Verdict> {
    let chain = chain.get(..MAX_CHAIN).unwrap_or(chain);
    let Some((leaf_der, rest)) = chain.split_first() else { return Vec::new() };
    let Ok(leaf) = Details::read(leaf_der) else { return vec![Verdict::Malformed] };
    let presented: Vec<Details<'_>> = rest.iter().filter_map(|der| Details::read(der).ok()).collect();
    let mut verdicts = BTreeSet::new();
    let (not_before, not_after) = (leaf.certificate.not_before, leaf.certificate.not_after);
    if now > not_after {
        verdicts.insert(Verdict::Expired);
    } else if now < not_before {
        verdicts.insert(Verdict::NotYetValid);
    }
    if leaf.malformed {
        verdicts.insert(Verdict::Malformed);
    }
    // A root's own signature proves nothing and is nobody's weakness; everyone's key is.
    for one in std::iter::once(&leaf).chain(&presented) {
        if weak_key(one) {
            verdicts.insert(Verdict::WeakKey);
        }
        if weak_signature(&one.certificate.signature) && !one.certificate.self_signed {
            verdicts.insert(Verdict::WeakSignature);
        }
    }
    let self_signed = leaf.certificate.self_signed;
    if self_signed && weak_signature(&leaf.certificate.signature) {
        verdicts.insert(Verdict::WeakSignature);
    }
    // The usual self-signed certificate calls itself an authority: that says no more than that it is self-signed.
    if leaf.not_for_servers || (leaf.authority && !self_signed) {
        verdicts.insert(Verdict::WrongUse);
    }
    if name.is_some_and(|name| !matches_name(leaf_der, &leaf, name)) {
        verdicts.insert(Verdict::NameMismatch);
    }
    if self_signed {
        if !roots.contains(leaf_der) {
            verdicts.insert(Verdict::SelfSigned);
        }
    } else {
        let moment = if now > not_after { not_after } else { now.max(not_before) };
        verdicts.extend(trust(leaf_der, rest, &leaf, &presented, roots, moment));
    }
    verdicts.into_iter().collect()
}

/// What keeps the path from the leaf to a root from being trusted at that moment.
fn trust(
    leaf_der: &[u8],
    rest: &[Vec<u8>],
    leaf: &Details<'_>,
    presented: &[Details<'_>],
    roots: &Roots,
    moment: Timestamp,
) -> Option<Verdict> {
    let leaf_der = CertificateDer::from(leaf_der);
    // Version 1 certificates and the like: nothing vouches for them.
    let Ok(end_entity) = EndEntityCert::try_from(&leaf_der) else { return Some(Verdict::UntrustedRoot) };
    let intermediates: Vec<CertificateDer<'_>> = rest.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let error = end_entity
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            roots.anchors(),
            &intermediates,
            unix_time(moment),
            KeyUsage::server_auth(),
            None,
            None,
        )
        .err()?;
    match error {
        webpki::Error::CertExpired { .. } => Some(Verdict::Expired),
        webpki::Error::CertNotValidYet { .. } => Some(Verdict::NotYetValid),
        // Told by the certificates themselves, above.
        webpki::Error::RequiredEkuNotFoundContext(_) if leaf.not_for_servers => None,
        webpki::Error::CaUsedAsEndEntity if leaf.authority => None,
        webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => Some(Verdict::WrongUse),
        _ if issuer_missing(leaf, presented) => Some(Verdict::IncompleteChain),
        _ => Some(Verdict::UntrustedRoot),
    }
}

/// Follows the issuers through what was presented. Where they stop short of a self-signed certificate something may be
/// missing: surely so when other certificates came but not the leaf's issuer, and most likely when the last one says
/// where its issuer can be fetched, which public authorities' certificates do and private ones do not.
fn issuer_missing(leaf: &Details<'_>, presented: &[Details<'_>]) -> bool {
    let mut top = leaf;
    for _ in 0..=presented.len() {
        if top.anatomy.subject == top.anatomy.issuer {
            return false;
        }
        match presented.iter().find(|one| one.anatomy.subject == top.anatomy.issuer) {
            Some(issuer) => top = issuer,
            None => break,
        }
    }
    let at_leaf = std::ptr::eq(top, leaf);
    top.tells_issuer || (at_leaf && !presented.is_empty())
}

fn matches_name(leaf_der: &[u8], leaf: &Details<'_>, name: &str) -> bool {
    let der = CertificateDer::from(leaf_der);
    match (EndEntityCert::try_from(&der), ServerName::try_from(name)) {
        (Ok(end_entity), Ok(server)) => end_entity.verify_is_valid_for_subject_name(&server).is_ok(),
        // A certificate too odd for the verifier: exact names still count.
        (Err(_), _) => leaf.certificate.sans.iter().any(|san| san == name),
        (_, Err(_)) => false,
    }
}

/// NIST SP 800-131A: below 2048 bits for RSA and DSA, below 224 for curves.
fn weak_key(details: &Details<'_>) -> bool {
    let key = &details.certificate.key;
    let least = match key.algorithm.as_str() {
        "RSA" | "DSA" => 2048,
        "EC" => 224,
        _ => return false,
    };
    key.bits.is_some_and(|bits| bits < least)
}

fn weak_signature(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["md2", "md5", "sha1"].iter().any(|hash| {
        name.match_indices(hash).any(|(at, _)| !name.as_bytes().get(at + hash.len()).is_some_and(u8::is_ascii_digit))
    })
}

/// Times before 1970 become 1970, where no certificate of today is valid.
fn unix_time(time: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0)))
}
