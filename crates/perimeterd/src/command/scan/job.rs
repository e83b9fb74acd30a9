//! From the command line to something that can be run: what may be touched, how fast, and as whom.

use super::{Mode, Scan};
use crate::{command::Global, failure::Failure, fingerprints, output, paths};
use config::Config;
use identify::Roots;
use jiff::Timestamp;
use model::{AddressSet, Clock, Endpoint, NotEnumerable, PortSet, Rate, ServiceName, SystemClock, Target};
use probe::{
    Backend, Choice, Dialer, DialerSettings, Egress, HickoryResolver, Identity, Place, RawAccess, RawSettings,
    Recording, Resolve,
};
use scope::{AssetScope, Lease, Scope, ScopeHandle};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A scan, ready to go.
#[derive(Debug)]
pub(super) struct Job {
    pub dialer: Dialer,
    /// Packets of our own ask for as long as this is kept; or why none do.
    pub packets: Result<RawAccess, String>,
    pub scope: ScopeHandle,
    /// Every address that is asked.
    pub space: AddressSet,
    /// Targets of which only candidates are asked.
    pub not_enumerable: Vec<NotEnumerable>,
    pub tcp: Arc<PortSet>,
    pub udp: Arc<PortSet>,
    pub identify: bool,
    pub tls_audit: bool,
    pub roots: Roots,
    /// Where packets are written down.
    pub pcap: Option<(Recording, PathBuf)>,
    /// None where there is nobody to ask for the addresses of names.
    pub resolver: Option<HickoryResolver>,
}

/// Without a configuration, beyond loopback.
const USUAL_RATE: u32 = 5_000;
const USUAL_RATE_PER_HOST: u32 = 500;
/// The most there is: on loopback the machine itself is the limit.
const NO_CEILING: u32 = 100_000_000;
/// A name that was resolved for this scan counts for as long as it lasts.
const LEASE: Duration = Duration::from_hours(7 * 24);
/// The one asset of this scan.
const ASSET: &str = "scan";

/// What of an installation this scan keeps to.
#[derive(Debug, Default)]
struct Installed {
    exclude: AddressSet,
    config: Option<Config>,
}

pub(super) async fn prepare(scan: Scan, global: &Global) -> Result<Job, Failure> {
    let installed = installed(global)?;
    let sensor = installed.config.as_ref().map(|config| &config.sensor);
    let own_exclude: AddressSet = scan.exclude.iter().filter_map(Target::range).collect();
    let exclude = installed.exclude.union(&own_exclude);
    let asset: Arc<str> = ASSET.into();
    let assets = vec![AssetScope { name: Arc::clone(&asset), targets: scan.targets.clone(), until: None }];
    let resolvers = sensor.map(|sensor| sensor.resolvers.clone()).unwrap_or_default();
    let scope = Scope::new(assets, exclude);
    let leases = resolve(&scope, &resolvers).await?;
    let scope = scope.with_leases(leases.clone());
    let now = SystemClock.now();
    let assets = [asset];
    let swept = scope.sweep_space(&assets, now);
    let (space, not_enumerable) = with_candidates(&scope, &assets, swept, now);
    if space.is_empty() {
        return Err(Failure::Usage(match not_enumerable.first() {
            Some(NotEnumerable { target, .. }) => format!(
                "`{target}` has more addresses than anybody can ask, and this machine has met nobody in it; name the hosts, or \
                 an IPv6 prefix of at least /104"
            ),
            None => nothing_left(&leases),
        }));
    }
    for NotEnumerable { target, candidates } in &not_enumerable {
        tracing::warn!("not enumerable: {target}, {candidates} candidates; nobody else in it is asked");
    }
    let is_loopback = is_loopback(&space);
    let (rate, rate_per_host) = match (scan.rate, sensor) {
        (Some(rate), _) => (rate, rate),
        (None, _) if is_loopback => (per_second(NO_CEILING)?, per_second(NO_CEILING)?),
        (None, Some(sensor)) => (sensor.rate, sensor.rate_per_host),
        (None, None) => (per_second(USUAL_RATE)?, per_second(USUAL_RATE_PER_HOST)?),
    };
    let settings = DialerSettings {
        rate,
        rate_per_host,
        source: sensor.and_then(|sensor| sensor.source),
        identity: Identity {
            sensor: sensor.map_or_else(host_name, |sensor| Arc::clone(&sensor.name)),
            contact: sensor.and_then(|sensor| sensor.contact.as_deref()).map(Arc::from),
            version: env!("CARGO_PKG_VERSION").into(),
        },
    };
    let scope = ScopeHandle::new(scope);
    let egress = Egress { source: settings.source, interface: sensor.and_then(|sensor| sensor.interface.clone()) };
    let dialer = Dialer::new(scope.clone(), Arc::new(SystemClock), settings);
    if let Some(config) = &installed.config {
        dialer.use_fingerprints(fingerprints::load(&config.identify)?);
        dialer.ask_fragile(config.identify.fragile_ports.clone());
    }
    let pcap = scan.pcap.map(record).transpose()?;
    let recording = pcap.as_ref().map(|(recording, _)| recording.clone());
    let packets = match scan.mode {
        Mode::Raw => Ok(raw(&dialer, egress, recording).await?),
        Mode::Auto => auto(&dialer, egress, &space, &scan.tcp, recording).await?,
        Mode::Connect => Err("`--mode connect` says so".to_owned()),
    };
    Ok(Job {
        dialer,
        packets,
        scope,
        space,
        not_enumerable,
        tcp: Arc::new(scan.tcp),
        udp: Arc::new(scan.udp),
        identify: !scan.no_identify,
        tls_audit: scan.tls_audit,
        pcap,
        roots: roots(installed.config.as_ref())?,
        resolver: HickoryResolver::new(&resolvers).ok(),
    })
}

