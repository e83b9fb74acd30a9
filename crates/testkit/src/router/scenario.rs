use super::{
    prefixes,
    stage::{
        Balancer, BalancerSettings, BurstLoss, BurstLossSettings, Firewall, FirewallSettings, Latency, LatencySettings,
        Link, LinkSettings, Loss, LossSettings, Nat, NatSettings, RateLimit, RateLimitSettings, Resets, ResetsSettings,
        Route, RouteSettings, Stage, SynProxy, SynProxySettings,
    },
};
use model::AddressSet;
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;

/// What a network does to packets, as written in TOML:
///
/// ```toml
/// seed = 7
/// [[stage]]
/// kind = "loss"                 # latency, loss, burst-loss, rate-limit, nat, firewall, resets, syn-proxy, balancer, link, route
/// share = 0.02                  # the stage's own settings
/// always = true                 # from the start; without it, from when the scenario is switched on
/// lasts = "60s"                 # and no longer than this; default: until it is switched off
/// only = ["10.77.0.2"]          # only for these addresses on the servers' side
/// name = "last mile"            # in the counters; default: the kind
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(default)]
    pub seed: u64,
    /// In the order of the way out.
    #[serde(default)]
    pub stage: Vec<StageSettings>,
}

/// One stage and when it acts on what.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct StageSettings {
    pub name: String,
    pub always: bool,
    pub lasts: Option<Duration>,
    pub only: Option<AddressSet>,
    pub kind: Kind,
}

/// What it does.
#[derive(Debug, Clone)]
pub enum Kind {
    Latency(LatencySettings),
    Loss(LossSettings),
    BurstLoss(BurstLossSettings),
    RateLimit(RateLimitSettings),
    Nat(NatSettings),
    Firewall(FirewallSettings),
    Resets(ResetsSettings),
    SynProxy(SynProxySettings),
    Balancer(BalancerSettings),
    Link(LinkSettings),
    Route(RouteSettings),
}

impl Scenario {
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// What every stage may say beside its own settings.
#[derive(Deserialize)]
struct Common {
    kind: String,
    name: Option<String>,
    #[serde(default)]
    always: bool,
    #[serde(default, deserialize_with = "lasts")]
    lasts: Option<Duration>,
    #[serde(default, deserialize_with = "only")]
    only: Option<AddressSet>,
}

fn lasts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    model::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

fn only<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<AddressSet>, D::Error> {
    prefixes::read(from).map(Some)
}

impl TryFrom<toml::Table> for StageSettings {
    type Error = toml::de::Error;

    fn try_from(table: toml::Table) -> Result<Self, toml::de::Error> {
        let common: Common = table.clone().try_into()?;
        let mut own = table;
        own.retain(|key, _| !matches!(key, "kind" | "name" | "always" | "lasts" | "only"));
        let kind = match common.kind.as_str() {
            "latency" => Kind::Latency(settings(own)?),
            "loss" => Kind::Loss(settings(own)?),
            "burst-loss" => Kind::BurstLoss(settings(own)?),
            "rate-limit" => Kind::RateLimit(settings(own)?),
            "nat" => Kind::Nat(settings(own)?),
            "firewall" => Kind::Firewall(settings(own)?),
            "resets" => Kind::Resets(settings(own)?),
            "syn-proxy" => Kind::SynProxy(settings(own)?),
            "balancer" => Kind::Balancer(settings(own)?),
            "link" => Kind::Link(settings(own)?),
            "route" => Kind::Route(settings(own)?),
            other => return Err(serde::de::Error::custom(format_args!("`{other}` is no kind of stage"))),
        };
        if let Some(mistake) = kind.mistake() {
            return Err(serde::de::Error::custom(format_args!("a stage of kind `{}` {mistake}", common.kind)));
        }
        let Common { kind: called, name, always, lasts, only } = common;
        Ok(Self { name: name.unwrap_or(called), always, lasts, only, kind })
    }
}

fn settings<T: DeserializeOwned>(table: toml::Table) -> Result<T, toml::de::Error> {
    table.try_into()
}

impl Kind {
    /// What cannot be seen from single values.
    fn mistake(&self) -> Option<&'static str> {
        match self {
            Self::RateLimit(RateLimitSettings { packets: None, bytes: None, .. }) => Some("needs `packets` or `bytes`"),
            Self::Firewall(FirewallSettings { connections: None, ports: None, .. }) => {
                Some("needs `connections` or `ports`")
            }
            Self::Balancer(BalancerSettings { address, hosts })
                if hosts.is_empty() || hosts.iter().any(|host| host.is_ipv4() != address.is_ipv4()) =>
            {
                Some("needs `hosts` of the family of its `address`")
            }
            _ => None,
        }
    }

