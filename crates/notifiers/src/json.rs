//! The machine's form of a notice, for JSON Lines and the attachment of a mail.

use crate::plain::is_unseen;
use model::{AlertRef, Notice};
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    event: model::Event,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
}

/// The event as one JSON object on one line without the line end: with the notice's alert among its `alerts`, with the alert's
/// severity as its `severity`, and with `"test":true` for a `notify test`. What a terminal would act upon is written as `\u…`.
pub fn json_line(notice: &Notice) -> String {
    let mut event = notice.event.clone();
    let alert = &notice.alert;
    if !event.alerts.iter().any(|known| known.id == alert.id) {
        event.alerts.push(AlertRef { id: alert.id, profile: alert.profile.clone(), rules: alert.rules.clone() });
    }
    event.severity = alert.severity;
    match serde_json::to_string(&Line { event, test: notice.test }) {
        Ok(json) => escape_unseen(&json),
        // Our own types always serialise; should one ever not, the reader still learns which alert it was.
        Err(error) => serde_json::json!({"schema": 1, "id": notice.event.id, "error": error.to_string()}).to_string(),
    }
}

/// Such characters can only stand inside strings, where JSON lets any be written as UTF-16 escapes (RFC 8259 §7).
fn escape_unseen(json: &str) -> String {
    if !json.chars().any(is_unseen) {
        return json.to_owned();
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_unseen(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use proptest::prelude::*;

    #[test]
    fn the_alert_is_filled_in_and_a_test_is_marked() {
        let mut notice = sample::port_open();
        notice.event.alerts.clear();
        let json: serde_json::Value = serde_json::from_str(&json_line(&notice)).expect("JSON");
        assert_eq!(json["type"], "PORT_OPEN");
        assert_eq!(json["severity"], 4);
        assert_eq!(json["alerts"][0]["profile"], "dmz");
        assert_eq!(json["alerts"][0]["rules"][0], "open-not-web");
        assert_eq!(json.get("test"), None);
        notice.test = true;
        let json: serde_json::Value = serde_json::from_str(&json_line(&notice)).expect("JSON");
        assert_eq!(json["test"], true);
    }

    proptest! {
        #[test]
        fn hostile_text_stays_on_its_line_and_reads_back(text in any::<String>(), notice in sample::hostile()) {
            let mut notice = notice;
            notice.event.reason = Some(text.clone());
            let line = json_line(&notice);
            prop_assert!(!line.chars().any(is_unseen));
            let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(read["reason"].as_str(), Some(text.as_str()));
        }
    }
}
