//! Names, directories and who somebody is.

use super::{Server, Tells};

pub(crate) const ALL: &[Server] = &[
    Server {
        package: "bind9",
        protocol: "domain",
        product: "BIND",
        tells: Tells::Version,
        tls: false,
        script: r#"
cat >named.conf <<END
options {
  directory "$DIR"; listen-on port $PORT { $IP; }; listen-on-v6 { none; };
  recursion no; pid-file none; lock-file none; session-keyfile none; dnssec-validation no;
};
controls { };
END
exec named -g -n 1 -c "$DIR/named.conf"
"#,
    },
    Server {
        package: "unbound",
        protocol: "domain",
        product: "Unbound",
        tells: Tells::Version,
        tls: false,
        script: r#"
cat >unbound.conf <<END
server:
  interface: $IP@$PORT
  access-control: 0.0.0.0/0 allow
  chroot: ""
  username: ""
  directory: "$DIR"
  pidfile: ""
  use-syslog: no
END
exec unbound -d -c "$DIR/unbound.conf"
"#,
    },
    Server {
        package: "dnsmasq-base",
        protocol: "domain",
        product: "dnsmasq",
        tells: Tells::Version,
        tls: false,
        script: r#"
exec dnsmasq --keep-in-foreground --log-facility=- --port="$PORT" --listen-address="$IP" --bind-interfaces --no-resolv --no-hosts \
    --conf-file=/dev/null --pid-file= --user=root
"#,
    },
    Server {
        package: "slapd",
        protocol: "ldap",
        product: "OpenLDAP",
        tells: Tells::Product,
        tls: false,
        script: r#"
cat >slapd.conf <<END
include /etc/ldap/schema/core.schema
pidfile $DIR/pid
TLSCertificateFile $CERT
TLSCertificateKeyFile $KEY
TLSVerifyClient never
database config
END
exec slapd -d 0 -h "ldap://$IP:$PORT/" -f "$DIR/slapd.conf"
"#,
    },
    Server {
        package: "slapd",
        protocol: "ldap",
        product: "OpenLDAP",
        tells: Tells::Product,
        tls: true,
        script: r#"
cat >slapd.conf <<END
include /etc/ldap/schema/core.schema
pidfile $DIR/pid
TLSCertificateFile $CERT
TLSCertificateKeyFile $KEY
TLSVerifyClient never
database config
END
exec slapd -d 0 -h "ldaps://$IP:$PORT/" -f "$DIR/slapd.conf"
"#,
    },
    Server {
        package: "krb5-kdc",
        protocol: "kerberos",
        product: "MIT Kerberos",
        tells: Tells::Product,
        tls: false,
        script: r#"
export KRB5_CONFIG="$DIR/krb5.conf" KRB5_KDC_PROFILE="$DIR/kdc.conf"
printf '[libdefaults]\n default_realm = LAB.EXAMPLE\n dns_lookup_kdc = false\n' >krb5.conf
cat >kdc.conf <<END
[kdcdefaults]
 kdc_listen = ""
 kdc_tcp_listen = "$IP:$PORT"
[realms]
 LAB.EXAMPLE = {
 database_name = $DIR/principal
 key_stash_file = $DIR/stash
 acl_file = $DIR/acl
 }
[logging]
 kdc = STDERR
END
kdb5_util create -s -r LAB.EXAMPLE -P lab >/dev/null
exec krb5kdc -n -P "$DIR/pid"
"#,
    },
];
