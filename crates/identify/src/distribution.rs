//! What a banner gives away of the distribution that built the software. A distribution mends old versions without
//! changing their numbers, so whoever compares versions with advisories must be able to hold back.

use crate::text;
use model::{Os, Service};

/// Fact: the package's version with the distribution's revision, such as `9.2p1-2+deb12u3`.
const PACKAGE_VERSION: &str = "package.version";
/// Fact, `true`: the distribution may have mended this without a new upstream version.
const BACKPORT_POSSIBLE: &str = "backport_possible";

/// Reads the distribution out of `comment`: an SSH comment (`Debian-2+deb12u3`), a header's (`(Debian)`), a package
/// version (`9.18.33-1~deb12u2-Debian`).
pub(crate) fn read(service: &mut Service, comment: &str) {
    let debian = debian_release(comment);
    let (family, product, version, confidence) = if comment.contains("Raspbian") {
        ("linux", "Raspbian", debian, 0.9)
    } else if let Some(release) = debian {
        ("linux", "Debian", Some(release), 0.9)
    } else if text::has_word(comment, "Debian") {
        ("linux", "Debian", None, 0.8)
    } else if comment.to_ascii_lowercase().contains("ubuntu") {
        ("linux", "Ubuntu", ubuntu_release(service, comment), 0.85)
    } else if let Some(release) = enterprise_release(comment) {
        ("linux", "Enterprise Linux", Some(release), 0.8)
    } else if let Some(name) = ["CentOS", "Fedora", "AlmaLinux", "openSUSE", "Gentoo", "Alpine"]
        .into_iter()
        .find(|name| text::has_word(comment, name))
    {
        ("linux", name, None, 0.8)
    } else if text::after(comment, "Red Hat").is_some() {
        ("linux", "Red Hat Enterprise Linux", None, 0.8)
    } else if text::has_word(comment, "FreeBSD") {
        ("freebsd", "FreeBSD", None, 0.85)
    } else if text::has_word(comment, "NetBSD") {
        ("netbsd", "NetBSD", None, 0.85)
    } else if ["Win32", "Win64", "Windows"].iter().any(|word| text::has_word(comment, word)) {
        ("windows", "Windows", None, 0.7)
    } else {
        if text::has_word(comment, "Unix") || text::has_word(comment, "Linux") {
            let family = if text::has_word(comment, "Linux") { "linux" } else { "unix" };
            service.os = Some(Os { family: family.into(), product: None, version: None, confidence: 0.6 });
        }
        return;
    };
    if family == "linux" {
        service.facts.insert(BACKPORT_POSSIBLE.into(), "true".into());
    }
    service.os = Some(Os { family: family.into(), product: Some(product.into()), version, confidence });
}

/// Records the package's version where upstream version and revision are both known.
pub(crate) fn package(service: &mut Service, version: &str) {
    service.facts.insert(PACKAGE_VERSION.into(), text::printable(version.as_bytes()));
}

/// The version as upstream knows it, where a distribution has added to it: `3.6.1-4+deb12u3` → `3.6.1`,
/// `1:2.4.57-2ubuntu1` → `2.4.57`, `2.4.44+dfsg-1~deb12u1` → `2.4.44`. Any other is left as it is: a hyphen alone proves nothing.
pub(crate) fn upstream(version: &str) -> &str {
    let lower = version.to_ascii_lowercase();
    let is_packaged = debian_release(&lower).is_some()
        || lower.contains("ubuntu")
        || enterprise_release(&lower).is_some()
        || lower.contains("+dfsg")
        || lower.contains("+ds");
    if !is_packaged {
        return version;
    }
    let without_epoch = match version.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => version,
    };
    let number = without_epoch.rsplit_once('-').map_or(without_epoch, |(number, _)| number);
    let end = ["+dfsg", "~dfsg", "+ds", "+deb", "~deb", "+git"].iter().filter_map(|mark| number.find(mark)).min();
    end.and_then(|end| number.get(..end)).filter(|number| !number.is_empty()).unwrap_or(number)
}

/// `…deb12u3` → 12.
fn debian_release(text: &str) -> Option<String> {
    text.match_indices("deb").find_map(|(at, word)| {
        let digits: String = text.get(at + word.len()..)?.chars().take_while(char::is_ascii_digit).take(2).collect();
        (!digits.is_empty()).then_some(digits)
    })
}

/// `0ubuntu0.22.04.1` says it; OpenSSH's version does where the revision does not (each LTS has its own).
fn ubuntu_release(service: &Service, comment: &str) -> Option<String> {
    const LTS: [(&str, &str); 5] =
        [("9.6p1", "24.04"), ("8.9p1", "22.04"), ("8.2p1", "20.04"), ("7.6p1", "18.04"), ("7.2p2", "16.04")];
    let named = comment.split(|char: char| !(char.is_ascii_digit() || char == '.')).find_map(|part| {
        let release = part.trim_start_matches("0.").get(..5)?;
        let (year, month) = release.split_once('.')?;
        (year.len() == 2 && year >= "14" && (month == "04" || month == "10")).then(|| release.to_owned())
    });
    let by_version = || {
        let openssh = service.product.as_deref() == Some("OpenSSH");
        let version = service.version.as_deref().filter(|_| openssh)?;
        LTS.iter().find(|(known, _)| *known == version).map(|(_, release)| (*release).to_owned())
    };
    named.or_else(by_version)
}

/// `…el9` → 9.
fn enterprise_release(text: &str) -> Option<String> {
    text.split(['.', '-', '_', ' ', '(', ')'])
        .filter_map(|part| part.strip_prefix("el"))
        .find(|rest| !rest.is_empty() && rest.len() <= 2 && rest.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_versions() {
        for (version, expect) in [
            ("3.6.1-4+deb12u3", "3.6.1"),
            ("9.18.33-1~deb12u2", "9.18.33"),
            ("1:2.4.57-2ubuntu1", "2.4.57"),
            ("20.10.24+dfsg1", "20.10.24"),
            ("2.4.44+dfsg-1~deb12u1", "2.4.44"),
            ("8.0p1-19.el8", "8.0p1"),
            ("9.2p1", "9.2p1"),
            ("1.3.8-rc2", "1.3.8-rc2"),
            ("4.2.6p5@1.2349", "4.2.6p5@1.2349"),
            ("", ""),
        ] {
            assert_eq!(upstream(version), expect, "{version}");
        }
    }

    #[test]
    fn distributions() {
        for (comment, expect) in [
            ("Debian-2+deb12u3", Some("Debian 12")),
            ("9.18.33-1~deb12u2-Debian", Some("Debian 12")),
            ("(Debian)", Some("Debian")),
            ("Debian/GNU", Some("Debian")),
            ("Raspbian-10+deb10u2", Some("Raspbian 10")),
            ("Ubuntu-3ubuntu13.4", Some("Ubuntu 24.04")),
            ("8.0.36-0ubuntu0.22.04.1", Some("Ubuntu 22.04")),
            ("(Ubuntu)", Some("Ubuntu 24.04")),
            ("9.16.23-RH-9.16.23-14.el9", Some("Enterprise Linux 9")),
            ("FreeBSD-20230316", Some("FreeBSD")),
            ("(Win64)", Some("Windows")),
            ("(Unix)", Some("unix")),
            ("debug build", None),
            ("", None),
        ] {
            let mut service =
                Service { product: Some("OpenSSH".into()), version: Some("9.6p1".into()), ..Service::default() };
            read(&mut service, comment);
            assert_eq!(service.os.map(|os| os.to_string()).as_deref(), expect, "{comment}");
        }
    }
}
