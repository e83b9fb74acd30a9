//! What a host's detail rests on, in tables: who says what, how sure it is, and who contradicts.

use super::row;
use crate::output::Table;
use model::{Os, Service};
use serde_json::Value;

/// Facts of a service that its row of the endpoints has already, or that are of use to the daemon alone.
const SHOWN_ELSEWHERE: [&str; 2] = ["starttls", "fingerprint"];
/// What somebody else takes the product or the system for.
const DISPUTED: &str = ".disputed";

/// Every service of a host that says something, with its place: `443/tcp`, and the name it was asked under.
fn services(host: &Value) -> Vec<(String, String, Service)> {
    let mut found = Vec::new();
    for endpoint in row::array(host, "/endpoints").iter().filter(|endpoint| row::text(endpoint, "/status") == "open") {
        let port = format!("{}/{}", row::text(endpoint, "/port"), row::text(endpoint, "/transport"));
        for state in row::array(endpoint, "/services") {
            let service = state.get("service").and_then(|service| serde_json::from_value(service.clone()).ok());
            found.extend(service.map(|service| (port.clone(), row::text(state, "/name"), service)));
        }
    }
    found
}

/// What runs there, a product a line, with where it shows.
pub(super) fn software(host: &Value) -> Table {
    let mut table = Table::new(&["SOFTWARE", "VERSION", "PORT", "NAME", "PACKAGE", "CPE"]);
    for (port, name, service) in services(host) {
        let package = service.facts.get("package.version").cloned().unwrap_or_default();
        let may_be_mended = service.facts.get("backport_possible").is_some_and(|said| said == "true");
        let package = match (package.as_str(), may_be_mended) {
            ("", true) => "a distribution's: may have fixes of newer versions".to_owned(),
            ("", false) => String::new(),
            (package, true) => format!("{package} (may have fixes of newer versions)"),
            (package, false) => package.to_owned(),
        };
        let packages = std::iter::once(package).chain(std::iter::repeat(String::new()));
        for (software, package) in service.all_software().zip(packages) {
            let version = software.version.unwrap_or_default();
            let cpe = software.cpe.unwrap_or_default();
            table.row([software.product, version, port.clone(), name.clone(), package, cpe]);
        }
    }
    table
}

/// Who says what of the operating system; empty where nobody does.
pub(super) fn systems(host: &Value) -> Table {
    let mut table = Table::new(&["SYSTEM", "SURE", "SAID BY", "PORT", "NAME"]);
    let known = host.get("os").and_then(|os| serde_json::from_value::<Os>(os.clone()).ok());
    if let Some(os) = &known {
        table.row([os.to_string(), sure(os.confidence), "all of it".to_owned(), String::new(), String::new()]);
    }
    for (port, name, service) in services(host) {
        if let Some(os) = &service.os {
            table.row([os.to_string(), sure(os.confidence), service.name, port, name]);
        }
    }
    table
}

/// What each service told beside its name: the fields rules look at, and what contradicts what was made of it.
pub(super) fn facts(host: &Value) -> Table {
    let mut table = Table::new(&["PORT", "NAME", "SERVICE", "SURE", "EVIDENCE"]);
    for (port, name, service) in services(host) {
        let mut place = [port, name, service.name.clone(), sure(service.confidence)];
        let mut lines: Vec<String> = service.banner.iter().map(|banner| format!("said {banner}")).collect();
        let source = service.facts.get("fingerprint").map(|source| format!("named by {source}"));
        lines.extend(source);
        let (disputes, others): (Vec<_>, Vec<_>) = service
            .facts
            .iter()
            .filter(|(fact, _)| !SHOWN_ELSEWHERE.contains(&fact.as_str()))
            .partition(|(fact, _)| fact.ends_with(DISPUTED));
        lines.extend(disputes.iter().map(|(fact, value)| {
            let what = fact.strip_suffix(DISPUTED).unwrap_or(fact);
            format!("disputed: {what} would be {value}")
        }));
        lines.extend(others.iter().map(|(fact, value)| format!("{fact}: {value}")));
        for line in lines {
            let [port, name, service, sure] = std::mem::take(&mut place);
            table.row([port, name, service, sure, line]);
        }
    }
    table
}

