//! What is wrong with a chain as it was served, each reason by itself.

use crate::{Roots, certificate, certificate::Details, read_staple, staple::is_about};
use jiff::{SignedDuration, Timestamp};
use model::{Certificate, Sha256, Staple, StapleStatus, TrustPath, Verdict};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::{collections::BTreeSet, time::Duration};
use webpki::{EndEntityCert, KeyUsage};

#[cfg(test)]
mod tests;

/// More presented certificates than this are not looked at.
const MAX_CHAIN: usize = 16;

/// What a server served of certificates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Served<'a> {
    /// DER, leaf first.
    pub chain: &'a [Vec<u8>],
    /// The name it was asked under; without one no name can be wrong.
    pub name: Option<&'a str>,
    /// An `OCSPResponse`, where one came along.
    pub staple: Option<&'a [u8]>,
}

/// What to make of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assessment {
    /// The leaf, as far as it can be read.
    pub certificate: Option<Certificate>,
    /// Sorted, without repetition; empty when it verifies.
    pub verdicts: Vec<Verdict>,
    /// All that was presented, leaf first.
    pub presented: Vec<Sha256>,
    /// None where it does not verify; an expired leaf does when nothing but time is against it.
    pub path: Option<TrustPath>,
    pub staple: Option<Staple>,
}

/// The verdicts of [`assess`] on a chain (DER, leaf first) that was asked for under a name, or none, at `now`.
pub fn judge(chain: &[Vec<u8>], roots: &Roots, name: Option<&str>, now: Timestamp) -> Vec<Verdict> {
    assess(Served { chain, name, staple: None }, roots, now).verdicts
}

/// Judges what was served at `now`. Trust is asked at a moment when the leaf is valid, so that an expired certificate of a
/// trusted authority is called expired and nothing else.
pub fn assess(served: Served<'_>, roots: &Roots, now: Timestamp) -> Assessment {
    let chain = served.chain.get(..MAX_CHAIN).unwrap_or(served.chain);
    let mut assessment = Assessment {
        presented: chain.iter().map(|der| certificate::sha256(der)).collect(),
        staple: served.staple.map(read_staple),
        ..Assessment::default()
    };
    let Some((leaf_der, rest)) = chain.split_first() else { return assessment };
    let Ok(leaf) = Details::read(leaf_der) else {
        assessment.verdicts = vec![Verdict::Malformed];
        return assessment;
    };
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
    // One that has had its day says nothing of today, and neither does one about another certificate.
    let is_of_today = |staple: &&Staple| staple.next_update.is_none_or(|next| now <= next);
    let staple = assessment.staple.as_ref().filter(is_of_today);
    if staple.is_some_and(|staple| staple.status == StapleStatus::Revoked)
        && served.staple.is_some_and(|staple| is_about(staple, &leaf.certificate.serial))
    {
        verdicts.insert(Verdict::Revoked);
    }
    let self_signed = leaf.certificate.self_signed;
    if self_signed && weak_signature(&leaf.certificate.signature) {
        verdicts.insert(Verdict::WeakSignature);
    }
    // The usual self-signed certificate calls itself an authority: that says no more than that it is self-signed.
    if leaf.not_for_servers || (leaf.authority && !self_signed) {
        verdicts.insert(Verdict::WrongUse);
    }
    if served.name.is_some_and(|name| !matches_name(leaf_der, &leaf, name)) {
        verdicts.insert(Verdict::NameMismatch);
    }
    let mut longest = LONGEST_PRIVATE;
    if self_signed {
        if roots.contains(leaf_der) {
            assessment.path = Some(TrustPath { issuers: Vec::new(), root: leaf.certificate.subject.clone() });
        } else {
            verdicts.insert(Verdict::SelfSigned);
        }
    } else {
        let moment = if now > not_after { not_after } else { now.max(not_before) };
        match trust(leaf_der, rest, &leaf, &presented, roots, moment) {
            Ok((path, is_public)) => {
                assessment.path = Some(path);
                if is_public {
                    longest = longest_public(not_before);
                }
            }
            Err(verdict) => verdicts.extend(verdict),
        }
    }
    // A root's own signature proves nothing and is nobody's weakness; everyone's key is. What was presented beside the path that verifies
    // is nobody's business.
    let on_path = |one: &&Details<'_>| {
        let path = assessment.path.as_ref();
        path.is_none_or(|path| path.issuers.iter().any(|issuer| issuer.sha256 == one.certificate.sha256))
    };
    for one in std::iter::once(&leaf).chain(presented.iter().filter(on_path)) {
        if weak_key(one) {
            verdicts.insert(Verdict::WeakKey);
        }
        if weak_signature(&one.certificate.signature) && !one.certificate.self_signed {
            verdicts.insert(Verdict::WeakSignature);
        }
    }
    // Both ends belong to the period (RFC 5280 §4.1.2.5). An authority's lives longer, and has no business here anyway.
    let is_known =
        (self_signed || !leaf.authority) && !leaf.certificate.unreadable.contains(&model::CertificateField::NotAfter);
    if is_known && leaf.certificate.life().is_none_or(|life| life + 1 > longest.as_secs()) {
        verdicts.insert(Verdict::TooLong);
    }
    assessment.verdicts = verdicts.into_iter().collect();
    assessment.certificate = Some(leaf.certificate);
    assessment
}

