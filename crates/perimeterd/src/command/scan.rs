//! One scan on demand: no daemon, no store, and the same scope, dialer and conversations as the daemon's.

mod audit;
mod by_name;
mod job;
mod progress;
mod report;
mod run;
mod slots;
mod systems;
mod traps;

use super::{Format, Global};
use crate::failure::{Failure, Outcome};
use clap::{Args, ValueEnum};
use model::{PortSet, Rate, Target, Transport};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Scan {
    /// Addresses, prefixes, ranges or host names
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<Target>,
    /// TCP ports: 22,80,1-1024, top:N, all or none
    #[arg(long, value_name = "PORTS", default_value = "top:1000", value_parser = tcp)]
    tcp: PortSet,
    /// UDP ports, written the same way
    #[arg(long, value_name = "PORTS", default_value = "none", value_parser = udp)]
    udp: PortSet,
    /// Ceiling in probes per second, over everything and for each host, such as 500/s or 100k/s
    /// [default: the installed configuration's, or 5k/s and 500/s for each host; none for loopback]
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// How to ask
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// Write down every IP packet of our own making and every answer to one, for `tcpdump -r` and Wireshark; connections are the
    /// kernel's and not in it
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Only find out what is open, not what it is
    #[arg(long)]
    no_identify: bool,
    /// Ask every TLS service which versions and weak ciphers it takes, and check it for Heartbleed and its like: some twenty
    /// connections each
    #[arg(long)]
    tls_audit: bool,
    /// Never touch these addresses; the installed configuration's exclusions hold as well (may be repeated)
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', value_parser = super::filter::addresses)]
    exclude: Vec<Target>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Mode {
    /// Packets where this machine may send them and they are answered, else connections
    #[default]
    Auto,
    /// Packets of our own making (needs `CAP_NET_RAW`)
    Raw,
    /// The kernel's connections, without any privilege
    Connect,
}

impl Scan {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        self.possible()?;
        let json = self.format.json;
        let job = job::prepare(self, global).await?;
        run::run(job, json).await
    }

    /// What this version cannot do yet is a mistake to ask for, not something to leave out silently.
    fn possible(&self) -> Result<(), Failure> {
        if self.tls_audit && self.no_identify {
            return Err(Failure::Usage(
                "`--tls-audit` asks what `--no-identify` leaves out; give one of them only".to_owned(),
            ));
        }
        if self.pcap.is_some() && self.mode == Mode::Connect {
            return Err(Failure::Usage(
                "`--pcap` writes down packets of our own making, and `--mode connect` makes none; give one of them only".to_owned(),
            ));
        }
        if self.tcp.is_empty() && self.udp.is_empty() {
            return Err(Failure::Usage("there is no port to ask: both `--tcp` and `--udp` are empty".to_owned()));
        }
        Ok(())
    }
}

fn tcp(text: &str) -> Result<PortSet, String> {
    PortSet::parse(text, Transport::Tcp).map_err(|error| error.to_string())
}

fn udp(text: &str) -> Result<PortSet, String> {
    PortSet::parse(text, Transport::Udp).map_err(|error| error.to_string())
}
