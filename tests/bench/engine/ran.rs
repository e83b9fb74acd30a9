//! One run of a program: how long it took, what it cost, and never longer than it may.

use rustix::{
    param::clock_ticks_per_second,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};
use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// Between two looks at its memory.
const LOOK: Duration = Duration::from_millis(20);
/// From being asked to end to being killed.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What came of it. CPU is user and system time of the process and of the children it waited for; memory the most it had
/// resident at any look.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    /// As one would type it.
    pub(crate) command: String,
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
    pub(crate) ended: Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    With(i32),
    /// It took longer than it may.
    Stopped,
}

/// Runs a program in a namespace, its stdout into one file and its stderr into another beside it (`.err`).
pub(crate) fn run(command: &mut Command, out: &Path, within: Duration) -> Ran {
    let file = |path: &Path| File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let errors = file(&out.with_extension("err"));
    command.stdin(Stdio::null()).stdout(file(out)).stderr(errors);
    let begun = Instant::now();
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let mut running = Running(Some(child));
    let pid = running.pid();
    let ended = watch_for_the_end(pid);

    let mut peak_kib = 0;
    let mut limits = [Some((within, Signal::TERM)), Some((within + LAST_WORDS, Signal::KILL))];
    let (at, is_over_time) = loop {
        if let Ok(at) = ended.recv_timeout(LOOK) {
            break (at, limits[0].is_none());
        }
        peak_kib = peak_kib.max(memory_of(pid).unwrap_or_default());
        for limit in &mut limits {
            if let Some((_, signal)) = limit.take_if(|(limit, _)| begun.elapsed() >= *limit) {
                // One that has just ended is no error.
                let _ = kill_process(pid, signal);
            }
        }
    };
    // It has ended and nobody has waited for it yet: its account is complete and still there.
    let cpu = cpu_of(pid).expect("a process that has not been waited for has an account");
    let status = running.wait();
    let ended = match status.code() {
        _ if is_over_time => Ended::Stopped,
        Some(0) => Ended::Well,
        code => Ended::With(code.unwrap_or(-1)),
    };
    Ran { command: shown(command), took: at.duration_since(begun), cpu, peak_kib, ended }
}

/// CPU time so far of a process, its threads, and the children it has waited for; None once it is gone.
pub(crate) fn cpu_of(pid: Pid) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; the state is the first field behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 1_000 / clock_ticks_per_second()))
}

/// Resident memory now, in KiB; None once it is gone.
pub(crate) fn memory_of(pid: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Says when a child has ended, and leaves it to be waited for.
fn watch_for_the_end(pid: Pid) -> mpsc::Receiver<Instant> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        // Nobody listens where the run has been given up.
        let _ = sender.send(Instant::now());
    });
    receiver
}

/// Without `ip netns exec NAMESPACE`, the folders of the program and of what is temporary; quoted where a shell wants it.
fn shown(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let inside = match words.as_slice() {
        [netns, exec, _, inside @ ..] if netns == "netns" && exec == "exec" => inside,
        all => all,
    };
    let temporary = std::env::temp_dir();
    let show = |(index, word): (usize, &String)| {
        let path = Path::new(word);
        let is_bare = index == 0 || path.starts_with(&temporary);
        let name = path.file_name().filter(|_| is_bare).map(|name| name.to_string_lossy().into_owned());
        let word = name.unwrap_or_else(|| word.clone());
        if word.contains(' ') { format!("'{word}'") } else { word }
    };
    inside.iter().enumerate().map(show).collect::<Vec<_>>().join(" ")
}

/// Ended when dropped, whatever happens.
struct Running(Option<Child>);

impl Running {
    fn pid(&self) -> Pid {
        Pid::from_child(self.0.as_ref().expect("it has not been waited for"))
    }

    fn wait(&mut self) -> std::process::ExitStatus {
        self.0.take().expect("it has not been waited for").wait().expect("a child can be waited for")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Errors mean that it has ended meanwhile, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_measured() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let out = folder.path().join("out");
        let script = "n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done; echo said; exit 3";
        let ran = run(Command::new("sh").args(["-c", script]), &out, Duration::from_secs(30));
        assert_eq!(ran.ended, Ended::With(3));
        assert_eq!(fs::read_to_string(&out).expect("its words"), "said\n");
        assert!(ran.cpu >= Duration::from_millis(20) && ran.cpu <= ran.took + Duration::from_millis(20), "{ran:?}");
        assert!(ran.peak_kib > 100, "{ran:?}");
    }

    #[test]
    fn a_run_that_takes_too_long_is_ended() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let ran = run(Command::new("sleep").arg("30"), &folder.path().join("out"), Duration::from_millis(100));
        assert_eq!(ran.ended, Ended::Stopped);
        assert!(ran.took < Duration::from_secs(10), "{ran:?}");
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("ip");
        let out = std::env::temp_dir().join("a/out");
        command.args(["netns", "exec", "lab", "/target/release/zmap", "--blacklist-file=/dev/null", "-C", "/dev/null"]);
        command.args(["a = 1 && b = 2", "10.0.0.0/12", "-o"]).arg(out);
        assert_eq!(shown(&command), "zmap --blacklist-file=/dev/null -C /dev/null 'a = 1 && b = 2' 10.0.0.0/12 -o out");
    }
}
