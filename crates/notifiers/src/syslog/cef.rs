//! `ArcSight`'s Common Event Format, version 0 (the one every receiver recognises): fixed slots for all types, so that one parser
//! serves; IPv4 in `dst`, IPv6 in `c6a3`; keys without a value are left out, as receivers trip over empty ones.

use crate::{Identity, plain::is_unseen, sentence::told};
use jiff::Timestamp;
use model::{Category, EventType, Notice, Severity};
use std::net::IpAddr;

const TRUNCATED: &str = "[truncated]";

/// The notice as a CEF message of at most `room` bytes. What does not fit goes in this order: `cs5`, `cs4`, the tail of `msg`, then the
/// keys of [`EXPENDABLE`].
pub(super) fn message(notice: &Notice, identity: &Identity, room: usize) -> String {
    let kind = notice.event.kind;
    let head = format!(
        "CEF:0|perimeterd|perimeterd|{}|{}|{}|{}|",
        in_header(&tame(&identity.version, 31)),
        kind.as_str(),
        in_header(kind.title()),
        severity(notice.alert.severity),
    );
    let mut fields = fields(notice, identity);
    let excess = |fields: &[Field]| (head.len() + length(fields)).saturating_sub(room);
    for key in ["cs5", "cs4"] {
        if excess(&fields) > 0 {
            drop_key(&mut fields, key);
        }
    }
    let over = excess(&fields);
    if over > 0
        && let Some(msg) = fields.iter_mut().find(|field| field.key == "msg")
    {
        shorten(&mut msg.value, over);
        if msg.value.is_empty() {
            drop_key(&mut fields, "msg");
        }
    }
    for key in EXPENDABLE {
        if excess(&fields) > 0 {
            drop_key(&mut fields, key);
        }
    }
    let mut text = head;
    for (place, field) in fields.iter().enumerate() {
        text.push_str(if place == 0 { "" } else { " " });
        text.push_str(field.key);
        text.push('=');
        text.push_str(&in_extension(&field.value));
    }
    text
}

/// What may go after `cs5`, `cs4` and `msg` where a message has very little room.
const EXPENDABLE: &[&str] =
    &["msg", "reason", "cs3", "destinationServiceName", "cs6", "cs2", "dhost", "app", "cs1", "deviceExternalId"];

/// CEF counts 0-3 low, 4-6 medium, 7-8 high, 9-10 very high.
fn severity(severity: Severity) -> u8 {
    match severity.get() {
        1 => 1,
        2 => 3,
        3 => 5,
        4 => 8,
        _ => 10,
    }
}

struct Field {
    key: &'static str,
    /// Tamed, not yet escaped.
    value: String,
}

fn fields(notice: &Notice, identity: &Identity) -> Vec<Field> {
    let (event, alert) = (&notice.event, &notice.alert);
    let mut fields = Fields(Vec::new());
    fields.time("rt", alert.time);
    fields.text("externalId", &alert.id.to_string(), 40);
    fields.text("deviceExternalId", &event.sensor.0, 255);
    fields.text("dvchost", &identity.host, 100);
    if let Some(host) = &event.host {
        match host.ip {
            IpAddr::V4(ip) => fields.text("dst", &ip.to_string(), 15),
            IpAddr::V6(ip) => fields.slot("c6a3", "c6a3Label", "destinationIPv6Address", &ip.to_string(), 45),
        }
    }
    let about_a_host = event.host.as_ref().and_then(|host| event.name.as_ref().or_else(|| host.names.first()));
    fields.maybe("dhost", about_a_host, 255);
    if let Some(endpoint) = event.endpoint {
        fields.text("dpt", &endpoint.port.to_string(), 5);
        fields.text("proto", &endpoint.transport.as_str().to_uppercase(), 3);
    }
    if let Some(service) = &event.service {
        fields.text("app", &service.name, 31);
        let version = service.version.as_deref().unwrap_or_default();
        let product = service.product.as_ref().map(|product| format!("{product} {version}"));
        fields.maybe("destinationServiceName", product.as_ref(), 255);
    }
    fields.text("act", event.kind.action(), 63);
    fields.text("outcome", "success", 63);
    fields.text("cat", &format!("/{}", event.kind.category().as_str()), 63);
    let (profiles, rules) = profiles_and_rules(notice);
    fields.slot("cs1", "cs1Label", "profile", &profiles, 255);
    fields.slot("cs2", "cs2Label", "rules", &rules, 1023);
    fields.slot("cs3", "cs3Label", "newValue", &new_value(notice), 1023);
    fields.slot("cs4", "cs4Label", "oldValue", event.old.as_deref().unwrap_or_default(), 1023);
    let os = event.host.as_ref().and_then(|host| host.os.as_deref());
    fields.slot("cs5", "cs5Label", "operatingSystem", os.unwrap_or_default(), 255);
    fields.slot("cs6", "cs6Label", "objectId", &object(notice), 1023);
    fields.slot("cn1", "cn1Label", "alertSeverity", &alert.severity.get().to_string(), 1);
    let metric = event.metric.map(|metric| metric.to_string()).unwrap_or_default();
    fields.slot("cn2", "cn2Label", "metric", &metric, 20);
    if let Some(first) = event.first_seen {
        fields.time("start", first);
        fields.text("deviceCustomDate1Label", "firstSeen", 63);
        fields.time("deviceCustomDate1", first);
    }
    if let Some(last) = event.last_seen {
        fields.time("end", last);
    }
    if let Some(certificate) = &event.certificate {
        fields.text("deviceCustomDate2Label", "dueOrNotAfter", 63);
        fields.time("deviceCustomDate2", certificate.not_after);
    }
    fields.maybe("reason", event.reason.as_ref(), 1023);
    fields.text("msg", &told(notice), 1023);
    fields.0
}

