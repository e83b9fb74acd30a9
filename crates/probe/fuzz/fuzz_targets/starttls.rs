//! Any words a server may say on the way to TLS: the first byte is the protocol, the second how far it has come, the rest what was heard.
//! A dialogue is played to its end with them. Nothing may panic or go on for ever, and nothing may be used that was not heard.

#![no_main]

use libfuzzer_sys::fuzz_target;
use probe::starttls::{Protocol, Stage, Turn, Words, turn};
use std::hint::black_box;

fuzz_target!(|entry: &[u8]| {
    let [protocol, stage, heard @ ..] = entry else { return };
    let protocol = Protocol::ALL[usize::from(*protocol) % Protocol::ALL.len()];
    let mut heard = heard.to_vec();
    let mut stage = if *stage == 1 { Stage::MET } else { Stage::FRESH };
    let words = Words { helo: "scan1", domain: "example.org" };
    for _ in 0..64 {
        match turn(protocol, stage, &heard, &words) {
            Turn::Say { used, stage: next, .. } => {
                assert!(used <= heard.len());
                heard.drain(..used);
                stage = next;
            }
            Turn::Begin { used } => return assert!(used <= heard.len()),
            Turn::Refused(why) => return drop(black_box(why.to_string())),
            Turn::More => return,
        }
    }
});
