use crate::Host;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt},
};
use std::{
    io::{ErrorKind, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

/// Between two looks at whether it is to end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Open ports of a host, the same on every address it answers for, IPv4 and IPv6, with room for a million half-open
/// connections each. Whoever completes one is greeted, where there is a greeting, and hung up on.
#[derive(Debug)]
pub struct Listeners {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listeners {
    /// They listen when it returns.
    pub fn start(host: &Host, ports: &[u16], greeting: &'static str) -> Self {
        // A queue of half-open connections that overflowed would be a limit of the answering end, not of who asks it.
        let deep = "echo 1048576 > /proc/sys/net/core/somaxconn; \
                    echo 1048576 > /proc/sys/net/ipv4/tcp_max_syn_backlog";
        host.run("sh", &["-ec", deep]);
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let thread = host.namespace().enter({
            let (stop, ports) = (stop.clone(), ports.to_vec());
            move || {
                let listeners: Vec<TcpListener> = ports.into_iter().map(open).collect();
                ready.send(()).expect("somebody waits");
                serve(&listeners, greeting.as_bytes(), &stop);
            }
        });
        is_ready.recv().expect("the ports are free");
        Self { stop, thread: Some(thread) }
    }
}

fn open(port: u16) -> TcpListener {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None).expect("a socket");
    sockopt::set_ipv6_v6only(&socket, false).expect("one socket for both families");
    sockopt::set_socket_reuseaddr(&socket, true).expect("a port can be listened on again at once");
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    bind(&socket, &address).unwrap_or_else(|error| panic!("port {port} cannot be listened on: {error}"));
    // The kernel takes as much of it as `somaxconn` allows.
    listen(&socket, i32::MAX).expect("a bound socket can listen");
    TcpListener::from(socket)
}

fn serve(listeners: &[TcpListener], greeting: &[u8], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let mut waiting: Vec<PollFd> = listeners.iter().map(|one| PollFd::new(one, PollFlags::IN)).collect();
        match poll(&mut waiting, Some(&LOOK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the listeners cannot wait: {error}"),
        }
        let ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        for (listener, _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
            greet_all(listener, greeting);
        }
    }
}

/// Everybody who waits at the moment.
fn greet_all(listener: &TcpListener, greeting: &[u8]) {
    loop {
        match listener.accept() {
            // An error means that the other end has gone, which is its good right.
            Ok((mut stream, _)) => drop(stream.write_all(greeting)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => panic!("a listener cannot accept: {error}"),
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, has been printed; a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}
