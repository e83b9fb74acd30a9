use super::{Answer, Question};
use std::{path::Path, process::Command};
use testkit::{Host, Line};

/// Without its list of excluded networks, which holds those of every lab.
pub(super) fn command(near: &Host, question: &Question, found: &Path) -> Command {
    let mut command = near.command("zmap");
    command.args(["--config=/dev/null", "--blacklist-file=/dev/null", "--quiet", "--disable-syslog", "-i", "eth0"]);
    command.args(["-S", Line::NEAR_ADDRESSES[0], "-G", Line::FAR_MAC, "-p", &question.ports]);
    // Zero is as fast as it can.
    command.args(["-r", &question.rate.unwrap_or(0).to_string()]);
    command.args(["-T", &question.threads.to_string()]);
    if question.probes != 1 {
        command.args(["-P", &question.probes.to_string()]);
    }
    if let Some(seconds) = question.listen {
        command.args(["-c", &seconds.to_string()]);
    }
    command.args(question.besides).arg("-o").arg(found);
    command.args(["--output-fields=saddr,sport", "--output-filter=success = 1 && repeat = 0"]);
    command.arg(&question.targets);
    command
}

/// `10.0.0.1,80`, below a line that says what is what where there is more than one field.
pub(super) fn read(text: &str) -> Answer {
    let endpoint = |line: &str| {
        let (address, port) = line.split_once(',')?;
        Some((address.parse().ok()?, port.trim().parse().ok()?))
    };
    Answer { open: text.lines().filter_map(endpoint).collect(), summary: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let open = read("saddr,sport\n10.0.0.1,80\n10.15.255.255,80\n10.0.0.1,80\n").open;
        assert_eq!(open, [("10.0.0.1".parse().unwrap(), 80), ("10.15.255.255".parse().unwrap(), 80)].into());
    }
}
