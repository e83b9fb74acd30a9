use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};

/// Debian's `MariaDB` on port 3306, with TLS.
#[derive(Debug)]
pub struct Mariadb {
    _process: Process,
}

impl Mariadb {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        let (certificate, key) = identity.write(host.dir(), "mariadb");
        let data = host.dir().join("mariadb").display().to_string();
        let datadir = format!("--datadir={data}");
        host.run(
            "mariadb-install-db",
            &["--no-defaults", "--user=root", &datadir, "--auth-root-authentication-method=normal", "--skip-test-db"],
        );
        // Without somebody who may come from elsewhere it turns everybody away at once.
        let users = host.write("mariadb.sql", "CREATE USER lab@'%' ACCOUNT LOCK;\n");
        let mut command = host.server_command("mariadbd");
        command.args(["--no-defaults", "--user=root", &datadir]).args([
            format!("--bind-address={}", host.address()),
            "--skip-name-resolve".to_owned(),
            format!("--init-file={}", users.display()),
            format!("--socket={data}/socket"),
            format!("--pid-file={data}/pid"),
            format!("--ssl-cert={}", certificate.display()),
            format!("--ssl-key={}", key.display()),
        ]);
        let mut process = host.start("mariadbd", &mut command);
        wait_until_listening(host, &mut process, "-lt", 3306);
        Self { _process: process }
    }
}
