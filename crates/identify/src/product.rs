//! The products we know by the word they call themselves, and how a name and a version get into a service.

use crate::text;
use model::Service;

struct Product {
    /// What it says of itself, in lower case.
    token: &'static str,
    vendor: &'static str,
    name: &'static str,
    /// Vendor and product in the CPE dictionary; none where we are not certain.
    cpe: Option<(&'static str, &'static str)>,
}

const fn product(
    token: &'static str,
    vendor: &'static str,
    name: &'static str,
    cpe: Option<(&'static str, &'static str)>,
) -> Product {
    Product { token, vendor, name, cpe }
}

const PRODUCTS: &[Product] = &[
    product("openssh", "OpenBSD", "OpenSSH", Some(("openbsd", "openssh"))),
    product("dropbear", "Matt Johnston", "Dropbear", Some(("dropbear_ssh_project", "dropbear_ssh"))),
    product("libssh", "libssh", "libssh", Some(("libssh", "libssh"))),
    product("nginx", "F5", "nginx", Some(("f5", "nginx"))),
    product("openresty", "OpenResty", "OpenResty", Some(("openresty", "openresty"))),
    product("apache", "Apache", "Apache httpd", Some(("apache", "http_server"))),
    product("apache-coyote", "Apache", "Apache Tomcat", None),
    product("lighttpd", "lighttpd", "lighttpd", Some(("lighttpd", "lighttpd"))),
    product("caddy", "Caddy", "Caddy", Some(("caddyserver", "caddy"))),
    product("microsoft-iis", "Microsoft", "IIS", Some(("microsoft", "internet_information_services"))),
    product("microsoft-httpapi", "Microsoft", "HTTPAPI", None),
    product("python", "Python", "Python http.server", Some(("python", "python"))),
    product("gunicorn", "Gunicorn", "gunicorn", Some(("gunicorn", "gunicorn"))),
    product("werkzeug", "Pallets", "Werkzeug", Some(("palletsprojects", "werkzeug"))),
    product("jetty", "Eclipse", "Jetty", Some(("eclipse", "jetty"))),
    product("cups", "OpenPrinting", "CUPS", Some(("openprinting", "cups"))),
    product("postfix", "Postfix", "Postfix", Some(("postfix", "postfix"))),
    product("exim", "Exim", "Exim", Some(("exim", "exim"))),
    product("sendmail", "Sendmail", "Sendmail", Some(("sendmail", "sendmail"))),
    product("opensmtpd", "OpenBSD", "OpenSMTPD", Some(("openbsd", "opensmtpd"))),
    product("haraka", "Haraka", "Haraka", None),
    product("vsftpd", "vsftpd", "vsftpd", Some(("vsftpd_project", "vsftpd"))),
    product("proftpd", "ProFTPD", "ProFTPD", Some(("proftpd", "proftpd"))),
    product("pure-ftpd", "Pure-FTPd", "Pure-FTPd", Some(("pureftpd", "pure-ftpd"))),
    product("filezilla server", "FileZilla", "FileZilla Server", Some(("filezilla-project", "filezilla_server"))),
    product("microsoft ftp service", "Microsoft", "Microsoft FTP Service", None),
    product("pyftpdlib", "pyftpdlib", "pyftpdlib", None),
    product("dovecot", "Dovecot", "Dovecot", Some(("dovecot", "dovecot"))),
    product("courier-imap", "Courier", "Courier-IMAP", None),
    product("courier", "Courier", "Courier", None),
    product("cyrus", "Cyrus", "Cyrus IMAP", Some(("cyrus", "imap"))),
    product("bind", "ISC", "BIND", Some(("isc", "bind"))),
    product("dnsmasq", "Simon Kelley", "dnsmasq", Some(("thekelleys", "dnsmasq"))),
    product("unbound", "NLnet Labs", "Unbound", Some(("nlnetlabs", "unbound"))),
    product("nsd", "NLnet Labs", "NSD", Some(("nlnetlabs", "name_server_daemon"))),
    product(
        "powerdns authoritative server",
        "PowerDNS",
        "PowerDNS Authoritative Server",
        Some(("powerdns", "authoritative")),
    ),
    product("powerdns recursor", "PowerDNS", "PowerDNS Recursor", Some(("powerdns", "recursor"))),
    product("knot dns", "CZ.NIC", "Knot DNS", Some(("nic", "knot_dns"))),
    product("mysql", "Oracle", "MySQL", Some(("oracle", "mysql"))),
    product("mariadb", "MariaDB", "MariaDB", Some(("mariadb", "mariadb"))),
    product("net-snmp", "Net-SNMP", "Net-SNMP", Some(("net-snmp", "net-snmp"))),
    product("samba", "Samba", "Samba", Some(("samba", "samba"))),
    product("oracle tns listener", "Oracle", "Oracle TNS listener", None),
    product("postgresql", "PostgreSQL", "PostgreSQL", Some(("postgresql", "postgresql"))),
    product("mongodb", "MongoDB", "MongoDB", Some(("mongodb", "mongodb"))),
    product("mosquitto", "Eclipse", "Mosquitto", Some(("eclipse", "mosquitto"))),
    product("rabbitmq", "Broadcom", "RabbitMQ", Some(("vmware", "rabbitmq"))),
    product("memcached", "memcached", "memcached", Some(("memcached", "memcached"))),
    product("redis", "Redis", "Redis", Some(("redis", "redis"))),
    product("valkey", "Valkey", "Valkey", None),
    product("asterisk pbx", "Asterisk", "Asterisk", Some(("digium", "asterisk"))),
    product("kamailio", "Kamailio", "Kamailio", Some(("kamailio", "kamailio"))),
    product("zookeeper", "Apache", "Apache ZooKeeper", Some(("apache", "zookeeper"))),
    product("nats", "NATS", "NATS Server", None),
    product("activemq", "Apache", "Apache ActiveMQ", Some(("apache", "activemq"))),
    product("cassandra", "Apache", "Apache Cassandra", Some(("apache", "cassandra"))),
    product("git", "Git", "git", Some(("git-scm", "git"))),
    product("zabbix agent", "Zabbix", "Zabbix agent", None),
    product("munin node", "Munin", "munin-node", None),
    product("coturn", "coturn", "coturn", Some(("coturn_project", "coturn"))),
    product("openldap", "OpenLDAP", "OpenLDAP", Some(("openldap", "openldap"))),
    product("ntpd", "NTP Project", "ntpd", Some(("ntp", "ntp"))),
];

