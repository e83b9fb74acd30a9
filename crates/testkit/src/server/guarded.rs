use super::wait_until_listening;
use crate::{lab::Host, patience::eventually, process::Process};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Debian's OpenSSH, logging to syslog, with Debian's fail2ban beside it: the jail `sshd` as the package enables it. Only the action
/// is named, since its default wants iptables.
#[derive(Debug)]
pub struct GuardedSshd {
    host: Host,
    folder: PathBuf,
    log: PathBuf,
    guard: Process,
    _sshd: Process,
    _syslog: Process,
}

impl GuardedSshd {
    pub fn start(host: &Host, port: u16) -> Self {
        let folder = host.dir().join("fail2ban");
        let log = host.dir().join("auth.log");
        fs::write(&log, "").expect("a log");
        let syslog = syslog(host, &log);
        let sshd = sshd(host, port);
        host.run("cp", &["-r", "/etc/fail2ban", &folder.to_string_lossy()]);
        let jail = format!(
            "[DEFAULT]\nbanaction = nftables-multiport\n[sshd]\nport = {port}\nlogpath = {}\nbackend = polling\n",
            log.display()
        );
        fs::write(folder.join("jail.local"), jail).expect("the jail's place");
        let at = |name: &str| folder.join(name).display().to_string();
        let own = format!("[Definition]\nlogtarget = {}\ndbfile = None\n", at("log"));
        fs::write(folder.join("fail2ban.local"), own).expect("its own settings");
        let mut command = host.command("fail2ban-server");
        command.args(["-f", "-x", "-c", &at(""), "-s", &at("socket"), "-p", &at("pid")]);
        command.arg("start");
        let guard = host.start("fail2ban", &mut command);
        let mut guarded = Self { host: host.clone(), folder, log, guard, _sshd: sshd, _syslog: syslog };
        eventually("the jail sshd", Duration::from_secs(30), || {
            guarded.guard.must_run();
            guarded.count("Total failed")
        });
        guarded
    }

    /// What sshd has logged, one message a line.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What `fail2ban-client status sshd` says; empty where it does not answer yet.
    pub fn status(&self) -> String {
        let mut command = self.host.command("fail2ban-client");
        command.arg("-s").arg(self.folder.join("socket")).args(["status", "sshd"]);
        command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    /// A number of its status: `Currently failed`, `Total failed`, `Currently banned`, `Total banned`.
    pub fn count(&self, what: &str) -> Option<u64> {
        let status = self.status();
        status.lines().find(|line| line.contains(what))?.rsplit(':').next()?.trim().parse().ok()
    }

    /// Everything that nftables holds on the host.
    pub fn ruleset(&self) -> String {
        self.host.run("nft", &["list", "ruleset"])
    }

    /// A login that fails, from `client`: what it is there to see.
    pub fn fail_to_log_in(&self, client: &Host, port: u16) {
        let mut command = client.command("ssh");
        command.args(["-p", &port.to_string(), "-oBatchMode=yes", "-oStrictHostKeyChecking=no"]);
        command.args(["-oUserKnownHostsFile=/dev/null", "-oConnectTimeout=5"]);
        command.arg(format!("nobody-at-all@{}", self.host.address())).arg("true");
        // It fails: that is what it is for.
        let output = command.output().expect("ssh is installed");
        assert!(!output.status.success(), "nobody may log in");
    }
}

fn syslog(host: &Host, log: &Path) -> Process {
    let socket = host.dir().join("syslog");
    let configuration = format!(
        "module(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"{}\")\n\
         $ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat\n*.* {}\n",
        socket.display(),
        log.display()
    );
    let path = host.write("syslog.conf", &configuration);
    let mut command = host.server_command("rsyslogd");
    command.arg("-n").arg("-i").arg(host.dir().join("syslog.pid")).arg("-f").arg(path);
    let mut process = host.start("syslog", &mut command);
    eventually("the socket of syslog", Duration::from_secs(10), || {
        process.must_run();
        socket.exists().then_some(())
    });
    process
}

fn sshd(host: &Host, port: u16) -> Process {
    let key = host.dir().join("guarded_host_key");
    host.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key.to_string_lossy()]);
    let configuration = format!(
        "Port {port}\nListenAddress {}\nHostKey {}\nUsePAM no\nPidFile none\nUseDNS no\n",
        host.address(),
        key.display()
    );
    let path = host.write("guarded_sshd_config", &configuration);
    // It wants its folder under /run and its log at /dev/log. Private ones keep the machine's own out of it.
    let script = "mount -t tmpfs tmpfs /run && mkdir /run/sshd /run/dev && \
                  for name in null zero random urandom tty; do \
                    touch /run/dev/$name && mount --bind /dev/$name /run/dev/$name; \
                  done && ln -s \"$1\" /run/dev/log && mount --rbind /run/dev /dev && exec /usr/sbin/sshd -D -f \"$0\"";
    let mut command = host.command("sh");
    command.args(["-c", script]).arg(path).arg(host.dir().join("syslog"));
    let mut process = host.start("guarded-sshd", &mut command);
    wait_until_listening(host, &mut process, "-lt", port);
    process
}
