//! What the configuration means, after every check: no text is left that could still be wrong.

use crate::rule::RuleSet;
use jiff::civil::Date;
use model::{AddressSet, AllowList, Confirm, PortSet, Rate, Severity, Target, Windows};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The main file and everything it included, in the order read. Empty for the embedded configuration.
    pub sources: Vec<PathBuf>,
    pub sensor: Sensor,
    pub store: Store,
    pub console: Console,
    pub tls: Tls,
    pub identify: Identify,
    pub assets: BTreeMap<Arc<str>, Asset>,
    /// By the name profiles use: `dmz-critical`, `builtin:perimeter`. Only those that some profile uses or the files define.
    pub rulesets: BTreeMap<Arc<str>, RuleSet>,
    pub profiles: BTreeMap<Arc<str>, Profile>,
    pub recipients: BTreeMap<Arc<str>, Recipient>,
    /// Present where a recipient needs it.
    pub email: Option<EmailChannel>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sensor {
    pub name: Arc<str>,
    pub contact: Option<String>,
    /// Ceiling in probes per second over everything.
    pub rate: Rate,
    pub rate_per_host: Rate,
    pub exclude: AddressSet,
    pub interface: Option<String>,
    pub source: Option<IpAddr>,
    /// Hosts that ban `source` are asked from it.
    pub second_source: Option<IpAddr>,
    pub mode: Mode,
    /// Endpoints that should always answer: while they do not, nothing else is called closed or lost. Empty: the soundest
    /// known ones are chosen.
    pub canaries: Vec<model::Endpoint>,
    /// Empty: the system's.
    pub resolvers: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Auto,
    Raw,
    Connect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub path: PathBuf,
    pub retention: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// None: no TCP listener (`listen = "none"`).
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// PEM files with roots the operator trusts beside the public ones.
    pub roots: Vec<PathBuf>,
}

/// How what answers is named: rules of the operator's own choice, beside those built in, and what may be asked. Nothing unless
/// written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identify {
    /// A folder of Recog's XML files.
    pub recog: Option<PathBuf>,
    /// A file in the format of nmap's service probes, of which the match lines are used.
    pub service_probes: Option<PathBuf>,
    /// TCP ports that are asked who they are though what usually listens there takes it badly.
    pub fragile_ports: PortSet,
}

/// WHERE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    pub targets: Vec<Target>,
    pub tags: Vec<Arc<str>>,
    /// 1 to 5.
    pub value: u8,
    pub owner: Option<String>,
    pub kind: AssetKind,
    pub authorization: Option<Authorization>,
    pub certificates: Option<Arc<AllowList>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AssetKind {
    /// Machines that are meant to stay: each coming and going is told.
    #[default]
    Hosts,
    /// Interchangeable machines: they come and go in silence, and what they offer is compared with what the pool offers.
    Pool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    pub by: String,
    /// Scanning ends with this day, in UTC.
    pub until: Option<Date>,
}

/// What [`Profile::storm`] is where nothing else is said.
pub const MOST_ALERTS: u32 = 100;

/// WHERE meets WHAT.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The assets it watches: named, by tag, and one named `profile:<name>` in [`Config::assets`] for its own targets.
    pub assets: Vec<Arc<str>>,
    pub rulesets: Vec<Arc<str>>,
    pub scan: Scan,
    pub confirm: Confirm,
    /// So many alerts about changes within ten minutes are a storm, told as one.
    pub storm: u32,
    pub active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Periods; none where the profile switched the lane off (`full = "never"`).
    pub hot: Option<Duration>,
    pub known: Option<Duration>,
    pub likely: Option<Duration>,
    pub full: Option<Duration>,
    /// How often a known open endpoint is asked who it is when nothing else calls for it.
    pub identify: Duration,
    pub hot_ports: PortSet,
    /// The lists of the likely lane.
    pub tcp: PortSet,
    pub udp: PortSet,
    /// When it may ask; none is always.
    pub windows: Option<Windows>,
}

/// WHO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub channel: ChannelConfig,
    pub every: Interval,
    /// Empty: all.
    pub profiles: Vec<Arc<str>>,
    pub min_severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// As soon as it is committed.
    Immediate,
    /// Digests, aligned to the epoch (so to the hour for those that divide it), in UTC.
    Every(Duration),
    /// Recorded, never sent.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelConfig {
    Email { to: Vec<String> },
    Syslog(Syslog),
    Jsonl(JsonlPath),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonlPath {
    Stdout,
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    pub transport: SyslogTransport,
    pub host: String,
    pub port: u16,
    pub format: SyslogFormat,
    pub framing: Framing,
    /// 0 to 23; `local0` is 16.
    pub facility: u8,
    /// PEM; none: the machine's own roots.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogTransport {
    Udp,
    Tcp,
    Tls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogFormat {
    Cef,
}

/// RFC 6587 framings; UDP has none and ignores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Octet counting.
    Octet,
    /// Non-transparent, LF.
    Lf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailChannel {
    pub security: SmtpSecurity,
    pub host: String,
    pub port: u16,
    pub from: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// PEM; none: the machine's own roots.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// `smtps://`, port 465.
    Tls,
    /// `smtp+starttls://`, port 587: required, never opportunistic.
    StartTls,
    /// `smtp://`, port 25: written out by the operator.
    None,
}

/// A secret read from a file. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

impl Secret {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