impl Job {
    /// Ends the record of the packets, where there is one.
    pub(super) fn written_down(&self) -> Result<(), Failure> {
        let Some((recording, path)) = &self.pcap else { return Ok(()) };
        let path = path.display();
        match recording.finish() {
            Ok(0) => tracing::warn!("{path} holds no packet: {}", self.asked_by().1),
            Ok(count) => tracing::info!("{path} holds {count} packets"),
            Err(error) => return Err(Failure::world(format!("{path} is not whole: {error}"))),
        }
        Ok(())
    }

    /// What asked TCP, and why.
    pub(super) fn asked_by(&self) -> (Backend, String) {
        let Choice { backend, why, is_proven } = match &self.packets {
            Ok(access) => access.choice(),
            Err(why) => Choice { backend: Backend::Connect, why: why.clone(), is_proven: true },
        };
        let heard = self.dialer.raw().map_or(0, |raw| raw.counters().heard);
        let why = match (is_proven, heard) {
            (true, _) => why,
            (false, 0) => "raw packets can be sent, and nothing answered them: `--mode connect` shows whether they are dropped on \
                           the way"
                .to_owned(),
            (false, _) => "raw packets are answered".to_owned(),
        };
        (backend, why)
    }
}

/// Adds whom this machine has met in targets that are too large to sweep, and says how many of each are asked.
fn with_candidates(
    scope: &Scope,
    assets: &[Arc<str>],
    swept: AddressSet,
    now: Timestamp,
) -> (AddressSet, Vec<NotEnumerable>) {
    let open = scope.unsweepable_space(assets, now);
    if open.is_empty() {
        return (swept, Vec::new());
    }
    let space = swept.union(&Place::watch().neighbours(&open));
    let of = |target: Target| {
        let all: AddressSet = target.range().into_iter().collect();
        let candidates = u64::try_from(space.intersection(&all).len()).unwrap_or(u64::MAX);
        NotEnumerable { target: target.to_string(), candidates }
    };
    let not_enumerable = scope.unsweepable(assets).into_iter().map(of).collect();
    (space, not_enumerable)
}

/// Memory of the ring that answers are heard by, in bytes, for those who want to see what happens when it is too small.
const RING: &str = "PERIMETERD_RING_BYTES";

/// Hosts that `auto` looks at first, and ports of each: the likeliest of those that are asked anyway.
const FIRST_HOSTS: u128 = 64;
const LIKELY: [u16; 3] = [443, 80, 22];

fn record(path: PathBuf) -> Result<(Recording, PathBuf), Failure> {
    match Recording::create(&path) {
        Ok(recording) => Ok((recording, path)),
        Err(error) => Err(Failure::world(format!("{}: {error}; nothing was sent", path.display()))),
    }
}

