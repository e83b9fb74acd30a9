//! The way out for what is no SYN: datagrams, and questions whether a host is there.

use super::{
    exit::{Entry, Exit},
    near::Near,
    paths::Path,
    volley::Knock,
};
use model::Endpoint;
use std::{net::IpAddr, sync::Arc};
use wire::{AckTemplate, Cookies, EchoTemplate, Epoch, Mark, Tag, Transmit, UdpTemplate};

/// Beside an [`Exit`] for SYNs, by the same path and a socket of its own: SYNs are all alike and small, and are sent by the million.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) exit: Exit,
    udp: UdpTemplate,
    echo: EchoTemplate,
    timestamp: Option<EchoTemplate>,
    acknowledgement: AckTemplate,
    /// Where the targets are on the link.
    pub(super) near: Option<Arc<Near>>,
}

/// Bytes of a packet at most, where the link allows more.
const LONGEST: usize = 1500;

impl Side {
    pub(super) fn new(path: &Path, transmit: Box<dyn Transmit>, near: Option<Arc<Near>>) -> Self {
        let longest = usize::try_from(path.link.mtu).unwrap_or(LONGEST).min(LONGEST);
        let timestamp = match path.source {
            IpAddr::V4(source) => Some(EchoTemplate::timestamp(source)),
            IpAddr::V6(_) => None,
        };
        Self {
            exit: Exit::with_room(path, transmit, longest),
            udp: UdpTemplate::new(path.source),
            echo: EchoTemplate::echo(path.source),
            timestamp,
            acknowledgement: AckTemplate::new(path.source),
            near,
        }
    }

    /// A knock more. False where it cannot be made: IPv6 has no timestamps, and who is a neighbour is asked elsewhere.
    pub(super) fn add_knock(&mut self, entry: Entry, knock: Knock, cookies: &Cookies, epoch: Epoch, tag: Tag) -> bool {
        let Self { exit, echo, timestamp, acknowledgement, .. } = self;
        let Endpoint { ip, port, .. } = entry.endpoint;
        let source = exit.source();
        let template = match knock {
            Knock::Acknowledgement => {
                let mark = cookies.mark(epoch, source, entry.endpoint, tag);
                let length = acknowledgement.len();
                return exit.push(entry, length, |place| acknowledgement.stamp(place, ip, port, &mark));
            }
            Knock::Echo => Some(&*echo),
            Knock::Timestamp => timestamp.as_ref(),
            Knock::Neighbour => None,
        };
        let Some(template) = template else { return false };
        let mark = cookies.echo(epoch, source, ip, tag);
        exit.push(entry, template.len(), |place| template.stamp(place, ip, &mark))
    }

    /// A datagram more. False where the link does not carry one so long.
    pub(super) fn add_datagram(&mut self, entry: Entry, mark: Mark, payload: &[u8]) -> bool {
        let Self { exit, udp, .. } = self;
        let Endpoint { ip, port, .. } = entry.endpoint;
        exit.push(entry, udp.len(payload.len()), |place| udp.stamp(place, ip, port, &mark, payload))
    }
}
