//! Mail and news.

use super::{Server, Tells};

/// Dovecot with one protocol on one listener. Nobody can log in.
macro_rules! dovecot {
    ($protocol:literal, $service:literal) => {
        concat!(
            r#"
: >users
cat >dovecot.conf <<END
base_dir = $DIR/run
state_dir = $DIR/run
protocols = "#,
            $protocol,
            r#"
listen = $IP
log_path = /dev/stderr
ssl = yes
ssl_cert = <$CERT
ssl_key = <$KEY
mail_location = maildir:$DIR/mail
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
passdb {
  driver = passwd-file
  args = $DIR/users
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=$DIR/mail
}
"#,
            $service,
            "\nEND\nexec dovecot -F -c \"$DIR/dovecot.conf\"\n"
        )
    };
}

pub(crate) const ALL: &[Server] = &[
    Server {
        package: "postfix",
        protocol: "smtp",
        product: "Postfix",
        tells: Tells::Product,
        tls: false,
        script: r#"
mkdir etc queue data
chown postfix data
cat >etc/main.cf <<END
compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = /dev/stdout
myhostname = mail.lab.example
inet_interfaces = $IP
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
smtpd_relay_restrictions = reject
smtpd_peername_lookup = no
smtpd_tls_cert_file = $CERT
smtpd_tls_key_file = $KEY
smtpd_tls_security_level = may
disable_dns_lookups = yes
END
cat >etc/master.cf <<END
$IP:$PORT inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
proxymap  unix  - n n - - proxymap
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
END
exec postfix -c "$DIR/etc" start-fg
"#,
    },
    Server {
        package: "dovecot-imapd",
        protocol: "imap",
        product: "Dovecot",
        tells: Tells::Product,
        tls: true,
        script: dovecot!(
            "imap",
            "service imap-login {\n inet_listener imap {\n port = 0\n }\n inet_listener imaps {\n port = $PORT\n ssl = yes\n }\n}"
        ),
    },
    Server {
        package: "dovecot-pop3d",
        protocol: "pop3",
        product: "Dovecot",
        tells: Tells::Product,
        tls: false,
        script: dovecot!(
            "pop3",
            "service pop3-login {\n inet_listener pop3 {\n port = $PORT\n }\n inet_listener pop3s {\n port = 0\n }\n}"
        ),
    },
    Server {
        package: "dovecot-lmtpd",
        protocol: "lmtp",
        product: "Dovecot",
        tells: Tells::Product,
        tls: false,
        script: dovecot!("lmtp", "service lmtp {\n inet_listener lmtp {\n port = $PORT\n }\n}"),
    },
    Server {
        package: "dovecot-managesieved",
        protocol: "sieve",
        product: "Dovecot",
        tells: Tells::Product,
        tls: false,
        script: dovecot!("sieve", "service managesieve-login {\n inet_listener sieve {\n port = $PORT\n }\n}"),
    },
    Server {
        package: "leafnode",
        protocol: "nntp",
        product: "Leafnode",
        tells: Tells::Product,
        tls: false,
        script: r#"
printf 'server = news.lab.example\nexpire = 20\nhostname = leaf.lab.example\n' >config
chown news:news . config
exec systemd-socket-activate --accept --inetd --listen="$IP:$PORT" /usr/sbin/leafnode -F "$DIR/config"
"#,
    },
];
