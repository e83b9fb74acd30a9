use crate::{patience::soon, process::output_of};
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use std::{
    fs::File,
    net::IpAddr,
    os::fd::AsFd,
    process::Command,
    sync::Once,
    thread::{self, JoinHandle},
};

/// Every namespace of ours is called `perilab-<pid of the test>-<number>-<host>`.
const PREFIX: &str = "perilab-";

/// A named network namespace. Only [`crate::Lab`] makes and removes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn create(lab: u32, host: &str) -> Self {
        let name = format!("{PREFIX}{}-{lab}-{host}", std::process::id());
        output_of(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self { name };
        // A copied setting of the machine must not make a router of a host; addresses must be usable at once.
        let settings = "echo 0 > /proc/sys/net/ipv4/ip_forward; \
                        echo 0 > /proc/sys/net/ipv6/conf/all/forwarding; \
                        echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; \
                        echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad";
        output_of(namespace.command("sh").args(["-ec", settings]));
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Lets it forward packets between its own interfaces. It has none that leads out.
    pub(crate) fn forward(&self) {
        let settings = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
        output_of(self.command("sh").args(["-ec", settings]));
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside; the process keeps the pid it is started with.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// `ip -n NAMESPACE …`.
    pub fn ip(&self, arguments: &[&str]) -> String {
        output_of(Command::new("ip").args(["-n", &self.name]).args(arguments))
    }

    /// Gives an interface an address, with the /24 or /64 around it; replaces it where it has it.
    pub(crate) fn add_address(&self, address: IpAddr, interface: &str) {
        let (length, options): (u8, &[&str]) = if address.is_ipv4() { (24, &[]) } else { (64, &["nodad"]) };
        let address = format!("{address}/{length}");
        self.ip(&[&["addr", "replace", &address, "dev", interface], options].concat());
    }

    /// Runs a closure in a thread of its own that lives in the namespace.
    pub fn enter<T: Send + 'static>(&self, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name);
        thread::spawn(move || {
            let namespace = File::open(&path).expect("the namespace has a name");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter a namespace");
            run()
        })
    }

    /// The processes that live in it.
    fn processes(&self) -> Vec<Pid> {
        let output = Command::new("ip").args(["netns", "pids", &self.name]).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        let pids = String::from_utf8_lossy(&text).into_owned();
        pids.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)).collect()
    }

    /// Ends everything in it, then removes it.
    pub(crate) fn remove(&self) {
        soon(format_args!("the processes in {} to end", self.name), || {
            let left = self.processes();
            for pid in &left {
                // One that has just ended is no error.
                let _ = kill_process(*pid, Signal::KILL);
            }
            left.is_empty().then_some(())
        });
        output_of(Command::new("ip").args(["netns", "del", &self.name]));
    }
}

/// Removes the namespaces of tests that were killed before they could. Once is enough: they are those of other processes.
pub(crate) fn sweep() {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(remove_orphans);
}

fn remove_orphans() {
    let listed = output_of(Command::new("ip").args(["netns", "list"]));
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            Namespace { name: name.to_owned() }.remove();
        }
    }
}
