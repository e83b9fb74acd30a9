use super::{InScope, Scope};
use crate::{Numbering, Refusal};
use jiff::Timestamp;
use model::{AddressSet, Endpoint, PortSet};
use std::{ops::Deref, sync::Arc};

/// Endpoints by number, every one of which was in scope when the space was made: what a pass is to ask, for an order
/// ([`crate::Permutation`]) to go through. Only a [`Scope`] makes one. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space(Arc<Numbering>);

impl Space {
    /// Leave to probe the endpoint of a number; none from [`Numbering::len`] on.
    #[inline]
    pub fn at(&self, number: u64) -> Option<InScope<Endpoint>> {
        self.0.at(number).map(InScope)
    }

    /// The same numbers without the leave.
    pub fn numbering(&self) -> &Arc<Numbering> {
        &self.0
    }

    /// One that nobody has looked at, to see that the guard does not rely on it.
    #[cfg(test)]
    pub(crate) fn unchecked(numbering: Numbering) -> Self {
        Self(Arc::new(numbering))
    }
}

/// For everything else: how many there are, the number of an endpoint, hosts, ports.
impl Deref for Space {
    type Target = Numbering;

    #[inline]
    fn deref(&self) -> &Numbering {
        &self.0
    }
}

impl Scope {
    /// Every one of these ports at every one of these addresses that is in scope now and not excluded. Refused where those are
    /// more than 2⁶⁴.
    pub fn space_for(
        &self,
        addresses: &AddressSet,
        tcp: &PortSet,
        udp: &PortSet,
        now: Timestamp,
    ) -> Result<Space, Refusal> {
        let addresses = addresses.intersection(&self.space(now)).difference(&self.no_host);
        let numbering = Numbering::product(&addresses, tcp, udp);
        numbering
            .map(|numbering| Space(Arc::new(numbering)))
            .ok_or_else(|| Refusal::TooLarge { addresses: addresses.len(), ports: tcp.len() + udp.len() })
    }

    /// Those of these endpoints that are in scope now, each once, and why each of the others is not.
    pub fn list_for(
        &self,
        endpoints: impl IntoIterator<Item = Endpoint>,
        now: Timestamp,
    ) -> (Space, Vec<(Endpoint, Refusal)>) {
        let mut refused = Vec::new();
        let allowed = endpoints.into_iter().filter_map(|endpoint| match self.authorize(endpoint, now) {
            Ok(allowed) => Some(allowed.get()),
            Err(refusal) => {
                refused.push((endpoint, refusal));
                None
            }
        });
        let numbering = Numbering::list(allowed);
        (Space(Arc::new(numbering)), refused)
    }
}

#[cfg(test)]
mod tests;
