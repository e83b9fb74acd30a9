//! How the daemon asks: by packets of its own or by the kernel's connections, and why.

use anyhow::Context;
use config::{Config, Mode};
use probe::{Backend, Choice, Dialer, Egress, RawAccess, RawSettings};

/// Packets of our own, for as long as this is kept; or why there are none.
#[derive(Debug)]
pub(super) enum Packets {
    Access(RawAccess),
    None(String),
}

impl Packets {
    /// As `[sensor] mode` says. Fails where it demands what cannot be had.
    pub(super) async fn open(config: &Config, dialer: &Dialer) -> anyhow::Result<Self> {
        let sensor = &config.sensor;
        if sensor.mode == Mode::Connect {
            return Ok(Self::None("`mode = \"connect\"` is configured".to_owned()));
        }
        let egress = Egress { source: sensor.source, interface: sensor.interface.clone() };
        let access = match RawAccess::open(dialer, egress, RawSettings::RING, sensor.mode, None).await {
            Ok(access) => access,
            Err(error) if sensor.mode == Mode::Auto => {
                let packets = Self::None(error.to_string());
                packets.announce();
                return Ok(packets);
            }
            Err(error) => {
                return Err(error).context(
                    "`mode = \"raw\"` in [sensor] cannot be had here; `mode = \"connect\"` asks by the kernel's own connections",
                );
            }
        };
        for advice in access.advice() {
            tracing::warn!("{advice}");
        }
        if let Some(trouble) = access.trouble().filter(|_| sensor.mode == Mode::Raw) {
            tracing::warn!(%trouble, "targets are asked by connections until raw packets have a way");
        }
        let packets = Self::Access(access);
        packets.announce();
        Ok(packets)
    }

    /// What asks at this moment.
    pub(super) fn choice(&self) -> Choice {
        match self {
            Self::Access(access) => access.choice(),
            Self::None(why) => Choice { backend: Backend::Connect, why: why.clone(), is_proven: true },
        }
    }

    fn announce(&self) {
        let Choice { backend, why, .. } = self.choice();
        match backend {
            Backend::Raw => tracing::info!("TCP is asked by packets of our own: {why}"),
            Backend::Connect => tracing::info!("TCP is asked by connections: {why}"),
        }
    }
}
