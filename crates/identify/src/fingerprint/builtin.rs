//! Our own rules: `rules/*.toml`, compiled in. `products.toml` says what a product is called, by whom it is made and what the
//! CPE dictionary calls it; every other file says how the products show themselves in some fields.

use super::{Field, cpe, pattern::Patterns};
use regex::bytes::Captures;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

/// The rule files by name.
const FILES: [(&str, &str); 10] = [
    ("ssh", include_str!("../../rules/ssh.toml")),
    ("http-server", include_str!("../../rules/http-server.toml")),
    ("http-application", include_str!("../../rules/http-application.toml")),
    ("http-body", include_str!("../../rules/http-body.toml")),
    ("smtp", include_str!("../../rules/smtp.toml")),
    ("ftp", include_str!("../../rules/ftp.toml")),
    ("mailbox", include_str!("../../rules/mailbox.toml")),
    ("dns", include_str!("../../rules/dns.toml")),
    ("database", include_str!("../../rules/database.toml")),
    ("device", include_str!("../../rules/device.toml")),
];

const PRODUCTS: &str = include_str!("../../rules/products.toml");

/// Everything that our own rules are made of.
pub(super) fn texts() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(_, text)| *text).chain([PRODUCTS])
}

/// What a product is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Product {
    pub(crate) vendor: String,
    pub(crate) name: String,
    /// `vendor:product` in the CPE dictionary, with the part before it where it is no application (`o:mikrotik:routeros`);
    /// none where we are not certain.
    pub(crate) cpe: Option<String>,
    /// Where in its version the dictionary's "update" begins: `p` makes 9.2p1 version 9.2, update p1.
    pub(crate) update: Option<String>,
}

impl Product {
    /// Its CPE 2.3 name. The version is upstream's: a distribution's revision is no part of it.
    pub(crate) fn cpe(&self, version: Option<&str>) -> Option<String> {
        let mut parts = self.cpe.as_deref()?.rsplit(':');
        let (product, vendor) = (parts.next()?, parts.next()?);
        let part = parts.next().and_then(|part| part.chars().next()).unwrap_or('a');
        let version = version.map(crate::distribution::upstream);
        let split = self.update.as_deref().zip(version).and_then(|(letter, version)| {
            let at = version.find(letter).filter(|&at| at > 0)?;
            Some((version.get(..at)?, version.get(at..)?))
        });
        let (version, update) = match split {
            Some((version, update)) => (Some(version), Some(update)),
            None => (version, None),
        };
        Some(cpe::Name { part, vendor, product, version, update }.formatted())
    }
}

/// The operating system that a match is evidence of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct System {
    pub(crate) family: String,
    pub(crate) product: Option<String>,
    pub(crate) confidence: f32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The fields its rules look at.
    fields: Vec<String>,
    rule: Vec<Rule>,
}

/// From a field's value to a product.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Without regard to case. The group `version` is the version; `word` is what it calls itself, where the rule names no
    /// product; `os` is the operating system's version.
    pattern: String,
    /// Other fields than the file's.
    #[serde(default)]
    fields: Option<Vec<String>>,
    /// By its key in `products.toml`.
    pub(crate) product: Option<String>,
    pub(crate) os: Option<System>,
    /// Value, and what it says: `PRODUCT [VERSION][ on SYSTEM]`.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that every rule must pass"))]
    pub(crate) examples: Vec<(String, String)>,
}

/// What a rule made of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match<'r, 'v> {
    pub(crate) rule: &'r Rule,
    pub(crate) word: Option<&'v [u8]>,
    pub(crate) version: Option<&'v [u8]>,
    pub(crate) os: Option<&'v [u8]>,
}

/// All of them, compiled.
#[derive(Debug)]
pub(crate) struct Builtin {
    products: HashMap<String, Product>,
    sets: BTreeMap<Field, (Patterns, Vec<Rule>)>,
}

/// They are part of the program, so that they do not compile is a bug, which the tests find.
static BUILTIN: LazyLock<Builtin> = LazyLock::new(|| match Builtin::compile(PRODUCTS, &FILES) {
    Ok(builtin) => builtin,
    Err(fault) => panic!("the built-in rules: {fault}"),
});

pub(crate) fn builtin() -> &'static Builtin {
    &BUILTIN
}

impl Builtin {
    fn compile(products: &str, files: &[(&str, &str)]) -> Result<Self, String> {
        let products: HashMap<String, Product> =
            toml::from_str(products).map_err(|error| format!("products.toml: {error}"))?;
        let mut by_field: BTreeMap<Field, Vec<Rule>> = BTreeMap::new();
        for (name, text) in files {
            let told = |fault: &dyn std::fmt::Display| format!("{name}.toml: {fault}");
            let file: File = toml::from_str(text).map_err(|error| told(&error))?;
            for rule in &file.rule {
                if let Some(product) = rule.product.as_ref().filter(|product| !products.contains_key(*product)) {
                    return Err(told(&format!("{product} is not in products.toml")));
                }
            }
            for field in &file.fields {
                Field::named(field).ok_or_else(|| told(&format!("no field is called {field}")))?;
            }
            for rule in file.rule {
                for field in rule.fields.as_ref().unwrap_or(&file.fields) {
                    let field = Field::named(field).ok_or_else(|| told(&format!("no field is called {field}")))?;
                    by_field.entry(field).or_default().push(rule.clone());
                }
            }
        }
        let compile = |(field, rules): (Field, Vec<Rule>)| {
            let patterns = Patterns::new(rules.iter().map(|rule| rule.pattern.as_str()))
                .map_err(|error| format!("{field}: {error}"))?;
            Ok((field, (patterns, rules)))
        };
        Ok(Self { products, sets: by_field.into_iter().map(compile).collect::<Result<_, String>>()? })
    }

    /// The product of that key, which is what it calls itself in lower case.
    pub(crate) fn product(&self, word: &str) -> Option<&Product> {
        self.products.get(&word.to_ascii_lowercase())
    }

    /// What the first rule of that field that matches makes of the value.
    pub(crate) fn find<'v>(&self, field: Field, value: &'v [u8]) -> Option<Match<'_, 'v>> {
        let (patterns, rules) = self.sets.get(&field)?;
        let (index, captures) = patterns.first(value)?;
        let group = |name: &str| group(&captures, name);
        Some(Match { rule: rules.get(index)?, word: group("word"), version: group("version"), os: group("os") })
    }

    /// How many products and rules there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.products.len(), self.sets.values().map(|(_, rules)| rules.len()).sum())
    }

    #[cfg(test)]
    pub(crate) fn rules(&self) -> impl Iterator<Item = (Field, usize, &Rule)> {
        self.sets
            .iter()
            .flat_map(|(field, (_, rules))| rules.iter().enumerate().map(move |(index, rule)| (*field, index, rule)))
    }

    #[cfg(test)]
    pub(crate) fn products(&self) -> impl Iterator<Item = (&String, &Product)> {
        self.products.iter()
    }
}

fn group<'v>(captures: &Captures<'v>, name: &str) -> Option<&'v [u8]> {
    captures.name(name).map(|group| group.as_bytes()).filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests;
