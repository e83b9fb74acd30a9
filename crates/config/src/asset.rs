//! WHERE: assets.

use crate::{
    Asset, AssetKind, Authorization, Diagnostic,
    address::{fault, is_public, is_unsweepable},
    names,
    sink::Sink,
    walk::Value,
};
use jiff::civil::Date;
use model::{AllowList, Sha256, Target};
use std::sync::Arc;

pub(crate) const KEYS: &[&str] = &["targets", "tags", "value", "owner", "kind", "authorization", "certificates"];
pub(crate) const AUTHORIZATION_KEYS: &[&str] = &["by", "until"];
pub(crate) const CERTIFICATES_KEYS: &[&str] = &["issuers", "spki"];
const DEFAULT_VALUE: u8 = 3;
pub(crate) const TARGET_HELP: &str =
    "write one like `192.0.2.7`, `192.0.2.0/24`, `192.0.2.1-192.0.2.20` or `www.example.org`";

/// Reads `[asset.NAME]`. What is wrong is reported; what is right is in the asset all the same, so that profiles that
/// name it are not blamed.
pub(crate) fn read(name: &str, value: &Value<'_>, today: Date) -> Asset {
    let Some(table) = value.table(KEYS) else { return bare(Vec::new()) };
    let targets_value = table.require("targets", "an asset says which addresses or host names it is");
    let targets = targets_value.as_ref().map(read_targets).unwrap_or_default();
    let authorization = table.get("authorization").and_then(|value| read_authorization(name, &value, today));
    if let Some(value) = &targets_value
        && table.get("authorization").is_none()
    {
        warn_public(
            value,
            &targets,
            "say who allowed it and until when: `authorization = { by = \"CISO, ticket 4711\", until = 2030-12-31 }`",
        );
    }
    Asset {
        targets,
        tags: table.get("tags").map(|tags| read_tags(&tags)).unwrap_or_default(),
        value: table
            .get("value")
            .and_then(|value| u8::try_from(value.integer_in(1..=5)?).ok())
            .unwrap_or(DEFAULT_VALUE),
        owner: table.get("owner").and_then(|owner| owner.line(200)),
        kind: table
            .get("kind")
            .and_then(|kind| kind.word(&[("hosts", AssetKind::Hosts), ("pool", AssetKind::Pool)]))
            .unwrap_or_default(),
        authorization,
        certificates: table.get("certificates").and_then(|value| read_allow_list(&value)).map(Arc::new),
    }
}

/// An asset with targets and nothing else: a profile's own.
pub(crate) fn bare(targets: Vec<Target>) -> Asset {
    Asset {
        targets,
        tags: Vec::new(),
        value: DEFAULT_VALUE,
        owner: None,
        kind: AssetKind::Hosts,
        authorization: None,
        certificates: None,
    }
}

pub(crate) fn read_targets(value: &Value<'_>) -> Vec<Target> {
    let items = value.one_or_many();
    if items.is_empty() {
        let diagnostic = value.error(format!("`{}` is empty", value.path)).label("no targets");
        value.sink.push(diagnostic.help("write addresses, prefixes, ranges or host names, like `[\"192.0.2.0/24\"]`"));
    }
    items.iter().filter_map(read_target).collect()
}

fn read_target(value: &Value<'_>) -> Option<Target> {
    let target: Target = value.parse(TARGET_HELP, str::parse)?;
    if let Some(fault) = target.range().and_then(fault) {
        value.refuse(format!("{target} cannot be a target: {fault}"));
        return None;
    }
    if is_unsweepable(&target) {
        let title = format!("{target} is not enumerable: only candidates in it are asked");
        value.sink.push(
            value.warning(title).label("larger than a /104").note(
                "candidates are what host names and smaller targets give, and who is met on a link of this machine",
            ),
        );
    }
    Some(target)
}

/// Warns where others' addresses may be meant and nobody is named who allowed it.
pub(crate) fn warn_public(value: &Value<'_>, targets: &[Target], put_right: &str) {
    let public: Vec<String> =
        targets.iter().filter(|target| target.range().is_some_and(is_public)).map(ToString::to_string).collect();
    if let Some(first) = public.first() {
        let who = match public.len() {
            1 => format!("{first} is"),
            count => format!("{first} and {} more are", count - 1),
        };
        let title = format!("{who} public and nobody is named who authorised the scanning");
        value.sink.push(value.warning(title).label("public").help(put_right));
    }
}

pub(crate) fn read_tags(value: &Value<'_>) -> Vec<Arc<str>> {
    let mut tags: Vec<Arc<str>> = Vec::new();
    for item in value.one_or_many() {
        let Some(tag) = item.text() else { continue };
        if let Some(fault) = names::fault(tag) {
            item.refuse(format!("{} cannot be a tag: {fault}", names::show(tag)));
        } else if !tags.iter().any(|known| &**known == tag) {
            tags.push(tag.into());
        }
    }
    tags
}

fn read_authorization(asset: &str, value: &Value<'_>, today: Date) -> Option<Authorization> {
    let table = value.table(AUTHORIZATION_KEYS)?;
    let by = table.require("by", "name who allowed it and where that is written").and_then(|by| by.line(200));
    let until = table.get("until").and_then(|until| read_date(&until).map(|date| (until, date)));
    if let Some((value, until)) = &until
        && *until < today
    {
        let title = format!("scanning of asset {} has ended: its authorization ran until {until}", names::show(asset));
        value.sink.push(value.warning(title).label("in the past"));
    }
    Some(Authorization { by: by?, until: until.map(|(_, date)| date) })
}

fn read_date(value: &Value<'_>) -> Option<Date> {
    let date = value.as_date();
    if date.is_none() {
        value.expected("a day like `2027-12-31`, without quotes and without a time");
    }
    date
}

fn read_allow_list(value: &Value<'_>) -> Option<AllowList> {
    let table = value.table(CERTIFICATES_KEYS)?;
    let items = |key| table.get(key).map(|value| value.one_or_many()).unwrap_or_default();
    let issuers: Vec<String> = items("issuers").iter().filter_map(read_issuer).collect();
    let spki: Vec<Sha256> = items("spki")
        .iter()
        .filter_map(|item| item.parse("write the SHA-256 of the public key: 64 hexadecimal digits", str::parse))
        .collect();
    if items("issuers").is_empty() && items("spki").is_empty() {
        let title = format!("`{}` allows no certificate at all; every one is SSL_ROGUE", value.path);
        table.sink.push_if_whole(table.warning(title));
    }
    Some(AllowList { issuers, spki })
}

/// One or more attributes, `O=Example CA Inc, C=DE`.
fn read_issuer(value: &Value<'_>) -> Option<String> {
    let text = value.line(400)?;
    let attribute = |part: &str| {
        part.split_once('=').is_some_and(|(name, value)| !name.trim().is_empty() && !value.trim().is_empty())
    };
    if text.split(',').all(attribute) {
        return Some(text);
    }
    let title = format!("{} is not a list of issuer attributes", names::show(&text));
    value.sink.push(
        Diagnostic::error(value.span, title)
            .help("write name and value, like `O=Example CA Inc` or `O=Example CA Inc, C=DE`"),
    );
    None
}

/// Names for `[asset.NAME]` and its like: what is wrong with one is reported once, where it is defined.
pub(crate) fn check_name(kind: &str, name: &str, key: crate::Span, sink: &Sink) {
    if let Some(fault) = names::fault(name) {
        sink.push(Diagnostic::error(key, format!("{} cannot name {kind}: {fault}", names::show(name))));
    }
}
