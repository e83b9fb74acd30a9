//! Rule sets over events and hosts: which events become alerts. Pure.
//!
//! [`Engine`] is made from a [`config::Config`], cheaply, so that a reload makes a new one. It answers two questions:
//! which alerts is this event ([`Engine::evaluate`], [`Engine::judge`]), and which state rules does this host break
//! ([`Engine::violations`]). [`state_events`] turns the second answer into events, on transitions only.
//!
//! **Unknown is a value.** A positive test on an attribute nobody knows is false, a negative one (`not_in`, `ne`,
//! `not_contains`, `none_of`, `not = {…}`) is true: a negative test is exactly the negation of its positive twin, so a
//! rule for "not Windows" also catches the host whose system is unknown. `exists` restricts.

mod attribute;
mod condition;
mod engine;
mod explanation;
mod state;

pub use engine::{Dropped, Engine, Judgement};
pub use state::{Broken, Standing, rule_reference, state_events};

#[cfg(test)]
mod tests;