fn profiles_and_rules(notice: &Notice) -> (String, String) {
    let mut profiles = vec![notice.alert.profile.as_str()];
    let mut rules: Vec<&str> = notice.alert.rules.iter().map(String::as_str).collect();
    for alert in &notice.event.alerts {
        if !profiles.contains(&alert.profile.as_str()) {
            profiles.push(&alert.profile);
        }
        for rule in &alert.rules {
            if !rules.contains(&rule.as_str()) {
                rules.push(rule);
            }
        }
    }
    (profiles.join(","), rules.join(","))
}

fn new_value(notice: &Notice) -> String {
    let event = &notice.event;
    match &event.certificate {
        Some(certificate) if event.kind.category() == Category::Certificate => {
            format!("{};{}", certificate.subject, certificate.issuer)
        }
        _ if event.kind == EventType::HostFound && !event.endpoints.is_empty() => event.endpoints.join(","),
        _ => event.new.clone().unwrap_or_default(),
    }
}

fn object(notice: &Notice) -> String {
    let cpe = || notice.event.software.as_ref().and_then(|software| software.cpe.clone());
    notice.event.certificate.as_ref().map(|of| of.sha256.to_string()).or_else(cpe).unwrap_or_default()
}

struct Fields(Vec<Field>);

impl Fields {
    /// Left out where nothing is left of the value.
    fn text(&mut self, key: &'static str, value: &str, max: usize) {
        let value = tame(value, max);
        if !value.is_empty() {
            self.0.push(Field { key, value });
        }
    }

    fn maybe(&mut self, key: &'static str, value: Option<&String>, max: usize) {
        self.text(key, value.map(String::as_str).unwrap_or_default(), max);
    }

    /// A custom field, which needs its label beside it.
    fn slot(&mut self, key: &'static str, label_key: &'static str, label: &str, value: &str, max: usize) {
        let value = tame(value, max);
        if !value.is_empty() {
            self.0.push(Field { key: label_key, value: label.to_owned() });
            self.0.push(Field { key, value });
        }
    }

    fn time(&mut self, key: &'static str, time: Timestamp) {
        self.0.push(Field { key, value: time.as_millisecond().to_string() });
    }
}

fn drop_key(fields: &mut Vec<Field>, key: &str) {
    fields.retain(|field| field.key != key && field.key.strip_suffix("Label") != Some(key));
}

fn length(fields: &[Field]) -> usize {
    // A space before each field but the first.
    fields.iter().map(|field| field.key.len() + 2 + in_extension(&field.value).len()).sum::<usize>().saturating_sub(1)
}

/// Cuts a value, on a character and before it is escaped, so that its escaped form is at least `over` bytes shorter and says that it
/// was cut. Empty where nothing of it would be left.
fn shorten(value: &mut String, over: usize) {
    let room = in_extension(value).len().saturating_sub(over + TRUNCATED.len() + 1);
    let mut kept = String::new();
    let mut used = 0;
    for c in value.chars() {
        used += in_extension(c.encode_utf8(&mut [0; 4])).len();
        if used > room {
            break;
        }
        kept.push(c);
    }
    let kept = kept.trim_end();
    *value = if kept.is_empty() { String::new() } else { format!("{kept} {TRUNCATED}") };
}

/// A value with nothing in it that a receiver would act upon: at most `max` characters, controls as spaces (line ends are kept, to be
/// escaped), and no second `CEF:` or `LEEF:`, by which some receivers find the beginning of a message, the last one winning.
fn tame(value: &str, max: usize) -> String {
    let mut tamed = String::new();
    for c in value.chars().take(max) {
        let c = match c {
            '\n' | '\r' => c,
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => ' ',
            c if is_unseen(c) => '\u{fffd}',
            ':' if ends_with_format_name(&tamed) => '_',
            c => c,
        };
        tamed.push(c);
    }
    tamed.trim().to_owned()
}

fn ends_with_format_name(text: &str) -> bool {
    let ends_with = |name: &[u8]| {
        text.len()
            .checked_sub(name.len())
            .and_then(|at| text.as_bytes().get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(name))
    };
    ends_with(b"cef") || ends_with(b"leef")
}

fn in_header(value: &str) -> String {
    value.replace(['\n', '\r'], " ").replace('\\', "\\\\").replace('|', "\\|")
}

fn in_extension(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '=' => escaped.push_str("\\="),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c => escaped.push(c),
        }
    }
    escaped
}
