/// A part of an answer that rules look at, with what the protocol puts around it taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// What stands after `SSH-2.0-`: software and comment.
    SshBanner,
    /// The `Server` header.
    HttpServer,
    /// Any header as a line, `Name: value`.
    HttpHeader,
    /// `Set-Cookie` without its attributes.
    HttpCookie,
    /// `WWW-Authenticate`.
    HttpAuth,
    HttpPoweredBy,
    HttpTitle,
    /// The MD5 of the site's little picture, in hexadecimal.
    HttpFavicon,
    /// The page's beginning, at most 8 KiB.
    HttpBody,
    /// The greeting without its code, a line of it.
    SmtpGreeting,
    LmtpGreeting,
    FtpGreeting,
    NntpGreeting,
    /// After `+OK `.
    PopGreeting,
    /// After `* OK `.
    ImapGreeting,
    /// After `"IMPLEMENTATION" `.
    SieveGreeting,
    /// The version in the greeting of `MySQL` and its kin.
    MysqlVersion,
    /// Their refusal.
    MysqlError,
    /// The answer to `version.bind`.
    DnsVersion,
    /// `sysDescr`.
    SnmpDescription,
    /// What is seen of a Telnet server, its negotiation taken out.
    TelnetText,
    /// The whole line of a server that speaks in lines and has no field of its own.
    Line,
    SipServer,
    RtspServer,
    NtpVariables,
    LdapResult,
    /// A distinguished name.
    CertificateSubject,
    CertificateIssuer,
}

const NAMES: [(Field, &str); 28] = [
    (Field::SshBanner, "ssh.banner"),
    (Field::HttpServer, "http.server"),
    (Field::HttpHeader, "http.header"),
    (Field::HttpCookie, "http.cookie"),
    (Field::HttpAuth, "http.auth"),
    (Field::HttpPoweredBy, "http.powered_by"),
    (Field::HttpTitle, "http.title"),
    (Field::HttpFavicon, "http.favicon"),
    (Field::HttpBody, "http.body"),
    (Field::SmtpGreeting, "smtp.greeting"),
    (Field::LmtpGreeting, "lmtp.greeting"),
    (Field::FtpGreeting, "ftp.greeting"),
    (Field::NntpGreeting, "nntp.greeting"),
    (Field::PopGreeting, "pop3.greeting"),
    (Field::ImapGreeting, "imap.greeting"),
    (Field::SieveGreeting, "sieve.greeting"),
    (Field::MysqlVersion, "mysql.version"),
    (Field::MysqlError, "mysql.error"),
    (Field::DnsVersion, "dns.version"),
    (Field::SnmpDescription, "snmp.description"),
    (Field::TelnetText, "telnet.text"),
    (Field::Line, "line"),
    (Field::SipServer, "sip.server"),
    (Field::RtspServer, "rtsp.server"),
    (Field::NtpVariables, "ntp.variables"),
    (Field::LdapResult, "ldap.result"),
    (Field::CertificateSubject, "certificate.subject"),
    (Field::CertificateIssuer, "certificate.issuer"),
];

impl Field {
    /// Its name in rule files: `ssh.banner`.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(field, _)| *field == self).map_or("", |(_, name)| name)
    }

    /// The field of that name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(field, _)| *field)
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