/// Names the product, by the word it calls itself with, and its version. A product we do not know keeps its own word and
/// gets no CPE: one is never invented.
pub(crate) fn name(service: &mut Service, token: &str, version: Option<&str>) {
    let token = text::printable(token.as_bytes());
    let version = version.map(|version| text::printable(version.as_bytes())).filter(|version| !version.is_empty());
    if let Some(known) = PRODUCTS.iter().find(|product| product.token.eq_ignore_ascii_case(&token)) {
        service.vendor = Some(known.vendor.to_owned());
        service.product = Some(known.name.to_owned());
        service.cpe = known.cpe.map(|(vendor, product)| cpe(vendor, product, version.as_deref())).into_iter().collect();
    } else if !token.is_empty() {
        service.product = Some(token);
    }
    service.version = version;
}

/// The products of `among` that the text mentions as a word of its own; the first in the order given.
pub(crate) fn mentioned<'a>(text: &str, among: &[&'a str]) -> Option<&'a str> {
    among.iter().copied().find(|token| {
        if token.contains(['-', ' ']) { text::after(text, token).is_some() } else { text::has_word(text, token) }
    })
}

/// A CPE 2.3 formatted string (NISTIR 7695 §6.2) of an application. OpenSSH's `9.2p1` is version 9.2, update p1, as the
/// dictionary has it; an unknown version is `*`.
fn cpe(vendor: &str, product: &str, version: Option<&str>) -> String {
    let (version, update) = match version {
        Some(version) if vendor == "openbsd" && product == "openssh" => {
            version.split_once('p').map_or((version, None), |(version, patch)| (version, Some(format!("p{patch}"))))
        }
        Some(version) => (version, None),
        None => ("*", None),
    };
    let version = if version == "*" { version.to_owned() } else { quoted(version) };
    let update = update.map_or_else(|| "*".to_owned(), |update| quoted(&update));
    format!("cpe:2.3:a:{}:{}:{version}:{update}:*:*:*:*:*:*", quoted(vendor), quoted(product))
}

/// Lower case; everything but letters, digits, `_`, `-` and `.` behind a backslash; white space as `_`.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars().flat_map(char::to_lowercase) {
        match char {
            ' ' => out.push('_'),
            'a'..='z' | '0'..='9' | '_' | '-' | '.' => out.push(char),
            _ => out.extend(['\\', char]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpe_names() {
        for (token, version, expect) in [
            ("OpenSSH", Some("9.2p1"), Some("cpe:2.3:a:openbsd:openssh:9.2:p1:*:*:*:*:*:*")),
            ("OpenSSH", None, Some("cpe:2.3:a:openbsd:openssh:*:*:*:*:*:*:*:*")),
            ("nginx", Some("1.22.1"), Some("cpe:2.3:a:f5:nginx:1.22.1:*:*:*:*:*:*:*")),
            ("ProFTPD", Some("1.3.8~rc+1"), Some("cpe:2.3:a:proftpd:proftpd:1.3.8\\~rc\\+1:*:*:*:*:*:*:*")),
            ("zorbd", Some("1"), None),
        ] {
            let mut service = Service::default();
            name(&mut service, token, version);
            assert_eq!(service.cpe.first().map(String::as_str), expect, "{token}");
            assert_eq!(service.version.as_deref(), version);
        }
    }

    #[test]
    fn tokens_are_lower_case_and_unique() {
        for (index, product) in PRODUCTS.iter().enumerate() {
            assert_eq!(product.token, product.token.to_ascii_lowercase());
            assert!(PRODUCTS.iter().skip(index + 1).all(|other| other.token != product.token), "{}", product.token);
        }
    }
}
