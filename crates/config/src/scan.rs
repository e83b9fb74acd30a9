//! How often and how wide a profile looks, and what it takes to believe that something is gone.

use crate::{
    Scan, Span, hours,
    walk::{Table, Value},
};
use model::{Confirm, ConfirmRule, Lane, PortSet, Transport};
use std::{collections::BTreeMap, time::Duration};

pub(crate) const SCAN_KEYS: &[&str] =
    &["hot", "known", "likely", "full", "identify", "hot_ports", "tcp", "udp", "schedule", "window", "zone"];
pub(crate) const CONFIRM_KEYS: &[&str] =
    &["port_closed", "host_lost", "service_changed", "host_updated", "certificate_changed"];
pub(crate) const CONFIRM_RULE_KEYS: &[&str] = &["passes", "at_least"];

const HOT_PORTS: [u16; 22] = [
    21, 22, 23, 25, 80, 135, 139, 443, 445, 1433, 1521, 2375, 3306, 3389, 5432, 5900, 5985, 6379, 8080, 8443, 9200,
    27_017,
];
const PORTS_HELP: &str = "write ports like `22,80,1-1024`, `top:1000` or `all`";
const TCP: &str = "top:1000";
const UDP: &str = "top:100";

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);
pub(crate) const TEN_YEARS: Duration = Duration::from_hours(87600);

/// The periods the operator wrote: where. Those that are not here are defaults, which may be stretched.
pub(crate) type Written = BTreeMap<Lane, Span>;

impl Default for Scan {
    fn default() -> Self {
        Self {
            hot: Some(5 * MINUTE),
            known: Some(5 * MINUTE),
            likely: Some(HOUR),
            full: Some(DAY),
            identify: HOUR,
            hot_ports: HOT_PORTS.into_iter().collect(),
            tcp: PortSet::parse(TCP, Transport::Tcp).unwrap_or_default(),
            udp: PortSet::parse(UDP, Transport::Udp).unwrap_or_default(),
            windows: None,
        }
    }
}

impl Scan {
    pub fn period(&self, lane: Lane) -> Option<Duration> {
        match lane {
            Lane::Hot => self.hot,
            Lane::Known => self.known,
            Lane::Likely => self.likely,
            Lane::Full => self.full,
            Lane::Confirm => None,
        }
    }

    /// Of a period, the time in which it may ask.
    pub fn open_in(&self, period: Duration) -> Duration {
        self.windows.as_ref().map_or(period, |windows| windows.open_in(period))
    }

    pub(crate) fn set_period(&mut self, lane: Lane, period: Duration) {
        match lane {
            Lane::Hot => self.hot = Some(period),
            Lane::Known => self.known = Some(period),
            Lane::Likely => self.likely = Some(period),
            Lane::Full => self.full = Some(period),
            Lane::Confirm => {}
        }
    }
}

pub(crate) fn read(value: &Value<'_>) -> (Scan, Written) {
    let mut scan = Scan::default();
    let mut written = Written::new();
    let Some(table) = value.table(SCAN_KEYS) else { return (scan, written) };
    for (lane, key, slot) in [
        (Lane::Hot, "hot", &mut scan.hot),
        (Lane::Known, "known", &mut scan.known),
        (Lane::Likely, "likely", &mut scan.likely),
        (Lane::Full, "full", &mut scan.full),
    ] {
        if let Some(value) = table.get(key) {
            written.insert(lane, value.span);
            *slot =
                if value.as_text() == Some("never") { None } else { value.duration_in(SECOND, TEN_YEARS).or(*slot) };
        }
    }
    if Lane::PERIODIC.iter().all(|&lane| scan.period(lane).is_none()) {
        let diagnostic = table.error("every lane is switched off, so the profile looks at nothing");
        table.sink.push(diagnostic.help("to stop a profile, write `active = false` in it"));
    }
    if let Some(value) = table.get("identify") {
        scan.identify = value.duration_in(SECOND, TEN_YEARS).unwrap_or(scan.identify);
    }
    for (key, transport, slot) in [
        ("hot_ports", Transport::Tcp, &mut scan.hot_ports),
        ("tcp", Transport::Tcp, &mut scan.tcp),
        ("udp", Transport::Udp, &mut scan.udp),
    ] {
        if let Some(ports) = table.get(key).and_then(|value| read_ports(&value, transport)) {
            *slot = ports;
        }
    }
    if let Some(value) = table.get("schedule")
        && value.text().is_some()
    {
        let title = "`schedule` cannot be kept yet: lanes run by their periods";
        let help = "`window = \"02:00-06:00\"` lets them begin at two, and asks in those hours only";
        value.sink.push(crate::Diagnostic::error(value.key, title).label("take it out").help(help));
    }
    scan.windows = hours::read(&table);
    (scan, written)
}

/// `"22,80,1-1024"`, or a list of such texts and numbers.
pub(crate) fn read_ports(value: &Value<'_>, transport: Transport) -> Option<PortSet> {
    if !value.is_list() {
        return value.parse(PORTS_HELP, |text| PortSet::parse(text, transport));
    }
    let mut ports = PortSet::empty();
    for item in value.list()? {
        let part = if item.as_integer().is_some() {
            item.integer_in(1..=65_535)
                .and_then(|port| u16::try_from(port).ok())
                .map(|port| [port].into_iter().collect())
        } else {
            item.parse(PORTS_HELP, |text| PortSet::parse(text, transport))
        };
        ports = ports.union(&part?);
    }
    Some(ports)
}

pub(crate) fn read_confirm(value: &Value<'_>) -> Confirm {
    let mut confirm = Confirm::default();
    let Some(table) = value.table(CONFIRM_KEYS) else { return confirm };
    for (key, rule) in [
        ("port_closed", &mut confirm.port_closed),
        ("host_lost", &mut confirm.host_lost),
        ("service_changed", &mut confirm.service_changed),
        ("host_updated", &mut confirm.host_updated),
        ("certificate_changed", &mut confirm.certificate_changed),
    ] {
        if let Some(table) = table.get(key).and_then(|value| value.table(CONFIRM_RULE_KEYS)) {
            read_confirm_rule(&table, rule);
        }
    }
    confirm
}

fn read_confirm_rule(table: &Table<'_>, rule: &mut ConfirmRule) {
    if let Some(passes) = table.get("passes").and_then(|value| value.integer_in(1..=1_000)) {
        rule.passes = u16::try_from(passes).unwrap_or(rule.passes);
    }
    if let Some(at_least) = table.get("at_least").and_then(|value| value.duration_in(Duration::ZERO, TEN_YEARS)) {
        rule.at_least = at_least;
    }
}
