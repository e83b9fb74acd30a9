use crate::patience::eventually;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};
use tokio::time::Instant;

/// How long it has to end when it is no longer wanted.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A running program whose words are kept in a file. Ended when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts it with stdout and stderr appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let file = fs::OpenOptions::new().append(true).create(true).open(log).expect("the log opens");
        let errors = file.try_clone().expect("the log opens twice");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} does not start: {error} ({command:?})"));
        Self { name: name.to_owned(), child, log: log.to_owned(), ended: None }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// None while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended
    }

    /// Panics with what it said if it has ended.
    pub fn must_run(&mut self) {
        if let Some(status) = self.ended() {
            panic!("{} has ended ({status}):\n{}", self.name, self.log());
        }
    }

    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let pid = Pid::from_child(&self.child);
            kill_process(pid, signal).unwrap_or_else(|error| panic!("{} takes no signal: {error}", self.name));
        }
    }

    /// SIGTERM, and its status once it has ended; panics if that takes longer than `within`.
    pub fn stop(&mut self, within: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let name = self.name.clone();
        eventually(format_args!("{name} to end after SIGTERM"), within, || self.ended())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let name = self.name.clone();
        eventually(format_args!("{name} to be killed"), Duration::from_secs(10), || self.ended());
    }
}

/// SIGTERM first: a server takes its workers with it, and its port is free afterwards. SIGKILL where that does not help.
impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Errors mean that it has ended meanwhile, which is what is wanted.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > LAST_WORDS {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs a command to its end and gives its stdout; panics with all it said where it fails.
pub fn output_of(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}):\n{said}{complained}", output.status);
    said
}
