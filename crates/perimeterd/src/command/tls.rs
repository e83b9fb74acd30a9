//! How a service does TLS, in words for tables.

use super::row;
use crate::output::Table;
use model::{TlsPosture, Weakness};
use serde_json::Value;

/// A row for each service of a host that speaks TLS.
pub(super) fn table(host: &Value) -> Table {
    let mut table = Table::new(&[
        "PORT",
        "NAME",
        "TLS",
        "KEY EXCHANGE",
        "CLIENT CERTIFICATE",
        "STAPLE",
        "SCTS",
        "PATH",
        "WEAK",
        "AUDITED",
    ]);
    for row in rows(host) {
        table.row(row);
    }
    table
}

fn rows(host: &Value) -> Vec<[String; 10]> {
    let mut rows = Vec::new();
    for endpoint in row::array(host, "/endpoints") {
        for service in row::array(endpoint, "/services") {
            let Some(tls) = service.get("tls") else { continue };
            let posture = posture(tls);
            rows.push([
                format!("{}/{}", row::text(endpoint, "/port"), row::text(endpoint, "/transport")),
                name(service, &posture),
                versions(tls, &posture),
                key_exchange(&row::text(tls, "/cipher"), posture.dh_bits),
                posture.client_auth.map(|auth| auth.as_str().to_owned()).unwrap_or_default(),
                staple(&posture).unwrap_or_default(),
                posture.scts.map(|count| count.to_string()).unwrap_or_default(),
                path(tls),
                weaknesses(tls).join(", "),
                row::time(tls, "/posture/audited"),
            ]);
        }
    }
    rows
}

