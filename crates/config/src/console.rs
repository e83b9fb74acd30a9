use crate::{Console, names::show, walk::Value};
use std::net::{Ipv4Addr, SocketAddr};

pub(crate) const KEYS: &[&str] = &["listen"];
const PORT: u16 = 8321;

pub(crate) fn read(value: Option<&Value<'_>>) -> Console {
    let listen = value
        .and_then(|value| value.table(KEYS)?.get("listen"))
        .and_then(|value| value.parse("write an address and a port, like `127.0.0.1:8321`", listen));
    Console { listen: listen.unwrap_or(Some((Ipv4Addr::LOCALHOST, PORT).into())) }
}

fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        format!("{} is not an address and a port; write `127.0.0.1:8321`, `[::1]:8321` or `none`", show(text))
    })
}
