use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's `MariaDB` on port 3306, with TLS.
#[derive(Debug)]
pub struct Mariadb {
    _process: Process,
}

impl Mariadb {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        Self::start_with(host, identity, &[])
    }

    /// With these options on top.
    pub fn start_with(host: &Host, identity: &Identity, options: &[&str]) -> Self {
        let (certificate, key) = identity.write(host.dir(), "mariadb");
        let data = host.dir().join("mariadb").display().to_string();
        let datadir = format!("--datadir={data}");
        // Several at once would meet in the machine's own folder for what is temporary.
        let temporary = format!("TMPDIR={}", host.dir().display());
        let install = ["mariadb-install-db", "--no-defaults", "--user=root", &datadir];
        let simple = ["--auth-root-authentication-method=normal", "--skip-test-db"];
        host.run("env", &[&[&*temporary][..], &install, &simple].concat());
        // Without somebody who may come from elsewhere it turns everybody away at once.
        let users = host.write("mariadb.sql", "CREATE USER lab@'%' ACCOUNT LOCK;\n");
        // It counts the broken handshakes of those whose names it could look up.
        let names: Vec<String> = (1..255).map(|n| format!("10.77.0.{n} host{n}.lab.example")).collect();
        let names = host.write("mariadb.hosts", &(names.join("\n") + "\n"));
        let mut command = host.server_command("sh");
        command.args(["-c", "mount --bind \"$0\" /etc/hosts && exec mariadbd \"$@\""]).arg(names);
        command.env("TMPDIR", host.dir());
        command.args(["--no-defaults", "--user=root", &datadir]).args([
            format!("--bind-address={}", host.address()),
            format!("--init-file={}", users.display()),
            format!("--socket={data}/socket"),
            format!("--pid-file={data}/pid"),
            format!("--ssl-cert={}", certificate.display()),
            format!("--ssl-key={}", key.display()),
        ]);
        command.args(options);
        let mut process = host.start("mariadbd", &mut command);
        wait_until_listening(host, &mut process, "-lt", 3306);
        Self { _process: process }
    }
}
