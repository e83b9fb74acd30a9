//! The hosts with their real servers, the daemon in front of the router, and what happens to them.

use crate::{
    scenario::{File, Mode, Uplink, Watch, What},
    verdict::{Truth, Verdict, judge},
};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::PathBuf, thread, time::Duration};
use testkit::{
    Authority, Daemon, Host, Lab, eventually,
    server::{Banner, Nginx, Postfix, Sshd},
};
use tokio::time::Instant;

/// For what takes as long as a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(2);
/// For every lane to finish two passes.
const TO_PASS: Duration = Duration::from_secs(20);

/// Whoever can be watched, with its address.
const CAST: [(&str, &str); 7] = [
    ("web", "10.77.0.2"),
    ("shell", "10.77.0.3"),
    ("mail", "10.77.0.4"),
    ("name", "10.77.0.5"),
    ("six", "fd77::6"),
    ("api", "10.77.0.7"),
    ("spare", "10.77.0.8"),
];
/// The address of a balancer, as changes call it.
const POOL: &str = "pool";

pub(crate) struct Stage<'a> {
    file: &'a File,
    mode: Mode,
    daemon: Daemon,
    alerts: PathBuf,
    watcher: Host,
    hosts: BTreeMap<&'static str, Host>,
    /// What can be closed, by host and port.
    closable: BTreeMap<(String, u16), Vec<Nginx>>,
    pool: Vec<Host>,
    pool_address: Option<String>,
    _servers: (Vec<Nginx>, Vec<Sshd>, Postfix, Banner),
    // Last: what runs in it ends before it does.
    lab: Lab,
}

impl<'a> Stage<'a> {
    /// Everything runs, and the daemon has learnt what there is.
    pub(crate) fn begin(file: &'a File, mode: Mode) -> Self {
        let (mut lab, watcher) = Lab::across_router(&file.router);
        let hosts: BTreeMap<_, _> = CAST.iter().map(|(name, ip)| (*name, lab.host(name, &[ip]))).collect();
        let (pool_address, pool) = match file.pool() {
            Some((address, hosts)) => {
                let name = |ip: &String| format!("{POOL}-{}", ip.rsplit(['.', ':']).next().unwrap_or_default());
                let hosts = hosts.iter().map(|ip| lab.host(&name(ip), &[ip])).collect();
                (Some(address), hosts)
            }
            None => (None, Vec::new()),
        };
        let authority = Authority::new("Lab Example CA");
        let issue = |host: &Host| authority.issue(&["www.lab.example"], host.addresses());
        let web = |host: &Host| Nginx::start(host, "nginx", &[80], Some((&[443], &issue(host))));
        let mut nginx = vec![web(&hosts["web"]), web(&hosts["six"]), Nginx::start(&hosts["api"], "nginx", &[80], None)];
        nginx.extend(pool.iter().map(web));
        let mut sshd = vec![Sshd::start(&hosts["shell"], 22), Sshd::start(&hosts["spare"], 22)];
        sshd.extend(pool.iter().map(|host| Sshd::start(host, 22)));
        let postfix = Postfix::start(&hosts["mail"], &issue(&hosts["mail"]));
        let banner = Banner::start(&hosts["name"], 22, "SSH-2.0-OpenSSH_9.2p1");
        let closable = [(("api".to_owned(), 8081), vec![Nginx::start(&hosts["api"], "old", &[8081], None)])].into();

        fs::create_dir(watcher.dir().join("state")).expect("a state directory");
        watcher.write("ca.pem", authority.certificate());
        let text = configuration(&watcher, &file.watch, mode, pool_address.as_deref());
        let config = watcher.write("perimeterd.toml", &text);
        let daemon = Daemon::start(&watcher, &config);
        let alerts = watcher.dir().join("alerts.jsonl");
        let servers = (nginx, sshd, postfix, banner);
        let stage =
            Self { file, mode, daemon, alerts, watcher, hosts, closable, pool, pool_address, _servers: servers, lab };
        eventually(format_args!("the baseline of {}", file.name), PATIENCE, || {
            stage.events().iter().any(|event| event["type"] == "BASELINE_DONE").then_some(())
        });
        assert_eq!(stage.daemon.status()["mode"], mode.as_str(), "{}", stage.daemon.log());
        stage.let_lanes_pass();
        stage
    }

    /// Switches the network to hostile, lets things happen, and says what the daemon made of it.
    pub(crate) fn play(mut self) -> (Verdict, BTreeMap<String, u64>) {
        let router = self.lab.router();
        router.switch_on();
        let begun = Instant::now();
        let wait_until = |at: Duration| thread::sleep(at.saturating_sub(begun.elapsed()));
        let mut truths = Vec::new();
        for change in &self.file.change {
            wait_until(change.at);
            self.make(&change.what);
            truths.extend(Truth::of(&change.what, |host| self.address_of(host)));
        }
        wait_until(self.file.lasts);
        // The truth has to come out, and what the daemon says of itself too.
        let mut verdict = self.judge(&truths);
        while !(verdict.untold.is_empty() && verdict.complaints.is_empty())
            && begun.elapsed() < self.file.lasts + self.file.within
        {
            thread::sleep(Duration::from_millis(500));
            verdict = self.judge(&truths);
        }
        // Whatever is false has time to show itself.
        self.let_lanes_pass();
        let mut verdict = self.judge(&truths);
        let counts = self.lab.router().counts();
        for (what, least) in &self.file.expect.happened {
            let count = counts.get(what).copied().unwrap_or_default();
            if count < *least {
                verdict.complaints.push(format!("{what} is {count}, less than {least}: {counts:?}"));
            }
        }
        if !(verdict.untold.is_empty() && verdict.wrong.is_empty() && verdict.complaints.is_empty()) {
            self.keep_log();
        }
        (verdict, counts)
    }

