//! Any bytes a server may answer with, to every parser. Nothing of it may panic or take long.

#![no_main]

use identify::{Parse, Received, classify, protocols};
use libfuzzer_sys::fuzz_target;
use model::Transport;
use std::hint::black_box;

fuzz_target!(|bytes: &[u8]| {
    for transport in [Transport::Tcp, Transport::Udp] {
        black_box(classify(transport, Received::open(bytes)));
        for protocol in protocols(transport) {
            assert_ne!((protocol.parse)(Received::ended(bytes)), Parse::NeedMore);
            if let Some(reply) = protocol.reply {
                assert_ne!(reply(Received::ended(bytes)), Parse::NeedMore);
            }
        }
    }
});
