//! Attempts per second of the `connect()` engine on this machine's loopback, as one line of JSON:
//! `cargo run --release -p probe --example connect_rate`.

use model::{AddressRange, AddressSet, PortSet, Rate, SystemClock, Target};
use probe::{Dialer, DialerSettings, Identity, SweepJob, sweep};
use scope::{AssetScope, Scope, ScopeHandle};
use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rate = Rate::per_second(100_000_000)?;
    let identity = Identity { sensor: "rate".into(), contact: None, version: env!("CARGO_PKG_VERSION").into() };
    let settings = DialerSettings { rate, rate_per_host: rate, source: None, identity };
    let range = AddressRange::single(LOOPBACK);
    let asset = AssetScope { name: "loopback".into(), targets: vec![Target::Addresses(range)], until: None };
    let scope = ScopeHandle::new(Scope::new(vec![asset], AddressSet::empty()));
    let dialer = Dialer::new(scope, Arc::new(SystemClock), settings);
    let job = SweepJob {
        addresses: [range].into_iter().collect(),
        tcp: Arc::new(PortSet::all()),
        udp: Arc::new(PortSet::empty()),
        seed: 1,
        pace: None,
        known: Arc::new(|_| false),
        expected: Vec::new(),
        doubted: Arc::new(|_| false),
        attempts: 1,
        timeout: Duration::from_secs(3),
        dark: 1,
        parts: 1,
        quick: false,
        udp_payload: Arc::new(|_| None),
        trap: Arc::new(|_| ()),
        knock: 0,
    };
    let (sender, mut receiver) = mpsc::channel(1024);
    let begun = Instant::now();
    let drain = async {
        let mut open = 0_u64;
        while receiver.recv().await.is_some() {
            open += 1;
        }
        open
    };
    let (outcome, open) = tokio::join!(sweep(&dialer, job, sender, CancellationToken::new()), drain);
    let seconds = begun.elapsed().as_secs_f64();
    let attempts = dialer.counters().attempts;
    #[expect(clippy::cast_precision_loss, reason = "a count of attempts is far below 2^52")]
    let per_second = attempts as f64 / seconds;
    writeln!(
        std::io::stdout(),
        r#"{{"attempts":{attempts},"seconds":{seconds:.3},"attempts_per_second":{per_second:.0},"open":{open},"local_errors":{},"complete":{}}}"#,
        outcome.counts.local_errors,
        outcome.incomplete.is_empty(),
    )?;
    Ok(())
}
