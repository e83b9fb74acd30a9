//! Any bytes a server may send in answer to a hello. Nothing of it may panic or take long, and the pieces it comes in change nothing.

#![no_main]

use identify::tls::FlightReader;
use libfuzzer_sys::fuzz_target;
use std::hint::black_box;

fuzz_target!(|bytes: &[u8]| {
    let mut at_once = FlightReader::default();
    at_once.feed(bytes);
    let mut by_pieces = FlightReader::default();
    for piece in bytes.chunks(7) {
        by_pieces.feed(piece);
    }
    assert_eq!(at_once.flight(), by_pieces.flight());
    black_box(at_once.flight().profile());
});
