//! Web servers.

use super::{Server, Tells};

pub(crate) const ALL: &[Server] = &[
    Server {
        package: "apache2-bin",
        protocol: "http",
        product: "Apache httpd",
        tells: Tells::Version,
        tls: false,
        script: r#"
cat >apache.conf <<END
ServerRoot $DIR
ServerName lab.example
DefaultRuntimeDir $DIR
Listen $IP:$PORT
PidFile $DIR/pid
ErrorLog /dev/stderr
Mutex file:$DIR
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
User www-data
Group www-data
DocumentRoot $DIR
END
exec apache2 -D FOREGROUND -f "$DIR/apache.conf"
"#,
    },
    Server {
        package: "lighttpd",
        protocol: "http",
        product: "lighttpd",
        tells: Tells::Version,
        tls: false,
        script: r#"
printf 'server.document-root="%s"\nserver.bind="%s"\nserver.port=%s\n' "$DIR" "$IP" "$PORT" >lighttpd.conf
exec lighttpd -D -f lighttpd.conf
"#,
    },
    Server {
        package: "nginx-light",
        protocol: "http",
        product: "nginx",
        tells: Tells::Version,
        tls: true,
        script: r#"
cat >nginx.conf <<END
user root;
daemon off;
pid $DIR/pid;
events { }
http {
  access_log off;
  client_body_temp_path $DIR/body; proxy_temp_path $DIR/proxy; fastcgi_temp_path $DIR/fastcgi;
  uwsgi_temp_path $DIR/uwsgi; scgi_temp_path $DIR/scgi;
  server {
    listen $IP:$PORT ssl;
    ssl_certificate $CERT;
    ssl_certificate_key $KEY;
    location / { return 200 "hello\n"; }
  }
}
END
exec nginx -p "$DIR" -e stderr -c "$DIR/nginx.conf"
"#,
    },
];
