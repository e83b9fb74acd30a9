//! Weaknesses that handshakes show by themselves: what the audit was shown is all that they need.

use super::{Check, Finding, Method, Reason, Verdict};
use crate::audit::{Shown, Takes, Weak};
use identify::tls::{Class, Version};
use model::Weakness;

const NOTHING: &str = "nothing of its own";

pub(super) const DROWN: Check = Check {
    id: "tls/drown",
    title: "SSL 2.0: recorded sessions can be opened (DROWN)",
    references: &["CVE-2016-0800", "RFC 6176"],
    precondition: "the server answers a hello of SSL 2.0",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::Ssl2],
    method: Method::Visible(drown),
};

pub(super) const POODLE: Check = Check {
    id: "tls/poodle",
    title: "SSL 3.0 with block ciphers: its padding gives plaintext away (POODLE)",
    references: &["CVE-2014-3566", "RFC 7568"],
    precondition: "the server takes SSL 3.0",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::Ssl3],
    method: Method::Visible(poodle),
};

pub(super) const FREAK: Check = Check {
    id: "tls/freak",
    title: "RSA keys of 512 bits for export (FREAK)",
    references: &["CVE-2015-0204", "RFC 9325 section 4.1"],
    precondition: "the server takes a suite of RSA_EXPORT",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::ExportCipher],
    method: Method::Visible(freak),
};

pub(super) const LOGJAM: Check = Check {
    id: "tls/logjam",
    title: "Diffie-Hellman groups of 1024 bits and less (Logjam)",
    references: &["CVE-2015-4000", "RFC 9325 section 4.1"],
    precondition: "the server takes a suite of DHE or DHE_EXPORT",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::ExportCipher, Weakness::WeakDh],
    method: Method::Visible(logjam),
};

pub(super) const RC4: Check = Check {
    id: "tls/rc4",
    title: "RC4",
    references: &["CVE-2015-2808", "CVE-2013-2566", "RFC 7465"],
    precondition: "the server takes a suite of RC4",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::Rc4],
    method: Method::Visible(rc4),
};

pub(super) const SWEET32: Check = Check {
    id: "tls/sweet32",
    title: "Block ciphers of 64 bits (Sweet32)",
    references: &["CVE-2016-2183", "RFC 9325 section 4.1"],
    precondition: "the server takes a suite of 3DES, IDEA or RC2",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::TripleDes],
    method: Method::Visible(sweet32),
};

pub(super) const ANONYMOUS: Check = Check {
    id: "tls/anonymous",
    title: "Suites in which the server does not prove who it is",
    references: &["RFC 9325 section 4.1", "CWE-306"],
    precondition: "the server takes a suite without authentication",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::AnonymousCipher],
    method: Method::Visible(anonymous),
};

pub(super) const NULL: Check = Check {
    id: "tls/null",
    title: "Suites that encrypt nothing",
    references: &["RFC 9325 section 4.1", "CWE-319"],
    precondition: "the server takes a suite without encryption",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::NullCipher],
    method: Method::Visible(null),
};

pub(super) const CRIME: Check = Check {
    id: "tls/crime",
    title: "Compression inside TLS gives plaintext away (CRIME)",
    references: &["CVE-2012-4929", "RFC 9325 section 3.3"],
    precondition: "the server chooses DEFLATE where it is offered",
    sends: NOTHING,
    connections: 0,
    implies: &[Weakness::Compression],
    method: Method::Visible(crime),
};

fn drown(shown: &Shown) -> Finding {
    let ciphers: Vec<String> = shown.ssl2.iter().map(ToString::to_string).collect();
    let evidence = if ciphers.is_empty() {
        "it takes SSL 2.0, though none of the ciphers that were offered".to_owned()
    } else {
        format!("it takes SSL 2.0 with {}", ciphers.join(", "))
    };
    by(shown.versions.get(&Version::SSL2).copied(), evidence, "it does not take SSL 2.0")
}

fn poodle(shown: &Shown) -> Finding {
    let takes = shown.versions.get(&Version::SSL3).copied();
    let chosen: Vec<_> = shown.chosen.iter().filter(|(version, _)| *version == Version::SSL3).collect();
    // A server that has chosen a stream cipher in SSL 3.0 was offered block ciphers, and may still have some: many preferred RC4 once.
    if takes == Some(Takes::Yes) && !chosen.iter().any(|(_, cipher)| cipher.is(Class::Cbc)) {
        const EVIDENCE: &str =
            "it takes SSL 3.0 and prefers another cipher; whether it takes a block cipher too is not known";
        return Finding::new(Verdict::NotTestable(Reason::Preference), EVIDENCE);
    }
    let names: Vec<String> = chosen.into_iter().map(|(_, cipher)| cipher.to_string()).collect();
    by(takes, format!("it takes SSL 3.0 with {}", names.join(", ")), "it does not take SSL 3.0")
}

fn freak(shown: &Shown) -> Finding {
    weak(shown, Weak::ExportRsa)
}

fn logjam(shown: &Shown) -> Finding {
    /// What a state can break.
    const BREAKABLE: u32 = 1024;
    let export = shown.weak.get(&Weak::ExportDh).copied();
    if export == Some(Takes::Yes) {
        return weak(shown, Weak::ExportDh);
    }
    match (shown.dh_bits, shown.dh, export) {
        (Some(bits), _, _) if bits <= BREAKABLE => {
            Finding::new(Verdict::Vulnerable, format!("it offers a Diffie-Hellman group of {bits} bits"))
        }
        (_, None | Some(Takes::Unknown), _) | (_, _, None | Some(Takes::Unknown)) => unknown(),
        (Some(bits), _, _) => Finding::new(Verdict::NotVulnerable, format!("its Diffie-Hellman group has {bits} bits")),
        (None, _, _) => {
            Finding::new(Verdict::NotVulnerable, "it does not exchange keys by Diffie-Hellman over a finite field")
        }
    }
}

fn rc4(shown: &Shown) -> Finding {
    weak(shown, Weak::Rc4)
}

fn sweet32(shown: &Shown) -> Finding {
    weak(shown, Weak::TripleDes)
}

fn anonymous(shown: &Shown) -> Finding {
    weak(shown, Weak::Anonymous)
}

fn null(shown: &Shown) -> Finding {
    weak(shown, Weak::Null)
}

fn crime(shown: &Shown) -> Finding {
    let takes = shown.compression.map(|on| if on { Takes::Yes } else { Takes::No });
    by(takes, "it chose DEFLATE".to_owned(), "it does not compress")
}

fn weak(shown: &Shown, weak: Weak) -> Finding {
    let takes = shown.weak.get(&weak).copied();
    let names = shown.named(|cipher| weak.holds(cipher));
    by(takes, format!("it takes {}", names.join(", ")), "it takes no suite of the kind")
}

fn by(takes: Option<Takes>, yes: String, no: &str) -> Finding {
    match takes {
        Some(Takes::Yes) => Finding::new(Verdict::Vulnerable, yes),
        Some(Takes::No) => Finding::new(Verdict::NotVulnerable, no),
        Some(Takes::Unknown) | None => unknown(),
    }
}

fn unknown() -> Finding {
    Finding::new(Verdict::NotTestable(Reason::NoAnswer), "the question was not answered")
}
