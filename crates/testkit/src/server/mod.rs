//! Real servers, each started on a host of a [`crate::Lab`] with a configuration made for it, in the foreground, with
//! all its files in the host's directory. They return once they listen, and end when dropped.

mod banner;
mod bind;
mod dovecot;
mod guarded;
mod inspircd;
mod mariadb;
mod nginx;
mod postfix;
mod postgresql;
mod prosody;
mod redis;
mod rsyslog;
mod script;
mod slapd;
mod sshd;
pub mod tls;
mod vnc;
mod vsftpd;
mod xrdp;

pub use banner::Banner;
pub use bind::Bind;
pub use dovecot::Dovecot;
pub use guarded::GuardedSshd;
pub use inspircd::Inspircd;
pub use mariadb::Mariadb;
pub use nginx::Nginx;
pub use postfix::Postfix;
pub use postgresql::Postgresql;
pub use prosody::Prosody;
pub use redis::Redis;
pub use rsyslog::Rsyslog;
pub use script::{Script, Socket};
pub use slapd::Slapd;
pub use sshd::Sshd;
pub use vnc::Vnc;
pub use vsftpd::Vsftpd;
pub use xrdp::Xrdp;

use crate::{lab::Host, patience::eventually, process::Process};
use std::time::Duration;

/// Waits until something on the host listens on that port of any address, or panics with what the server said.
fn wait_until_listening(host: &Host, process: &mut Process, flags: &str, port: u16) {
    eventually(format_args!("{} to listen on port {port}", host.name()), Duration::from_secs(30), || {
        process.must_run();
        let listening = host.run("ss", &["-Hn", flags, &format!("sport = :{port}")]);
        (!listening.trim().is_empty()).then_some(())
    });
}
