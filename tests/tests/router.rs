//! The impairment router with real TCP: what it says it does to packets, two kernels see.

use std::{
    io::{ErrorKind, Read},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    sync::mpsc,
    time::Duration,
};
use testkit::{Host, Lab, lacks_root, router::Scenario, server::Banner};
use tokio::time::Instant;

const LINE: &str = "SSH-2.0-OpenSSH_9.2p1";

/// A lab with this scenario, switched on.
fn lab(stages: &str) -> (Lab, Host) {
    let scenario = Scenario::read(&format!("seed = 7\nstage = [{stages}]")).expect("it is well written");
    let (lab, watcher) = Lab::across_router(&scenario);
    lab.router().switch_on();
    (lab, watcher)
}

/// What a connection gave: the first line said, or why there was none; and how long connecting took.
type Tried = (Result<String, ErrorKind>, Duration);

/// Connects from the watcher, each for itself, one after the other.
fn connect(watcher: &Host, to: &[SocketAddr], within: Duration) -> Vec<Tried> {
    let to = to.to_vec();
    let asked = watcher.namespace().enter(move || to.into_iter().map(|to| connect_once(to, within)).collect());
    asked.join().expect("nothing panics")
}

fn connect_once(to: SocketAddr, within: Duration) -> Tried {
    let begun = Instant::now();
    let connected = TcpStream::connect_timeout(&to, within);
    let took = begun.elapsed();
    let said = connected.and_then(|mut stream| {
        stream.set_read_timeout(Some(within))?;
        let mut line = [0; 200];
        let length = stream.read(&mut line)?;
        Ok(String::from_utf8_lossy(&line[..length]).trim_end().to_owned())
    });
    (said.map_err(|error| error.kind()), took)
}

fn at(host: &Host, port: u16) -> SocketAddr {
    SocketAddr::new(host.address(), port)
}

fn kinds(tried: &[Tried]) -> Vec<Result<&str, ErrorKind>> {
    tried.iter().map(|(said, _)| said.as_deref().map_err(|error| *error)).collect()
}

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn packets_take_their_time() {
    if lacks_root("packets_take_their_time") {
        return;
    }
    let (mut lab, watcher) =
        lab("{ kind = 'latency', delay = '40ms', jitter = '10ms', only = ['10.77.0.2', 'fd77::2'] }");
    let (slow, fast) = (lab.host("slow", &["10.77.0.2"]), lab.host("fast", &["10.77.0.3"]));
    let six = lab.host("six", &["fd77::2"]);
    let _banners = [&slow, &fast, &six].map(|host| Banner::start(host, 22, LINE));
    let tried = connect(&watcher, &[at(&slow, 22), at(&six, 22), at(&fast, 22)], PATIENCE);
    assert_eq!(kinds(&tried), [Ok(LINE), Ok(LINE), Ok(LINE)]);
    for (_, took) in &tried[..2] {
        // There and back.
        assert!((80..1_000).contains(&took.as_millis()), "{took:?}");
    }
    assert!(tried[2].1 < Duration::from_millis(80), "{:?}", tried[2].1);
    assert!(lab.router().count("latency.delayed") >= 8);
    // A closed port is refused by the host itself, over both families.
    assert_eq!(
        kinds(&connect(&watcher, &[at(&slow, 23), at(&six, 23)], PATIENCE)),
        [Err(ErrorKind::ConnectionRefused); 2]
    );
}

