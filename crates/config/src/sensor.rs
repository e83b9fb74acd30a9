use crate::{
    Asset, Mode, Sensor, Surroundings,
    address::is_unicast,
    names::show,
    walk::{Table, Value},
};
use model::{AddressSet, Endpoint, Rate, Target};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

pub(crate) const KEYS: &[&str] = &[
    "name",
    "contact",
    "rate",
    "rate_per_host",
    "exclude",
    "interface",
    "source",
    "second_source",
    "mode",
    "resolvers",
    "canaries",
];
const RATE: u32 = 5_000;
const RATE_PER_HOST: u32 = 500;
const DNS: u16 = 53;

pub(crate) fn read(value: Option<&Value<'_>>, assets: &BTreeMap<Arc<str>, Asset>, around: &Surroundings) -> Sensor {
    let table = value.and_then(|value| value.table(KEYS));
    let get = |key| table.as_ref().and_then(|table: &Table<'_>| table.get(key));
    let rate = |key, default| {
        get(key)
            .and_then(|value| value.parse("write a rate from `1/s` to `100M/s`, like `5k/s`", read_rate))
            .or(Rate::per_second(default).ok())
    };
    let exclude = get("exclude").map(|value| read_exclusions(&value)).unwrap_or_default();
    let canaries = get("canaries").map(|value| read_canaries(&value, assets, &exclude)).unwrap_or_default();
    let least = Rate::per_second(1).unwrap_or_else(|_| unreachable!("1/s is a rate"));
    let source = get("source").and_then(|value| read_source(&value));
    let mode = get("mode").and_then(|value| read_mode(&value)).unwrap_or(Mode::Auto);
    Sensor {
        name: get("name").and_then(|value| read_name(&value)).unwrap_or_else(|| around.host_name.clone()).into(),
        contact: get("contact").and_then(|value| read_contact(&value)),
        rate: rate("rate", RATE).unwrap_or(least),
        rate_per_host: rate("rate_per_host", RATE_PER_HOST).unwrap_or(least),
        exclude,
        interface: get("interface").and_then(|value| read_interface(&value, mode)),
        source,
        second_source: get("second_source").and_then(|value| read_second_source(&value, source)),
        mode,
        canaries,
        resolvers: get("resolvers")
            .map(|value| {
                value
                    .one_or_many()
                    .iter()
                    .filter_map(|item| item.parse("write an address, with a port where it is not 53", resolver))
                    .collect()
            })
            .unwrap_or_default(),
    }
}

/// In a file it stands for years, read by people who need not guess whether it is by the second or the minute.
fn read_rate(text: &str) -> Result<Rate, String> {
    let rate: Rate = text.parse().map_err(|error: model::RateError| error.to_string())?;
    if !text.trim_end().ends_with("/s") {
        return Err(format!("{} does not say in which time; did you mean `{rate}`?", show(text)));
    }
    Ok(rate)
}

/// What is wrong with a sensor's name. It becomes a syslog HOSTNAME (RFC 5424) and greets servers.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 64 {
        Some("a sensor's name has 1 to 64 characters")
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        Some("a sensor's name is made of letters, digits, `-`, `_` and `.`")
    } else {
        None
    }
}

fn read_name(value: &Value<'_>) -> Option<String> {
    let name = value.text()?;
    if let Some(fault) = name_fault(name) {
        value.refuse(format!("{} cannot be used: {fault}", show(name)));
        return None;
    }
    Some(name.to_owned())
}

/// Goes into protocol headers of those we probe: printable ASCII only.
fn read_contact(value: &Value<'_>) -> Option<String> {
    let contact = value.line(200)?;
    if !contact.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        value.refuse("others will read it in protocol headers, which hold ASCII only");
        return None;
    }
    Some(contact)
}

fn read_exclusions(value: &Value<'_>) -> AddressSet {
    let mut ranges = Vec::new();
    for item in value.one_or_many() {
        let Some(target) = item.parse(crate::asset::TARGET_HELP, str::parse::<Target>) else { continue };
        if let Some(range) = target.range() {
            ranges.push(range);
        } else {
            let title = format!("{} is a host name; only addresses can be excluded", show(&target.to_string()));
            item.sink.push(item.error(title).help("a name can move; write the addresses it must never stand for"));
        }
    }
    ranges.into_iter().collect()
}

fn read_interface(value: &Value<'_>, mode: Mode) -> Option<String> {
    let name = value.text()?;
    // IFNAMSIZ: 15 bytes and a NUL; the kernel refuses `/` and spaces.
    if name.is_empty() || name.len() > 15 || name.bytes().any(|b| !b.is_ascii_graphic() || b == b'/') {
        value.refuse(format!("{} is not an interface's name", show(name)));
        return None;
    }
    if mode == Mode::Connect {
        let title = "`sensor.interface` has no effect with `mode = \"connect\"`";
        value.sink.push(value.warning(title).label("connections leave by the kernel's choice"));
    }
    Some(name.to_owned())
}

fn read_source(value: &Value<'_>) -> Option<IpAddr> {
    let ip = value.parse("write one address of this machine", |text| {
        text.parse::<IpAddr>().map_err(|_| format!("{} is not an address", show(text)))
    })?;
    if !is_unicast(ip) {
        value.refuse(format!("nothing can be sent from {ip}"));
        return None;
    }
    Some(ip)
}

fn read_second_source(value: &Value<'_>, first: Option<IpAddr>) -> Option<IpAddr> {
    let ip = read_source(value)?;
    if first == Some(ip) {
        value.refuse("that is `sensor.source` itself; write another address of this machine");
        return None;
    }
    Some(ip)
}

fn read_mode(value: &Value<'_>) -> Option<Mode> {
    value.word(&[("auto", Mode::Auto), ("raw", Mode::Raw), ("connect", Mode::Connect)])
}

const CANARY_HELP: &str =
    "write an address and a TCP port that always answers, like `192.0.2.1:443` or `[2001:db8::1]:443`";

/// Canaries are asked like any target, so they must be in scope.
fn read_canaries(value: &Value<'_>, assets: &BTreeMap<Arc<str>, Asset>, exclude: &AddressSet) -> Vec<Endpoint> {
    let items = value.one_or_many();
    let mut canaries = Vec::new();
    for item in &items {
        let Some(endpoint) = item.parse(CANARY_HELP, canary) else { continue };
        let ip = endpoint.ip;
        let mut ranges = assets.values().flat_map(|asset| &asset.targets).filter_map(Target::range);
        if exclude.contains(ip) {
            let title = format!("canary {ip} is in `sensor.exclude`, so it will never be asked");
            item.sink.push(item.error(title).help("name one that may be asked"));
        } else if !ranges.any(|range| range.contains(ip)) {
            let title = format!("canary {ip} is in no asset, so it may not be asked");
            let help = format!("name an endpoint among the targets, or add {ip} to an asset");
            item.sink.push_if_whole(item.error(title).help(help));
        } else {
            canaries.push(endpoint);
        }
    }
    canaries
}

fn canary(text: &str) -> Result<Endpoint, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if is_unicast(address.ip()) && address.port() != 0 => {
            Ok(Endpoint::tcp(address.ip(), address.port()))
        }
        _ => Err(format!("{} is not an address with a port", show(text))),
    }
}

/// `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`.
fn resolver(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS)).or_else(|_| text.parse::<SocketAddr>());
    match address {
        Ok(address) if is_unicast(address.ip()) && address.port() != 0 => Ok(address),
        _ => {
            Err(format!("{} is not the address of a resolver, like `192.0.2.53` or `[2001:db8::53]:5353`", show(text)))
        }
    }
}
