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
    /// One of several questions to a server that has answered none: ask at once, and wait no longer than an answer takes.
    Briefly(&'static Protocol),
    /// Listen for a moment, then ask this.
    ListenThenAsk(&'static Protocol),
    /// Listen for a moment, then ask what most would answer to.
    Unknown,
}

impl Approach {
    pub(super) fn waits_for_server(self) -> bool {
        matches!(self, Self::Listen)
    }

    /// Whether it comes to this question.
    pub(super) fn asks(self, question: &Protocol) -> bool {
        match self {
            Self::Ask(protocol) | Self::Briefly(protocol) | Self::ListenThenAsk(protocol) => {
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
            Self::Ask(protocol) | Self::Briefly(protocol) | Self::ListenThenAsk(protocol) => protocol.name == "http",
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

/// What to ask a server that has made nothing of the general question nor of a handshake, the likeliest first: what the port
/// suggests, then what commonly answers neither and takes it like this. `ending` is how the general question was taken.
pub(super) fn further(port: u16, ending: Ending) -> impl Iterator<Item = &'static Protocol> {
    // Those that read a length first and wait for what it promises; those that look at what they read and leave; and those
    // that leave with half of it unread, which resets the connection.
    const OPEN: &[&str] = &["domain", "microsoft-ds", "sunrpc", "ms-wbt-server", "epmap", "ldap", "postgresql"];
    const LEFT: &[&str] =
        &["postgresql", "zookeeper", "ldap", "mqtt", "sunrpc", "microsoft-ds", "ms-wbt-server", "domain"];
    const CUT: &[&str] = &["ldap", "mqtt", "ms-wbt-server", "zookeeper", "postgresql", "microsoft-ds", "domain"];
    let common = match ending {
        Ending::Open => OPEN,
        Ending::Left => LEFT,
        Ending::Cut => CUT,
    };
    let suggested = identify::suggested(Transport::Tcp, port).filter(|protocol| protocol.request.is_some());
    let common = common.iter().filter_map(|name| identify::by_name(Transport::Tcp, name));
    suggested.chain(common.filter(move |protocol| !protocol.ports.contains(&port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(plan: &Plan) -> String {
        let approach = match plan.approach {
            Approach::Hush => "hush".to_owned(),
            Approach::Listen => "listen".to_owned(),
            Approach::Ask(protocol) | Approach::Briefly(protocol) => format!("ask {}", protocol.name),
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