#[test]
fn packets_are_lost_in_their_share() {
    if lacks_root("packets_are_lost_in_their_share") {
        return;
    }
    let (mut lab, watcher) = lab("{ kind = 'loss', share = 0.2 }");
    let host = lab.host("host", &["10.77.0.2"]);
    let to = at(&host, 5_000);
    let (ready, is_ready) = mpsc::channel();
    let heard = host.namespace().enter(move || {
        let socket = UdpSocket::bind(to).expect("the port is free");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        ready.send(()).expect("somebody waits");
        // Silence is the end.
        std::iter::from_fn(|| socket.recv(&mut [0; 16]).ok()).count()
    });
    is_ready.recv().expect("the socket is bound");
    let sent = watcher.namespace().enter(move || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        // In small handfuls, so that no queue of the kernel overflows.
        for n in 0..2_000_u32 {
            socket.send_to(&n.to_be_bytes(), to).expect("it is routed");
            if n % 10 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    sent.join().expect("everything is sent");
    let heard = heard.join().expect("it listens");
    let lost = lab.router().count("loss.lost");
    // A fifth of 2,000.
    assert!((330..470).contains(&lost), "{lost} lost");
    assert_eq!(lab.router().count("router.out") + lost, 2_000, "every packet is accounted for");
    assert!((1_400..1_680).contains(&heard), "{heard} heard");
}

#[test]
fn three_manners_of_banning_are_what_the_kernel_takes_them_for() {
    if lacks_root("three_manners_of_banning_are_what_the_kernel_takes_them_for") {
        return;
    }
    let firewall = |address: &str, manner: &str| {
        format!(
            "{{ kind = 'firewall', name = '{manner}', only = [{address}], manner = '{manner}', connections = 3, window = '30s', ban = '3s' }},"
        )
    };
    let stages = [
        ("'10.77.0.2'", "silent"),
        ("'10.77.0.3', 'fd77::3'", "reset"),
        ("'10.77.0.4', 'fd77::4'", "port-unreachable"),
    ]
    .map(|(address, manner)| firewall(address, manner));
    let (mut lab, watcher) = lab(&stages.concat());
    let hosts: Vec<_> = ["10.77.0.2", "10.77.0.3", "10.77.0.4", "fd77::3", "fd77::4"]
        .iter()
        .zip(["silent", "reset", "icmp", "reset6", "icmp6"])
        .map(|(address, name)| lab.host(name, &[address]))
        .collect();
    let _banners: Vec<_> = hosts.iter().map(|host| Banner::start(host, 22, LINE)).collect();
    for (host, expected) in hosts.iter().zip([ErrorKind::TimedOut].into_iter().chain([ErrorKind::ConnectionRefused; 4]))
    {
        let tried = connect(&watcher, &[at(host, 22); 5], Duration::from_secs(1));
        let mut wanted = vec![Ok(LINE); 3];
        wanted.extend([Err(expected); 2]);
        // An answer is taken at once: its checksum and what it quotes are right.
        assert_eq!(kinds(&tried), wanted, "{}", host.name());
        assert!(expected == ErrorKind::TimedOut || tried[4].1 < Duration::from_millis(500), "{:?}", tried[4].1);
    }
    for (count, least) in
        [("silent.bans", 1), ("reset.bans", 2), ("reset.resets", 4), ("port-unreachable.unreachables", 4)]
    {
        assert!(lab.router().count(count) >= least, "{count}: {:?}", lab.router().counts());
    }
    // A ban ends.
    testkit::soon("the ban to end", || connect_ok(&watcher, at(&hosts[1], 22)));
}

fn connect_ok(watcher: &Host, to: SocketAddr) -> Option<()> {
    connect(watcher, &[to], Duration::from_secs(1)).pop()?.0.ok().map(|_| ())
}

#[test]
fn a_full_table_takes_no_new_flow() {
    if lacks_root("a_full_table_takes_no_new_flow") {
        return;
    }
    let (mut lab, watcher) =
        lab("{ kind = 'nat', entries = 20, address = '10.79.0.1', closing = '3s', opening = '3s' }");
    let host = lab.host("host", &["10.77.0.2"]);
    let _banner = Banner::start(&host, 22, LINE);
    let ports: Vec<_> = (0..20).map(|n| at(&host, 22 + n)).collect();
    let tried = connect(&watcher, &ports, PATIENCE);
    // Translated there and back: the one is open, the others are refused.
    assert_eq!(tried[0].0.as_deref(), Ok(LINE));
    assert!(tried[1..].iter().all(|(said, _)| *said == Err(ErrorKind::ConnectionRefused)), "{tried:?}");
    let beyond = connect(&watcher, &[at(&host, 22)], Duration::from_millis(500));
    assert_eq!(kinds(&beyond), [Err(ErrorKind::TimedOut)]);
    assert!(lab.router().count("nat.overflowed") >= 1 && lab.router().count("nat.most") == 20);
    testkit::soon("entries to time out", || connect_ok(&watcher, at(&host, 22)));
}

#[test]
fn one_address_is_two_hosts_in_turn() {
    if lacks_root("one_address_is_two_hosts_in_turn") {
        return;
    }
    let (mut lab, watcher) = lab("{ kind = 'balancer', address = '10.77.9.1', hosts = ['10.77.0.2', '10.77.0.3'] }");
    let hosts = [lab.host("a", &["10.77.0.2"]), lab.host("b", &["10.77.0.3"])];
    let _banners = [Banner::start(&hosts[0], 22, "SSH-2.0-a"), Banner::start(&hosts[1], 22, "SSH-2.0-b")];
    let address: IpAddr = [10, 77, 9, 1].into();
    let tried = connect(&watcher, &[SocketAddr::new(address, 22); 6], PATIENCE);
    assert_eq!(kinds(&tried), [Ok("SSH-2.0-a"), Ok("SSH-2.0-b")].repeat(3));
    assert_eq!(
        kinds(&connect(&watcher, &[SocketAddr::new(address, 23)], PATIENCE)),
        [Err(ErrorKind::ConnectionRefused)]
    );
    assert_eq!(kinds(&connect(&watcher, &[at(&hosts[1], 22)], PATIENCE)), [Ok("SSH-2.0-b")]);
}

#[test]
fn a_syn_proxy_answers_for_everything_and_connects_through() {
    if lacks_root("a_syn_proxy_answers_for_everything_and_connects_through") {
        return;
    }
    let (mut lab, watcher) =
        lab("{ kind = 'syn-proxy', name = 'mute', prefix = ['10.77.0.2', '10.77.5.0/28'], nothing_behind = 'mute' },\
         { kind = 'syn-proxy', name = 'reset', prefix = ['10.77.0.3', 'fd77::3'], nothing_behind = 'reset' }");
    let mute = lab.host("mute", &["10.77.0.2"]);
    let reset = [lab.host("reset", &["10.77.0.3"]), lab.host("six", &["fd77::3"])];
    let _banners = [&mute, &reset[0], &reset[1]].map(|host| Banner::start(host, 22, LINE));
    let within = Duration::from_millis(700);
    let nobody = SocketAddr::new([10, 77, 5, 7].into(), 22);
    // Connecting always works; only the real service speaks.
    let tried = connect(&watcher, &[at(&mute, 22), at(&mute, 23), nobody], within);
    assert_eq!(kinds(&tried), [Ok(LINE), Err(ErrorKind::WouldBlock), Err(ErrorKind::WouldBlock)]);
    for host in &reset {
        let tried = connect(&watcher, &[at(host, 22), at(host, 23)], within);
        assert_eq!(kinds(&tried), [Ok(LINE), Err(ErrorKind::ConnectionReset)], "{}", host.name());
    }
    assert_eq!((lab.router().count("mute.through"), lab.router().count("reset.through")), (1, 2));
}

#[test]
fn forged_resets_end_connections() {
    if lacks_root("forged_resets_end_connections") {
        return;
    }
    let (mut lab, watcher) = lab(
        "{ kind = 'resets', syn = 1.0, only = ['10.77.0.2'] }, { kind = 'resets', stream = 1.0, only = ['10.77.0.3'] }",
    );
    let (syn, stream) = (lab.host("syn", &["10.77.0.2"]), lab.host("stream", &["10.77.0.3"]));
    let _banners = [&syn, &stream].map(|host| Banner::start(host, 22, LINE));
    let tried = connect(&watcher, &[at(&syn, 22), at(&stream, 22)], PATIENCE);
    assert_eq!(kinds(&tried), [Err(ErrorKind::ConnectionRefused), Err(ErrorKind::ConnectionReset)]);
    assert!(lab.router().count("resets.refused") == 1 && lab.router().count("resets.broken") >= 1);
}

#[test]
fn too_much_at_once_is_dropped() {
    if lacks_root("too_much_at_once_is_dropped") {
        return;
    }
    let (mut lab, watcher) = lab("{ kind = 'rate-limit', packets = 1, burst = 2, only_icmp_errors = true }");
    let host = lab.host("host", &["10.77.0.2"]);
    let _banner = Banner::start(&host, 22, LINE);
    let to = at(&host, 53);
    // Nobody listens: each datagram is answered by an error, of which two come through at once.
    let refused = watcher.namespace().enter(move || {
        let ask = |_| {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.connect(to).expect("it is routed");
            socket.set_read_timeout(Some(Duration::from_millis(150))).expect("a timeout");
            socket.send(b"?").expect("it is sent");
            socket.recv(&mut [0; 16]).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        };
        (0..5).map(ask).collect::<Vec<_>>()
    });
    let refused = refused.join().expect("nothing panics");
    assert_eq!(refused[..2], [true, true], "{refused:?}");
    assert!(refused[2..].contains(&false) && lab.router().count("rate-limit.dropped") >= 1, "{refused:?}");
    // Nothing else is limited.
    assert_eq!(kinds(&connect(&watcher, &[at(&host, 22); 5], PATIENCE)), [Ok(LINE); 5]);
}

#[test]
fn a_line_can_be_cut_and_hosts_go_silently() {
    if lacks_root("a_line_can_be_cut_and_hosts_go_silently") {
        return;
    }
    let (mut lab, watcher) = lab("");
    let host = lab.host("host", &["10.77.0.2", "fd77::2"]);
    let _banner = Banner::start(&host, 22, LINE);
    let try_once = || connect(&watcher, &[at(&host, 22)], Duration::from_millis(500)).remove(0).0;
    assert_eq!(try_once().as_deref(), Ok(LINE));
    lab.router().cut();
    assert_eq!(try_once(), Err(ErrorKind::TimedOut));
    lab.router().mend();
    assert_eq!(try_once().as_deref(), Ok(LINE));
    host.unplug();
    assert_eq!(try_once(), Err(ErrorKind::TimedOut));
    watcher.unplug();
    assert!(!matches!(try_once(), Ok(_) | Err(ErrorKind::TimedOut)), "the watcher itself knows that it has no link");
    watcher.plug_in();
    host.plug_in();
    testkit::soon("it to answer again", || connect_ok(&watcher, at(&host, 22)));
    // There is no way out, and one address leads to nobody without a word.
    assert_eq!(watcher.run("ip", &["route", "show", "default"]).trim(), "");
    let nobody = SocketAddr::new([10, 77, 3, 3].into(), 22);
    assert_eq!(connect(&watcher, &[nobody], Duration::from_millis(500))[0].0, Err(ErrorKind::TimedOut));
}

#[test]
fn devices_vanish_after_a_panic() {
    if lacks_root("devices_vanish_after_a_panic") {
        return;
    }
    let story = std::thread::spawn(|| {
        let (lab, watcher) = lab("");
        let _alive = lab;
        std::panic::panic_any(watcher.namespace().name().to_owned());
    });
    let name = *story.join().expect_err("the story ends badly").downcast::<String>().expect("its name");
    assert!(!std::path::Path::new("/run/netns").join(&name).exists(), "{name} is still there");
}
