//! Real servers, each started on a host of a [`crate::Lab`] with a configuration made for it, in the foreground, with
//! all its files in the host's directory. They return once they listen, and end when dropped.

mod banner;
mod bind;
mod nginx;
mod postfix;
mod rsyslog;
mod sshd;

pub use banner::Banner;
pub use bind::Bind;
pub use nginx::Nginx;
pub use postfix::Postfix;
pub use rsyslog::Rsyslog;
pub use sshd::Sshd;

use crate::{lab::Host, patience::soon, process::Process};

/// Waits until something on the host listens on that port of any address, or panics with what the server said.
fn wait_until_listening(host: &Host, process: &mut Process, flags: &str, port: u16) {
    soon(format_args!("{} to listen on port {port}", host.name()), || {
        process.must_run();
        let listening = host.run("ss", &["-Hn", flags, &format!("sport = :{port}")]);
        (!listening.trim().is_empty()).then_some(())
    });
}
