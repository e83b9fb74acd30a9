//! Which certificates an asset may serve: its allow-list, against what a certificate says and what can be proved of it.

use model::{AllowList, Certificate, Verdict};
use std::collections::BTreeSet;

/// What speaks against a certificate in the eyes of an allow-list, in a sentence; none where it is allowed. `asked` tells
/// whether it was asked for under a name.
///
/// A key on the list is the operator's word and needs no proof. An issuer's name is only a name, which anybody can write
/// into a certificate: it counts where the chain verifies.
pub(crate) fn objection(
    certificate: &Certificate,
    verdicts: &[Verdict],
    asked: bool,
    list: &AllowList,
) -> Option<String> {
    let is = |verdict: Verdict| verdicts.contains(&verdict);
    if is(Verdict::Revoked) {
        return Some("revoked, as its own server says".to_owned());
    }
    if list.spki.contains(&certificate.spki_sha256) {
        return None;
    }
    if !is_listed(certificate, list) {
        let own = if is(Verdict::SelfSigned) { "; self-signed" } else { "" };
        return Some(format!("issuer not allowed, nor its key{own}"));
    }
    if is(Verdict::SelfSigned) {
        return Some("self-signed under the name of an allowed issuer".to_owned());
    }
    let unproved = [Verdict::IncompleteChain, Verdict::UntrustedRoot].into_iter().find(|verdict| is(*verdict));
    if let Some(verdict) = unproved {
        let (issuer, verdict) = (&certificate.issuer, verdict.as_str());
        return Some(format!("it names an allowed issuer ({issuer}), but the chain does not verify ({verdict})"));
    }
    (asked && is(Verdict::NameMismatch)).then(|| "it is not for the name it was asked under".to_owned())
}

/// By an entry whose every attribute is in the issuer.
fn is_listed(certificate: &Certificate, list: &AllowList) -> bool {
    let normal = |attribute: &str| {
        let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        format!("{}={}", key.trim().to_lowercase(), value.trim().to_lowercase())
    };
    let issuer: BTreeSet<String> = certificate.issuer_attributes.iter().map(|attribute| normal(attribute)).collect();
    list.issuers.iter().any(|entry| {
        let wanted = attributes(entry);
        !wanted.is_empty() && wanted.iter().all(|attribute| issuer.contains(&normal(attribute)))
    })
}

/// `O=Example, Inc., C=DE` is two attributes: a comma begins a new one only before `KEY=`.
fn attributes(entry: &str) -> Vec<String> {
    let mut attributes: Vec<String> = Vec::new();
    for piece in entry.split(',') {
        let key = piece.split_once('=').map(|(key, _)| key.trim());
        let begins = key.is_some_and(|key| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        });
        match attributes.last_mut() {
            Some(last) if !begins => {
                last.push(',');
                last.push_str(piece);
            }
            _ => attributes.push(piece.to_owned()),
        }
    }
    attributes.retain(|attribute| !attribute.trim().is_empty());
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use model::{KeyInfo, Sha256};

    #[test]
    fn what_is_wrong_with_it() {
        let certificate = Certificate {
            sha256: Sha256([1; 32]),
            spki_sha256: Sha256([2; 32]),
            tbs_sha256: None,
            version: Some(3),
            subject: "CN=www.example.org".to_owned(),
            issuer: "CN=Sub, O=Example CA Inc".to_owned(),
            issuer_attributes: vec!["CN=Sub".to_owned(), "O=Example CA Inc".to_owned()],
            sans: Vec::new(),
            serial: "01".to_owned(),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::UNIX_EPOCH,
            key: KeyInfo { algorithm: "EC".to_owned(), bits: Some(256) },
            signature: "ecdsa-with-SHA256".to_owned(),
            self_signed: false,
            scts: 0,
            unreadable: Vec::new(),
        };
        let issuers = AllowList { issuers: vec!["o = example ca inc".to_owned()], spki: Vec::new() };
        let others = AllowList { issuers: vec!["O=Other CA".to_owned()], spki: vec![Sha256([3; 32])] };
        let key = AllowList { issuers: Vec::new(), spki: vec![Sha256([2; 32])] };
        for (list, verdicts, asked, expect) in [
            (&issuers, vec![], true, ""),
            (&issuers, vec![Verdict::Expired, Verdict::WeakKey], true, ""),
            (&issuers, vec![Verdict::NameMismatch], false, ""),
            (&issuers, vec![Verdict::NameMismatch], true, "name"),
            (&issuers, vec![Verdict::UntrustedRoot], false, "chain"),
            (&issuers, vec![Verdict::SelfSigned], false, "self-signed"),
            (&issuers, vec![Verdict::Revoked], false, "revoked"),
            (&others, vec![], false, "issuer not allowed, nor its key"),
            (&key, vec![Verdict::SelfSigned, Verdict::NameMismatch], true, ""),
            (&key, vec![Verdict::Revoked], true, "revoked"),
        ] {
            let objection = objection(&certificate, &verdicts, asked, list).unwrap_or_default();
            assert!(
                objection.contains(expect) && expect.is_empty() == objection.is_empty(),
                "{verdicts:?}: {objection}"
            );
        }
    }

    #[test]
    fn splits_an_entry_into_attributes() {
        for (entry, expect) in [
            ("O=Example CA Inc", vec!["O=Example CA Inc"]),
            ("O=Example CA Inc, C=DE", vec!["O=Example CA Inc", " C=DE"]),
            ("O=Example, Inc., C=DE", vec!["O=Example, Inc.", " C=DE"]),
            ("", vec![]),
        ] {
            assert_eq!(attributes(entry), expect, "{entry}");
        }
    }
}