/// The names of a host, by who gives them: `www.example.org (PTR)`.
pub(super) fn names(detail: &Value) -> String {
    let host = detail.get("host").unwrap_or(&Value::Null);
    let sources = [
        ("configured", "configured"),
        ("ptr", "PTR"),
        ("netbios", "NetBIOS"),
        ("ntlm", "NTLM"),
        ("ldap", "LDAP"),
        ("certificate", "certificate"),
    ];
    let mut given: Vec<(String, Vec<&str>)> = Vec::new();
    for (source, shown) in sources {
        let names = if source == "certificate" {
            let certificates = row::array(detail, "/certificates").iter();
            certificates.flat_map(|state| row::texts(state, "/certificate/sans")).collect()
        } else {
            row::texts(host, &format!("/names/{source}"))
        };
        for name in names {
            match given.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sources)) if sources.contains(&shown) => {}
                Some((_, sources)) => sources.push(shown),
                None => given.push((name, vec![shown])),
            }
        }
    }
    let shown: Vec<String> = given.iter().map(|(name, sources)| format!("{name} ({})", sources.join(", "))).collect();
    shown.join(", ")
}

/// `98 %`.
fn sure(confidence: f32) -> String {
    format!("{:.0} %", confidence.clamp(0.0, 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn detail() -> Value {
        json!({
            "host": {
                "os": { "family": "linux", "product": "Debian", "version": "12", "confidence": 0.9 },
                "names": { "ptr": ["www.example.org"], "ntlm": ["files"] },
                "endpoints": [
                    { "port": 443, "transport": "tcp", "status": "open", "services": [{
                        "name": "www.example.org",
                        "service": {
                            "name": "http", "product": "nginx", "version": "1.22.1", "confidence": 0.98,
                            "cpe": ["cpe:2.3:a:f5:nginx:1.22.1:*:*:*:*:*:*:*"], "banner": "Server: nginx/1.22.1",
                            "facts": { "http.status": "200", "product.disputed": "Zorb 1 (recog http_servers #3)",
                                       "backport_possible": "true" },
                            "behind": [{ "product": "PHP", "version": "8.2", "cpe": "cpe:2.3:a:php:php:8.2:*:*:*:*:*:*:*" }],
                            "os": { "family": "linux", "product": "Ubuntu", "confidence": 0.8 }
                        }
                    }] },
                    { "port": 22, "transport": "tcp", "status": "closed", "services": [{ "service": { "name": "ssh", "confidence": 1.0 } }] }
                ]
            },
            "certificates": [{ "certificate": { "sans": ["www.example.org", "*.example.org"] } }]
        })
    }

    #[test]
    fn everything_is_said_with_who_says_it() {
        let detail = detail();
        assert_eq!(names(&detail), "www.example.org (PTR, certificate), files (NTLM), *.example.org (certificate)");
        let host = &detail["host"];
        let shown = |table: Table| table.text();
        let software = shown(software(host));
        assert!(
            software.contains("nginx") && software.contains("PHP") && software.contains("may have fixes"),
            "{software}"
        );
        assert!(!software.contains("ssh"), "what is closed is no part of it");
        let systems = shown(systems(host));
        assert!(systems.contains("Debian 12") && systems.contains("Ubuntu") && systems.contains("80 %"), "{systems}");
        let facts = shown(facts(host));
        for part in ["98 %", "said Server: nginx/1.22.1", "disputed: product would be Zorb 1", "http.status: 200"] {
            assert!(facts.contains(part), "{part} is not in {facts}");
        }
    }
}
