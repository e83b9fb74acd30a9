use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["www.example.org".into(), "*.dev.example.org".into()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.subject_alt_names.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    params
}

fn root(name: &str) -> Authority {
    Authority::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn below(name: &str, issuer: &Authority) -> Authority {
    Authority::signed_by(authority_params(name), KeyPair::generate().unwrap(), issuer).unwrap()
}

fn leaf(issuer: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = params("www.example.org");
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
}

fn der(authority: &Authority) -> Vec<u8> {
    authority.der().to_vec()
}

fn trusting(authority: &Authority) -> Roots {
    Roots::public().with_pem(authority.pem().as_bytes()).unwrap()
}

/// An authority information access extension that names an issuer's address.
fn tells_issuer(params: &mut CertificateParams) {
    let url = b"http://ca.example/i.der";
    let access = [&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86, 23][..], url].concat();
    let list = [&[0x30, 37, 0x30, 35][..], &access].concat();
    params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], list));
}

fn day(date: &str) -> Timestamp {
    format!("{date}T12:00:00Z").parse().unwrap()
}

/// RFC 6962 §3.3.
const SCT_LIST: &[u64] = &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

const TODAY: &str = "2026-06-01";

#[test]
fn verdicts() {
    use Verdict::*;
    let own = root("Own Root");
    let middle = below("Middle", &own);
    let other = root("Other Root");
    let good = leaf(&middle, |_| {});
    let trusted = trusting(&own);
    let check = |what: &str, chain: &[Vec<u8>], roots: &Roots, name: Option<&str>, date: &str, expect: &[Verdict]| {
        assert_eq!(judge(chain, roots, name, day(date)), expect, "{what}");
    };
    let whole = [good.clone(), der(&middle)];
    check("good", &whole, &trusted, Some("www.example.org"), TODAY, &[]);
    check("no name asked", &whole, &trusted, None, TODAY, &[]);
    check("with its root", &[good.clone(), der(&middle), der(&own)], &trusted, None, TODAY, &[]);
    check("wildcard", &whole, &trusted, Some("a.dev.example.org"), TODAY, &[]);
    check("wildcards cover one label", &whole, &trusted, Some("a.b.dev.example.org"), TODAY, &[NameMismatch]);
    check("other name", &whole, &trusted, Some("mail.example.org"), TODAY, &[NameMismatch]);
    check("expired", &whole, &trusted, None, "2028-01-01", &[Expired]);
    check("not yet", &whole, &trusted, None, "2025-01-01", &[NotYetValid]);
    check("unknown root", &[good.clone(), der(&middle), der(&own)], &trusting(&other), None, TODAY, &[UntrustedRoot]);
    check("unknown root, not sent", &whole, &trusting(&other), None, TODAY, &[UntrustedRoot]);
    check("wrong middle", &[good.clone(), der(&other)], &trusted, None, TODAY, &[IncompleteChain]);
    check(
        "two reasons",
        &whole,
        &trusting(&other),
        Some("x.example.org"),
        "2028-01-01",
        &[Expired, NameMismatch, UntrustedRoot],
    );
    let public = Roots::public();
    let told = leaf(&middle, tells_issuer);
    check("no middle", std::slice::from_ref(&told), &trusted, None, TODAY, &[IncompleteChain]);
    check("nobody's root is known to be missing", &[told], &public, None, TODAY, &[UntrustedRoot]);
    let mut params = authority_params("Told Middle");
    tells_issuer(&mut params);
    let private = Authority::signed_by(params, KeyPair::generate().unwrap(), &own).unwrap();
    let whole = [leaf(&private, tells_issuer), der(&private)];
    check("a whole chain of nobody's", &whole, &trusting(&other), None, TODAY, &[UntrustedRoot]);
    let logged = leaf(&middle, |params| {
        tells_issuer(params);
        // One timestamp of a log, of no further content.
        let list = vec![0x04, 6, 0, 4, 0, 2, 0, 0];
        params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(SCT_LIST, list));
    });
    check("a public one without its middle", &[logged], &public, None, TODAY, &[IncompleteChain]);
    check("private leaf alone", &[good], &trusting(&other), None, TODAY, &[UntrustedRoot]);
    let client = leaf(&own, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    check("for clients", &[client], &trusted, None, TODAY, &[WrongUse]);
    check("an authority as server", &[der(&middle)], &trusted, None, TODAY, &[WrongUse]);
    check("empty", &[], &trusted, None, TODAY, &[]);
    check("junk", &[b"junk".to_vec()], &trusted, None, TODAY, &[Malformed]);
}

