//! Rules: from a field of an answer ([`Field`]) to vendor, product, version, CPE and operating system.
//!
//! Our own (`rules/*.toml`) are compiled in and are what the parsers name products by. The operator may bring others: a
//! folder of Recog's files ([`recog`]), a file in the format of nmap's service probes ([`probes`]). Those see an answer
//! after ours ([`Fingerprints::label`]) and add what ours do not know.
//!
//! Values are a stranger's bytes. Every engine used is bounded in time, and what is kept goes through
//! [`printable`](crate::printable).

mod builtin;
mod claim;
mod cpe;
mod extract;
mod field;
mod pattern;
mod prefilter;
pub mod probes;
pub mod recog;
mod relabel;
mod trial;

pub use field::Field;
pub use trial::{Trial, builtin_counts, hostile_values};

use crate::{product, text};
use builtin::{Match, builtin};
use claim::Claim;
use model::{Os, Service, Sha256, Software, Transport};
use std::sync::Arc;

/// What is called so has said something that no parser knows.
const UNKNOWN: &str = "unknown";
/// Facts: what stands behind a web server.
const APPLICATION: &str = "http.application";
const APPLICATION_VERSION: &str = "http.application_version";

/// The operator's own rules, beside those compiled in. Cheap to clone; none unless configured.
#[derive(Debug, Clone, Default)]
pub struct Fingerprints {
    recog: Arc<[recog::Database]>,
    probes: Option<Arc<probes::ServiceProbes>>,
    /// Of the files they were read from.
    files: Option<Sha256>,
}

impl Fingerprints {
    /// With the files of a folder of Recog's.
    #[must_use]
    pub fn with_recog(mut self, mut databases: Vec<recog::Database>) -> Self {
        // What a server says of itself is heard before what stands behind it.
        databases.sort_by_key(recog::Database::field);
        self.recog = databases.into();
        self
    }

    /// With the match lines of a file in the format of nmap's service probes.
    #[must_use]
    pub fn with_probes(mut self, probes: probes::ServiceProbes) -> Self {
        self.probes = Some(Arc::new(probes));
        self
    }

    /// Read from files of that digest.
    #[must_use]
    pub fn of_files(mut self, digest: Sha256) -> Self {
        self.files = Some(digest);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.recog.is_empty() && self.probes.is_none()
    }

    /// Adds what these rules know of a service that has been recognised, from the bytes it was recognised by. What our own
    /// rules are sure of stays; what contradicts it is a fact (`product.disputed`, `os.disputed`). Sends nothing, so it may be
    /// done again to an answer that was kept.
    pub fn label(&self, transport: Transport, service: &mut Service, heard: &[u8]) {
        if self.is_empty() {
            return;
        }
        let values = extract::fields(service, heard);
        for database in self.recog.iter() {
            let Some(field) = database.field() else { continue };
            let mut of_field = values.iter().filter(|(other, _)| *other == field);
            if let Some(hit) = of_field.find_map(|(_, value)| database.identify(value)) {
                Claim::of_recog(&hit).add_to(service);
            }
        }
        self.add_probes(transport, service, heard);
    }

    /// Adds what the names in a service's certificate say of the device that serves it. They say nothing of its software.
    pub fn label_by_certificate(&self, service: &mut Service, subject: &str, issuer: &str) {
        for (field, name) in [(Field::CertificateSubject, subject), (Field::CertificateIssuer, issuer)] {
            let of_field = self.recog.iter().filter(|database| database.field() == Some(field));
            let value = extract::distinguished(name);
            for hit in of_field.filter_map(|database| database.identify(&value)) {
                Claim::of_recog(&hit).about_device().add_to(service);
            }
        }
    }

    fn add_probes(&self, transport: Transport, service: &mut Service, heard: &[u8]) {
        let claim = self.probes.as_ref().and_then(|probes| probes.claim(transport, service, heard));
        if let Some((claim, name)) = claim {
            if service.name == UNKNOWN {
                service.name = text::printable(name.as_bytes()).to_lowercase();
                service.confidence = claim.confidence;
            }
            claim.add_to(service);
        }
    }
}

/// The product of that key in `products.toml`.
pub(crate) fn known(word: &str) -> Option<&'static builtin::Product> {
    builtin().product(word)
}

/// Names the service by what our rules make of one field's value. False where none matches.
pub(crate) fn name(service: &mut Service, field: Field, value: &str) -> bool {
    let Some(found) = builtin().find(field, value.as_bytes()) else { return false };
    let (word, version) = words(&found);
    let Some(word) = word else { return false };
    product::name(service, &word, version.as_deref());
    if let Some(os) = system(&found) {
        service.os = Some(os);
    }
    true
}

