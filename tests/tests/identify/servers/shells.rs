//! Ways to log in, and desks.

use super::{Server, Tells};

pub(crate) const ALL: &[Server] = &[
    Server {
        package: "openssh-server",
        protocol: "ssh",
        product: "OpenSSH",
        tells: Tells::Version,
        tls: false,
        script: r#"
mount -t tmpfs tmpfs /run
mkdir /run/sshd
ssh-keygen -q -t ed25519 -N '' -f hostkey
exec /usr/sbin/sshd -D -e -f /dev/null -p "$PORT" -h "$DIR/hostkey" -o "ListenAddress=$IP" -o PidFile=none
"#,
    },
    Server {
        package: "dropbear-bin",
        protocol: "ssh",
        product: "Dropbear",
        tells: Tells::Version,
        tls: false,
        script: r#"
dropbearkey -t ed25519 -f hostkey >/dev/null
exec dropbear -F -E -r hostkey -P "$DIR/pid" -p "$IP:$PORT"
"#,
    },
    Server {
        package: "inetutils-telnetd",
        protocol: "telnet",
        product: "GNU inetutils telnetd",
        tells: Tells::Protocol,
        tls: false,
        script: r#"exec systemd-socket-activate --accept --inetd --listen="$IP:$PORT" /usr/sbin/telnetd"#,
    },
    Server {
        package: "xrdp",
        protocol: "ms-wbt-server",
        product: "xrdp",
        tells: Tells::Product,
        tls: false,
        script: r#"
mount -t tmpfs tmpfs /run
cat >xrdp.ini <<END
[Globals]
ini_version=1
fork=true
port=tcp://$IP:$PORT
use_vsock=false
security_layer=negotiate
crypt_level=high
certificate=$CERT
key_file=$KEY
[Logging]
LogFile=$DIR/messages
EnableSyslog=false
[Xorg]
name=Xorg
lib=libxup.so
END
exec xrdp --nodaemon -c "$DIR/xrdp.ini"
"#,
    },
    Server {
        package: "tigervnc-standalone-server",
        protocol: "rfb",
        product: "TigerVNC",
        tells: Tells::Protocol,
        tls: false,
        script: r#"
exec Xtigervnc :7 -nolock -listen tcp -nolisten unix -nolisten local -geometry 64x64 -rfbport "$PORT" -localhost=0 \
    -interface "$IP" -SecurityTypes TLSNone,X509None -X509Cert "$CERT" -X509Key "$KEY"
"#,
    },
];
