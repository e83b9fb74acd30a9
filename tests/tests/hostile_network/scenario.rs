//! A hostile network as written in `tests/hostile/*.toml`: what the router does, what truly changes meanwhile, and what the
//! daemon may and must say of itself.

use serde::{Deserialize, Deserializer, de::Error};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use testkit::router::{Kind, Scenario};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The file's own name.
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) title: String,
    /// How it is watched where nobody says otherwise: playing each in every mode takes twice the time.
    pub(crate) mode: Mode,
    /// From switching on until what is told is looked at.
    #[serde(deserialize_with = "period")]
    pub(crate) lasts: Duration,
    /// For what is true to be told after that.
    #[serde(default = "soon", deserialize_with = "period")]
    pub(crate) within: Duration,
    pub(crate) router: Scenario,
    #[serde(default)]
    pub(crate) watch: Watch,
    #[serde(default)]
    pub(crate) change: Vec<Change>,
    pub(crate) expect: Expect,
}

/// How the daemon asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// By packets of its own.
    Raw,
    /// By the kernel's connections.
    Connect,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Connect => "connect",
        }
    }
}

fn soon() -> Duration {
    Duration::from_secs(150)
}

/// How the daemon watches.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Watch {
    /// Of every lane.
    #[serde(deserialize_with = "period")]
    pub(crate) every: Duration,
    /// The shortest time to confirm in.
    #[serde(deserialize_with = "period")]
    pub(crate) port_closed: Duration,
    #[serde(deserialize_with = "period")]
    pub(crate) host_lost: Duration,
    pub(crate) tcp: String,
    /// Watched beside the hosts there are.
    pub(crate) also: Vec<String>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(2),
            port_closed: Duration::from_secs(6),
            host_lost: Duration::from_secs(15),
            tcp: "21,22,25,53,80,443,8080-8082".to_owned(),
            also: Vec::new(),
        }
    }
}

/// Something that truly happens, or that is done to the uplink.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "toml::Table")]
pub(crate) struct Change {
    /// After switching on.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// `at`, and beside it one thing that happens.
impl TryFrom<toml::Table> for Change {
    type Error = toml::de::Error;

    fn try_from(mut table: toml::Table) -> Result<Self, toml::de::Error> {
        let at = table.remove("at").ok_or_else(|| Self::Error::missing_field("at"))?;
        Ok(Self { at: period(at)?, what: What::deserialize(table)? })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// A server starts.
    Open {
        host: String,
        port: u16,
    },
    /// A server ends.
    Close {
        host: String,
        port: u16,
    },
    /// A host's cable is pulled.
    Stop(String),
    /// It is plugged in again.
    Return(String),
    Uplink(Uplink),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Uplink {
    /// Somewhere further on: the sensor's own link stays up.
    Cut,
    Mended,
    /// The sensor's own cable.
    Unplugged,
    Plugged,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Expect {
    /// The router's counters, and what each must have reached: the impairment was there.
    pub(crate) happened: BTreeMap<String, u64>,
    /// How often the daemon must and may say this, since it began: from, to. What is not named here must not be said.
    pub(crate) sensor: BTreeMap<String, (usize, usize)>,
}

impl File {
    /// The hosts behind an address of a balancer, if there is one.
    pub(crate) fn pool(&self) -> Option<(String, Vec<String>)> {
        self.router.stage.iter().find_map(|stage| match &stage.kind {
            Kind::Balancer(settings) => {
                Some((settings.address.to_string(), settings.hosts.iter().map(ToString::to_string).collect()))
            }
            _ => None,
        })
    }
}

/// All there are, those that last longest first.
pub(crate) fn all() -> Vec<File> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("hostile");
    let entries = std::fs::read_dir(&dir).expect("the folder of scenarios");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut files: Vec<File> =
        paths.filter(|path| path.extension().is_some_and(|is| is == "toml")).map(|path| read(&path)).collect();
    files.sort_by(|a, b| (b.lasts, &a.name).cmp(&(a.lasts, &b.name)));
    files
}

fn read(path: &Path) -> File {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    file.change.sort_by_key(|change| change.at);
    file
}

fn period<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    model::parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
}
