//! Servers that are asked by one datagram, each on its own port: what the sweep asks goes by that.

use super::{Server, Tells};

/// The port, and the server.
pub(crate) const ALL: &[(u16, Server)] = &[
    (
        53,
        Server {
            package: "unbound",
            protocol: "domain",
            product: "Unbound",
            tells: Tells::Version,
            tls: false,
            script: r#"
printf 'server:\n interface: %s@%s\n access-control: 0.0.0.0/0 allow\n chroot: ""\n username: ""\n pidfile: ""\n use-syslog: no\n' \
    "$IP" "$PORT" >unbound.conf
exec unbound -d -c "$DIR/unbound.conf"
"#,
        },
    ),
    (
        123,
        Server {
            package: "ntpsec",
            protocol: "ntp",
            product: "ntpd",
            tells: Tells::Protocol,
            tls: false,
            script: r#"
printf 'server 127.127.1.0\nfudge 127.127.1.0 stratum 10\ninterface ignore wildcard\ninterface listen %s\n' "$IP" >ntp.conf
exec ntpd -n -N -g -c "$DIR/ntp.conf" -p "$DIR/pid" -f "$DIR/drift"
"#,
        },
    ),
    (
        161,
        Server {
            package: "snmpd",
            protocol: "snmp",
            product: "Net-SNMP",
            tells: Tells::Protocol,
            tls: false,
            script: r#"
printf 'rocommunity nobody-knows\n' >snmpd.conf
exec snmpd -f -Lo -C -c "$DIR/snmpd.conf" -p "$DIR/pid" --persistentDir="$DIR" "udp:$IP:$PORT"
"#,
        },
    ),
    (
        137,
        Server {
            package: "samba",
            protocol: "netbios-ns",
            product: "Samba",
            tells: Tells::Protocol,
            tls: false,
            script: r#"
mkdir private state cache lock pid
cat >smb.conf <<END
[global]
netbios name = LAB
interfaces = $IP/24
private dir = $DIR/private
state directory = $DIR/state
cache directory = $DIR/cache
lock directory = $DIR/lock
pid directory = $DIR/pid
END
exec nmbd --foreground --no-process-group --debug-stdout -s "$DIR/smb.conf"
"#,
        },
    ),
    (
        69,
        Server {
            package: "tftpd-hpa",
            protocol: "tftp",
            product: "tftpd-hpa",
            tells: Tells::Protocol,
            tls: false,
            script: r#"
mkdir files
exec in.tftpd --foreground --user nobody --address "$IP:$PORT" --secure "$DIR/files"
"#,
        },
    ),
    (
        11211,
        Server {
            package: "memcached",
            protocol: "memcache",
            product: "memcached",
            tells: Tells::Version,
            tls: false,
            script: r#"exec memcached -u nobody -l "$IP" -p 0 -U "$PORT""#,
        },
    ),
    (
        5353,
        Server {
            package: "avahi-daemon",
            protocol: "mdns",
            product: "Avahi",
            tells: Tells::Protocol,
            tls: false,
            script: r#"
mount -t tmpfs tmpfs /run
cat >avahi.conf <<END
[server]
host-name=lab
use-ipv6=no
enable-dbus=no
[publish]
publish-workstation=yes
END
exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f "$DIR/avahi.conf"
"#,
        },
    ),
    (
        5060,
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
listen=udp:$IP:$PORT
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
request_route { sl_send_reply("404", "Not here"); }
END
exec kamailio -DD -E -Y "$DIR" -f "$DIR/kamailio.cfg"
"#,
        },
    ),
    (
        500,
        Server {
            package: "strongswan-charon",
            protocol: "isakmp",
            product: "strongSwan",
            tells: Tells::Protocol,
            tls: false,
            script: r#"
mount -t tmpfs tmpfs /run
printf 'charon {\n filelog {\n stderr {\n default = 0\n }\n }\n load_modular = no\n}\n' >strongswan.conf
export STRONGSWAN_CONF="$DIR/strongswan.conf"
exec /usr/lib/ipsec/charon
"#,
        },
    ),
    (
        3478,
        Server {
            package: "coturn",
            protocol: "stun",
            product: "coturn",
            tells: Tells::Protocol,
            tls: false,
            script: r#"
exec turnserver -n --listening-ip="$IP" --listening-port="$PORT" --relay-ip="$IP" --no-cli --no-tls --no-dtls --no-auth \
    --log-file=stdout --simple-log --pidfile="$DIR/pid" --db="$DIR/db"
"#,
        },
    ),
];
