//! In which order to ask, from what is known and what the port makes likely. Ports decide the order, never the result.

use super::dialogue::Ending;
use identify::{Protocol, Speaker};
use model::{Service, Transport};

/// With or without TLS around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Plain,
    Tls,
}

/// How to begin on an open connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Approach {
    /// Listen for a moment, and say nothing whatever is heard.
    Hush,
    /// The server speaks first, we have reason to think: listen long.
    Listen,
    /// It has answered to this before: ask at once.
    Ask(&'static Protocol),
    /// One of several questions to a server that has answered none: ask at once, and wait no longer than an answer takes. Who
    /// listens on without a word may be waiting for the end of a line, and is given one with the second question in it.
    Briefly(&'static Protocol, Option<&'static Protocol>),
    /// Listen for a moment, then ask this.
    ListenThenAsk(&'static Protocol),
    /// Listen for a moment, then ask what most would answer to; and if that takes longer than usual, ask other things before
    /// the same again.
    Unknown,
}

impl Approach {
    pub(super) fn waits_for_server(self) -> bool {
        matches!(self, Self::Listen)
    }

    /// Whether it comes to this question.
    pub(super) fn asks(self, question: &Protocol) -> bool {
        match self {
            Self::Ask(protocol) | Self::Briefly(protocol, _) | Self::ListenThenAsk(protocol) => {
                protocol.name == question.name
            }
            Self::Hush | Self::Listen | Self::Unknown => false,
        }
    }

    /// Its question is the general one, or comes to it.
    pub(super) fn falls_back_to_http(self) -> bool {
        match self {
            Self::Listen | Self::Unknown => true,
            Self::Hush => false,
            Self::Ask(protocol) | Self::Briefly(protocol, _) | Self::ListenThenAsk(protocol) => protocol.name == "http",
        }
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layers: [Layer; 2],
    pub(super) approach: Approach,
}

/// The plan for a TCP port.
pub(super) fn make(port: u16, prior: Option<&Service>, prior_tls: bool) -> Plan {
    let tls_first = prior_tls || (prior.is_none() && identify::tls_is_likely(port));
    let known = prior.filter(|prior| prior.name != "tls");
    let known = known.and_then(|prior| identify::by_name(Transport::Tcp, &prior.name));
    let approach = match (known, identify::likely(Transport::Tcp, port)) {
        (Some(known), _) if known.request.is_some() => Approach::Ask(known),
        (Some(known), _) if known.speaker == Speaker::Server => Approach::Listen,
        (None, Some(likely)) if likely.speaker == Speaker::Server => Approach::Listen,
        (None, Some(likely)) if likely.request.is_some() => Approach::ListenThenAsk(likely),
        _ => Approach::Unknown,
    };
    let layers = if tls_first { [Layer::Tls, Layer::Plain] } else { [Layer::Plain, Layer::Tls] };
    Plan { layers, approach }
}

/// How a server that has made nothing of it took what it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// The last question in the clear.
    pub(super) plain: Ending,
    /// The general question, in the clear or within TLS.
    pub(super) ending: Ending,
    /// A handshake, if there was one; within TLS, there is no other than the one that was understood.
    pub(super) shaken: Option<Ending>,
}

/// The second question to one who listens on after a first that was not of lines: any server of IRC complains of it, Redis answers
/// it, and others that read lines complain of the first.
pub(super) fn in_lines() -> Option<&'static Protocol> {
    identify::opening("irc")
}

/// What to ask a server that has made nothing of the general question nor of a handshake, the likeliest first: what the port
/// suggests, then what commonly answers neither and takes it like this.
pub(super) fn further(port: u16, layer: Layer, taken: Taken) -> impl Iterator<Item = &'static Protocol> {
    // SIP's question is one of lines, and names whoever complains of lines that he does not know; that of DNS serves Erlang's
    // port mapper too. Those that read a length first wait for what it promises; those that understand lines leave those that
    // speak HTTP and go on reading a handshake until its line ends; others look at what they read and leave; and some leave with
    // half of it unread, which resets the connection.
    const OPEN: &[&str] = &["domain", "microsoft-ds", "irc"];
    const LINES: &[&str] = &["sip", "domain", "ldap"];
    const LEFT: &[&str] = &["postgresql", "ldap", "domain", "zabbix-agent", "mqtt", "zookeeper", "sunrpc"];
    const CUT: &[&str] = &["mqtt", "ms-wbt-server", "git", "ldap", "sunrpc", "zookeeper", "postgresql"];
    const OPEN_WITHIN: &[&str] = &["domain", "irc"];
    const CLOSED_WITHIN: &[&str] = &["ldap", "mqtt", "redis", "sip"];
    // In the clear its library looked at the first bytes only.
    const CUT_WITHIN: &[&str] = &["mqtt", "redis", "ldap", "sip"];
    let common = match (layer, taken.ending, taken.shaken) {
        (Layer::Plain, Ending::Open, _) => OPEN,
        (Layer::Plain, _, Some(Ending::Open)) => LINES,
        (Layer::Plain, Ending::Left, _) => LEFT,
        (Layer::Plain, Ending::Cut, _) => CUT,
        (Layer::Tls, Ending::Open, _) => OPEN_WITHIN,
        (Layer::Tls, Ending::Left | Ending::Cut, _) if taken.plain == Ending::Cut => CUT_WITHIN,
        (Layer::Tls, Ending::Left | Ending::Cut, _) => CLOSED_WITHIN,
    };
    let suggested = identify::suggested(Transport::Tcp, port).filter(|protocol| protocol.request.is_some());
    let common = common.iter().filter_map(|name| identify::opening(name));
    suggested.chain(common.filter(move |protocol| !protocol.ports.contains(&port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(plan: &Plan) -> String {
        let approach = match plan.approach {
            Approach::Hush => "hush".to_owned(),
            Approach::Listen => "listen".to_owned(),
            Approach::Ask(protocol) | Approach::Briefly(protocol, _) => format!("ask {}", protocol.name),
            Approach::ListenThenAsk(protocol) => format!("listen, ask {}", protocol.name),
            Approach::Unknown => "unknown".to_owned(),
        };
        format!("{:?}: {approach}", plan.layers[0])
    }

    #[test]
    fn plans() {
        for (port, prior, tls, expect) in [
            (22, None, false, "Plain: listen"),
            (80, None, false, "Plain: listen, ask http"),
            (443, None, false, "Tls: listen, ask http"),
            (465, None, false, "Tls: listen"),
            (993, None, false, "Tls: listen"),
            (53, None, false, "Plain: listen, ask domain"),
            (31337, None, false, "Plain: unknown"),
            (6379, None, false, "Plain: listen, ask redis"),
            (445, None, false, "Plain: listen, ask microsoft-ds"),
            (443, Some("ssh"), false, "Plain: listen"),
            (31337, Some("http"), false, "Plain: ask http"),
            (31337, Some("http"), true, "Tls: ask http"),
            (31337, Some("tls"), true, "Tls: unknown"),
            (31337, Some("unknown"), false, "Plain: listen"),
        ] {
            let prior = prior.map(|name: &str| Service { name: name.into(), ..Service::default() });
            assert_eq!(shown(&make(port, prior.as_ref(), tls)), expect, "{port} {prior:?}");
        }
    }
}
