//! `[channel.email]`: the way out that all e-mail recipients share.

use crate::{
    Diagnostic, EmailChannel, SmtpSecurity, Surroundings,
    file::{self, FileFault},
    names::show,
    store::read_path,
    url,
    walk::{Table, Value},
};
use model::ServiceName;
use std::{net::IpAddr, path::PathBuf};

pub(crate) const EMAIL_KEYS: &[&str] = &["smtp", "from", "username", "password_file", "ca_file"];
pub(crate) const MAILBOX_HELP: &str = "write an address like `soc@example.org`, without a name and without `<>`";
const NO_PASSWORD: &str = "passwords do not belong into this file: put it alone into a file that only perimeterd can read and name that file \
     with `password_file`, or use a systemd credential (`LoadCredential=smtp:PATH` and `password_file = \"smtp\"`)";
const REFUSED: &[(&str, &str)] = &[("password", NO_PASSWORD), ("secret", NO_PASSWORD), ("pass", NO_PASSWORD)];
const SCHEMES: &[(&str, SmtpSecurity, u16)] = &[
    ("smtps", SmtpSecurity::Tls, 465),
    ("smtp+starttls", SmtpSecurity::StartTls, 587),
    ("smtp", SmtpSecurity::None, 25),
];

pub(crate) fn read_email(value: &Value<'_>, around: &Surroundings) -> Option<EmailChannel> {
    let table = value.table_without(EMAIL_KEYS, REFUSED)?;
    let smtp = table
        .require("smtp", "write `smtps://HOST`, `smtp+starttls://HOST` or, for no encryption, `smtp://HOST`")
        .and_then(|value| url::read(&value, "write it like `smtps://mail.example.org`", SCHEMES));
    let from = table
        .require("from", "the address alerts come from, like `perimeterd@example.org`")
        .and_then(|value| value.parse(MAILBOX_HELP, mailbox));
    let username = table.get("username").and_then(|value| value.line(256));
    let password_value = table.get("password_file");
    match (table.get("username"), &password_value) {
        (Some(username), None) if !table.holds(REFUSED) => {
            let diagnostic = username.error("a `username` needs a `password_file`").label("no password to go with it");
            username.sink.push_if_whole(diagnostic);
        }
        (None, Some(password)) => {
            let diagnostic = password.error("a `password_file` needs a `username`").label("nobody to log in as");
            password.sink.push_if_whole(diagnostic);
        }
        _ => {}
    }
    let password = password_value.and_then(|value| {
        let path = around.resolve_secret(&read_path(&value)?);
        later_or(&value, file::read_secret(&path), "the password")
    });
    let ca_file = read_ca_file(&table, around);
    let smtp = smtp?;
    if smtp.scheme == SmtpSecurity::None {
        warn_unencrypted(&table, &smtp.host);
    }
    Some(EmailChannel {
        security: smtp.scheme,
        host: smtp.host,
        port: smtp.port,
        from: from?,
        username,
        password,
        ca_file,
    })
}

/// What has no effect without encryption, and what should not go without it.
fn warn_unencrypted(table: &Table<'_>, host: &str) {
    let help = "write `smtps://HOST` or `smtp+starttls://HOST`";
    if let Some(value) = table.get("ca_file") {
        let title = "`ca_file` has no effect without encryption";
        value.sink.push(Diagnostic::warning(value.key, title).label("not used").help(help));
    }
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if let Some(value) = table.get("username").filter(|_| !is_here) {
        let title = "the password goes to the mail server unencrypted";
        value.sink.push(Diagnostic::warning(value.key, title).label("whoever is on the way can read it").help(help));
    }
}

/// A channel's own roots. The path counts even while the file is not there.
pub(crate) fn read_ca_file(table: &Table<'_>, around: &Surroundings) -> Option<PathBuf> {
    let value = table.get("ca_file")?;
    let path = around.resolve(&read_path(&value)?);
    later_or(&value, file::read_certificates(&path), "the certificates");
    Some(path)
}

/// What is not there yet may come (a credential exists only while the service runs): a warning. What is there and wrong
/// is an error.
fn later_or<T>(value: &Value<'_>, read: Result<T, FileFault>, what: &str) -> Option<T> {
    match read {
        Ok(read) => return Some(read),
        Err(fault @ FileFault::Missing { .. }) => {
            let title = format!("{what} cannot be read now: {fault}");
            value.sink.push(value.warning(title).label("not there").note("the channel will not work until it is"));
        }
        Err(fault) => value.refuse(fault),
    }
    None
}

/// An address as SMTP carries it (RFC 5321, without quoting and comments): `soc@example.org`.
pub(crate) fn mailbox(text: &str) -> Result<String, String> {
    let wrong = || format!("{} is not an e-mail address, like `soc@example.org`", show(text));
    let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let dotted = local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
    if !dotted
        || local.len() > 64
        || domain.ends_with('.')
        || domain.parse::<ServiceName>().is_err()
        || domain.trim() != domain
    {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes() {
        for (text, good) in [
            ("soc@example.org", true),
            ("first.last+tag@mail.example.org", true),
            ("root@localhost", true),
            ("soc", false),
            ("@example.org", false),
            ("soc@", false),
            ("a b@example.org", false),
            ("a@b@example.org", false),
            ("soc@example.org\r\nBcc: x@example.org", false),
            ("<soc@example.org>", false),
            (".a@example.org", false),
            ("a@exa mple.org", false),
        ] {
            assert_eq!(mailbox(text).is_ok(), good, "{text:?}");
        }
    }
}
