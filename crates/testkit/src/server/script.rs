use crate::{authority::Identity, lab::Host, process::Process};
use std::{os::unix::process::CommandExt, time::Duration};
use tokio::time::Instant;

/// Some make a database first.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(50);

/// A server that a few lines of shell configure and then become (`exec`), so that servers can be written down as a table.
///
/// The lines find where to listen in `$IP` and `$PORT`, a folder of their own in `$DIR`, and a certificate with its key (PEM) in
/// `$CERT` and `$KEY`. What they mount nobody else sees.
#[derive(Debug)]
pub struct Script {
    host: Host,
    name: String,
    process: Process,
    socket: Socket,
}

/// Where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    Tcp(u16),
    Udp(u16),
}

impl Script {
    /// Starts it and does not wait: see [`Script::wait`].
    pub fn start(host: &Host, name: &str, script: &str, socket: Socket, identity: &Identity) -> Self {
        let dir = host.dir().join(name);
        std::fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        let (certificate, key) = identity.write(&dir, "server");
        let (Socket::Tcp(port) | Socket::Udp(port)) = socket;
        let mut command = host.server_command("sh");
        command.args(["-euc", script, name]).current_dir(&dir);
        command.env("IP", host.address().to_string()).env("PORT", port.to_string()).env("DIR", &dir);
        command.env("CERT", certificate).env("KEY", key).env("LC_ALL", "C");
        // Some end everybody in their group when they end.
        command.process_group(0);
        let process = host.start(name, &mut command);
        Self { host: host.clone(), name: name.to_owned(), process, socket }
    }

    /// Until it listens; what it said, where it ends before or takes too long.
    pub fn wait(&mut self) -> Result<(), String> {
        let (flags, port) = match self.socket {
            Socket::Tcp(port) => ("-Hlnt", port),
            Socket::Udp(port) => ("-Hlnu", port),
        };
        let begun = Instant::now();
        loop {
            let listening = self.host.run("ss", &[flags, &format!("sport = :{port}")]);
            if !listening.trim().is_empty() {
                return Ok(());
            }
            let ended = self.process.ended();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let how = ended.map_or_else(|| "does not listen".to_owned(), |status| format!("has ended ({status})"));
                return Err(format!("{} {how}:\n{}", self.name, self.process.log()));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
