use super::wait_until_listening;
use crate::{lab::Host, process::Process};

/// Debian's Redis on port 6379, open to everybody who reaches it.
#[derive(Debug)]
pub struct Redis {
    _process: Process,
}

impl Redis {
    pub fn start(host: &Host) -> Self {
        let mut command = host.server_command("redis-server");
        command.args(["--bind", &host.address().to_string(), "--port", "6379", "--protected-mode", "no"]);
        command.args(["--save", "", "--daemonize", "no", "--dir"]).arg(host.dir());
        let mut process = host.start("redis", &mut command);
        wait_until_listening(host, &mut process, "-lt", 6379);
        Self { _process: process }
    }
}
