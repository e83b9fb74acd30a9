//! Who cannot be named must not cost long, nor a host with many ports.

use crate::{asking, running::Ports, servers};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use testkit::{
    Authority, Host, Lab, binary, lacks_root, output_of,
    server::{Script, Socket},
};

/// What a stranger does with whoever connects.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Silent,
    Closes,
    ReadsAndCloses,
    Banner,
}

/// Listens on the host until the test ends, one connection after another in threads of their own.
fn listen(host: &Host, port: u16, manner: Manner) {
    let address = SocketAddr::new(host.address(), port);
    let (ready, is_ready) = std::sync::mpsc::channel();
    drop(host.namespace().enter(move || {
        let listener = TcpListener::bind(address).expect("the port is free");
        ready.send(()).expect("somebody waits");
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                match manner {
                    Manner::Silent => while matches!(stream.read(&mut buffer), Ok(1..)) {},
                    Manner::Closes => {}
                    // Whoever has gone need not be told.
                    Manner::ReadsAndCloses => _ = stream.read(&mut buffer),
                    Manner::Banner => {
                        _ = stream.write_all(b"ZORB/1.4 ready\r\n");
                        while matches!(stream.read(&mut buffer), Ok(1..)) {
                            _ = stream.write_all(b"ERR\r\n");
                        }
                    }
                }
            });
        }
    }));
    is_ready.recv().expect("it listens");
}

#[test]
fn strangers_are_left_alone_soon() {
    if lacks_root("strangers_are_left_alone_soon") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("strangers", &["10.77.0.2"]);
    let mut ports = Ports::new();
    for manner in [Manner::Silent, Manner::Closes, Manner::ReadsAndCloses, Manner::Banner] {
        let port = ports.next();
        listen(&host, port, manner);
        let (observation, connections, took) = asking::ask(&watcher, &host, port);
        println!("{manner:?}: {connections} connections, {:.2} s", took.as_secs_f64());
        let name = observation.and_then(|observation| observation.service).map(|service| service.name);
        let expected = matches!(manner, Manner::Banner).then(|| "unknown".to_owned());
        assert_eq!(name, expected, "{manner:?}");
        assert!(connections <= 6, "{manner:?}: {connections} connections");
        // Six seconds of its own, and some for a machine that has other things to do.
        assert!(took < Duration::from_secs(9), "{manner:?}: {took:?}");
    }
}

/// Those of which several run on one machine without getting into each other's way.
const MIXED: [&str; 14] = [
    "dropbear-bin",
    "inetutils-telnetd",
    "apache2-bin",
    "lighttpd",
    "nginx-light",
    "vsftpd",
    "rsync",
    "git",
    "subversion",
    "unbound",
    "redis-server",
    "memcached",
    "mosquitto",
    "nats-server",
];

#[test]
fn a_host_of_twenty_ports_is_known_soon() {
    if lacks_root("a_host_of_twenty_ports_is_known_soon") {
        return;
    }
    let mut lab = Lab::new();
    let watcher = lab.watcher("watcher", &["10.77.0.1"]);
    let host = lab.host("mixed", &["10.77.0.2"]);
    let identity = Authority::new("Lab Example CA").issue(&["lab.example"], host.addresses());
    let mut ports = Ports::new();
    let wanted = servers::all().chain(servers::all()).filter(|server| MIXED.contains(&server.package)).take(20);
    let mut running: Vec<_> = wanted
        .enumerate()
        .map(|(number, server)| {
            let port = ports.next();
            let name = format!("{number}-{}", server.package);
            (server, port, Script::start(&host, &name, server.script, Socket::Tcp(port), &identity))
        })
        .collect();
    let failed: Vec<String> = running.iter_mut().filter_map(|(.., script)| script.wait().err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));

    let list = running.iter().map(|(_, port, _)| port.to_string()).collect::<Vec<_>>().join(",");
    let mut command = watcher.command(&binary().to_string_lossy());
    let before = asking::accepted(&host);
    let said = output_of(command.args(["scan", "10.77.0.2", "--tcp", &list, "--json"]));
    let connections = asking::accepted(&host) - before;
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut wrong = Vec::new();
    for (server, port, _) in &running {
        let line = lines.iter().find(|line| line["kind"] == "endpoint" && line["port"] == *port);
        let text = |field: &str| line.and_then(|line| line["service"][field].as_str());
        let complaints = server.judge(text("name"), text("product"), text("version"));
        if !complaints.is_empty() {
            wrong.push(format!("{}: {}", server.label(), complaints.join(", ")));
        }
    }
    let summary = lines.iter().find(|line| line["kind"] == "summary").expect("it says what it did");
    let seconds = summary["seconds"].as_f64().expect("a number");
    println!("20 ports: {connections} connections, {seconds:.2} s");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seconds < 20.0, "{summary}");
}
