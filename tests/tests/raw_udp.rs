//! UDP by packets of our own, with the real binary across a router, IPv4 and IPv6: who answers is found and named by that very
//! answer, who refuses is closed, who says nothing is never open, and neither is what does not prove itself.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};
use testkit::{Host, Line, Passage, binary, lacks_root};

/// What a server says to a question, and whether it says so from a port of its own.
#[derive(Clone, Copy)]
struct Server {
    port: u16,
    answer: fn(&[u8]) -> Option<Vec<u8>>,
    moves: bool,
}

/// Servers on each of these addresses; they end when dropped.
struct Servers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    fn start(host: &Host, addresses: &[IpAddr], servers: &[Server]) -> Self {
        for address in addresses.iter().filter(|ip| ip.is_ipv6()) {
            // A route to oneself is not enough to speak from an address of IPv6.
            host.namespace().ip(&["addr", "replace", &format!("{address}/128"), "dev", "lo", "nodad"]);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let mut threads = Vec::new();
        for (address, server) in addresses.iter().flat_map(|ip| servers.iter().map(|server| (*ip, *server))) {
            let (stop, ready) = (Arc::clone(&stop), ready.clone());
            threads.push(host.namespace().enter(move || serve(address, server, &stop, &ready)));
        }
        for _ in &threads {
            is_ready.recv_timeout(Duration::from_secs(10)).expect("the ports are free");
        }
        Self { stop, threads }
    }
}