    fn make(&mut self, what: &What) {
        match what {
            What::Open { host, port } => {
                let name = format!("new{port}");
                let on = self.hosts_called(host);
                let servers = on.iter().map(|on| Nginx::start(on, &name, &[*port], None)).collect();
                self.closable.insert((host.clone(), *port), servers);
            }
            What::Close { host, port } => {
                let closed = self.closable.remove(&(host.clone(), *port));
                assert!(closed.is_some(), "nothing on {host} port {port} can be closed");
            }
            What::Stop(host) => self.hosts_called(host).iter().for_each(Host::unplug),
            What::Return(host) => self.hosts_called(host).iter().for_each(Host::plug_in),
            What::Uplink(Uplink::Cut) => self.lab.router().cut(),
            What::Uplink(Uplink::Mended) => self.lab.router().mend(),
            What::Uplink(Uplink::Unplugged) => self.watcher.unplug(),
            What::Uplink(Uplink::Plugged) => self.watcher.plug_in(),
        }
    }

    fn hosts_called(&self, name: &str) -> Vec<Host> {
        if name == POOL {
            return self.pool.clone();
        }
        vec![self.hosts.get(name).unwrap_or_else(|| panic!("there is no host {name}")).clone()]
    }

    fn address_of(&self, name: &str) -> String {
        match &self.pool_address {
            Some(address) if name == POOL => address.clone(),
            _ => self.hosts_called(name).first().expect("a host").address().to_string(),
        }
    }

    fn judge(&self, truths: &[Truth]) -> Verdict {
        judge(truths, &self.events(), &self.told(), &self.file.expect)
    }

    /// Everything recorded, in order.
    fn events(&self) -> Vec<Value> {
        let mut events = self.daemon.list(&["events", "--limit", "100000"]);
        events.sort_by_key(|event| event["seq"].as_u64());
        events
    }

    /// What has come out of the channel.
    fn told(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.alerts).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Until every lane has finished two more passes, or for so long: a daemon that is blocked may pause some.
    fn let_lanes_pass(&self) {
        let finished = || -> Vec<Value> {
            let lanes = self.daemon.status()["lanes"].as_array().cloned().unwrap_or_default();
            lanes.iter().map(|lane| lane["last_finished"].clone()).collect()
        };
        let begun = Instant::now();
        for _ in 0..2 {
            let before = finished();
            while begun.elapsed() < TO_PASS && before.iter().zip(finished()).any(|(before, now)| *before == now) {
                thread::sleep(Duration::from_millis(300));
            }
        }
    }

    /// For whoever looks at a failure: the log beside the test's other temporary files.
    fn keep_log(&self) {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "hostile-{}-{}.log",
            self.file.name,
            self.mode.as_str()
        ));
        let status = self.daemon.status();
        let text = format!("{}\n{status:#}\n", self.daemon.log());
        if let Err(error) = fs::write(&kept, text) {
            panic!("{}: {error}", kept.display());
        }
    }
}

fn configuration(watcher: &Host, watch: &Watch, mode: Mode, pool: Option<&str>) -> String {
    let own = CAST.iter().map(|(_, ip)| *ip).chain(pool).chain(watch.also.iter().map(String::as_str));
    let targets = own.map(|target| format!("\"{target}\"")).collect::<Vec<_>>().join(", ");
    let show = model::format_duration;
    format!(
        r#"
[sensor]
name = "lab-sensor"
contact = "https://example.org/security"
mode = "{mode}"

[store]
path = "{dir}/state/perimeter.db"

[tls]
roots = ["{dir}/ca.pem"]

[asset.lab]
targets = [{targets}]
certificates = {{ issuers = ["O=Lab Example CA"] }}

[profile.lab]
assets = ["lab"]
rulesets = ["builtin:perimeter", "builtin:certificates"]
scan = {{ hot = "{every}", known = "{every}", likely = "{slow}", full = "never", identify = "{seldom}", hot_ports = "22,80,443", tcp = "{tcp}", udp = "53" }}
confirm = {{ port_closed = {{ passes = 2, at_least = "{closed}" }}, host_lost = {{ passes = 3, at_least = "{lost}" }} }}

[recipient.file]
jsonl = "{dir}/alerts.jsonl"
every = "immediate"
"#,
        dir = watcher.dir().display(),
        mode = mode.as_str(),
        every = show(watch.every),
        slow = show(watch.every * 2),
        seldom = show(watch.every * 5),
        tcp = watch.tcp,
        closed = show(watch.port_closed),
        lost = show(watch.host_lost),
    )
}
