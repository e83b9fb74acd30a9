//! What is no SYN, and where neighbours are.

use super::{Packet, Running};
use crate::raw::{
    exit::{Entry, Owner},
    neighbours::Whereabouts,
    volley::Knock,
};
use model::{Endpoint, LocalErrorKind, Outcome};
use std::net::IpAddr;
use tokio::time::Instant;
use wire::{Epoch, Tag};

/// A datagram that goes where another has just gone, as the same question.
#[derive(Debug)]
pub(super) struct Second {
    place: usize,
    endpoint: Endpoint,
    tag: Tag,
    neighbour: Option<[u8; 6]>,
    datagram: Vec<u8>,
}

impl Running {
    pub(super) fn put_knock(
        &mut self,
        place: usize,
        packet: Packet,
        knock: Knock,
        epoch: Epoch,
        neighbour: Option<[u8; 6]>,
    ) {
        let endpoint = packet.endpoint.get();
        let Some(side) = self.sides.get_mut(place) else { return };
        let entry = Entry { endpoint, owner: packet.owner };
        if !side.add_knock(entry, knock, &self.it.shared.cookies, epoch, packet.tag) {
            self.drop_packet(endpoint, packet.owner, Outcome::LocalError(LocalErrorKind::Other));
        } else if let Some(to) = neighbour {
            side.exit.direct(to);
        }
    }

    /// The link-layer address of a target on the link; none where a router has it. One that is made use of is asked for again now and
    /// then. `Err`: what a question to it comes to without being sent. Where nobody answers for the address any more, that is silence;
    /// where it could not be asked who does, trouble of ours.
    pub(super) fn neighbour(&mut self, place: usize, ip: IpAddr) -> Result<Option<[u8; 6]>, Outcome> {
        if self.sides.get(place).is_none_or(|side| side.near.is_none()) {
            return Ok(None);
        }
        let now = Instant::now();
        match self.it.shared.neighbours.whereabouts(ip, now) {
            Whereabouts::Here(mac) => Ok(Some(mac)),
            Whereabouts::Unsure(mac) => {
                if self.it.scope.permits(ip, self.it.clock.now()) && self.it.shared.neighbours.asked(ip, now) {
                    self.unsure.push((place, ip));
                }
                Ok(Some(mac))
            }
            Whereabouts::Gone => Err(Outcome::Silent),
            Whereabouts::Unknown => Err(Outcome::LocalError(LocalErrorKind::NoRoute)),
        }
    }

    /// Asks for the neighbours that were made use of and not heard of for a while. Nobody may hold the pacer's turns meanwhile.
    pub(super) fn make_sure(&mut self) {
        for (place, ip) in self.unsure.drain(..) {
            if let Some(near) = self.sides.get(place).and_then(|side| side.near.as_deref()) {
                self.it.pacer.debit(ip, 1);
                near.ask(ip);
            }
        }
    }

    /// They had no turn of their own, and pay for one now. Nobody may hold the pacer's turns meanwhile. False: there are none.
    pub(super) fn send_seconds(&mut self, epoch: Epoch) -> bool {
        let mut seconds = std::mem::take(&mut self.seconds);
        let any = !seconds.is_empty();
        for Second { place, endpoint, tag, neighbour, datagram } in seconds.drain(..) {
            let Some(side) = self.sides.get_mut(place) else { continue };
            let mark = self.it.shared.cookies.mark(epoch, side.exit.source(), endpoint, tag);
            if !side.add_datagram(Entry { endpoint, owner: Owner::Second }, mark, &datagram) {
                continue;
            }
            self.it.pacer.debit(endpoint.ip, 1);
            if let Some(to) = neighbour {
                side.exit.direct(to);
            }
        }
        self.seconds = seconds;
        any
    }

    /// A question's words are there already, a volley's are looked up.
    pub(super) fn put_datagram(&mut self, place: usize, packet: Packet, epoch: Epoch, neighbour: Option<[u8; 6]>) {
        let endpoint = packet.endpoint.get();
        let mut second = None;
        let Some(side) = self.sides.get_mut(place) else { return };
        if let Owner::Volley { id, .. } = packet.owner
            && let Some(active) = self.active.iter().find(|active| active.volley.id == id)
        {
            self.datagram.clear();
            self.datagram.extend_from_slice(active.volley.order.datagram(endpoint.port));
            second = active.volley.order.second_datagram(endpoint.port).map(<[u8]>::to_vec);
        }
        let mark = self.it.shared.cookies.mark(epoch, side.exit.source(), endpoint, packet.tag);
        self.it.shared.proofs.sign(endpoint.port, &mut self.datagram, mark.sequence);
        if !side.add_datagram(Entry { endpoint, owner: packet.owner }, mark, &self.datagram) {
            return self.drop_packet(endpoint, packet.owner, Outcome::LocalError(LocalErrorKind::Other));
        }
        if let Some(to) = neighbour {
            side.exit.direct(to);
        }
        if let Some(datagram) = second {
            self.seconds.push(Second { place, endpoint, tag: packet.tag, neighbour, datagram });
        }
    }
}