/// Notes what stands behind a web server, by one field's value: it becomes the product where the server says none, and otherwise one
/// of those behind it. Of those the first that is found has facts and a further CPE name; its version may come from another field.
pub(crate) fn application(service: &mut Service, field: Field, value: &str) {
    let Some(found) = builtin().find(field, value.as_bytes()) else { return };
    let (Some(word), version) = words(&found) else { return };
    let Some(known) = builtin().product(&word) else { return };
    if service.os.is_none() {
        service.os = system(&found);
    }
    let is_named = |name: Option<&str>| name == Some(known.name.as_str());
    if service.product.is_none() || is_named(service.product.as_deref()) {
        if service.version.is_none() {
            product::name(service, &word, version.as_deref());
        }
        return;
    }
    if let Some(cpe) = known.cpe(version.as_deref()) {
        service.note_behind(Software {
            vendor: Some(known.vendor.clone()),
            product: known.name.clone(),
            version: version.clone(),
            cpe: Some(cpe),
        });
    }
    let noted = service.facts.get(APPLICATION).map(String::as_str);
    let completes = version.is_some() && !service.facts.contains_key(APPLICATION_VERSION);
    if noted.is_some() && !(is_named(noted) && completes) {
        return;
    }
    if let Some(plain) = known.cpe(None) {
        service.cpe.retain(|cpe| *cpe != plain);
    }
    service.cpe.extend(known.cpe(version.as_deref()));
    service.facts.insert(APPLICATION.into(), known.name.clone());
    if let Some(version) = version {
        service.facts.insert(APPLICATION_VERSION.into(), version);
    }
}

/// The key of the product, or the word it calls itself with, and the version.
fn words(found: &Match<'_, '_>) -> (Option<String>, Option<String>) {
    /// No product calls itself by more than this.
    const MOST: usize = 48;
    let own = || found.word.map(text::printable).filter(|word| word.chars().count() <= MOST);
    let word = found.rule.product.clone().or_else(own);
    (word, found.version.and_then(version))
}

/// A version as a rule has cut it out: it begins with a digit and does not end with what joins it to the next word.
fn version(bytes: &[u8]) -> Option<String> {
    let version = text::printable(bytes);
    let version = version.trim_end_matches(['.', '-', '_', '+', '~', ':', ',']);
    (version.starts_with(|char: char| char.is_ascii_digit()) && version.len() <= 64).then(|| version.to_owned())
}

fn system(found: &Match<'_, '_>) -> Option<Os> {
    let os = found.rule.os.as_ref()?;
    Some(Os {
        family: os.family.clone(),
        product: os.product.clone(),
        version: found.os.map(text::printable),
        confidence: os.confidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parse, Received, classify};

    const RECOG: &str = r#"<fingerprints matches="http_header.server" protocol="http">
        <fingerprint pattern="^Zorb web ([\d.]+)"><description>Zorb</description>
            <param pos="0" name="service.vendor" value="Zorb Inc"/><param pos="0" name="service.product" value="Zorb"/>
            <param pos="1" name="service.version"/>
            <param pos="0" name="service.cpe23" value="cpe:/a:zorb:zorb:{service.version}"/>
            <param pos="0" name="os.vendor" value="Zorb"/><param pos="0" name="os.family" value="Linux"/>
            <param pos="0" name="os.product" value="Linux"/><param pos="0" name="hw.device" value="Router"/>
        </fingerprint></fingerprints>"#;

    fn labelled(heard: &[u8]) -> (Service, Service) {
        let rules = Fingerprints::default().with_recog(vec![recog::Database::read("http_servers", RECOG).unwrap()]);
        let Parse::Yes(answer) = classify(Transport::Tcp, Received::ended(heard)) else { panic!("no answer") };
        let mut service = answer.service.clone();
        rules.label(Transport::Tcp, &mut service, heard);
        (answer.service, service)
    }

    #[test]
    fn the_operators_rules_name_what_ours_do_not() {
        let (before, after) = labelled(b"HTTP/1.1 200 OK\r\nServer: Zorb web 7.1 (beta)\r\n\r\n");
        assert_eq!((before.vendor.as_deref(), before.product.as_deref()), (None, Some("Zorb web 7.1")));
        assert_eq!((after.product.as_deref(), after.version.as_deref()), (Some("Zorb"), Some("7.1")));
        assert_eq!(after.cpe, ["cpe:2.3:a:zorb:zorb:7.1:*:*:*:*:*:*:*"]);
        assert_eq!(after.facts["fingerprint"], "recog http_servers #1");
        assert_eq!(after.facts["hardware.device"], "Router");
        assert_eq!(after.os.as_ref().map(ToString::to_string).as_deref(), Some("Zorb"));
        let (before, after) = labelled(b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\r\n");
        assert_eq!(before, after);
    }

    #[test]
    fn a_certificate_tells_the_device() {
        let text = r#"<fingerprints matches="x509.subject"><fingerprint pattern="^CN=zorb-(\d+),O=Zorb\\, Inc\.,C=TW$">
            <param pos="0" name="hw.vendor" value="Zorb"/><param pos="1" name="hw.product"/>
            <param pos="0" name="service.product" value="Zorb web"/></fingerprint></fingerprints>"#;
        let rules = Fingerprints::default().with_recog(vec![recog::Database::read("x509_subjects", text).unwrap()]);
        let mut service = Service { name: "http".into(), ..Service::default() };
        rules.label_by_certificate(&mut service, "C=TW, O=Zorb, Inc., CN=zorb-71", "CN=other");
        assert_eq!((service.product, service.facts["hardware.product"].as_str()), (None, "71"));
    }

    #[test]
    fn without_rules_of_the_operators_nothing_changes() {
        let mut service = Service { name: "http".into(), ..Service::default() };
        Fingerprints::default().label(Transport::Tcp, &mut service, b"HTTP/1.1 200 OK\r\nServer: Zorb web 7.1\r\n\r\n");
        assert_eq!(service, Service { name: "http".into(), ..Service::default() });
    }
}
