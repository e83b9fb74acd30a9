use crate::{
    namespace::{Namespace, sweep},
    process::{Process, output_of},
    router::{FAR, NEAR, Router, Scenario},
};
use std::{
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::TempDir;

/// One lab at a time in one test binary: the machine has few cores, and deadlines are real.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static LABS: AtomicU32 = AtomicU32::new(1);

/// A network of its own: hosts on a bridge, and no way out. Removed with everything in it when dropped, after a panic too.
#[derive(Debug)]
pub struct Lab {
    number: u32,
    hub: Namespace,
    hosts: Vec<Host>,
    dir: TempDir,
    router: Option<Router>,
    /// None where several may live at once.
    _turn: Option<MutexGuard<'static, ()>>,
}

/// The bridge's own address in a lab with a router: the hosts' way to the watcher.
const GATEWAY: [&str; 2] = ["10.77.0.254", "fd77::fe"];
/// The watcher's side of the router: its addresses, and what a NAT may call it.
const NEAR_SIDE: [&str; 2] = ["10.78.0.0/15", "fd78::/15"];
/// The servers' side: hosts, balanced addresses, prefixes of middleboxes.
const FAR_SIDE: [&str; 2] = ["10.77.0.0/16", "fd77::/32"];
const WATCHER: [&str; 2] = ["10.78.0.1", "fd78::1"];

/// A machine of the lab: a network namespace with one interface, `eth0`, or `near0` in front of a router.
#[derive(Debug, Clone)]
pub struct Host {
    name: String,
    namespace: Namespace,
    addresses: Vec<IpAddr>,
    dir: PathBuf,
    interface: &'static str,
    /// What leads further than its own link: prefix, and through what.
    routes: Vec<[String; 3]>,
}

impl Lab {
    /// Needs root; waits for its turn.
    pub fn new() -> Self {
        // A test that failed while it held the lock has nothing to do with this one.
        Self::begin(Some(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// A lab whose hosts are reached only through an impairment router, and the watcher in front of it (`10.78.0.1` and
    /// `fd78::1`). Hosts are in `10.77.0.0/24` and `fd77::/64`; the watcher's routes lead there for all of `10.77.0.0/16`
    /// and `fd77::/32`, so that a stage may answer for addresses that no host has. A host that does not exist is silent. Needs
    /// root; several such labs may live at once, since they mostly wait.
    pub fn across_router(scenario: &Scenario) -> (Self, Host) {
        let mut lab = Self::begin(None);
        let routes = FAR_SIDE.map(|prefix| [prefix, "dev", NEAR].map(ToOwned::to_owned)).to_vec();
        let watcher = lab.add_host("watcher", &WATCHER, NEAR, routes);
        lab.router = Some(Router::start(scenario, &watcher.namespace, &lab.hub));
        for (namespace, device) in [(&watcher.namespace, NEAR), (&lab.hub, FAR)] {
            // No addresses but those given.
            namespace.ip(&["link", "set", device, "addrgenmode", "none"]);
        }
        watcher.plug_in();
        lab.hub.ip(&["link", "set", FAR, "up"]);
        lab.hub.forward();
        for ((address, near), far) in GATEWAY.iter().zip(NEAR_SIDE).zip(FAR_SIDE) {
            lab.hub.add_address(parse(address), "bridge0");
            lab.hub.ip(&["route", "add", near, "dev", FAR]);
            // Where nobody is, nobody says so.
            lab.hub.ip(&["route", "add", "blackhole", far]);
        }
        (lab, watcher)
    }

    /// The router of a lab that has one.
    pub fn router(&self) -> &Router {
        self.router.as_ref().expect("the lab was made across a router")
    }

    fn begin(turn: Option<MutexGuard<'static, ()>>) -> Self {
        sweep();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::Builder::new().prefix("perilab-").tempdir().expect("a temporary directory");
        // Servers drop their privileges and must still reach their files.
        open_to_all(dir.path());
        let hub = Namespace::create(number, "hub");
        let lab = Self { number, hub, hosts: Vec::new(), dir, router: None, _turn: turn };
        lab.hub.ip(&["link", "add", "bridge0", "type", "bridge", "stp_state", "0", "mcast_snooping", "0"]);
        lab.hub.ip(&["link", "set", "bridge0", "up"]);
        lab
    }

    /// A host that reaches every other one: where the daemon runs.
    pub fn watcher(&mut self, name: &str, addresses: &[&str]) -> Host {
        self.plug_in(name, addresses, false)
    }

    /// A host that only the watchers reach, and that reaches only them.
    pub fn host(&mut self, name: &str, addresses: &[&str]) -> Host {
        self.plug_in(name, addresses, true)
    }

    /// Lets a host answer for a whole prefix besides its own addresses. In a lab across a router only.
    pub fn answer_for(&self, host: &Host, prefix: &str) {
        host.namespace.ip(&["route", "add", "local", prefix, "dev", "lo"]);
        self.hub.ip(&["route", "add", prefix, "via", &host.address().to_string()]);
    }

    /// A machine that is on no bridge and has no address: whoever asks for it makes its links, to others of the lab only.
    pub fn bare_host(&mut self, name: &str) -> Host {
        self.add_host(name, &[], "eth0", Vec::new())
    }

    /// Where logs and files go; removed with the lab.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A host that is not plugged in anywhere yet.
    fn add_host(&mut self, name: &str, addresses: &[&str], interface: &'static str, routes: Vec<[String; 3]>) -> Host {
        let namespace = Namespace::create(self.number, name);
        let dir = self.dir.path().join(name);
        let addresses = addresses.iter().map(|text| parse(text)).collect();
        let host = Host { name: name.to_owned(), namespace, addresses, dir, interface, routes };
        // Known before anything else can fail, so that it is removed whatever happens.
        self.hosts.push(host.clone());
        fs::create_dir(&host.dir).expect("a host's own directory");
        open_to_all(&host.dir);
        host
    }

    fn plug_in(&mut self, name: &str, addresses: &[&str], isolated: bool) -> Host {
        let has = |v4: bool| addresses.iter().any(|address| parse(address).is_ipv4() == v4);
        let ways = NEAR_SIDE.iter().zip(GATEWAY).zip([true, false]);
        let routes = ways.filter(|(_, v4)| self.router.is_some() && has(*v4));
        let routes = routes.map(|((prefix, gateway), _)| [prefix, "via", gateway].map(ToOwned::to_owned)).collect();
        let host = self.add_host(name, addresses, "eth0", routes);
        let number = self.hosts.len();
        let (port, mac) = (format!("port{number}"), format!("02:77:00:00:00:{number:02x}"));
        let peer = ["peer", "name", "eth0", "address", &mac, "netns", host.namespace.name()];
        self.hub.ip(&[&["link", "add", &port, "type", "veth"][..], &peer].concat());
        self.hub.ip(&["link", "set", &port, "master", "bridge0", "up"]);
        if isolated {
            output_of(self.hub.command("bridge").args(["link", "set", "dev", &port, "isolated", "on"]));
        }
        for address in host.addresses.iter().filter(|_| self.router.is_some()) {
            // Otherwise the gateway would tell of a host that is down: a router seldom does.
            let address = address.to_string();
            self.hub.ip(&["neigh", "replace", &address, "lladdr", &mac, "dev", "bridge0", "nud", "permanent"]);
        }
        host.plug_in();
        host
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.router.take());
        for host in &self.hosts {
            host.namespace.remove();
        }
        self.hub.remove();
    }
}

impl Host {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        *self.addresses.first().expect("every host has an address")
    }

    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Its own directory, for configuration, logs and data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A command that will run on it.
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// A command for a server whose files lie in the host's directory: where Debian's `AppArmor` confines some of them to
    /// their usual places, the profile is left off. The process keeps the pid it is started with.
    pub(crate) fn server_command(&self, program: &str) -> Command {
        let script = "if grep -qs Y /sys/module/apparmor/parameters/enabled; then \
                          attr=/proc/self/attr/apparmor/exec; [ -e $attr ] || attr=/proc/self/attr/exec; \
                          echo 'exec unconfined' > $attr; \
                      fi; exec \"$0\" \"$@\"";
        let mut command = self.command("sh");
        command.args(["-c", script, program]);
        command
    }

    /// Runs a command on it to its end; gives its stdout, panics where it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        output_of(self.command(program).args(arguments))
    }

    /// Starts a program on it; its words go to `NAME.log` in the host's directory.
    pub fn start(&self, name: &str, command: &mut Command) -> Process {
        Process::start(&format!("{name} on {}", self.name), command, &self.dir.join(format!("{name}.log")))
    }

    /// Writes a file into the host's directory.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// As if its cable were pulled.
    pub fn unplug(&self) {
        self.namespace.ip(&["link", "set", self.interface, "down"]);
    }

    /// Plugs it in again. Taking an interface down loses its routes and IPv6 addresses, so they are set anew.
    pub fn plug_in(&self) {
        self.namespace.ip(&["link", "set", self.interface, "up"]);
        for address in &self.addresses {
            self.namespace.add_address(*address, self.interface);
        }
        for [prefix, how, through] in &self.routes {
            self.namespace.ip(&["route", "replace", prefix, how, through]);
        }
    }
}

fn parse(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

fn open_to_all(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("own directory");
}