    pub(crate) fn build(self, seed: u64) -> Box<dyn Stage> {
        match self {
            Self::Latency(settings) => Box::new(Latency::new(settings, seed)),
            Self::Loss(settings) => Box::new(Loss::new(&settings, seed)),
            Self::BurstLoss(settings) => Box::new(BurstLoss::new(settings, seed)),
            Self::RateLimit(settings) => Box::new(RateLimit::new(&settings)),
            Self::Nat(settings) => Box::new(Nat::new(settings)),
            Self::Firewall(settings) => Box::new(Firewall::new(settings)),
            Self::Resets(settings) => Box::new(Resets::new(settings, seed)),
            Self::SynProxy(settings) => Box::new(SynProxy::new(settings, seed)),
            Self::Balancer(settings) => Box::new(Balancer::new(settings)),
            Self::Link(settings) => Box::new(Link::new(settings)),
            Self::Route(settings) => Box::new(Route::new(settings)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read() {
        let text = r#"
            seed = 7
            stage = [
                { kind = "latency", delay = "20ms", jitter = "5ms", always = true },
                { kind = "loss", share = 0.02, only = ["10.77.0.0/24", "fd77::2"], name = "last mile" },
                { kind = "burst-loss", worsen = 0.01, recover = 0.2 },
                { kind = "rate-limit", packets = 100, only_icmp_errors = true },
                { kind = "nat", entries = 1000, address = "10.77.0.254", closing = "30s" },
                { kind = "firewall", ports = 20, window = "10s", ban = "45s", manner = "port-unreachable" },
                { kind = "resets", syn = 0.1, lasts = "1m" },
                { kind = "syn-proxy", prefix = ["10.77.5.0/28"], nothing_behind = "mute" },
                { kind = "balancer", address = "10.77.9.1", hosts = ["10.77.0.2", "10.77.0.3"] },
                { kind = "link", outage = [{ at = "5s", for = "30s" }], flaps = { every = "20s", down = "2s" } },
                { kind = "route", path = [{ at = "5s", delay = "80ms" }, { at = "9s", blackhole = true }] },
            ]
        "#;
        let scenario = Scenario::read(text).expect("it is well written");
        assert_eq!((scenario.seed, scenario.stage.len()), (7, 11));
        let loss = &scenario.stage[1];
        assert_eq!((loss.name.as_str(), loss.always), ("last mile", false));
        assert_eq!(loss.only.as_ref().map(AddressSet::len), Some(257));
        assert!(scenario.stage[0].always && scenario.stage[0].name == "latency");
        assert_eq!((scenario.stage[0].lasts, scenario.stage[6].lasts), (None, Some(Duration::from_mins(1))));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, says) in [
            ("stage = [{ kind = 'hail' }]", "`hail` is no kind of stage"),
            ("stage = [{ kind = 'loss', share = 2.0 }]", "2 is no share"),
            ("stage = [{ kind = 'loss', share = 0.1, shar = 0.2 }]", "unknown field `shar`"),
            ("stage = [{ kind = 'loss', share = 0.1, lasts = 'long' }]", "is not a duration"),
            ("stage = [{ kind = 'loss' }]", "missing field `share`"),
            ("stage = [{ share = 0.1 }]", "missing field `kind`"),
            ("stage = [{ kind = 'latency', delay = '5 parsecs' }]", "is not a duration"),
            ("stage = [{ kind = 'loss', share = 0.1, only = ['nowhere/8'] }]", "nowhere"),
            ("stage = [{ kind = 'rate-limit' }]", "needs `packets` or `bytes`"),
            ("stage = [{ kind = 'firewall', window = '1s', ban = '1s', manner = 'reset' }]", "needs `connections`"),
            ("stage = [{ kind = 'balancer', address = '10.77.9.1', hosts = ['fd77::2'] }]", "needs `hosts`"),
            ("seeds = 1", "unknown field `seeds`"),
        ] {
            let error = Scenario::read(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
