//! Any bytes a network may send: read, told in a line, and held against cookies. Nothing of it may panic or take long, and nothing
//! may pass for an answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::hint::black_box;
use wire::{Cookies, Epoch, Heard, PortBlock, read};

fuzz_target!(|packet: &[u8]| {
    let Some(heard) = read(packet) else { return };
    black_box(heard.to_string());
    let cookies = Cookies::new(*b"unknown to fuzz.", PortBlock::default());
    let tag = match heard {
        Heard::Tcp(answer) => cookies.check_tcp(Epoch(1), &answer),
        Heard::Udp(answer) => cookies.check_udp(Epoch(1), &answer, |mark| {
            answer.payload.first_chunk().is_some_and(|bytes| u32::from_be_bytes(*bytes) == mark.sequence)
        }),
        Heard::Unreachable(error) => cookies.check_quoted(Epoch(1), &error.quoted),
        Heard::Echo(reply) => cookies.check_echo(Epoch(1), &reply),
        Heard::Timestamp(reply) => cookies.check_timestamp(Epoch(1), &reply),
        Heard::Neighbour(_) => None,
    };
    assert_eq!(tag, None, "a forgery passes for an answer");
});