async fn raw(dialer: &Dialer, egress: Egress, recording: Option<Recording>) -> Result<RawAccess, Failure> {
    let told = |error: &dyn std::fmt::Display| {
        Failure::world(format!("{error}; `--mode connect` asks by the kernel's own connections"))
    };
    let access =
        RawAccess::open(dialer, egress, ring()?, config::Mode::Raw, recording).await.map_err(|error| told(&error))?;
    if let Some(trouble) = access.trouble() {
        return Err(told(trouble));
    }
    for advice in access.advice() {
        tracing::warn!("{advice}");
    }
    Ok(access)
}

/// Packets where they can be had and nothing shows that they are dropped; else why not.
async fn auto(
    dialer: &Dialer,
    egress: Egress,
    space: &AddressSet,
    tcp: &PortSet,
    recording: Option<Recording>,
) -> Result<Result<RawAccess, String>, Failure> {
    if tcp.is_empty() {
        return Ok(Err("only UDP is asked".to_owned()));
    }
    if is_loopback(space) {
        return Ok(Err("every target is this machine itself".to_owned()));
    }
    let access = match RawAccess::open(dialer, egress, ring()?, config::Mode::Auto, recording).await {
        Ok(access) => access,
        Err(error) => return Ok(Err(error.to_string())),
    };
    access.look_first(dialer, &first_asked(space, tcp)).await;
    Ok(Ok(access))
}

fn is_loopback(space: &AddressSet) -> bool {
    space.ranges().iter().all(|range| range.first().is_loopback() && range.last().is_loopback())
}

fn ring() -> Result<usize, Failure> {
    match std::env::var(RING) {
        Ok(bytes) => {
            bytes.parse().map_err(|_| Failure::Usage(format!("{RING} is a number of bytes, and `{bytes}` is none")))
        }
        Err(_) => Ok(RawSettings::RING),
    }
}

/// Some of what will be asked, spread over all addresses.
fn first_asked(space: &AddressSet, tcp: &PortSet) -> Vec<Endpoint> {
    let likely = LIKELY.into_iter().filter(|port| tcp.contains(*port));
    let others = tcp.iter().filter(|port| !LIKELY.contains(port));
    let ports: Vec<u16> = likely.chain(others).take(LIKELY.len()).collect();
    let step = usize::try_from(space.len() / FIRST_HOSTS).unwrap_or(usize::MAX).max(1);
    let hosts = space.iter().step_by(step).zip(0..FIRST_HOSTS);
    hosts.flat_map(|(ip, _)| ports.iter().map(move |port| Endpoint::tcp(ip, *port)).collect::<Vec<_>>()).collect()
}

/// The configuration `--config` names, or the installed one where there is one. What the installed one excludes is never
/// touched, whichever is named; where that cannot be known, nothing is.
fn installed(global: &Global) -> Result<Installed, Failure> {
    let standard = Path::new(paths::INSTALLED_CONFIG);
    let installed = if paths::is_there(standard) { of_this_machine(standard)? } else { Installed::default() };
    let Some(named) = global.config.as_deref().filter(|named| *named != standard) else { return Ok(installed) };
    match config::load(named) {
        Ok(loaded) => Ok(Installed {
            exclude: installed.exclude.union(&loaded.config.sensor.exclude),
            config: Some(loaded.config),
        }),
        Err(failure) => {
            super::super::check::diagnose(&failure.diagnostics, &failure.sources);
            Err(Failure::world(format!("{} is not valid; nothing was sent", named.display())))
        }
    }
}

fn of_this_machine(path: &Path) -> Result<Installed, Failure> {
    if let Ok(loaded) = config::load(path) {
        return Ok(Installed { exclude: loaded.config.sensor.exclude.clone(), config: Some(loaded.config) });
    }
    // Secrets in it may be none of ours to read; what must not be touched is said in one place.
    match fs::read_to_string(path).ok().and_then(|text| exclusions(&text)) {
        Some(exclude) => Ok(Installed { exclude, config: None }),
        None => Err(Failure::world(format!(
            "{} could not be read, so what must not be touched is not known, and nothing was sent; run as a user who may \
             read it, or put it right",
            path.display()
        ))),
    }
}