fn serve(address: IpAddr, server: Server, stop: &AtomicBool, ready: &mpsc::Sender<()>) {
    let socket = UdpSocket::bind(SocketAddr::new(address, server.port)).expect("the port is free");
    let other = UdpSocket::bind(SocketAddr::new(address, 0)).expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    ready.send(()).expect("somebody waits");
    let mut buffer = [0; 2048];
    while !stop.load(Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = (server.answer)(&buffer[..length]) {
            let sender = if server.moves { &other } else { &socket };
            sender.send_to(&answer, from).expect("a datagram can be sent");
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// `version.bind. CH TXT "9.18.33-1~deb12u2-Debian"`.
fn dns(question: &[u8]) -> Option<Vec<u8>> {
    const REST: &[u8] =
        b"\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03\xc0\x0c\x00\x10\x00\x03\
        \x00\x00\x00\x00\x00\x1a\x199.18.33-1~deb12u2-Debian\x00";
    Some([question.get(..2)?, REST].concat())
}

fn ntp(question: &[u8]) -> Option<Vec<u8>> {
    let time = b"\xea\xaa\xaa\xac\0\0\0\0";
    Some([&[0x24, 2, 3, 0xe8][..], &[0; 20], question.get(40..48)?, time, time].concat())
}

/// The report that answers a discovery: Net-SNMP's engine.
fn snmp(question: &[u8]) -> Option<Vec<u8>> {
    const ENGINE: &[u8] = b"\x04\x0d\x80\x00\x1f\x88\x80\x11\x22\x33\x44\x55\x66\x77\x88";
    let head = [b"\x30\x0f\x02\x03", question.get(9..12)?, b"\x02\x02\x05\xdc\x04\x01\x00\x02\x01\x03"].concat();
    let security = [b"\x04\x1e\x30\x1c", ENGINE, b"\x02\x01\x05\x02\x02\x10\x20\x04\x00\x04\x00\x04\x00"].concat();
    let report = [b"\x30\x1e", ENGINE, b"\x04\x00\xa8\x0b\x02\x01\x00\x02\x01\x00\x02\x01\x00\x30\x00"].concat();
    let all = [&b"\x02\x01\x03"[..], &head, &security, &report].concat();
    Some([&[0x30, u8::try_from(all.len()).ok()?][..], &all].concat())
}

/// TFTP's error.
#[expect(clippy::unnecessary_wraps, reason = "as the other servers' answers")]
fn tftp(_: &[u8]) -> Option<Vec<u8>> {
    Some(b"\0\x05\0\x04no such thing\0".to_vec())
}

/// An answer of DNS, to another question.
fn forged(_: &[u8]) -> Option<Vec<u8>> {
    dns(b"pd")
}

#[expect(clippy::unnecessary_wraps, reason = "as the other servers' answers")]
fn echo(question: &[u8]) -> Option<Vec<u8>> {
    Some([b"said: ", question].concat())
}

fn mute(_: &[u8]) -> Option<Vec<u8>> {
    None
}

const fn at(port: u16, answer: fn(&[u8]) -> Option<Vec<u8>>) -> Server {
    Server { port, answer, moves: false }
}

fn addresses(text: &[&str]) -> Vec<IpAddr> {
    text.iter().map(|ip| ip.parse().expect("an address")).collect()
}

fn scan(watcher: &Host, arguments: &[&str]) -> (Vec<Value>, Value) {
    let mut command = watcher.command(binary().to_str().expect("a path of text"));
    command.args(["scan", "--json", "--mode", "raw"]).args(arguments);
    let output = command.output().expect("runs");
    let (text, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaint}\n{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &'static str| lines.iter().filter(move |line| line["kind"] == kind).cloned();
    (of("endpoint").collect(), of("summary").next().expect("a summary"))
}

/// Address, port, reason, service.
fn told(line: &Value) -> (IpAddr, u64, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(line["transport"], "udp", "{line}");
    let ip = text(&line["ip"]).parse().expect("an address");
    (ip, line["port"].as_u64().expect("a port"), text(&line["reason"]), text(&line["service"]["name"]))
}

#[test]
fn the_sweeps_own_datagrams_name_who_answers() {
    if lacks_root("the_sweeps_own_datagrams_name_who_answers") {
        return;
    }
    let line = Line::new();
    let (found, liar) = (addresses(&["10.0.0.1", "fd10::1"]), addresses(&["10.0.0.2", "fd10::2"]));
    let moved = Server { moves: true, ..at(69, tftp) };
    let servers = [at(53, dns), at(123, ntp), at(161, snmp), moved, at(7, echo), at(9, mute)];
    let _servers = Servers::start(line.far(), &found, &servers);
    let _liars = Servers::start(line.far(), &liar, &[at(53, forged), at(123, echo)]);
    line.become_like(&Passage { first: "udp sport < 61000 counter name blocked".to_owned(), ..Passage::default() });
    let targets = ["10.0.0.0/30", "fd10::/126"];
    let ports = ["--udp", "7,9,53,69,123,161,1900", "--tcp", "1", "--rate", "2k/s"];
    let (lines, summary) = scan(line.near(), &[&targets[..], &ports].concat());
    let services = [(7, ""), (53, "domain"), (69, "tftp"), (123, "ntp"), (161, "snmp")];
    let expected: BTreeSet<_> = found
        .iter()
        .flat_map(|ip| services.map(|(port, name)| (*ip, port, "udp-reply".to_owned(), name.to_owned())))
        .collect();
    assert_eq!(lines.iter().map(told).collect::<BTreeSet<_>>(), expected);
    let of = |ip: &str, port: u16| lines.iter().find(|line| line["ip"] == ip && line["port"] == port).expect("found");
    assert_eq!(of("10.0.0.1", 53)["service"]["version"], "9.18.33");
    assert_eq!(of("fd10::1", 161)["service"]["product"], "Net-SNMP");
    assert_eq!(summary["open"], 10, "{summary}");
    // No socket of the kernel's asked: everything left from the block of ports kept for it.
    assert_eq!(line.count("blocked"), 0, "{:?}", line.counts());
}

/// Linux says of a port or so a second that it is closed, after a handful at once: neither is that taken for loss, nor is silence
/// for anything.
#[test]
fn a_host_that_says_little_of_its_closed_ports_is_believed_in_what_it_says() {
    if lacks_root("a_host_that_says_little_of_its_closed_ports_is_believed_in_what_it_says") {
        return;
    }
    let line = Line::new();
    let found = addresses(&["10.0.0.1", "fd10::1"]);
    let _servers = Servers::start(line.far(), &found, &[at(53, dns), at(123, ntp), at(161, snmp)]);
    let asked = ["10.0.0.1", "fd10::1", "--udp", "1-300", "--tcp", "1", "--rate", "5k/s"];
    let (lines, summary) = scan(line.near(), &asked);
    let open: BTreeSet<u64> = lines.iter().map(|line| told(line).1).collect();
    assert_eq!((open, lines.len()), (BTreeSet::from([53, 123, 161]), 6));
    assert_eq!((&summary["probes"], &summary["hosts_up"]), (&602.into(), &2.into()), "{summary}");
    // Everybody once, and who said nothing once more.
    assert!(line.count("out") < 2 * 602 + 200, "{:?}", line.counts());
}
