use crate::lab::Host;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

/// A server that says one line to whoever connects, listens for a moment, and hangs up. The line can be changed: an
/// upgrade without the package.
#[derive(Debug)]
pub struct Banner {
    line: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Banner {
    pub fn start(host: &Host, port: u16, line: &str) -> Self {
        let line = Arc::new(Mutex::new(line.to_owned()));
        let stop = Arc::new(AtomicBool::new(false));
        let address = SocketAddr::new(host.address(), port);
        let (ready, is_ready) = mpsc::channel();
        let thread = host.namespace().enter({
            let (line, stop) = (line.clone(), stop.clone());
            move || {
                let listener = TcpListener::bind(address).expect("the port is free");
                listener.set_nonblocking(true).expect("a listener can be polled");
                ready.send(()).expect("somebody waits");
                serve(&listener, &line, &stop);
            }
        });
        is_ready.recv().expect("the banner server listens");
        Self { line, stop, thread: Some(thread) }
    }

    /// What the next one to connect is told.
    pub fn say(&self, line: &str) {
        line.clone_into(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn serve(listener: &TcpListener, line: &Mutex<String>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let line = line.lock().unwrap_or_else(PoisonError::into_inner).clone();
                std::thread::spawn(move || greet(stream, &line));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(10)),
            // The other end gave up before it was accepted.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => panic!("the banner server cannot accept: {error}"),
        }
    }
}

/// Errors here mean that the other end has gone, which is its good right.
fn greet(mut stream: TcpStream, line: &str) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = stream.write_all(format!("{line}\r\n").as_bytes());
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.shutdown(Shutdown::Both);
}

impl Drop for Banner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, has been printed; a second one while unwinding would hide the first.
            let _ = thread.join();
        }
    }
}
