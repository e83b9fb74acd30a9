use crate::{
    namespace::{Namespace, sweep},
    process::{Process, output_of},
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
    _turn: MutexGuard<'static, ()>,
}

/// A machine of the lab: a network namespace with one interface, `eth0`.
#[derive(Debug, Clone)]
pub struct Host {
    name: String,
    namespace: Namespace,
    addresses: Vec<IpAddr>,
    dir: PathBuf,
}

impl Lab {
    /// Needs root; waits for its turn.
    pub fn new() -> Self {
        // A test that failed while it held the lock has nothing to do with this one.
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        sweep();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::Builder::new().prefix("perilab-").tempdir().expect("a temporary directory");
        // Servers drop their privileges and must still reach their files.
        open_to_all(dir.path());
        let hub = Namespace::create(number, "hub");
        let lab = Self { number, hub, hosts: Vec::new(), dir, _turn: turn };
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

    /// Where logs and files go; removed with the lab.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn plug_in(&mut self, name: &str, addresses: &[&str], isolated: bool) -> Host {
        let namespace = Namespace::create(self.number, name);
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).expect("a host's own directory");
        open_to_all(&dir);
        let addresses: Vec<IpAddr> =
            addresses.iter().map(|text| text.parse().unwrap_or_else(|_| panic!("{text} is no address"))).collect();
        // Known before anything can fail, so that it is removed whatever happens.
        self.hosts.push(Host {
            name: name.to_owned(),
            namespace: namespace.clone(),
            addresses: addresses.clone(),
            dir,
        });
        let port = format!("port{}", self.hosts.len());
        self.hub.ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", namespace.name()]);
        self.hub.ip(&["link", "set", &port, "master", "bridge0", "up"]);
        if isolated {
            output_of(self.hub.command("bridge").args(["link", "set", "dev", &port, "isolated", "on"]));
        }
        for address in addresses {
            let (length, options): (u8, &[&str]) = if address.is_ipv4() { (24, &[]) } else { (64, &["nodad"]) };
            let address = format!("{address}/{length}");
            namespace.ip(&[&["addr", "add", &address, "dev", "eth0"], options].concat());
        }
        namespace.ip(&["link", "set", "eth0", "up"]);
        self.hosts.last().cloned().expect("just pushed")
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
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
        self.namespace.ip(&["link", "set", "eth0", "down"]);
    }

    /// Plugs it in again. Taking an interface down loses its IPv6 addresses, so they are set anew.
    pub fn plug_in(&self) {
        self.namespace.ip(&["link", "set", "eth0", "up"]);
        for address in self.addresses.iter().filter(|address| address.is_ipv6()) {
            self.namespace.ip(&["addr", "replace", &format!("{address}/64"), "dev", "eth0", "nodad"]);
        }
    }
}

fn open_to_all(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("own directory");
}
