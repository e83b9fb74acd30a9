//! From plain bytes to the point where TLS begins, in the seventeen protocols that have such a point (STARTTLS and its kin).
//!
//! What is said is pure: [`turn`] takes what was heard and gives what to do next, one file a protocol. [`upgrade`] drives it over any
//! stream; nothing here knows a TLS library. Plain text that follows the agreement is never taken for TLS: who has more to say before
//! our hello is refused (and what an attacker put there would be read as said within TLS).

mod ftp;
mod imap;
mod irc;
mod ldap;
pub(crate) mod mysql;
mod nntp;
mod pop3;
mod postgresql;
mod rdp;
mod reading;
mod sieve;
mod smtp;
mod sql_server;
mod telnet;
#[cfg(test)]
mod tests;
mod upgrade;
mod vnc;
mod xmpp;

use model::Service;
pub(crate) use upgrade::{Refused, Upgraded, resume, upgrade};

/// A protocol that can go over to TLS in the middle of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 3207.
    Smtp,
    /// RFC 2033, with RFC 3207's command.
    Lmtp,
    /// RFC 2595 §4.
    Pop3,
    /// RFC 9051 §6.2.1.
    Imap,
    /// RFC 5804 §2.2.
    ManageSieve,
    /// RFC 4217 §4.
    Ftp,
    /// RFC 4642.
    Nntp,
    /// RFC 6120 §5, between client and server.
    XmppClient,
    /// The same between servers.
    XmppServer,
    /// RFC 4511 §4.14.
    Ldap,
    /// `STARTTLS` and numeric 670, as `IRCv3` describes it.
    Irc,
    /// `SSLRequest` (`PostgreSQL`'s documentation, 55.2.10).
    PostgreSql,
    /// The `SSL Request` packet of protocol 10.
    MySql,
    /// TLS records in packets of pre-login ([MS-TDS] §3.2.5.1).
    SqlServer,
    /// Negotiation within X.224 ([MS-RDPBCGR] §2.2.1.1).
    Rdp,
    /// Option 46 (draft-altman-telnet-starttls).
    Telnet,
    /// `VeNCrypt` with X.509 (the RFB community's wiki, security type 19).
    Vnc,
}

impl Protocol {
    pub const ALL: [Self; 17] = [
        Self::Smtp,
        Self::Lmtp,
        Self::Pop3,
        Self::Imap,
        Self::ManageSieve,
        Self::Ftp,
        Self::Nntp,
        Self::XmppClient,
        Self::XmppServer,
        Self::Ldap,
        Self::Irc,
        Self::PostgreSql,
        Self::MySql,
        Self::SqlServer,
        Self::Rdp,
        Self::Telnet,
        Self::Vnc,
    ];

    /// Its name as in [`model::Service::name`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
            Self::Pop3 => "pop3",
            Self::Imap => "imap",
            Self::ManageSieve => "sieve",
            Self::Ftp => "ftp",
            Self::Nntp => "nntp",
            Self::XmppClient => "xmpp-client",
            Self::XmppServer => "xmpp-server",
            Self::Ldap => "ldap",
            Self::Irc => "irc",
            Self::PostgreSql => "postgresql",
            Self::MySql => "mysql",
            Self::SqlServer => "ms-sql-s",
            Self::Rdp => "ms-wbt-server",
            Self::Telnet => "telnet",
            Self::Vnc => "rfb",
        }
    }

    /// The one of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// The one a service speaks.
    pub fn of(service: &Service) -> Option<Self> {
        Self::by_name(&service.name)
    }

    /// How to leave in order, in the clear or within TLS; none where hanging up is the way.
    pub fn farewell(self) -> Option<&'static [u8]> {
        match self {
            Self::Smtp | Self::Lmtp | Self::Pop3 | Self::Ftp | Self::Nntp => Some(b"QUIT\r\n"),
            Self::Imap => Some(b"p9 LOGOUT\r\n"),
            Self::ManageSieve => Some(b"LOGOUT\r\n"),
            Self::Irc => Some(b"QUIT :done\r\n"),
            // UnbindRequest.
            Self::Ldap => Some(b"\x30\x05\x02\x01\x03\x42\x00"),
            // Terminate.
            Self::PostgreSql
            | Self::XmppClient
            | Self::XmppServer
            | Self::MySql
            | Self::SqlServer
            | Self::Rdp
            | Self::Telnet
            | Self::Vnc => None,
        }
    }

    /// Servers of it shut out whom they have seen break off a number of handshakes, a hundred by default, and forget none of them before
    /// somebody logs in from there or they are started again (`max_connect_errors`).
    pub fn counts_broken_handshakes(self) -> bool {
        self == Self::MySql
    }

    /// Whether TLS goes inside packets of its own.
    fn wraps(self) -> bool {
        self == Self::SqlServer
    }
}

