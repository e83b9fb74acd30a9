//! What a person at the terminal sees while the daemon runs: without a configuration file the inventory and every event on
//! stdout, with one a line in the log for each event.

use crate::output::{self, Table};
use config::Config;
use model::{Event, EventType};
use std::io::Write;
use store::{Reader, ServiceFilter};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
pub(crate) struct Announcer {
    on_terminal: bool,
    reader: Reader,
}

impl Announcer {
    pub(crate) fn new(on_terminal: bool, reader: Reader) -> Self {
        Self { on_terminal, reader }
    }

    /// Says what is going on before anything was found.
    pub(crate) async fn begin(&self, config: &Config) -> anyhow::Result<()> {
        if !self.on_terminal {
            return Ok(());
        }
        let known = self.reader.counts().await?.hosts > 0;
        print("perimeterd watches 127.0.0.1, as no configuration file was named (`perimeterd run --config FILE`).\n");
        print(&format!("Database: {}\n", config.store.path.display()));
        if let Some(listen) = config.console.listen {
            print(&format!("Health and metrics: http://{listen}/healthz and http://{listen}/metrics\n"));
        }
        print("From another terminal: perimeterd services, perimeterd events, perimeterd status\n");
        if !known {
            print("Learning what is there; a first look at all 65,535 ports takes about 20 seconds ...\n");
        }
        if known {
            self.show_inventory().await;
        }
        Ok(())
    }

    pub(crate) async fn run(self, mut events: Receiver<Event>, shutdown: CancellationToken) {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = shutdown.cancelled() => return,
            };
            match event {
                Ok(event) => self.tell(&event).await,
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(
                        missed,
                        "events came faster than they could be shown; `perimeterd events` has them all"
                    );
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn tell(&self, event: &Event) {
        let sentence = notifiers::sentence(event);
        let sentence = output::printable(&sentence);
        if !self.on_terminal {
            tracing::info!(kind = %event.kind, seq = event.seq, alerts = event.alerts.len(), "{sentence}");
            return;
        }
        if event.kind == EventType::BaselineDone {
            self.show_inventory().await;
            print("Watching for changes. Ctrl-C ends it.\n");
            return;
        }
        let time = event.time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
        print(&format!("{time}  {:<17} {sentence}\n", event.kind.as_str()));
    }

    async fn show_inventory(&self) {
        let services = match self.reader.services(ServiceFilter::default()).await {
            Ok(services) => services,
            Err(error) => {
                tracing::error!(%error, "the inventory could not be read");
                return;
            }
        };
        let mut table = Table::new(&["LISTENING", "SERVICE", "PRODUCT", "TLS", "SINCE"]);
        for row in &services {
            let service = row.service.as_ref();
            let product = service.and_then(|service| service.product.clone()).unwrap_or_default();
            let version = service.and_then(|service| service.version.clone()).unwrap_or_default();
            table.row([
                row.endpoint().to_string(),
                service.map(|service| service.name.clone()).unwrap_or_default(),
                format!("{product} {version}").trim().to_owned(),
                row.tls.as_ref().map(|tls| tls.version.clone()).unwrap_or_default(),
                output::short_time(row.first_seen),
            ]);
        }
        print(&format!("\nWhat listens on this machine: {}\n", services.len()));
        // A terminal that went away does not end a daemon.
        let _ = table.print();
        print("\n");
    }
}

fn print(text: &str) {
    let mut stdout = anstream::stdout().lock();
    // The same.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
