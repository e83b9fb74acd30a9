//! WHO: recipients.

use crate::{
    ChannelConfig, Diagnostic, Framing, Interval, JsonlPath, Recipient, Surroundings, Syslog, SyslogFormat,
    SyslogTransport,
    channel::{MAILBOX_HELP, mailbox, read_ca_file},
    names::{nearest, show},
    profile::undefined,
    raw::Raw,
    ruleset::read_severity,
    scan::{DAY, HOUR, MINUTE, SECOND, TEN_YEARS},
    store::read_path,
    url,
    walk::{Table, Value, spoken},
};
use model::Severity;
use std::{sync::Arc, time::Duration};

pub(crate) const KEYS: &[&str] = &["email", "syslog", "jsonl", "every", "profiles", "min_severity"];
pub(crate) const SYSLOG_KEYS: &[&str] = &["address", "format", "framing", "facility", "ca_file"];
const CHANNELS: [&str; 3] = ["email", "syslog", "jsonl"];

/// The intervals Qualys' users know, by name.
pub(crate) const ALIASES: [(&str, Duration); 8] = [
    ("every_5_minutes", Duration::from_mins(5)),
    ("every_20_minutes", Duration::from_mins(20)),
    ("every_hour", HOUR),
    ("every_4_hours", Duration::from_hours(4)),
    ("every_8_hours", Duration::from_hours(8)),
    ("every_12_hours", Duration::from_hours(12)),
    ("daily", DAY),
    ("weekly", Duration::from_hours(168)),
];

/// RFC 5424, table 1.
pub(crate) const FACILITIES: [(&str, u8); 24] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("ntp", 12),
    ("audit", 13),
    ("alert", 14),
    ("clock", 15),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];
const LOCAL0: u8 = 16;

/// Reads `[recipient.NAME]`.
pub(crate) fn read(value: &Value<'_>, raw: &Raw<'_>, around: &Surroundings) -> Option<Recipient> {
    let table = value.table(KEYS)?;
    let channels: Vec<Value<'_>> = CHANNELS.iter().filter_map(|channel| table.get(channel)).collect();
    match channels.as_slice() {
        [] => {
            let diagnostic = table.error(format!("`{}` has no way to be reached", value.path)).label("no channel");
            table.sink.push_if_whole(diagnostic.help("write one of `email`, `syslog` and `jsonl`"));
        }
        [first, second, ..] => {
            let diagnostic = Diagnostic::error(second.key, "a recipient has one channel").label("a second one");
            table.sink.push(diagnostic.related(first.key, "the first").help("make it two recipients"));
        }
        [_] => {}
    }
    let email = table.get("email");
    if let Some(email) = &email
        && raw.email.is_none()
    {
        let diagnostic = Diagnostic::error(email.key, format!("`{}` needs `[channel.email]`", email.path));
        let help = "tell how mail leaves: `[channel.email]` with `smtp = \"smtps://HOST\"` and `from = \"ADDRESS\"`";
        table.sink.push_if_whole(diagnostic.label("no way for e-mail out").help(help));
    }
    let channel = email
        .as_ref()
        .and_then(read_email)
        .or_else(|| table.get("syslog").and_then(|value| read_syslog(&value, around)).map(ChannelConfig::Syslog))
        .or_else(|| table.get("jsonl").and_then(|value| read_jsonl(&value, around)).map(ChannelConfig::Jsonl));
    let to_people = email.is_some();
    let every = match table.get("every") {
        Some(value) => read_interval(&value, to_people),
        None if to_people => Some(Interval::Every(5 * MINUTE)),
        None => Some(Interval::Immediate),
    };
    let min_severity = table.get("min_severity").map_or(Some(Severity::INFO), |value| read_severity(&value));
    Some(Recipient {
        profiles: read_profiles(&table, raw),
        channel: channel?,
        every: every?,
        min_severity: min_severity?,
    })
}

fn read_profiles(table: &Table<'_>, raw: &Raw<'_>) -> Vec<Arc<str>> {
    let Some(value) = table.get("profiles") else { return Vec::new() };
    let items = value.one_or_many();
    if items.is_empty() {
        value.refuse("the list is empty; leave the key out for all profiles");
    }
    let mut profiles: Vec<Arc<str>> = Vec::new();
    for item in items {
        let Some(name) = item.text() else { continue };
        if raw.profiles.contains_key(name) {
            profiles.push(name.into());
        } else {
            undefined(&item, name, "profile", raw.profiles.keys().copied());
        }
    }
    profiles.sort();
    profiles.dedup();
    profiles
}