/// What is said about ourselves and about them.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// Who we are, fit for EHLO.
    pub helo: &'a str,
    /// Whom we ask for, where a protocol wants to be told (XMPP): a host name, or the address as text.
    pub domain: &'a str,
}

/// How far it has come. A protocol's own stages are private to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage(u8);

impl Stage {
    /// On a new connection: nothing was said.
    pub const FRESH: Self = Self(0);
    /// The protocol has been recognised on this connection and nothing but its own questions was said; what was heard is all there was.
    pub const MET: Self = Self(1);
    const SECOND: Self = Self(2);
    const THIRD: Self = Self(3);
    const FOURTH: Self = Self(4);
    const FIFTH: Self = Self(5);
    const SIXTH: Self = Self(6);
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Hear more first.
    More,
    /// So much of what was heard is done with; say this and go on in that stage, perhaps at once.
    Say {
        used: usize,
        words: Vec<u8>,
        stage: Stage,
    },
    /// So much of what was heard is done with, and TLS begins. Anything more that was heard speaks against it.
    Begin {
        used: usize,
    },
    Refused(Refusal),
}

/// Why TLS does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it does not offer TLS")]
    NotOffered,
    /// Its words, printable and short.
    #[error("it declined: {0}")]
    Declined(String),
    /// For the moment: too many connections, a temporary failure, enough of us. Says nothing about other times.
    #[error("not now: {0}")]
    Later(String),
    #[error("it offers only TLS without a certificate")]
    Anonymous,
    /// It does not serve that name; the one it calls itself, if it says so.
    #[error("it does not serve the name it was asked for")]
    UnknownName(Option<String>),
    #[error("it does not speak the protocol: {0}")]
    Foreign(String),
    #[error("it agreed, and went on in plain text: {0}")]
    PlainText(String),
    #[error("it said more than anybody needs to")]
    TooMuch,
    #[error("it hung up")]
    Closed,
    #[error("the connection failed: {0}")]
    Broken(String),
    #[error("it did not answer in time")]
    Silent,
}

impl Refusal {
    /// The other end's decision, in contrast to trouble on the way.
    pub(crate) fn is_its_word(&self) -> bool {
        !matches!(self, Self::Later(_) | Self::Closed | Self::Broken(_) | Self::Silent)
    }

    fn declined(words: &[u8]) -> Self {
        Self::Declined(reading::excerpt(words))
    }

    fn later(words: &[u8]) -> Self {
        Self::Later(reading::excerpt(words))
    }

    fn foreign(words: &[u8]) -> Self {
        Self::Foreign(reading::excerpt(words))
    }
}

/// What to do next in that protocol at that stage, with so much heard that is not done with. Total; looks at no more than it is given.
pub fn turn(protocol: Protocol, stage: Stage, heard: &[u8], words: &Words<'_>) -> Turn {
    let turn = match protocol {
        Protocol::Smtp => smtp::turn(stage, heard, words, "EHLO"),
        Protocol::Lmtp => smtp::turn(stage, heard, words, "LHLO"),
        Protocol::Pop3 => pop3::turn(stage, heard),
        Protocol::Imap => imap::turn(stage, heard),
        Protocol::ManageSieve => sieve::turn(stage, heard),
        Protocol::Ftp => ftp::turn(stage, heard),
        Protocol::Nntp => nntp::turn(stage, heard),
        Protocol::XmppClient => xmpp::turn(stage, heard, words, "jabber:client"),
        Protocol::XmppServer => xmpp::turn(stage, heard, words, "jabber:server"),
        Protocol::Ldap => ldap::turn(stage, heard),
        Protocol::Irc => irc::turn(stage, heard),
        Protocol::PostgreSql => postgresql::turn(stage, heard),
        Protocol::MySql => mysql::turn(stage, heard),
        Protocol::SqlServer => sql_server::turn(stage, heard),
        Protocol::Rdp => rdp::turn(stage, heard),
        Protocol::Telnet => telnet::turn(stage, heard),
        Protocol::Vnc => vnc::turn(stage, heard),
    };
    turn.unwrap_or_else(|turn| turn)
}

/// One turn of a protocol; an early end is as good as any.
type Taken = Result<Turn, Turn>;

#[expect(clippy::unnecessary_wraps, reason = "it ends a turn as the early ends do")]
fn say(used: usize, words: impl Into<Vec<u8>>, stage: Stage) -> Taken {
    Ok(Turn::Say { used, words: words.into(), stage })
}

#[expect(clippy::unnecessary_wraps, reason = "it ends a turn as the early ends do")]
fn refuse(why: Refusal) -> Taken {
    Ok(Turn::Refused(why))
}
