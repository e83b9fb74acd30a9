//! Servers of files.

use super::{Server, Tells};

pub(crate) const ALL: &[Server] = &[
    Server {
        package: "vsftpd",
        protocol: "ftp",
        product: "vsftpd",
        tells: Tells::Version,
        tls: false,
        script: r#"
mkdir empty
cat >vsftpd.conf <<END
listen=YES
listen_address=$IP
listen_port=$PORT
background=NO
secure_chroot_dir=$DIR/empty
anonymous_enable=NO
local_enable=YES
seccomp_sandbox=NO
END
exec vsftpd "$DIR/vsftpd.conf"
"#,
    },
    Server {
        package: "rsync",
        protocol: "rsync",
        product: "rsync",
        tells: Tells::Product,
        tls: false,
        script: r#"
: >rsyncd.conf
exec rsync --daemon --no-detach --address="$IP" --port="$PORT" --config="$DIR/rsyncd.conf"
"#,
    },
    Server {
        package: "git",
        protocol: "git",
        product: "git",
        tells: Tells::Protocol,
        tls: false,
        script: r#"
exec /usr/bin/git daemon --listen="$IP" --port="$PORT" --reuseaddr --base-path="$DIR" "$DIR"
"#,
    },
    Server {
        package: "subversion",
        protocol: "svn",
        product: "Subversion",
        tells: Tells::Product,
        tls: false,
        script: r#"exec svnserve --daemon --foreground --listen-host="$IP" --listen-port="$PORT" --root="$DIR""#,
    },
    Server {
        package: "samba",
        protocol: "microsoft-ds",
        product: "Samba",
        tells: Tells::Protocol,
        tls: false,
        script: r#"
mkdir private state cache lock pid ncalrpc
cat >smb.conf <<END
[global]
interfaces = $IP/24
bind interfaces only = yes
private dir = $DIR/private
state directory = $DIR/state
cache directory = $DIR/cache
lock directory = $DIR/lock
pid directory = $DIR/pid
ncalrpc dir = $DIR/ncalrpc
disable spoolss = yes
load printers = no
END
exec smbd --foreground --no-process-group --debug-stdout -p "$PORT" -s "$DIR/smb.conf"
"#,
    },
];
