//! Real packets between kernels, in network namespaces that nothing leads out of.

mod common;
mod links;
mod ring;
