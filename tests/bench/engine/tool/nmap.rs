use super::{Answer, Question};
use std::{path::Path, process::Command};
use testkit::Host;

/// As most people ask it for everything, without names and pings: `nmap -p- -T4 -sS -n -Pn`.
pub(super) fn command(near: &Host, question: &Question, found: &Path) -> Command {
    let mut command = near.command("nmap");
    command.args(["-sS", "-T4", "-n", "-Pn"]);
    if question.ports == "1-65535" {
        command.arg("-p-");
    } else {
        command.args(["-p", &question.ports]);
    }
    if let Some(rate) = question.rate {
        command.args(["--min-rate", &rate.to_string()]);
    }
    command.args(question.besides).arg("-oG").arg(found).arg(&question.targets);
    command
}

/// `Host: 10.0.0.1 () TAB Ports: 22/open/tcp//ssh///, 80/open/tcp//http///`.
pub(super) fn read(text: &str) -> Answer {
    let mut open = std::collections::BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("Host: ")) {
        let Some((host, ports)) = line.split_once("\tPorts: ") else { continue };
        let Some(address) = host.split_whitespace().next().and_then(|word| word.parse().ok()) else { continue };
        // What follows, behind another tab, is about the ports that are not listed.
        let ports = ports.split('\t').next().unwrap_or_default();
        for port in ports.split(", ") {
            let mut fields = port.split('/');
            if let (Some(number), Some("open"), Some("tcp")) = (fields.next(), fields.next(), fields.next())
                && let Ok(number) = number.trim().parse()
            {
                open.insert((address, number));
            }
        }
    }
    Answer { open, summary: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let text = "# Nmap 7.93\nHost: 10.0.0.1 ()\tStatus: Up\n\
                    Host: 10.0.0.1 ()\tPorts: 22/open/tcp//ssh///, 80/filtered/tcp//http///, 99/open/tcp/////\tIgnored State: closed (65532)\n";
        let address = "10.0.0.1".parse().unwrap();
        assert_eq!(read(text).open, [(address, 22), (address, 99)].into());
    }
}