fn read_interval(value: &Value<'_>, to_people: bool) -> Option<Interval> {
    let text = value.text()?;
    match text {
        "immediate" => return Some(Interval::Immediate),
        "never" => return Some(Interval::Never),
        _ => {}
    }
    if let Some((_, interval)) = ALIASES.iter().find(|(alias, _)| *alias == text) {
        return Some(Interval::Every(*interval));
    }
    let Ok(interval) = model::parse_duration(text) else {
        let title = format!("{} is not an interval", show(text));
        let words = ALIASES.iter().map(|(alias, _)| *alias).chain(["immediate", "never"]);
        let help = match nearest(text, words) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                "write a duration like `5m`, `immediate`, `never`, or a name like `every_4_hours` or `daily`".to_owned()
            }
        };
        value.sink.push(value.error(title).label("not an interval").help(help));
        return None;
    };
    let least = if to_people { MINUTE } else { SECOND };
    if interval < least || interval > TEN_YEARS {
        let title = format!("`{}` is {} to {}, not {}", value.path, spoken(least), spoken(TEN_YEARS), spoken(interval));
        let diagnostic = value.error(title).label(format!("outside {} to {}", spoken(least), spoken(TEN_YEARS)));
        value.sink.push(if to_people && interval < least {
            diagnostic.help("people are told at most once a minute; for each alert at once write `immediate`")
        } else {
            diagnostic
        });
        return None;
    }
    Some(Interval::Every(interval))
}

fn read_email(value: &Value<'_>) -> Option<ChannelConfig> {
    let items = value.one_or_many();
    if items.is_empty() {
        value.refuse("the list is empty; write at least one address");
        return None;
    }
    let to: Vec<String> = items.iter().filter_map(|item| item.parse(MAILBOX_HELP, mailbox)).collect();
    (to.len() == items.len()).then_some(ChannelConfig::Email { to })
}

fn read_syslog(value: &Value<'_>, around: &Surroundings) -> Option<Syslog> {
    const SCHEMES: &[(&str, SyslogTransport, u16)] =
        &[("udp", SyslogTransport::Udp, 514), ("tcp", SyslogTransport::Tcp, 514), ("tls", SyslogTransport::Tls, 6514)];
    let table = value.table(SYSLOG_KEYS)?;
    let address = table
        .require("address", "write `tls://HOST`, `tcp://HOST` or `udp://HOST`")
        .and_then(|value| url::read(&value, "write it like `tls://siem.example.org:6514`", SCHEMES));
    let format = match table.get("format") {
        Some(value) => value.word(&[("cef", SyslogFormat::Cef)]),
        None => Some(SyslogFormat::Cef),
    };
    let framing = match table.get("framing") {
        Some(value) => value.word(&[("octet", Framing::Octet), ("lf", Framing::Lf)]),
        None => Some(Framing::Octet),
    };
    let facility = match table.get("facility") {
        Some(value) if value.as_text().is_some() => value.word(&FACILITIES),
        Some(value) => value.integer_in(0..=23).and_then(|number| u8::try_from(number).ok()),
        None => Some(LOCAL0),
    };
    let ca_file = read_ca_file(&table, around);
    let address = address?;
    for (key, used) in
        [("ca_file", address.scheme == SyslogTransport::Tls), ("framing", address.scheme != SyslogTransport::Udp)]
    {
        if let Some(value) = table.get(key)
            && !used
        {
            let title = format!("`{key}` has no effect on this kind of address");
            value.sink.push(Diagnostic::warning(value.key, title).label("not used"));
        }
    }
    Some(Syslog {
        transport: address.scheme,
        host: address.host,
        port: address.port,
        format: format?,
        framing: framing?,
        facility: facility?,
        ca_file,
    })
}

fn read_jsonl(value: &Value<'_>, around: &Surroundings) -> Option<JsonlPath> {
    let path = read_path(value)?;
    Some(if path == "-" { JsonlPath::Stdout } else { JsonlPath::File(around.resolve(&path)) })
}
