use model::Service;

/// What came back so far, and whether more may come.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    pub bytes: &'a [u8],
    /// The other end closed, or we stop waiting: what is here is all there will be.
    pub ended: bool,
}

impl<'a> Received<'a> {
    pub fn open(bytes: &'a [u8]) -> Self {
        Self { bytes, ended: false }
    }

    pub fn ended(bytes: &'a [u8]) -> Self {
        Self { bytes, ended: true }
    }

    /// Where these bytes do not begin with `prefix`: that they are no answer of this kind, or not enough of one to tell.
    pub(crate) fn lacks(&self, prefix: &[u8]) -> Option<Parse> {
        let begins = self.bytes.starts_with(prefix);
        (!begins).then(|| if self.may_become(prefix) { Parse::NeedMore } else { Parse::No })
    }

    /// More bytes could still make `prefix` out of the start of this.
    pub(crate) fn may_become(&self, prefix: &[u8]) -> bool {
        !self.ended && self.bytes.len() < prefix.len() && prefix.starts_with(self.bytes)
    }
}

/// What a parser makes of the bytes so far. Never `NeedMore` once they have ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Parse {
    /// Not this protocol.
    No,
    /// It may be; the reader goes on.
    NeedMore,
    Yes(Box<Answer>),
}

/// A recognised answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub service: Service,
    pub strength: Strength,
    pub next: Next,
    /// The bytes it was read from, as far as whoever read them keeps them: further rules look at them
    /// ([`Fingerprints::label`](crate::Fingerprints::label)). A parser leaves it empty.
    pub heard: Vec<u8>,
}

/// How much the form of an answer proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Free text: keep listening for a moment, then take it.
    Weak,
    /// A status line's grammar: `220 `, `+OK`, `HTTP/1.1 200`.
    Grammar,
    /// A layout that other protocols do not share: an SSH identification, a TLS record, a DNS message.
    Structure,
}

/// What the answer asks to be done next on the way to knowing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Nothing,
    /// Say EHLO in the same connection: it tells more, or tells SMTP from FTP.
    Ehlo,
    /// Say this in the same connection: the answer to it tells more, and is read together with what came before.
    Say(&'static [u8]),
    /// Ask for the site's little picture in the same connection ([`favicon_request`](crate::favicon_request)).
    Favicon,
    /// It was asked something of another protocol's: come back with its own question.
    Again,
    /// The same, of one that goes on listening after it has complained: ask its own question in the same connection while that
    /// stands.
    Own,
    /// Leave politely in the same connection with these words.
    Farewell(&'static [u8]),
    /// Begin an exchange of keys in the same connection, so that the server shows its host key
    /// ([`ssh_exchange`](crate::ssh_exchange)).
    HostKey,
    /// Come back with TLS.
    Tls,
}

impl Strength {
    /// The confidence an answer of this strength starts with, from 0 to 1.
    pub fn confidence(self) -> f32 {
        match self {
            Self::Weak => 0.3,
            Self::Grammar => 0.9,
            Self::Structure => 0.98,
        }
    }
}

impl Parse {
    /// A service by its protocol's name, with the confidence its strength gives.
    pub(crate) fn yes(mut service: Service, strength: Strength, next: Next) -> Self {
        service.confidence = strength.confidence();
        Self::Yes(Box::new(Answer { service, strength, next, heard: Vec::new() }))
    }

    /// A service whose answer has a layout that others do not share, and that needs nothing more.
    pub(crate) fn certain(service: Service) -> Self {
        Self::yes(service, Strength::Structure, Next::Nothing)
    }

    /// `NeedMore`, or `No` where no more will come.
    pub(crate) fn need_more(received: Received<'_>) -> Self {
        if received.ended { Self::No } else { Self::NeedMore }
    }
}
