//! What goes wrong in the world gets one clear sentence, and costs nothing that was stored.

use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};
use tempfile::TempDir;
use testkit::{Process, binary, eventually, is_root, lacks_root, run_binary as run, skip};

const HEAD: &str = "[console]\nlisten = \"none\"\n[asset.here]\ntargets = [\"127.0.0.1\"]\n";

/// A folder with a configuration in it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder for the test") };
        place.configure(config);
        place
    }

    /// A profile that watches one port of loopback every second, and what else the test adds.
    fn watching(port: u16, more: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder for the test") };
        place.configure(&place.watching_config(port, more));
        place
    }

    fn watching_config(&self, port: u16, more: &str) -> String {
        format!(
            "{HEAD}[sensor]\nname = \"test\"\n[store]\npath = \"{}\"\n[profile.here]\nassets = [\"here\"]\nscan = {{ hot = \"1s\", known = \"1s\", \
             likely = \"never\", full = \"never\", hot_ports = \"{port}\" }}\n{more}",
            self.path("db/perimeter.db").display()
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("perimeterd.toml")
    }

    fn configure(&self, text: &str) {
        fs::write(self.config(), text).expect("the configuration is written");
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        let mut all = arguments.to_vec();
        all.extend(["--config", config.to_str().expect("a plain path")]);
        run(&all)
    }

    fn check(&self) -> Output {
        self.cli(&["check"])
    }

    fn start(&self) -> Process {
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(self.config()).env("NO_COLOR", "1");
        Process::start("perimeterd", &mut command, &self.path("log"))
    }

    fn events(&self) -> Vec<Value> {
        json_lines(&self.cli(&["events", "--json"]).stdout)
    }

    fn status(&self) -> Option<Value> {
        json_lines(&self.cli(&["status", "--json"]).stdout).into_iter().next()
    }

    fn waits_for(&self, kind: &str) -> Value {
        eventually(format_args!("a {kind} event"), Duration::from_secs(30), || {
            self.events().into_iter().find(|event| event["type"] == kind)
        })
    }
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(bytes).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// What it said on stderr, having failed with that exit code.
fn refused(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[test]
fn five_mistakes_get_five_diagnostics() {
    let place = Place::new(
        "[sensor]\nrat = \"5k/s\"\n\
         [asset.dmz]\ntargets = [\"192.0.2.0/33\"]\nvalue = 9\n\
         [profile.dmz]\nassets = [\"dmzz\"]\n\
         [recipient.soc]\njsonl = \"-\"\nevery = \"often\"\n",
    );
    let said = refused(&place.check(), 1);
    assert_eq!(said.lines().filter(|line| line.trim_start().starts_with("--> ")).count(), 5, "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("= help: ")).count(), 5, "{said}");
    for (line, word) in [(2, "rate"), (4, "prefix"), (5, "value"), (7, "dmz"), (10, "every")] {
        assert!(said.contains(&format!("perimeterd.toml:{line}:")), "line {line} is missing:\n{said}");
        assert!(said.contains(word), "{word} is missing:\n{said}");
    }
}

#[test]
fn a_file_that_cannot_be_read() {
    let place = Place::new("");
    fs::remove_file(place.config()).expect("it is there");
    let is_refused = |why: &str| {
        for command in ["check", "run"] {
            let said = refused(&place.cli(&[command]), 1);
            assert!(said.contains("perimeterd.toml") && said.contains(why), "{said}");
            assert!(said.lines().count() <= 3, "one clear sentence:\n{said}");
        }
    };
    is_refused("No such file");
    // Root may read whatever has a mode, but nobody reads a folder as a file.
    fs::create_dir(place.config()).expect("the folder is made");
    is_refused("it is a folder");
}

#[test]
fn wrong_types_unknown_keys_and_unreasonable_ranges() {
    for (config, expect) in [
        ("[sensor]\nrate = 5000.5\n", "rate"),
        ("[asset.here]\ntargets = 5\n[profile.here]\nassets = [\"here\"]\n", "targets"),
        ("[asset.here]\ntargets = [\"127.0.0.1\"]\ntagz = []\n[profile.here]\nassets = [\"here\"]\n", "tags"),
        ("[asset.here]\ntargets = [\"0.0.0.0/0\"]\n[profile.here]\nassets = [\"here\"]\n", "0.0.0.0/0"),
        ("[asset.here]\ntargets = [\"224.0.0.0/8\"]\n[profile.here]\nassets = [\"here\"]\n", "multicast"),
    ] {
        let place = Place::new(config);
        let said = refused(&place.check(), 1);
        assert!(said.contains(expect) && said.contains("perimeterd.toml:"), "{config}:\n{said}");
    }
}

#[test]
fn a_cadence_the_ceiling_cannot_carry() {
    let place = Place::new(
        "[asset.big]\ntargets = [\"10.20.0.0/16\"]\n[profile.big]\nassets = [\"big\"]\nscan = { full = \"1d\" }\n",
    );
    let said = refused(&place.check(), 1);
    assert!(said.contains("49,7"), "the arithmetic is shown:\n{said}");
}

#[test]
fn a_secret_others_can_read() {
    let place = Place::new("");
    let secret = place.path("smtp");
    fs::write(&secret, "hunter2\n").expect("the secret is written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("its mode is set");
    place.configure(&format!(
        "{HEAD}[profile.here]\nassets = [\"here\"]\n[recipient.soc]\nemail = \"soc@example.org\"\nevery = \"5m\"\n\
         [channel.email]\nsmtp = \"smtps://mail.example.org\"\nfrom = \"perimeterd@example.org\"\nusername = \"p\"\npassword_file = \"{}\"\n",
        secret.display()
    ));
    let said = refused(&place.check(), 1);
    assert!(said.contains("chmod") && said.contains("smtp"), "{said}");
    assert!(!said.contains("hunter2"), "the secret itself is never shown:\n{said}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its mode is set");
    assert!(place.check().status.success());
}

#[test]
fn a_bad_file_changes_nothing_on_reload() {
    let port = free_port();
    let place = Place::watching(port, "");
    let mut daemon = place.start();
    place.waits_for("BASELINE_DONE");
    let good = fs::read_to_string(place.config()).expect("it is there");
    // The socket is found through the database's path, so the mistake comes after it.
    place.configure(&format!("{good}\n[profile.other]\nassets = [\"nowhere\"]\n"));
    let said = refused(&place.cli(&["reload"]), 1);
    assert!(said.contains("nowhere"), "{said}");
    place.configure(&good);
    let _open = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    place.waits_for("PORT_OPEN");
    assert!(place.cli(&["reload"]).status.success());
    place.waits_for("CONFIG_RELOADED");
    assert!(daemon.stop(Duration::from_secs(5)).success());
}

#[test]
fn a_dead_mail_server_and_a_syslog_server_without_tls_lose_nothing() {
    let port = free_port();
    let dead = free_port();
    let plain = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let plain_port = plain.local_addr().expect("it has an address").port();
    // Hangs up on whoever speaks TLS to it.
    std::thread::spawn(move || plain.incoming().for_each(drop));
    let place = Place::watching(port, "");
    let jsonl = place.path("alerts.jsonl");
    let more = format!(
        "[recipient.soc]\nemail = \"soc@example.org\"\nevery = \"1m\"\n\
         [channel.email]\nsmtp = \"smtp://127.0.0.1:{dead}\"\nfrom = \"perimeterd@example.org\"\n\
         [recipient.siem]\nsyslog = {{ address = \"tls://127.0.0.1:{plain_port}\", format = \"cef\" }}\nevery = \"immediate\"\n\
         [recipient.file]\njsonl = \"{}\"\nevery = \"immediate\"\n",
        jsonl.display()
    );
    place.configure(&place.watching_config(port, &more));
    let mut daemon = place.start();
    place.waits_for("BASELINE_DONE");
    let _open = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    place.waits_for("PORT_OPEN");
    // The healthy recipient is not held up, the others' alerts wait and their trouble is said.
    eventually("the file to be told", Duration::from_secs(20), || {
        fs::read_to_string(&jsonl).is_ok_and(|text| text.contains("PORT_OPEN")).then_some(())
    });
    let delivery = eventually("the troubles to be shown", Duration::from_secs(30), || {
        let status = place.status()?;
        let delivery = status["delivery"].as_array()?.clone();
        let siem = delivery.iter().find(|delivery| delivery["recipient"] == "siem")?;
        (siem["last_error"].is_string() && siem["backlog"].as_u64()? > 0).then_some(delivery)
    });
    let soc = delivery.iter().find(|delivery| delivery["recipient"] == "soc").expect("the recipient is listed");
    assert!(soc["backlog"].as_u64() > Some(0), "{soc}");
    assert_eq!(place.cli(&["status"]).status.code(), Some(1), "degraded");
    let said = String::from_utf8_lossy(&place.cli(&["notify", "test", "soc"]).stderr).into_owned();
    assert!(said.contains("127.0.0.1"), "what the other end said:\n{said}");
    assert!(daemon.stop(Duration::from_secs(5)).success());
}

#[test]
fn a_second_daemon_is_refused() {
    let place = Place::watching(free_port(), "");
    let mut daemon = place.start();
    place.waits_for("BASELINE_DONE");
    let said = refused(&place.cli(&["run"]), 1);
    assert!(said.contains("perimeter.db") && said.contains(&daemon.id().to_string()), "{said}");
    assert!(daemon.stop(Duration::from_secs(5)).success());
}

#[test]
fn a_corrupted_database_is_left_alone() {
    let place = Place::watching(free_port(), "");
    let mut daemon = place.start();
    place.waits_for("BASELINE_DONE");
    assert!(daemon.stop(Duration::from_secs(5)).success());
    let database = place.path("db/perimeter.db");
    for suffix in ["-wal", "-shm"] {
        // A daemon that ended cleanly leaves neither.
        let _ = fs::remove_file(format!("{}{suffix}", database.display()));
    }
    let mut bytes = fs::read(&database).expect("the database is there");
    for byte in bytes.iter_mut().skip(100).step_by(7) {
        *byte ^= 0x5a;
    }
    fs::write(&database, &bytes).expect("it is written");
    let said = refused(&place.cli(&["run"]), 1);
    assert!(said.contains("perimeter.db"), "{said}");
    assert!(said.contains("backup"), "what to do is said:\n{said}");
    assert_eq!(fs::read(&database).expect("still there"), bytes, "nothing was written to it");
}

#[test]
fn a_command_without_a_daemon() {
    let place = Place::watching(free_port(), "");
    let said = refused(&place.cli(&["hosts"]), 3);
    assert!(said.contains("perimeterd.sock") && said.contains("perimeterd run"), "{said}");
    refused(&run(&["scan", "127.0.0.1", "--tcp", "0"]), 2);
    refused(&run(&["frobnicate"]), 2);
}

/// A real full disk: a tmpfs of a few hundred kilobytes, filled to the brim while the daemon watches.
#[test]
fn a_full_disk_loses_nothing() {
    const NAME: &str = "a_full_disk_loses_nothing";
    if lacks_root(NAME) {
        return;
    }
    assert!(is_root());
    let port = free_port();
    let place = Place::watching(port, "");
    let disk = Tmpfs::mount(&place.path("db"), "2m");
    if disk.is_none() {
        skip(NAME, "a tmpfs cannot be mounted here");
        return;
    }
    let mut daemon = place.start();
    place.waits_for("BASELINE_DONE");
    fill(&place.path("db/ballast"));
    let open = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    eventually("the full disk to be said", Duration::from_secs(30), || {
        daemon.must_run();
        daemon.log().contains("perimeter.db").then_some(())
    });
    assert!(!place.events().iter().any(|event| event["type"] == "PORT_OPEN"), "told before it was committed");
    fs::remove_file(place.path("db/ballast")).expect("the ballast is there");
    let event = eventually("the opening to be told after all", Duration::from_mins(1), || {
        place.events().into_iter().find(|event| event["type"] == "PORT_OPEN")
    });
    assert_eq!(event["endpoint"]["port"], port);
    drop(open);
    assert!(daemon.stop(Duration::from_secs(5)).success());
}

struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).expect("the folder is made");
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a test that failed may have left somebody inside.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).expect("the ballast is made");
    let mut size = 65_536;
    while size > 0 {
        match file.write(&vec![0_u8; size]) {
            Ok(0) | Err(_) => size /= 2,
            Ok(_) => {}
        }
    }
}
