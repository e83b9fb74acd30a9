//! Configuration: TOML text, to what was typed, to what it means, with every diagnostic on the way.
//!
//! [`load`] reads a file and what it includes. All that is wrong is reported at once, each with its place and how to put
//! it right ([`Diagnostic`]); a [`Config`] exists only where nothing is. [`plan`] says what a configuration will send.

mod address;
mod asset;
mod attribute;
pub mod builtin;
mod channel;
mod condition;
mod config;
mod console;
mod diagnostic;
mod file;
mod hours;
mod identify;
mod include;
mod keys;
mod load;
mod names;
mod plan;
mod profile;
mod raw;
mod recipient;
pub mod rule;
mod ruleset;
mod scan;
mod sensor;
mod sink;
mod source;
mod store;
mod surroundings;
mod tls;
mod url;
mod walk;

pub use config::*;
pub use diagnostic::{Diagnostic, DiagnosticSeverity};
pub use keys::known_keys;
pub use load::{Failure, Loaded, load, load_in, parse, render_all};
pub use plan::{LanePlan, Plan, ProfilePlan, plan};
pub use source::{FileId, Position, SourceMap, Span};
pub use surroundings::Surroundings;

/// What `run` without a file reads: see [`Config::embedded`].
pub const EMBEDDED: &str = include_str!("../../../config/embedded.toml");
