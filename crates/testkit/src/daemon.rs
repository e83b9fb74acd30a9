use crate::{
    lab::Host,
    patience::eventually,
    process::{Process, output_of},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

/// The real `perimeterd`, of the same profile as the running test, built first if it is not up to date.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows where it lies");
        // target/<profile>/deps/<test>
        let folder = test.ancestors().nth(2).expect("cargo put the test into target/<profile>/deps").to_owned();
        let release = folder.file_name().is_some_and(|profile| profile == "release");
        let target = folder.parent().expect("a profile's folder lies in the target folder");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "--offline", "-p", "perimeterd", "--target-dir"]).arg(target);
        build.args(release.then_some("--release"));
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        // What cargo tells a test about its package would make build scripts of others look out of date.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
                build.env_remove(name);
            }
        }
        output_of(&mut build);
        folder.join("perimeterd")
    })
}

/// Runs the binary to its end with these arguments.
pub fn run_binary(arguments: &[&str]) -> Output {
    let output = Command::new(binary()).args(arguments).env("NO_COLOR", "1").env_remove("PERIMETERD_LOG").output();
    output.unwrap_or_else(|error| panic!("{} does not start: {error}", binary().display()))
}

/// The daemon on a host of a lab, started as an operator would: `perimeterd run --config FILE`.
#[derive(Debug)]
pub struct Daemon {
    host: Host,
    config: PathBuf,
    privileges: Privileges,
    process: Process,
}

/// What a daemon may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// Everything root may.
    Root,
    /// Root without any capability: no raw sockets.
    None,
}

impl Daemon {
    /// Returns once it answers on its socket.
    pub fn start(host: &Host, config: &Path) -> Self {
        Self::start_with(host, config, Privileges::Root)
    }

    /// The same with other privileges.
    pub fn start_with(host: &Host, config: &Path, privileges: Privileges) -> Self {
        let process = spawn(host, config, privileges);
        let mut daemon = Self { host: host.clone(), config: config.to_owned(), privileges, process };
        daemon.wait_until_it_answers();
        daemon
    }

    /// What a client command of the binary answers, whatever its exit code.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = self.host.command(&binary().to_string_lossy());
        command.args(arguments).arg("--config").arg(&self.config).stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("perimeterd {arguments:?} does not start: {error}"))
    }

    /// Its stdout; panics with all it said where it fails.
    pub fn say(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "perimeterd {arguments:?} failed ({}):\n{said}{complained}", output.status);
        said.into_owned()
    }

    /// The objects a command prints with `--json`, one a line.
    pub fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let said = self.say(&[arguments, &["--json"]].concat());
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in: {line}"));
        said.lines().filter(|line| !line.trim().is_empty()).map(read).collect()
    }

    /// What `status --json` says; its exit code tells healthy from degraded and is not looked at.
    pub fn status(&self) -> Value {
        let output = self.ask(&["status", "--json"]);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error} in: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// SIGKILL: what is not on disk is lost.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`].
    pub fn restart(&mut self) {
        self.process = spawn(&self.host, &self.config, self.privileges);
        self.wait_until_it_answers();
    }

    /// SIGTERM; panics where it takes longer than `within`.
    pub fn stop(&mut self, within: Duration) -> ExitStatus {
        self.process.stop(within)
    }

    /// Everything it has written to stdout and stderr, over restarts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    fn wait_until_it_answers(&mut self) {
        eventually("the daemon to answer", Duration::from_secs(30), || {
            self.process.must_run();
            // 3: nobody is there. Anything else is an answer.
            (self.ask(&["status", "--json"]).status.code() != Some(3)).then_some(())
        });
    }
}

/// What the daemon said last, where a test has failed: the first thing one wants to see.
impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(60)).map(|line| format!("  {line}\n"));
            let text = format!("the daemon's last words:\n{}", last.collect::<Vec<_>>().concat());
            // Where stderr is closed there is nobody to tell.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
    }
}

fn spawn(host: &Host, config: &Path, privileges: Privileges) -> Process {
    let binary = binary().to_string_lossy();
    let mut command = match privileges {
        Privileges::Root => host.command(&binary),
        Privileges::None => {
            let mut command = host.command("setpriv");
            command.args(["--bounding-set", "-all", "--inh-caps", "-all", "--", &binary]);
            command
        }
    };
    command.args(["run", "--config"]).arg(config);
    host.start("perimeterd", &mut command)
}
