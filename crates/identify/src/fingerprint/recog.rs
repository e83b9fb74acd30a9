//! Recog's fingerprints (<https://github.com/rapid7/recog>), read from a folder that the operator names: XML files of patterns
//! over one field each, whose parameters say vendor, product, version, CPE and system.
//!
//! The semantics are those of its Ruby library: the first fingerprint of a file that matches wins; a parameter at position 0 is
//! a constant, any other a group; `{name}` stands for another parameter, and for `-` in a CPE name where a version is not
//! known; names that begin with `_tmp.` serve only for that.

mod base64;
mod read;

pub use read::RecogError;

use super::{
    Field,
    prefilter::{self, Prefilter},
};
use regex::bytes::{Captures, Regex, RegexBuilder};
use std::{collections::BTreeMap, sync::OnceLock};

/// What a fingerprint says of a value: `service.product` → `OpenSSH`.
pub type Parameters = BTreeMap<String, String>;

/// One file.
#[derive(Debug)]
pub struct Database {
    /// The file's name without its ending: `ssh_banners`.
    pub name: String,
    /// The field its patterns are for, by Recog's name (`ssh.banner`); the file's name where it does not say.
    pub matches: String,
    /// What `service.protocol` is unless a fingerprint says so.
    pub protocol: Option<String>,
    pub fingerprints: Vec<Fingerprint>,
    prefilter: Prefilter,
}

/// One pattern and what it means.
#[derive(Debug)]
pub struct Fingerprint {
    pub pattern: String,
    pub description: String,
    /// How sure its author is, 0 to 1.
    pub certainty: Option<f32>,
    pub examples: Vec<Example>,
    /// `.` matches line ends, too.
    dot_all: bool,
    ignore_case: bool,
    /// Over characters rather than bytes.
    unicode: bool,
    parameters: Vec<Parameter>,
    compiled: OnceLock<Option<Regex>>,
}

/// A value that the fingerprint must match, and what it must say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub value: Vec<u8>,
    pub expect: Parameters,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    position: usize,
    name: String,
    value: String,
}

/// A fingerprint that matched.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit<'d> {
    pub database: &'d Database,
    /// Its place in the file, counted from 1.
    pub number: usize,
    pub parameters: Parameters,
}

impl Hit<'_> {
    /// How sure its author is, 0 to 1.
    pub fn certainty(&self) -> Option<f32> {
        self.database.fingerprints.get(self.number.checked_sub(1)?)?.certainty
    }
}

impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The most of a value that is looked at.
const LONGEST: usize = 16 * 1024;
/// Of one compiled pattern, in bytes; a few of Recog's need more than the usual ten millions.
const LARGEST_PATTERN: usize = 64 << 20;
/// Parameters that stand for parameters that stand for parameters.
const DEEPEST: usize = 4;

impl Database {
    /// What the first fingerprint that matches says.
    pub fn identify(&self, value: &[u8]) -> Option<Hit<'_>> {
        let value = value.get(..LONGEST).unwrap_or(value);
        self.prefilter.candidates(value).into_iter().find_map(|index| {
            let parameters = self.fingerprints.get(index)?.read(value, self.protocol.as_deref())?;
            Some(Hit { database: self, number: index + 1, parameters })
        })
    }

    /// The field, where answers of ours have it.
    pub fn field(&self) -> Option<Field> {
        const KNOWN: [(&str, Field); 19] = [
            ("ssh.banner", Field::SshBanner),
            ("http_header.server", Field::HttpServer),
            ("http_header.cookie", Field::HttpCookie),
            ("http_header.wwwauth", Field::HttpAuth),
            ("http_header.x-powered-by", Field::HttpPoweredBy),
            ("html_title", Field::HttpTitle),
            ("smtp.banner", Field::SmtpGreeting),
            ("ftp.banner", Field::FtpGreeting),
            ("nntp.banner", Field::NntpGreeting),
            ("pop3.banner", Field::PopGreeting),
            ("imap4.banner", Field::ImapGreeting),
            ("mysql.banners", Field::MysqlVersion),
            ("mysql.error", Field::MysqlError),
            ("dns.versionbind", Field::DnsVersion),
            ("snmp.sys_description", Field::SnmpDescription),
            ("telnet_banners", Field::TelnetText),
            ("sip_header.server", Field::SipServer),
            ("rtsp_header.server", Field::RtspServer),
            ("ldap.search_result", Field::LdapResult),
        ];
        const FURTHER: [(&str, Field); 5] = [
            // What answers calls itself by the one or the other.
            ("sip_header.user_agent", Field::SipServer),
            ("favicon.md5", Field::HttpFavicon),
            ("ntp.readvar", Field::NtpVariables),
            ("x509.subject", Field::CertificateSubject),
            ("x509.issuer", Field::CertificateIssuer),
        ];
        KNOWN.iter().chain(&FURTHER).find(|(name, _)| *name == self.matches).map(|(_, field)| *field)
    }

    fn new(name: &str, matches: Option<String>, protocol: Option<String>, fingerprints: Vec<Fingerprint>) -> Self {
        let prefilter = Prefilter::new(fingerprints.iter().map(|one| prefilter::literals(&one.parse().ok()?)));
        let matches = matches.unwrap_or_else(|| name.to_owned());
        Self { name: name.to_owned(), matches, protocol, fingerprints, prefilter }
    }
}

