use super::{LanePlan, Plan, ProfilePlan};
use crate::names::show;
use model::{AddressSet, Lane, format_duration};
use std::fmt::Write;

impl Plan {
    /// For `check`: addresses, probes and packets per second per lane, then the sums and what they may be. Of targets too large to
    /// sweep, those addresses are asked that the configuration gives otherwise, and those that are met: `met` names them, as far
    /// as they are met already.
    pub fn render(&self, met: impl Fn(&AddressSet) -> AddressSet) -> String {
        let mut text = String::new();
        for profile in &self.profiles {
            let _ = writeln!(text, "profile {}: {}", show(&profile.name), addresses(profile));
            for target in &profile.unsweepable {
                let all: AddressSet = target.range().into_iter().collect();
                let candidates = grouped(profile.swept.intersection(&all).union(&met(&all)).len());
                let plural = if candidates == "1" { "" } else { "s" };
                let _ = writeln!(text, "  not enumerable: {target}, {candidates} candidate{plural} so far");
            }
            if let Some(windows) = &profile.windows {
                let _ = writeln!(text, "  asks in its window only: {windows}");
            }
            for lane in &profile.lanes {
                let _ = writeln!(text, "  {}", line(profile, lane));
            }
        }
        if self.profiles.is_empty() {
            let _ = writeln!(text, "no profile is active");
        }
        let share = share(self.total_rate / f64::from(self.ceiling.get()));
        let _ = writeln!(
            text,
            "together {} packets per second of the {} that sensor.rate allows ({share})",
            per_second(self.total_rate),
            per_second(f64::from(self.ceiling.get()))
        );
        let _ = writeln!(
            text,
            "on one host at most {} packets per second of the {} that sensor.rate_per_host allows",
            per_second(self.host_rate),
            per_second(f64::from(self.host_ceiling.get()))
        );
        let _ = writeln!(
            text,
            "in one /24 (IPv6: /56) at most {} packets per second of the {} that ten hosts may get",
            per_second(self.prefix_rate),
            per_second(self.prefix_ceiling)
        );
        text
    }
}

/// In whole percent; what is more than nothing is never called 0 %.
fn share(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent > 0.0 && percent < 1.0 { "under 1 %".to_owned() } else { format!("{percent:.0} %") }
}

fn addresses(profile: &ProfilePlan) -> String {
    let count = grouped(profile.addresses);
    let plural = if profile.addresses == 1 { "" } else { "es" };
    if profile.addresses == 0 && profile.unsweepable.is_empty() {
        return "nothing to sweep: every address of its targets is excluded".to_owned();
    }
    match profile.host_names {
        0 => format!("{count} address{plural}"),
        1 => format!("{count} address{plural}, one of them for a host name"),
        names => format!("{count} address{plural}, {names} of them for host names"),
    }
}

fn line(profile: &ProfilePlan, lane: &LanePlan) -> String {
    let every = format!("{:<6} every {:<6}", lane.lane.as_str(), every(lane));
    if lane.lane == Lane::Known {
        return format!("{every} every endpoint ever seen open: grows with what is found");
    }
    format!(
        "{every} {} × {} ports = {} probes, {} packets per second",
        grouped(profile.addresses),
        grouped(u128::from(lane.ports)),
        grouped(lane.probes),
        per_second(lane.needed_rate)
    )
}

/// `1d`, or `1d (open for 8h)`.
pub(super) fn every(lane: &LanePlan) -> String {
    let period = format_duration(lane.period);
    if lane.open < lane.period { format!("{period} (open for {})", format_duration(lane.open)) } else { period }
}

/// `full: 65,536 addresses × 65,535 ports every 1d = 49,710/s`.
pub(super) fn arithmetic(profile: &ProfilePlan, lane: &LanePlan) -> String {
    format!(
        "{}: {} addresses × {} ports every {} = {}/s",
        lane.lane,
        grouped(profile.addresses),
        grouped(u128::from(lane.ports)),
        every(lane),
        per_second(lane.needed_rate)
    )
}

/// A rate as people read it, never less than it is: `49,710`, `0.4`.
pub(super) fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 {
        let tenths = (rate * 10.0).ceil() / 10.0;
        return format!("{tenths:.1}").trim_end_matches(".0").to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float's cast saturates; it is for show"
    )]
    grouped((rate - 1e-6).ceil().max(0.0) as u128)
}

/// `65,536`.
pub(crate) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