/// `[sensor] exclude` of a configuration that cannot be loaded as a whole. None where it could stand elsewhere or does not read.
fn exclusions(text: &str) -> Option<AddressSet> {
    let table: toml::Table = text.parse().ok()?;
    let Some(sensor) = table.get("sensor") else {
        return (!table.contains_key("include")).then(AddressSet::empty);
    };
    let Some(list) = sensor.as_table()?.get("exclude") else { return Some(AddressSet::empty()) };
    list.as_array()?.iter().map(|entry| entry.as_str()?.parse::<Target>().ok()?.range()).collect()
}

/// Asks for the addresses of every name among the targets. All or nothing: a name left out would look like a host that is down.
async fn resolve(scope: &Scope, resolvers: &[std::net::SocketAddr]) -> Result<Vec<Lease>, Failure> {
    let names = scope.names();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let resolver = HickoryResolver::new(resolvers).map_err(|error| Failure::world(error.to_string()))?;
    let mut leases = Vec::new();
    for (asset, name) in names {
        let resolved = resolver.resolve(&name).await.map_err(|error| Failure::world(error.to_string()))?;
        let until = SystemClock.now().checked_add(LEASE).map_err(|error| Failure::World(error.into()))?;
        leases.push(Lease { asset, name, addresses: resolved.addresses, until });
    }
    Ok(leases)
}

fn nothing_left(leases: &[Lease]) -> String {
    let names: Vec<&str> = leases.iter().map(|lease: &Lease| ServiceName::as_str(&lease.name)).collect();
    if names.is_empty() {
        "nothing is left to scan: every target is excluded, or is no host's address".to_owned()
    } else {
        format!(
            "nothing is left to scan: {} leads only to addresses that are excluded, or that a name never brings into \
             scope (loopback, link-local, metadata services); give the address itself",
            names.join(", ")
        )
    }
}

/// The public roots and those the configuration trusts beside them.
fn roots(config: Option<&Config>) -> Result<Roots, Failure> {
    let mut roots = Roots::public();
    for path in config.map(|config| config.tls.roots.as_slice()).unwrap_or_default() {
        let told = |error: &dyn std::fmt::Display| Failure::world(format!("{}: {error}", path.display()));
        let pem = fs::read(path).map_err(|error| told(&error))?;
        roots = roots.with_pem(&pem).map_err(|error| told(&error))?;
    }
    Ok(roots)
}

fn per_second(rate: u32) -> Result<Rate, Failure> {
    Rate::per_second(rate).map_err(|error| Failure::World(error.into()))
}

fn host_name() -> Arc<str> {
    let name = rustix::system::uname();
    output::printable(&name.nodename().to_string_lossy()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_be_asked_are_spread_and_likely() {
        let of = |targets: &[&str]| -> AddressSet {
            targets.iter().filter_map(|target| target.parse::<Target>().ok()?.range()).collect()
        };
        let tcp = |text: &str| PortSet::parse(text, model::Transport::Tcp).expect("ports");
        for (targets, ports, hosts, expect) in [
            (of(&["192.0.2.7"]), "1-1024", 1, vec![443, 80, 22]),
            (of(&["192.0.2.7"]), "22,1000,2000", 1, vec![22, 1000, 2000]),
            (of(&["192.0.2.0/30", "2001:db8::/126"]), "443", 8, vec![443]),
            (of(&["198.51.0.0/16"]), "80", 64, vec![80]),
        ] {
            let asked = first_asked(&targets, &tcp(ports));
            assert_eq!(asked.len(), hosts * expect.len());
            assert_eq!(asked.iter().take(expect.len()).map(|endpoint| endpoint.port).collect::<Vec<_>>(), expect);
            let different: std::collections::BTreeSet<_> = asked.iter().collect();
            assert_eq!(different.len(), asked.len());
        }
    }

    #[test]
    fn exclusions_are_known_or_not_known() {
        for (text, expect) in [
            ("", Some(0)),
            ("[sensor]\nname = \"x\"", Some(0)),
            ("[sensor]\nexclude = [\"192.0.2.7\", \"198.51.100.128/25\"]", Some(129)),
            // Elsewhere perhaps, or unreadable.
            ("include = [\"conf.d/*.toml\"]", None),
            ("[sensor]\nexclude = [\"www.example.org\"]", None),
            ("[sensor]\nexclude = \"192.0.2.7\"", None),
            ("[sensor", None),
        ] {
            assert_eq!(exclusions(text).map(|set| set.len()), expect, "{text}");
        }
    }
}
