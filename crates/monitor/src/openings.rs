//! What opens on each host of a group, counted: where more opens than most hosts have, it is looked first whether something answers
//! for every port, before anybody is talked to.

use std::{collections::HashMap, net::IpAddr, sync::Arc};
use tokio::sync::OnceCell;

/// So many ports of a host are asked at once who they are; the next ones only when it is known whether anything would answer.
const FEW: u32 = 8;

#[derive(Debug, Default)]
pub(crate) struct Openings(HashMap<IpAddr, Opening>);

/// One of a host's, as counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opening {
    /// Its how-manieth.
    pub(crate) number: u32,
    /// Whether ports of the host answer that nobody should be behind: asked once for all of its openings.
    pub(crate) anything_answers: Arc<OnceCell<bool>>,
}

impl Openings {
    /// One more of a host.
    pub(crate) fn next(&mut self, ip: IpAddr) -> Opening {
        let opening = self.0.entry(ip).or_default();
        opening.number += 1;
        opening.clone()
    }
}

impl Opening {
    pub(crate) fn is_one_of_many(&self) -> bool {
        self.number > FEW
    }
}
