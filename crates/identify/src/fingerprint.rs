//! Rules: from a field of an answer ([`Field`]) to vendor, product, version, CPE and operating system.
//!
//! Our own (`rules/*.toml`) are compiled in and are what the parsers name products by. The operator may bring others: a
//! folder of Recog's files ([`recog`]), a file in the format of nmap's service probes ([`probes`]). Those see an answer
//! after ours ([`Fingerprints::label`]) and add what ours do not know.
//!
//! Values are a stranger's bytes. Every engine used is bounded in time, and what is kept goes through
//! [`printable`](crate::printable).

mod builtin;
mod cpe;
mod field;
mod pattern;

pub use field::Field;

use crate::{product, text};
use builtin::{Match, builtin};
use model::{Os, Service};

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

/// Notes what stands behind a web server, by one field's value: it becomes the product where the server says none, and facts
/// and a further CPE name otherwise. The first that is found stays; its version may come from another field.
pub(crate) fn application(service: &mut Service, field: Field, value: &str) {
    const NAME: &str = "http.application";
    const VERSION: &str = "http.application_version";
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
    let noted = service.facts.get(NAME).map(String::as_str);
    let completes = version.is_some() && !service.facts.contains_key(VERSION);
    if noted.is_some() && !(is_named(noted) && completes) {
        return;
    }
    if let Some(plain) = known.cpe(None) {
        service.cpe.retain(|cpe| *cpe != plain);
    }
    service.cpe.extend(known.cpe(version.as_deref()));
    service.facts.insert(NAME.into(), known.name.clone());
    if let Some(version) = version {
        service.facts.insert(VERSION.into(), version);
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
