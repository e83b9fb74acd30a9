use super::{Answer, Question};
use std::{path::Path, process::Command};
use testkit::{Host, Line};

/// More than it can send.
const FASTEST: u32 = 10_000_000;

pub(super) fn command(near: &Host, question: &Question, found: &Path) -> Command {
    let mut command = near.command("masscan");
    command.args(["--conf", "/dev/null", "-e", "eth0", "--adapter-ip", Line::NEAR_ADDRESSES[0]]);
    command.args(["--router-mac", Line::FAR_MAC, "--open-only"]);
    command.args(["--rate", &question.rate.unwrap_or(FASTEST).to_string()]);
    if question.probes != 1 {
        command.args(["--retries", &(question.probes - 1).to_string()]);
    }
    if let Some(seconds) = question.listen {
        command.args(["--wait", &seconds.to_string()]);
    }
    command.args(question.besides).arg("-oL").arg(found);
    command.arg(format!("-p{}", question.ports)).arg(&question.targets);
    command
}

/// `open tcp 80 10.0.0.1 1795320000`.
pub(super) fn read(text: &str) -> Answer {
    let endpoint = |line: &str| {
        let mut words = line.split_whitespace();
        let (state, protocol, port, address) = (words.next()?, words.next()?, words.next()?, words.next()?);
        (state == "open" && protocol == "tcp").then_some((address.parse().ok()?, port.parse().ok()?))
    };
    Answer { open: text.lines().filter_map(endpoint).collect(), summary: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let open = read("#masscan\nopen tcp 80 10.0.0.1 1795320000\nclosed tcp 81 10.0.0.1 1795320000\n# end\n").open;
        assert_eq!(open, [("10.0.0.1".parse().unwrap(), 80)].into());
    }
}
