//! The line with real TCP and UDP: what it says its path does to packets, two kernels see.

use std::{
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};
use testkit::{Ban, Line, Listeners, Passage, Policer, Traffic, eventually, lacks_root};

const GREETING: &str = "SSH-2.0-OpenSSH_9.2p1\r\n";

/// Connects from the near end to each, one after the other, and gives what was said there.
fn connect(line: &Line, to: &[&str], within: Duration) -> Vec<Result<String, ErrorKind>> {
    let to: Vec<SocketAddr> = to.iter().map(|to| to.parse().expect("an address and a port")).collect();
    let asked = line.near().namespace().enter(move || to.into_iter().map(|to| connect_once(to, within)).collect());
    asked.join().expect("nothing panics")
}

fn connect_once(to: SocketAddr, within: Duration) -> Result<String, ErrorKind> {
    let connected = TcpStream::connect_timeout(&to, within);
    let said = connected.and_then(|mut stream| {
        stream.set_read_timeout(Some(within))?;
        let mut said = String::new();
        stream.read_to_string(&mut said).map(|_| said)
    });
    said.map_err(|error| error.kind())
}

/// Sends so many datagrams from the near end, as fast as it can.
fn send(line: &Line, datagrams: u32) {
    let sent = line.near().namespace().enter(move || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for n in 0..datagrams {
            // Not connected: the far end's ICMP errors are nobody's business here.
            socket.send_to(&n.to_be_bytes(), "10.0.0.1:5000").expect("it is routed");
        }
    });
    sent.join().expect("everything is sent");
}

#[test]
fn the_far_end_answers_for_all_its_prefixes_and_the_path_says_who_is_there() {
    if lacks_root("the_far_end_answers_for_all_its_prefixes_and_the_path_says_who_is_there") {
        return;
    }
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[22, 8_080], GREETING);
    let watch = Traffic::watch(&line);
    let patience = Duration::from_secs(5);
    let asked = ["10.0.0.1:22", "10.15.255.255:8080", "[fd10:0:0:ffff::7]:22", "10.3.0.0:23", "[fd10::1]:23"];
    let hello = || Ok(GREETING.to_owned());
    let refused = || Err(ErrorKind::ConnectionRefused);
    assert_eq!(connect(&line, &asked, patience), [hello(), hello(), hello(), refused(), refused()]);
    assert_eq!(line.count("asked"), 5, "{:?}", line.counts());
    let seen = watch.end();
    assert!(Traffic::until(&seen, 5 * 2).is_some(), "a SYN and a last word each at least: {:?}", seen.last());

    let live = ["10.0.0.1", "fd10::1"].map(|ip| ip.parse().expect("an address")).to_vec();
    line.become_like(&Passage { live: Some(live), ..Passage::default() });
    let asked = ["10.0.0.1:22", "[fd10::1]:22", "10.0.0.2:22", "[fd10::2]:22"];
    let silence = || Err(ErrorKind::TimedOut);
    assert_eq!(connect(&line, &asked, Duration::from_millis(500)), [hello(), hello(), silence(), silence()]);
    assert_eq!((line.count("asked"), line.count("silent")), (4, 2));

    line.become_like(&Passage { note_answers: true, ..Passage::default() });
    let asked = ["10.0.0.1:22", "10.0.0.1:8080", "10.0.0.2:22", "10.0.0.1:22", "10.0.0.1:23"];
    assert!(connect(&line, &asked, patience)[..4].iter().all(Result::is_ok));
    assert_eq!(line.answered_within(Duration::from_mins(1)), 3);
    line.become_like(&Passage { note_answers: true, ..Passage::default() });
    assert_eq!(line.answered_within(Duration::from_mins(1)), 0);

    line.become_like(&Passage { dark: true, ..Passage::default() });
    assert_eq!(connect(&line, &["10.0.0.1:22", "[fd10::1]:22"], Duration::from_millis(500)), [silence(), silence()]);
    assert_eq!((line.count("asked"), line.count("out"), line.count("back")), (2, 0, 0));
}

#[test]
fn packets_are_lost_on_both_ways_and_policed_on_one() {
    if lacks_root("packets_are_lost_on_both_ways_and_policed_on_one") {
        return;
    }
    let line = Line::new();
    line.become_like(&Passage { loss: 0.2, ..Passage::default() });
    send(&line, 5_000);
    let counts = line.counts();
    // Neither end knows of a loss. What comes back are errors of ICMP, a few of them: the far end's kernel limits them.
    assert!((3_800..4_200).contains(&counts["out"]), "{counts:?}");
    assert!(counts["out"] + counts["lost"] >= 5_000, "{counts:?}");

    let policer = Policer { packets_per_second: 100, burst: 50 };
    line.become_like(&Passage { policer: Some(policer), ..Passage::default() });
    send(&line, 1_000);
    let counts = line.counts();
    assert_eq!(counts["out"] + counts["policed"], 1_000, "{counts:?}");
    assert!((50..300).contains(&counts["out"]), "{counts:?}");
}

#[test]
fn who_asks_too_fast_is_banned_for_a_while() {
    if lacks_root("who_asks_too_fast_is_banned_for_a_while") {
        return;
    }
    let line = Line::new();
    let _open = Listeners::start(line.far(), &[22], GREETING);
    let ban = Ban { syns_per_second: 5, burst: 5, lasts: Duration::from_secs(2) };
    line.become_like(&Passage { ban: Some(ban), ..Passage::default() });
    let asked = ["10.0.0.1:22"; 40];
    let said = connect(&line, &asked, Duration::from_millis(50));
    assert!(said[..4].iter().all(Result::is_ok), "{said:?}");
    assert_eq!(said.last(), Some(&Err(ErrorKind::TimedOut)), "{said:?}");
    assert_eq!(line.count("banned"), 1);
    assert!(line.count("blocked") >= 20, "{:?}", line.counts());
    eventually("the ban to end", Duration::from_secs(20), || {
        connect(&line, &["10.0.0.1:22"], Duration::from_millis(300)).pop().and_then(Result::ok)
    });
}
