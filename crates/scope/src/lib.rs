//! What may be touched: targets, exclusions, leases of names, and the order in which they are visited.
//!
//! Every packet the daemon sends to a watched network is sent to an [`InScope`] endpoint, and only this crate can make
//! one. It does so from what the operator wrote ([`AssetScope`]) and from host names the operator wrote, for as long as
//! their DNS records live ([`Lease`]); nothing learnt from the network widens it. Right before a packet leaves, the
//! engine asks once more: [`ScopeHandle::permits`] answers from a second representation of the same configuration, built
//! and searched by other code, so that one mistake is not enough to touch what must not be touched; [`LastGuard`] does so for
//! a batch of packets, from their bytes.
//!
//! What is to be asked has numbers ([`Space`]: leave for every endpoint at once), the order of visits is a keyed
//! [`Permutation`] of them, and the order is cut into [`Chunks`], which [`Shard`]s share. [`Groups`] cuts a large set of
//! addresses into groups of neighbours, [`Spread`] into groups whose members lie far apart.

mod chunk;
mod divisor;
mod groups;
mod guard;
mod handle;
mod hours;
mod last_guard;
pub mod ledger;
mod never;
mod numbering;
mod permutation;
mod refusal;
mod scope;
mod spread;

pub use chunk::{Chunk, Chunks, Shard};
pub use groups::Groups;
pub use handle::ScopeHandle;
pub use last_guard::LastGuard;
pub use numbering::Numbering;
pub use permutation::Permutation;
pub use refusal::Refusal;
pub use scope::{AssetScope, InScope, Lease, Scope, Space};
pub use spread::Spread;
