//! Databases, stores and queues.

use super::{Server, Tells};

pub(crate) const ALL: &[Server] = &[
    Server {
        package: "postgresql-15",
        protocol: "postgresql",
        product: "PostgreSQL",
        tells: Tells::Product,
        tls: false,
        script: r#"
mkdir data
chown postgres . data "$KEY"
as="setpriv --reuid postgres --regid postgres --clear-groups --"
$as /usr/lib/postgresql/15/bin/initdb -D "$DIR/data" -A reject --no-sync --no-instructions >/dev/null
exec $as /usr/lib/postgresql/15/bin/postgres -D "$DIR/data" -c "listen_addresses=$IP" -c "port=$PORT" \
    -c unix_socket_directories= -c ssl=on -c "ssl_cert_file=$CERT" -c "ssl_key_file=$KEY"
"#,
    },
    Server {
        package: "mariadb-server",
        protocol: "mysql",
        product: "MariaDB",
        tells: Tells::Version,
        tls: false,
        script: r#"
mariadb-install-db --no-defaults --user=root --datadir="$DIR/data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
echo "CREATE USER lab@'%' ACCOUNT LOCK;" >users.sql
exec mariadbd --no-defaults --user=root --datadir="$DIR/data" --bind-address="$IP" --port="$PORT" --skip-name-resolve \
    --init-file="$DIR/users.sql" --socket="$DIR/socket" --pid-file="$DIR/pid" --ssl-cert="$CERT" --ssl-key="$KEY"
"#,
    },
    Server {
        package: "redis-server",
        protocol: "redis",
        product: "Redis",
        tells: Tells::Version,
        tls: false,
        script: r#"exec redis-server --bind "$IP" --port "$PORT" --protected-mode no --save '' --dir "$DIR""#,
    },
    Server {
        package: "redis-server",
        protocol: "redis",
        product: "Redis",
        tells: Tells::Version,
        tls: true,
        script: r#"
exec redis-server --bind "$IP" --port 0 --tls-port "$PORT" --tls-cert-file "$CERT" --tls-key-file "$KEY" \
    --tls-ca-cert-file "$CERT" --tls-auth-clients no --protected-mode no --save '' --dir "$DIR"
"#,
    },
    Server {
        package: "memcached",
        protocol: "memcache",
        product: "memcached",
        tells: Tells::Version,
        tls: false,
        script: r#"exec memcached -u nobody -l "$IP" -p "$PORT" -U 0"#,
    },
    Server {
        package: "beanstalkd",
        protocol: "beanstalkd",
        product: "beanstalkd",
        tells: Tells::Version,
        tls: false,
        script: r#"exec beanstalkd -l "$IP" -p "$PORT""#,
    },
    Server {
        package: "gearman-job-server",
        protocol: "gearman",
        product: "gearmand",
        tells: Tells::Version,
        tls: false,
        script: r#"exec gearmand -L "$IP" -p "$PORT" -l stderr"#,
    },
    Server {
        package: "mosquitto",
        protocol: "mqtt",
        product: "Mosquitto",
        tells: Tells::Protocol,
        tls: false,
        script: r#"
printf 'user root\nallow_anonymous true\nlistener %s %s\n' "$PORT" "$IP" >mosquitto.conf
exec mosquitto -c "$DIR/mosquitto.conf"
"#,
    },
    Server {
        package: "mosquitto",
        protocol: "mqtt",
        product: "Mosquitto",
        tells: Tells::Protocol,
        tls: true,
        script: r#"
printf 'user root\nallow_anonymous true\nlistener %s %s\ncertfile %s\nkeyfile %s\n' "$PORT" "$IP" "$CERT" "$KEY" >mosquitto.conf
exec mosquitto -c "$DIR/mosquitto.conf"
"#,
    },
    Server {
        package: "nats-server",
        protocol: "nats",
        product: "NATS Server",
        tells: Tells::Version,
        tls: false,
        script: r#"exec nats-server -a "$IP" -p "$PORT""#,
    },
    Server {
        package: "erlang-base",
        protocol: "epmd",
        product: "Erlang port mapper",
        tells: Tells::Protocol,
        tls: false,
        script: r#"exec epmd -address "$IP" -port "$PORT""#,
    },
    Server {
        package: "zabbix-agent",
        protocol: "zabbix-agent",
        product: "Zabbix agent",
        tells: Tells::Version,
        tls: false,
        script: r#"
cat >agent.conf <<END
LogType=console
PidFile=$DIR/agent.pid
ListenIP=$IP
ListenPort=$PORT
Server=0.0.0.0/0
Hostname=lab
AllowRoot=1
END
exec zabbix_agentd -f -c "$DIR/agent.conf"
"#,
    },
];