#[test]
fn self_signed() {
    let key = KeyPair::generate().unwrap();
    let plain = params("www.example.org").self_signed(&key).unwrap();
    let chain = [plain.der().to_vec()];
    assert_eq!(judge(&chain, &Roots::public(), None, day(TODAY)), [Verdict::SelfSigned]);
    assert_eq!(judge(&chain, &Roots::public(), None, day("2030-01-01")), [Verdict::Expired, Verdict::SelfSigned]);
    let trusted = Roots::public().with_pem(plain.pem().as_bytes()).unwrap();
    assert_eq!(judge(&chain, &trusted, Some("www.example.org"), day(TODAY)), []);
    let authority = [der(&root("Snake Oil"))];
    assert_eq!(judge(&authority, &Roots::public(), None, day(TODAY)), [Verdict::SelfSigned, Verdict::TooLong]);
}

#[test]
fn an_expired_middle_is_expired() {
    let own = root("Own Root");
    let mut params = authority_params("Old Middle");
    params.not_after = rcgen::date_time_ymd(2026, 3, 1);
    let middle = Authority::signed_by(params, KeyPair::generate().unwrap(), &own).unwrap();
    let chain = [leaf(&middle, |_| {}), der(&middle)];
    assert_eq!(judge(&chain, &trusting(&own), None, day(TODAY)), [Verdict::Expired]);
}

#[test]
fn weak_words() {
    for (name, weak) in [
        ("md5WithRSAEncryption", true),
        ("sha1WithRSAEncryption", true),
        ("ecdsa-with-SHA1", true),
        ("dsaWithSHA1", true),
        ("sha256WithRSAEncryption", false),
        ("ecdsa-with-SHA512", false),
        ("Ed25519", false),
    ] {
        assert_eq!(weak_signature(name), weak, "{name}");
    }
}

#[test]
fn weak_keys() {
    let own = root("Own Root");
    let good = leaf(&own, |_| {});
    let mut details = Details::read(&good).unwrap();
    for (algorithm, bits, weak) in [
        ("RSA", 1024, true),
        ("RSA", 2048, false),
        ("EC", 192, true),
        ("EC", 224, false),
        ("Ed25519", 256, false),
        ("DSA", 1024, true),
    ] {
        details.certificate.key = model::KeyInfo { algorithm: algorithm.into(), bits: Some(bits) };
        assert_eq!(weak_key(&details), weak, "{algorithm} {bits}");
    }
}

#[test]
fn roots_from_pem() {
    assert_eq!(Roots::public().with_pem(b"nothing here").unwrap_err(), RootsError::Empty);
    let junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Roots::public().with_pem(junk), Err(RootsError::Unusable { number: 1, .. })));
}

use crate::RootsError;

#[test]
fn a_path_is_told_as_it_was_validated() {
    let own = root("Own Root");
    let middle = below("Middle", &own);
    let chain = [leaf(&middle, |_| {}), der(&root("In Vain")), der(&middle)];
    let served = Served { chain: &chain, name: None, staple: None };
    let assessment = assess(served, &trusting(&own), day(TODAY));
    let path = assessment.path.expect("verifies");
    assert_eq!(path.root, "CN=Own Root");
    let issuers: Vec<_> = path.issuers.iter().map(|issuer| (issuer.sha256, issuer.subject.as_str())).collect();
    assert_eq!(issuers, [(certificate::sha256(&chain[2]), "CN=Middle")]);
    assert_eq!(assessment.presented, chain.each_ref().map(|der| certificate::sha256(der)));
    assert_eq!(assess(served, &Roots::public(), day(TODAY)).path, None);
}

/// Each limit by its last day and its first: by the second, both ends counted.
#[test]
fn how_long_a_public_certificate_may_live() {
    for (issued, days) in [
        ("2017-01-01", 1_188),
        ("2018-02-28", 1_188),
        ("2018-03-02", 825),
        ("2020-08-31", 825),
        ("2020-09-01", 398),
        ("2026-03-14", 398),
        ("2026-03-15", 200),
        ("2027-03-14", 200),
        ("2027-03-15", 100),
        ("2029-03-14", 100),
        ("2029-03-15", 47),
        ("2035-01-01", 47),
    ] {
        assert_eq!(longest_public(day(issued)), SignedDuration::from_hours(24 * days), "{issued}");
    }
}

#[test]
fn too_long_a_life() {
    let own = root("Own Root");
    let lasting = |years: i32| leaf(&own, |params| params.not_after = rcgen::date_time_ymd(2026 + years, 1, 1));
    assert_eq!(judge(&[lasting(10)], &trusting(&own), None, day(TODAY)), []);
    assert_eq!(judge(&[lasting(11)], &trusting(&own), None, day(TODAY)), [Verdict::TooLong]);
    // The same authority, were it a public one.
    let mut public = trusting(&own);
    public.count_all_as_public();
    assert_eq!(judge(&[lasting(1)], &public, None, day(TODAY)), []);
    assert_eq!(judge(&[lasting(2)], &public, None, day(TODAY)), [Verdict::TooLong]);
}