/// The same in one cell: what is out of the ordinary, and what is known of it beside.
pub(super) fn summary(tls: &Value) -> String {
    if tls.is_null() {
        return String::new();
    }
    let posture = posture(tls);
    let weak = weaknesses(tls);
    let asked = posture.client_auth.map(model::ClientAuth::as_str).filter(|word| *word != "no");
    let parts = [
        Some(versions(tls, &posture)),
        Some(key_exchange(&row::text(tls, "/cipher"), posture.dh_bits)),
        asked.map(|word| format!("client certificate {word}")),
        posture.name_required.filter(|required| *required).map(|_| "name required".to_owned()),
        staple(&posture).filter(|word| word != "no").map(|word| format!("staple {word}")),
        posture.scts.filter(|count| *count > 0).map(|count| format!("{count} SCTs")),
        Some(path(tls)),
        (!weak.is_empty()).then(|| format!("weak: {}", weak.join(" "))),
    ];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Nothing where the daemon says nothing of it, or in a way this client does not know.
fn posture(tls: &Value) -> TlsPosture {
    tls.get("posture").and_then(|posture| serde_json::from_value(posture.clone()).ok()).unwrap_or_default()
}

/// What a service was asked under: nothing, a name, a name that a certificate told, or that one is missing.
pub(super) fn asked_under(service: &Value) -> String {
    name(service, &service.get("tls").map(posture).unwrap_or_default())
}

/// `www.example.org (learnt)`.
fn name(service: &Value, posture: &TlsPosture) -> String {
    match row::text(service, "/name") {
        name if name.is_empty() && posture.name_required == Some(true) => "(name required)".to_owned(),
        name if row::flag(service, "/learnt") => format!("{name} (learnt)"),
        name => name,
    }
}

/// All it accepts, where that was asked for; else what was agreed on.
fn versions(tls: &Value, posture: &TlsPosture) -> String {
    match &posture.versions {
        Some(versions) if !versions.is_empty() => {
            versions.iter().map(|version| version.as_str()).collect::<Vec<_>>().join(" ")
        }
        _ => row::text(tls, "/version"),
    }
}

/// As the name of the suite has it: since TLS 1.3 it is none of the suite's, and always ephemeral.
fn key_exchange(cipher: &str, dh_bits: Option<u32>) -> String {
    let word = match cipher.strip_prefix("TLS_").map(|rest| rest.split_once("_WITH_")) {
        Some(Some((kind, _))) => kind.split('_').next().unwrap_or_default(),
        Some(None) => "ephemeral",
        None => "",
    };
    match dh_bits {
        Some(bits) if !word.is_empty() => format!("{word}, DH {bits}"),
        Some(bits) => format!("DH {bits}"),
        None => word.to_owned(),
    }
}

fn staple(posture: &TlsPosture) -> Option<String> {
    match (&posture.staple, posture.stapled) {
        (Some(staple), _) => serde_json::to_value(staple.status).ok()?.as_str().map(str::to_owned),
        (None, Some(true)) => Some("yes".to_owned()),
        (None, Some(false)) => Some("no".to_owned()),
        (None, None) => None,
    }
}

/// Where the chain leads; where it leads nowhere, what is wrong with it.
fn path(tls: &Value) -> String {
    let (root, verdicts) = (row::text(tls, "/path/root"), row::texts(tls, "/verdicts"));
    if root.is_empty() { verdicts.join(" ") } else { format!("to {root}") }
}

fn weaknesses(tls: &Value) -> Vec<String> {
    let told = tls.get("weaknesses").and_then(Value::as_object);
    let words = told.into_iter().flat_map(|told| told.keys());
    let mut known: Vec<(Option<Weakness>, String)> = words.map(|word| (word.parse().ok(), word.clone())).collect();
    known.sort();
    known.into_iter().map(|(_, word)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_what_is_known_and_nothing_else() {
        for (tls, expect) in [
            (Value::Null, ""),
            (json!({ "version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256" }), "TLSv1.3, ephemeral"),
            (
                json!({ "version": "unknown", "cipher": "unknown", "posture": { "name_required": true } }),
                "unknown, name required",
            ),
            (
                json!({
                    "version": "TLSv1.2", "cipher": "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
                    "posture": { "versions": ["TLSv1.0", "TLSv1.2"], "client_auth": "required", "dh_bits": 1024,
                        "stapled": true, "staple": { "status": "good" }, "scts": 2 },
                    "verdicts": ["expired"], "path": { "root": "CN=Root" }, "weaknesses": { "weak-dh": 0, "tls1.0": 1 },
                }),
                "TLSv1.0 TLSv1.2, DHE, DH 1024, client certificate required, staple good, 2 SCTs, to CN=Root, weak: tls1.0 weak-dh",
            ),
            (
                json!({ "version": "TLSv1.2", "cipher": "TLS_RSA_WITH_AES_128_CBC_SHA", "verdicts": ["self-signed"],
                    "posture": { "client_auth": "no", "stapled": false, "scts": 0 } }),
                "TLSv1.2, RSA, self-signed",
            ),
        ] {
            assert_eq!(summary(&tls), expect);
        }
    }

    #[test]
    fn names_say_where_they_come_from() {
        for (service, expect) in [
            (json!({ "service": { "name": "ssh" } }), ""),
            (json!({ "name": "www.example.org", "tls": {} }), "www.example.org"),
            (json!({ "name": "www.example.org", "learnt": true, "tls": {} }), "www.example.org (learnt)"),
            (json!({ "tls": { "posture": { "name_required": true } } }), "(name required)"),
        ] {
            assert_eq!(asked_under(&service), expect);
        }
    }

    #[test]
    fn has_a_row_for_each_service_that_speaks_tls() {
        let tls = json!({ "version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "posture": { "audited": "2026-11-21T10:05:03.5Z" } });
        let host = json!({ "endpoints": [
            { "port": 22, "transport": "tcp", "services": [{ "service": { "name": "ssh" } }] },
            { "port": 443, "transport": "tcp", "services": [
                { "tls": tls }, { "name": "www.example.org", "learnt": true, "tls": tls },
            ] },
        ] });
        let rows = rows(&host);
        let cells: Vec<[&str; 3]> = rows.iter().map(|row| [&*row[0], &*row[1], &*row[9]]).collect();
        let at = "2026-11-21 10:05:03Z";
        assert_eq!(cells, [["443/tcp", "", at], ["443/tcp", "www.example.org (learnt)", at]]);
    }
}
