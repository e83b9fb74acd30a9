use super::wait_until_listening;
use crate::{authority::Identity, lab::Host, process::Process};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
};

/// Debian's Postfix on port 25: takes mail for example.org, with STARTTLS, into one mailbox file.
#[derive(Debug)]
pub struct Postfix {
    mailbox: PathBuf,
    _process: Process,
}

/// `nobody`, who owns the mailbox.
const NOBODY: u32 = 65_534;

/// Nothing runs in a chroot, since every file is where the test put it.
const MASTER: &str = "\
smtp      inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
";

impl Postfix {
    pub fn start(host: &Host, identity: &Identity) -> Self {
        Self::start_with(host, identity, "")
    }

    /// With these lines of `main.cf` on top: later ones count.
    pub fn start_with(host: &Host, identity: &Identity, settings: &str) -> Self {
        let dir = host.dir();
        let make = |name: &str| {
            let path = dir.join(name);
            fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            path
        };
        let (etc, queue, data, mail) = (make("etc"), make("queue"), make("data"), make("mail"));
        host.run("chown", &["postfix", &data.to_string_lossy()]);
        chown(&mail, Some(NOBODY), Some(NOBODY)).expect("root may give a directory away");
        fs::set_permissions(&mail, fs::Permissions::from_mode(0o700)).expect("own directory");
        let (certificate, key) = identity.write(&etc, "server");
        let main = [
            ("compatibility_level", "3.6"),
            ("queue_directory", &queue.to_string_lossy()),
            ("data_directory", &data.to_string_lossy()),
            ("command_directory", "/usr/sbin"),
            ("daemon_directory", "/usr/lib/postfix/sbin"),
            ("maillog_file", "/dev/stdout"),
            ("myhostname", "mail.lab.example"),
            ("inet_interfaces", &host.address().to_string()),
            ("inet_protocols", "all"),
            ("mynetworks", "10.77.0.0/24 [fd77::]/64"),
            ("mydestination", ""),
            ("local_recipient_maps", ""),
            ("alias_maps", ""),
            ("alias_database", ""),
            ("virtual_mailbox_domains", "example.org"),
            ("virtual_mailbox_base", &mail.to_string_lossy()),
            ("virtual_mailbox_maps", "static:box"),
            ("virtual_uid_maps", "static:65534"),
            ("virtual_gid_maps", "static:65534"),
            ("smtpd_relay_restrictions", "permit_mynetworks, reject"),
            ("smtpd_peername_lookup", "no"),
            ("smtpd_tls_cert_file", &certificate.to_string_lossy()),
            ("smtpd_tls_key_file", &key.to_string_lossy()),
            ("smtpd_tls_security_level", "may"),
            ("disable_dns_lookups", "yes"),
        ]
        .map(|(name, value)| format!("{name} = {value}\n"))
        .concat();
        fs::write(etc.join("main.cf"), main + settings + "\n").expect("main.cf can be written");
        fs::write(etc.join("master.cf"), MASTER).expect("master.cf can be written");
        let mut command = host.server_command("postfix");
        command.arg("-c").arg(&etc).arg("start-fg");
        let mut process = host.start("postfix", &mut command);
        wait_until_listening(host, &mut process, "-lt", 25);
        Self { mailbox: mail.join("box"), _process: process }
    }

    /// Everything that was delivered, as the mailbox file has it (mbox).
    pub fn mailbox(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.mailbox).unwrap_or_default()).into_owned()
    }
}
