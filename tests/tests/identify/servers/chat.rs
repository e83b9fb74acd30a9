//! Conversation, and ways through.

use super::{Server, Tells};

pub(crate) const ALL: &[Server] = &[
    Server {
        package: "inspircd",
        protocol: "irc",
        product: "InspIRCd",
        tells: Tells::Product,
        tls: false,
        script: r#"
cat >inspircd.conf <<END
<config format="xml">
<server name="irc.lab.example" description="lab" network="lab">
<admin name="a" nick="a" email="a@lab.example">
<bind address="$IP" port="$PORT" type="clients">
<connect allow="*" resolvehostnames="no" useident="no">
<path configdir="$DIR" datadir="$DIR" logdir="$DIR" runtimedir="$DIR">
<pid file="$DIR/pid">
END
exec inspircd --runasroot --nofork --config "$DIR/inspircd.conf"
"#,
    },
    Server {
        package: "ngircd",
        protocol: "irc",
        product: "ngIRCd",
        tells: Tells::Product,
        tls: true,
        script: r#"
cat >ngircd.conf <<END
[Global]
Name = irc.lab.example
Info = lab
AdminInfo1 = lab
Listen = $IP
MotdPhrase = hello
ServerUID = root
ServerGID = root
[Limits]
# Days pass in seconds here.
MaxConnectionsIP = 0
[Options]
DNS = no
Ident = no
PAM = no
[SSL]
CertFile = $CERT
KeyFile = $KEY
Ports = $PORT
END
exec ngircd --nodaemon --config "$DIR/ngircd.conf"
"#,
    },
    Server {
        package: "prosody",
        protocol: "xmpp-client",
        product: "Prosody",
        tells: Tells::Product,
        tls: false,
        script: r#"
cat >prosody.cfg.lua <<END
daemonize = false
run_as_root = true
pidfile = "$DIR/pid"
data_path = "$DIR"
interfaces = { "$IP" }
c2s_ports = { $PORT }
s2s_ports = { }
modules_enabled = { "tls", "saslauth" }
log = "*console"
ssl = { key = "$KEY", certificate = "$CERT" }
VirtualHost "lab.example"
END
exec prosody --config "$DIR/prosody.cfg.lua"
"#,
    },
    Server {
        package: "prosody",
        protocol: "xmpp-server",
        product: "Prosody",
        tells: Tells::Product,
        tls: false,
        script: r#"
cat >prosody.cfg.lua <<END
daemonize = false
run_as_root = true
pidfile = "$DIR/pid"
data_path = "$DIR"
interfaces = { "$IP" }
c2s_ports = { }
s2s_ports = { $PORT }
modules_enabled = { "tls", "saslauth", "dialback", "s2s" }
log = "*console"
ssl = { key = "$KEY", certificate = "$CERT" }
VirtualHost "lab.example"
END
exec prosody --config "$DIR/prosody.cfg.lua"
"#,
    },
    Server {
        package: "kamailio",
        protocol: "sip",
        product: "Kamailio",
        tells: Tells::Version,
        tls: false,
        script: r#"
cat >kamailio.cfg <<END
#!KAMAILIO
log_stderror=yes
children=1
auto_aliases=no
listen=tcp:$IP:$PORT
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
request_route { sl_send_reply("404", "Not here"); }
END
exec kamailio -DD -E -Y "$DIR" -f "$DIR/kamailio.cfg"
"#,
    },
    Server {
        package: "microsocks",
        protocol: "socks",
        product: "MicroSocks",
        tells: Tells::Protocol,
        tls: false,
        script: r#"exec microsocks -i "$IP" -p "$PORT""#,
    },
];
