//! Reading the daemon's rows for tables. What is missing reads as nothing: a newer daemon may say less, or more.

use crate::output;
use jiff::Timestamp;
use serde_json::Value;

/// A text or a number.
pub(super) fn text(row: &Value, pointer: &str) -> String {
    match row.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        _ => String::new(),
    }
}

pub(super) fn flag(row: &Value, pointer: &str) -> bool {
    row.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn texts(row: &Value, pointer: &str) -> Vec<String> {
    let items = row.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn array<'a>(row: &'a Value, pointer: &str) -> &'a [Value] {
    row.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn time(row: &Value, pointer: &str) -> String {
    timestamp(row, pointer).map(output::short_time).unwrap_or_default()
}

pub(super) fn timestamp(row: &Value, pointer: &str) -> Option<Timestamp> {
    row.pointer(pointer)?.as_str()?.parse().ok()
}

/// `OpenSSH 9.2p1`.
pub(super) fn product(row: &Value, pointer: &str) -> String {
    let service = row.pointer(pointer).unwrap_or(&Value::Null);
    let parts = [text(service, "/product"), text(service, "/version")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

pub(super) fn os(os: Option<&Value>) -> String {
    os.and_then(|os| serde_json::from_value::<model::Os>(os.clone()).ok()).map(|os| os.to_string()).unwrap_or_default()
}

/// `192.0.2.7:443/tcp`.
pub(super) fn endpoint(row: &Value) -> String {
    serde_json::from_value::<model::Endpoint>(row.clone()).map(|endpoint| endpoint.to_string()).unwrap_or_default()
}
