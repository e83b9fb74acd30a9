use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};
use std::{fs, path::PathBuf};

/// Debian's `PostgreSQL` on port 5432, with TLS.
#[derive(Debug)]
pub struct Postgresql {
    _process: Process,
}

impl Postgresql {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        Self::start_with(host, identity, &[])
    }

    /// With these settings on top, each as `name=value`.
    pub fn start_with(host: &Host, identity: &Identity, settings: &[&str]) -> Self {
        let (certificate, key) = identity.write(host.dir(), "postgresql");
        let data = host.dir().join("postgresql");
        fs::create_dir(&data).expect("a directory for PostgreSQL");
        for path in [&data, &key] {
            host.run("chown", &["postgres", &path.to_string_lossy()]);
        }
        let programs = programs();
        let initdb = programs.join("initdb").to_string_lossy().into_owned();
        let folder = data.to_string_lossy().into_owned();
        host.run("setpriv", &as_postgres(&[&initdb, "-D", &folder, "-A", "reject", "--no-sync", "--no-instructions"]));
        let program = programs.join("postgres").to_string_lossy().into_owned();
        let mut command = host.server_command("setpriv");
        command.args(as_postgres(&[&program, "-D", &folder]));
        for setting in [
            format!("listen_addresses={}", host.address()),
            "unix_socket_directories=".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", certificate.display()),
            format!("ssl_key_file={}", key.display()),
        ] {
            command.args(["-c", &setting]);
        }
        for setting in settings {
            command.args(["-c", setting]);
        }
        let mut process = host.start("postgres", &mut command);
        wait_until_listening(host, &mut process, "-lt", 5432);
        Self { _process: process }
    }
}

/// It refuses to be root.
fn as_postgres<'a>(command: &[&'a str]) -> Vec<&'a str> {
    [&["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"], command].concat()
}

/// The newest of those that are installed side by side.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed").flatten();
    versions.map(|entry| entry.path().join("bin")).max().expect("a version of PostgreSQL")
}