impl Fingerprint {
    /// What it says of a value; none where it does not match.
    pub fn read(&self, value: &[u8], protocol: Option<&str>) -> Option<Parameters> {
        let captures = self.regex()?.captures(value)?;
        Some(self.parameters(&captures, protocol))
    }

    /// Compiled when it is first needed; that it can be was seen when its file was read.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| self.compile().ok()).as_ref()
    }

    pub(crate) fn compile(&self) -> Result<Regex, regex::Error> {
        RegexBuilder::new(&self.pattern)
            .unicode(self.unicode)
            .multi_line(true)
            .dot_matches_new_line(self.dot_all)
            .case_insensitive(self.ignore_case)
            .size_limit(LARGEST_PATTERN)
            .build()
    }

    fn parse(&self) -> Result<regex_syntax::hir::Hir, Box<regex_syntax::Error>> {
        regex_syntax::ParserBuilder::new()
            .utf8(false)
            .unicode(self.unicode)
            .multi_line(true)
            .dot_matches_new_line(self.dot_all)
            .case_insensitive(self.ignore_case)
            .build()
            .parse(&self.pattern)
            .map_err(Box::new)
    }

    fn parameters(&self, captures: &Captures<'_>, protocol: Option<&str>) -> Parameters {
        let mut said = Parameters::new();
        for parameter in &self.parameters {
            let value = match parameter.position {
                0 => Some(parameter.value.clone()),
                position => captures.get(position).map(|group| String::from_utf8_lossy(group.as_bytes()).into_owned()),
            };
            if let Some(value) = value {
                said.insert(parameter.name.clone(), value);
            }
        }
        if let Some(protocol) = protocol {
            said.entry("service.protocol".to_owned()).or_insert_with(|| protocol.to_owned());
        }
        self.interpolate(&mut said);
        said.retain(|name, _| !name.starts_with("_tmp."));
        said
    }

    /// Puts other parameters' values in the place of `{name}`. One that stands for nothing takes its parameter with it.
    fn interpolate(&self, said: &mut Parameters) {
        let constants: Vec<&Parameter> =
            self.parameters.iter().filter(|one| one.position == 0 && one.value.contains('{')).collect();
        for _ in 0..DEEPEST {
            for constant in &constants {
                let Some(value) = said.get(&constant.name).filter(|value| value.contains('{')) else { continue };
                match filled(&constant.name, value, said) {
                    Some(filled) => said.insert(constant.name.clone(), filled),
                    None => said.remove(&constant.name),
                };
            }
        }
    }
}

fn filled(name: &str, template: &str, said: &Parameters) -> Option<String> {
    let is_cpe = name.rsplit('.').next() == Some("cpe23");
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((other, after)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        match said.get(other) {
            Some(value) if is_cpe => out.extend(value.chars().map(within_uri)),
            Some(value) => out.push_str(value),
            None if is_cpe && other.ends_with(".version") => out.push('-'),
            None => return None,
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// A character of a value as it stands in a CPE URI, where colons divide.
fn within_uri(char: char) -> std::borrow::Cow<'static, str> {
    match char {
        ':' => "%3a".into(),
        '%' => "%25".into(),
        '~' => "%7e".into(),
        _ => char.to_string().into(),
    }
}

#[cfg(test)]
mod tests;