/// Nobody knows today what a key is worth in ten years. Leap days and a clock's last second are nobody's fault.
const LONGEST_PRIVATE: SignedDuration = SignedDuration::from_hours(24 * 3_654);

/// CA/Browser Forum, Baseline Requirements §6.3.2, by when it was issued: 39 months, 825, 398, 200, 100 and 47 days.
fn longest_public(issued: Timestamp) -> SignedDuration {
    const LIMITS: [(Timestamp, i64); 6] = [
        // From 2029-03-15, 2027-03-15, 2026-03-15, 2020-09-01, 2018-03-01, and before.
        (Timestamp::constant(1_868_227_200, 0), 47),
        (Timestamp::constant(1_805_068_800, 0), 100),
        (Timestamp::constant(1_773_532_800, 0), 200),
        (Timestamp::constant(1_598_918_400, 0), 398),
        (Timestamp::constant(1_519_862_400, 0), 825),
        (Timestamp::MIN, 1_188),
    ];
    let days = LIMITS.iter().find(|(from, _)| issued >= *from).map_or(0, |(_, days)| *days);
    SignedDuration::from_hours(24 * days)
}

/// The path from the leaf to a root at that moment, and whether that root is public; else what keeps it from being trusted,
/// if that is not told by the certificates themselves.
fn trust(
    leaf_der: &[u8],
    rest: &[Vec<u8>],
    leaf: &Details<'_>,
    presented: &[Details<'_>],
    roots: &Roots,
    moment: Timestamp,
) -> Result<(TrustPath, bool), Option<Verdict>> {
    let leaf_der = CertificateDer::from(leaf_der);
    // Version 1 certificates and the like: nothing vouches for them.
    let end_entity = EndEntityCert::try_from(&leaf_der).map_err(|_| Some(Verdict::UntrustedRoot))?;
    let intermediates: Vec<CertificateDer<'_>> = rest.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let verified = end_entity.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        roots.anchors(),
        &intermediates,
        unix_time(moment),
        KeyUsage::server_auth(),
        None,
        None,
    );
    match verified {
        Ok(path) => {
            let issuers =
                path.intermediate_certificates().filter_map(|one| certificate::read_certificate(&one.der()).ok());
            let root = certificate::name_of_contents(&path.anchor().subject).join(", ");
            Ok((TrustPath { issuers: issuers.collect(), root }, roots.is_public(path.anchor())))
        }
        Err(error) => Err(match error {
            webpki::Error::CertExpired { .. } => Some(Verdict::Expired),
            webpki::Error::CertNotValidYet { .. } => Some(Verdict::NotYetValid),
            // Told by the certificates themselves, above.
            webpki::Error::RequiredEkuNotFoundContext(_) if leaf.not_for_servers => None,
            webpki::Error::CaUsedAsEndEntity if leaf.authority => None,
            webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => Some(Verdict::WrongUse),
            _ if issuer_missing(leaf, presented, roots) => Some(Verdict::IncompleteChain),
            _ => Some(Verdict::UntrustedRoot),
        }),
    }
}

/// Follows the issuers through what was presented. Where they stop short of a self-signed certificate something may be
/// missing: surely so when other certificates came but not the leaf's issuer. Else it is a root nobody trusts that stands above, for roots
/// need not be sent, or a certificate between that should have been. The certificate that tells where its issuer can be fetched may have
/// either above it; but one whose issue was logged (RFC 6962) comes from a public authority, whose root would be trusted, and one that
/// stands alone may well come from the operator's own, where there is one.
fn issuer_missing(leaf: &Details<'_>, presented: &[Details<'_>], roots: &Roots) -> bool {
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
    if at_leaf && !presented.is_empty() {
        return true;
    }
    top.tells_issuer && (leaf.certificate.scts > 0 || (at_leaf && roots.has_own()))
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
