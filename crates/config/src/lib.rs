//! Configuration: TOML text, to what was typed, to what it means, with every diagnostic on the way.

mod config;
pub mod rule;

pub use config::*;
