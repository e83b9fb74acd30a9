//! Feasibility: what a configuration will send, whether the ceilings can carry it, and which defaults give way.

use crate::{Config, Diagnostic, Profile, Scan, Span, address::is_unsweepable, names::show, scan::Written};
use model::{AddressSet, Lane, Rate, Target, Windows};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

mod lane;
mod prefix;
mod render;

pub(crate) use render::grouped;

/// What will be done, in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The active profiles.
    pub profiles: Vec<ProfilePlan>,
    /// Probes per second over all lanes of all profiles.
    pub total_rate: f64,
    /// `sensor.rate`.
    pub ceiling: Rate,
    /// The most that one host gets, probes per second, over all lanes of all profiles that watch it.
    pub host_rate: f64,
    /// Whose lanes those are.
    pub host_profiles: Vec<Arc<str>>,
    /// `sensor.rate_per_host`.
    pub host_ceiling: Rate,
    /// The most that one /24 (IPv6: /56) gets, and may get: [`model::HOSTS_OF_A_PREFIX`] times a host's.
    pub prefix_rate: f64,
    pub prefix_ceiling: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ProfilePlan {
    pub name: Arc<str>,
    /// Addresses to be swept, exclusions subtracted; a host name counts for one.
    pub addresses: u128,
    /// The same without host names.
    pub swept: AddressSet,
    /// How many of them are host names.
    pub host_names: usize,
    /// Targets too large to be swept.
    pub unsweepable: Vec<Target>,
    pub lanes: Vec<LanePlan>,
    /// When it may ask; none is always.
    pub windows: Option<Windows>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LanePlan {
    pub lane: Lane,
    pub period: Duration,
    /// Of a period, the time in which it may ask.
    pub open: Duration,
    /// Ports asked on one address; 0 for the known lane, which asks what was found.
    pub ports: u32,
    /// Addresses × ports.
    pub endpoints: u128,
    /// Probes in one period, without repetitions: one for each endpoint.
    pub probes: u128,
    /// Probes per second that finish in one period, sent while it may ask.
    pub needed_rate: f64,
    /// The same on one host.
    pub host_rate: f64,
    /// The most that the lane reaches under the ceilings, were it alone: it asks group after group.
    pub reached_rate: f64,
}

/// What a configuration will send. Pure arithmetic; nothing is resolved.
pub fn plan(config: &Config) -> Plan {
    let profiles: Vec<ProfilePlan> = config
        .profiles
        .iter()
        .filter(|(_, profile)| profile.active)
        .map(|(name, profile)| of_profile(config, name, profile))
        .collect();
    let total_rate = profiles.iter().flat_map(|profile| &profile.lanes).map(|lane| lane.needed_rate).sum();
    let (host_rate, host_profiles) = busiest_host(config, &profiles);
    let prefix_rate = prefix::busiest(&profiles).map_or(0.0, |busiest| busiest.rate);
    Plan {
        profiles,
        prefix_rate,
        prefix_ceiling: prefix::ceiling(config.sensor.rate_per_host),
        total_rate,
        ceiling: config.sensor.rate,
        host_rate,
        host_profiles,
        host_ceiling: config.sensor.rate_per_host,
    }
}

impl Plan {
    /// Whether the ceilings carry it.
    pub fn is_feasible(&self) -> bool {
        fits(self.total_rate, self.ceiling.get().into())
            && fits(self.host_rate, self.host_ceiling.get().into())
            && fits(self.prefix_rate, self.prefix_ceiling)
            && self.slow_lane().is_none()
    }

    /// The lane that is furthest from what its period asks for, where one is.
    fn slow_lane(&self) -> Option<(&ProfilePlan, &LanePlan)> {
        let lanes = self.profiles.iter().flat_map(|profile| profile.lanes.iter().map(move |lane| (profile, lane)));
        let slow = lanes.filter(|(_, lane)| !fits(lane.needed_rate, lane.reached_rate));
        let lack = |lane: &LanePlan| lane.needed_rate / lane.reached_rate;
        slow.max_by(|(_, a), (_, b)| lack(a).total_cmp(&lack(b)))
    }
}

/// Where a profile stands in the file, and which of its periods the operator wrote.
#[derive(Debug, Clone)]
pub(crate) struct Cadence {
    pub(crate) key: Span,
    pub(crate) written: Written,
}

/// Stretches default periods that do not fit, with a warning each; an error where what was written cannot be carried.
pub(crate) fn fit(config: &mut Config, cadences: &BTreeMap<Arc<str>, Cadence>) -> Vec<Diagnostic> {
    let mut diagnostics = stretch(config, cadences);
    let plan = plan(config);
    diagnostics.extend(over_ceiling(&plan, cadences));
    diagnostics.extend(over_host_ceiling(&plan, cadences));
    diagnostics.extend(over_prefix_ceiling(&plan, cadences));
    diagnostics.extend(over_lane_ceiling(&plan, cadences));
    diagnostics
}

fn of_profile(config: &Config, name: &Arc<str>, profile: &Profile) -> ProfilePlan {
    let (swept, host_names, unsweepable) = scope(config, profile);
    let addresses = swept.len().saturating_add(host_names.len() as u128);
    let mut plan = ProfilePlan {
        name: name.clone(),
        addresses,
        swept,
        host_names: host_names.len(),
        unsweepable,
        lanes: Vec::new(),
        windows: profile.scan.windows.clone(),
    };
    plan.lanes = Lane::PERIODIC
        .iter()
        .filter_map(|&lane| Some((lane, profile.scan.period(lane)?)))
        .map(|(lane, period)| {
            let ports = ports(&profile.scan, lane);
            let endpoints = addresses.saturating_mul(u128::from(ports));
            let open = profile.scan.open_in(period);
            LanePlan {
                lane,
                period,
                open,
                ports,
                endpoints,
                probes: endpoints,
                needed_rate: rate(endpoints, open),
                host_rate: if addresses == 0 { 0.0 } else { rate(u128::from(ports), open) },
                reached_rate: lane::ceiling(&plan, (lane, ports), (config.sensor.rate, config.sensor.rate_per_host)),
            }
        })
        .collect();
    plan
}

/// The addresses a profile sweeps, the names that stand for one each, and what is too large.
fn scope(config: &Config, profile: &Profile) -> (AddressSet, BTreeSet<String>, Vec<Target>) {
    let targets = profile.assets.iter().filter_map(|name| config.assets.get(name)).flat_map(|asset| &asset.targets);
    let (mut ranges, mut names, mut unsweepable) = (Vec::new(), BTreeSet::new(), Vec::new());
    for target in targets {
        match target {
            Target::Name(name) => {
                names.insert(name.clone());
            }
            target if is_unsweepable(target) => unsweepable.push(target.clone()),
            target => ranges.extend(target.range()),
        }
    }
    let swept: AddressSet = ranges.into_iter().collect();
    (swept.difference(&config.sensor.exclude), names, unsweepable)
}

fn ports(scan: &Scan, lane: Lane) -> u32 {
    match lane {
        Lane::Hot => scan.hot_ports.len(),
        Lane::Likely => scan.tcp.len() + scan.udp.len(),
        Lane::Full => u32::from(u16::MAX),
        Lane::Known | Lane::Confirm => 0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people and a comparison, not an account")]
fn rate(probes: u128, period: Duration) -> f64 {
    probes as f64 / period.as_secs_f64().max(0.001)
}

fn fits(needed: f64, ceiling: f64) -> bool {
    needed <= ceiling * (1.0 + 1e-9)
}

/// The most that the profiles' lanes together ask of one address. Ranges are walked by their borders, between which the
/// set of profiles does not change. A host name is judged by its profile alone: nobody knows yet where it points.
fn busiest_host(config: &Config, plans: &[ProfilePlan]) -> (f64, Vec<Arc<str>>) {
    let rates: Vec<f64> = plans.iter().map(|plan| plan.lanes.iter().map(|lane| lane.host_rate).sum()).collect();
    // (address, family's order, ends before begins at the same border, profile)
    let mut borders: Vec<(bool, u128, bool, usize)> = Vec::new();
    let mut busiest = (0.0, Vec::new());
    for (index, plan) in plans.iter().enumerate() {
        if plan.addresses > 0 && rates[index] > busiest.0 {
            busiest = (rates[index], vec![plan.name.clone()]);
        }
        let Some(profile) = config.profiles.get(&plan.name) else { continue };
        for range in scope(config, profile).0.ranges() {
            let v6 = range.first().is_ipv6();
            borders.push((v6, number(range.first()), true, index));
            borders.push((v6, number(range.last()).saturating_add(1), false, index));
        }
    }
    borders.sort_unstable();
    let mut watching: BTreeSet<usize> = BTreeSet::new();
    for (_, _, begins, index) in borders {
        if begins {
            watching.insert(index);
            let sum: f64 = watching.iter().map(|&index| rates[index]).sum();
            if watching.len() > 1 && sum > busiest.0 {
                busiest = (sum, watching.iter().map(|&index| plans[index].name.clone()).collect());
            }
        } else {
            watching.remove(&index);
        }
    }
    busiest
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// Gives the lanes whose period nobody wrote longer periods where the sum does not fit otherwise: each the same share of
/// half the ceiling, and what a small lane leaves goes to the larger ones.
fn stretch(config: &mut Config, cadences: &BTreeMap<Arc<str>, Cadence>) -> Vec<Diagnostic> {
    let before = plan(config);
    let is_written = |profile: &Arc<str>, lane: Lane| {
        cadences.get(profile).is_none_or(|cadence| cadence.written.contains_key(&lane))
    };
    let mut everywhere = Vec::new();
    let mut longer: BTreeMap<(Arc<str>, Lane), Duration> = BTreeMap::new();
    for profile in &before.profiles {
        let (mut on_one_host, mut in_one_prefix) = (Vec::new(), Vec::new());
        let one = std::slice::from_ref(profile);
        let crowd = prefix::busiest(one).map_or(0.0, |busiest| prefix::addresses(profile, busiest.prefix));
        for lane in profile.lanes.iter().filter(|lane| lane.needed_rate > 0.0) {
            let share = |needed, work| Share {
                profile: profile.name.clone(),
                lane: lane.lane,
                written: is_written(&profile.name, lane.lane),
                needed,
                work,
            };
            #[expect(clippy::cast_precision_loss, reason = "rounded up to whole minutes anyway")]
            everywhere.push(share(lane.needed_rate, lane.probes as f64));
            on_one_host.push(share(lane.host_rate, f64::from(lane.ports)));
            in_one_prefix.push(share(lane.host_rate * crowd, f64::from(lane.ports) * crowd));
        }
        divide(&on_one_host, before.host_ceiling.get().into(), &mut longer);
        divide(&in_one_prefix, before.prefix_ceiling, &mut longer);
    }
    divide(&everywhere, before.ceiling.get().into(), &mut longer);
    let mut diagnostics = Vec::new();
    for ((name, lane), period) in longer {
        let (Some(profile), Some(cadence)) = (config.profiles.get_mut(&name), cadences.get(&name)) else { continue };
        let default = profile.scan.period(lane).unwrap_or_default();
        let period = open_for(profile.scan.windows.as_ref(), period);
        profile.scan.set_period(lane, period);
        let title = format!(
            "profile {} sweeps its {lane} lane every {} instead of every {}, which the ceilings cannot carry",
            show(&name),
            model::format_duration(period),
            model::format_duration(default)
        );
        diagnostics.push(
            Diagnostic::warning(cadence.key, title).label("the period is a default, so it was stretched").help(
                format!("write `scan.{lane}` to decide it yourself, raise `sensor.rate`, or watch fewer addresses"),
            ),
        );
    }
    diagnostics
}

struct Share {
    profile: Arc<str>,
    lane: Lane,
    written: bool,
    /// Probes per second.
    needed: f64,
    /// Probes in one period.
    work: f64,
}

fn divide(shares: &[Share], ceiling: f64, longer: &mut BTreeMap<(Arc<str>, Lane), Duration>) {
    let written: f64 = shares.iter().filter(|share| share.written).map(|share| share.needed).sum();
    let mut defaults: Vec<&Share> = shares.iter().filter(|share| !share.written).collect();
    let needed: f64 = defaults.iter().map(|share| share.needed).sum();
    let mut left = (ceiling - written).min(ceiling / 2.0);
    if written + needed <= ceiling || left <= 0.0 {
        return;
    }
    defaults.sort_by(|a, b| a.needed.total_cmp(&b.needed));
    let count = defaults.len();
    for (index, share) in defaults.into_iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a handful of lanes")]
        let granted = share.needed.min(left / (count - index) as f64);
        left -= granted;
        if granted < share.needed {
            let period = round_up(share.work / granted);
            let slot = longer.entry((share.profile.clone(), share.lane)).or_insert(period);
            *slot = (*slot).max(period);
        }
    }
}

/// The period in which it may ask for so long.
fn open_for(windows: Option<&Windows>, wanted: Duration) -> Duration {
    let Some(windows) = windows else { return wanted };
    let mut period = wanted;
    while period < crate::scan::TEN_YEARS {
        let missing = wanted.saturating_sub(windows.open_in(period));
        if missing.is_zero() {
            break;
        }
        period += missing.max(crate::scan::HOUR);
    }
    period.min(crate::scan::TEN_YEARS)
}

/// To a period that reads well, at most ten years (what needs longer stays over the ceiling and is refused).
fn round_up(seconds: f64) -> Duration {
    let most = crate::scan::TEN_YEARS.as_secs_f64();
    let seconds = seconds.clamp(1.0, most);
    let step = match seconds {
        s if s < 600.0 => 1.0,
        s if s < 86_400.0 => 60.0,
        s if s < 14.0 * 86_400.0 => 3_600.0,
        _ => 86_400.0,
    };
    Duration::from_secs_f64(((seconds / step).ceil() * step).min(most))
}

fn over_ceiling(plan: &Plan, cadences: &BTreeMap<Arc<str>, Cadence>) -> Option<Diagnostic> {
    if fits(plan.total_rate, plan.ceiling.get().into()) {
        return None;
    }
    let mut lanes: Vec<(&ProfilePlan, &LanePlan)> = plan
        .profiles
        .iter()
        .flat_map(|profile| profile.lanes.iter().map(move |lane| (profile, lane)))
        .filter(|(_, lane)| lane.probes > 0)
        .collect();
    lanes.sort_by(|(_, a), (_, b)| b.needed_rate.total_cmp(&a.needed_rate));
    let (profile, hungriest) = *lanes.first()?;
    let title = format!(
        "the lanes need {} probes per second and `sensor.rate` allows {}",
        render::per_second(plan.total_rate),
        render::per_second(f64::from(plan.ceiling.get()))
    );
    let mut diagnostic = Diagnostic::error(place(cadences, &profile.name, hungriest.lane), title)
        .label(format!("{} probes per second for this", render::per_second(hungriest.needed_rate)));
    for (profile, lane) in lanes.iter().take(6) {
        diagnostic = diagnostic.note(format!("profile {}, {}", show(&profile.name), render::arithmetic(profile, lane)));
    }
    if lanes.len() > 6 {
        diagnostic = diagnostic.note(format!("and {} lanes that need less", lanes.len() - 6));
    }
    let others = plan.total_rate - hungriest.needed_rate;
    let left = f64::from(plan.ceiling.get()) - others;
    let raise = format!("raise `sensor.rate` to {}/s", render::per_second(plan.total_rate).replace(',', ""));
    #[expect(clippy::cast_precision_loss, reason = "rounded up to what reads well")]
    let longer = (left > 0.0).then(|| open_for(profile.windows.as_ref(), round_up(hungriest.probes as f64 / left)));
    Some(diagnostic.help(match longer {
        Some(period) if period < crate::scan::TEN_YEARS => format!(
            "write `{} = \"{}\"`, {raise}, or watch fewer addresses",
            hungriest.lane,
            model::format_duration(period)
        ),
        _ => format!("make the periods longer, {raise}, or watch fewer addresses"),
    }))
}

fn over_host_ceiling(plan: &Plan, cadences: &BTreeMap<Arc<str>, Cadence>) -> Option<Diagnostic> {
    if fits(plan.host_rate, plan.host_ceiling.get().into()) {
        return None;
    }
    let lanes = plan
        .profiles
        .iter()
        .filter(|profile| plan.host_profiles.contains(&profile.name))
        .flat_map(|profile| profile.lanes.iter().map(move |lane| (profile, lane)))
        .filter(|(_, lane)| lane.ports > 0);
    let (profile, hungriest) = lanes.clone().max_by(|(_, a), (_, b)| a.host_rate.total_cmp(&b.host_rate))?;
    let title = format!(
        "one host would get {} probes per second and `sensor.rate_per_host` allows {}",
        render::per_second(plan.host_rate),
        render::per_second(f64::from(plan.host_ceiling.get()))
    );
    let mut diagnostic = Diagnostic::error(place(cadences, &profile.name, hungriest.lane), title)
        .label(format!("{} of them for this", render::per_second(hungriest.host_rate)));
    for (profile, lane) in lanes.take(8) {
        diagnostic = diagnostic.note(format!(
            "profile {}, {}: {} ports every {} = {}/s",
            show(&profile.name),
            lane.lane,
            grouped(u128::from(lane.ports)),
            render::every(lane),
            render::per_second(lane.host_rate)
        ));
    }
    Some(diagnostic.help("make the periods longer, list fewer ports, or raise `sensor.rate_per_host`"))
}

/// Where no host gets too much, but a network of them does.
fn over_prefix_ceiling(plan: &Plan, cadences: &BTreeMap<Arc<str>, Cadence>) -> Option<Diagnostic> {
    let is_told = !fits(plan.host_rate, plan.host_ceiling.get().into());
    if is_told || fits(plan.prefix_rate, plan.prefix_ceiling) {
        return None;
    }
    let busiest = prefix::busiest(&plan.profiles)?;
    let lanes = plan
        .profiles
        .iter()
        .filter(|profile| busiest.profiles.contains(&profile.name))
        .flat_map(|profile| profile.lanes.iter().map(move |lane| (profile, lane)))
        .filter(|(_, lane)| lane.ports > 0);
    let rate =
        |(profile, lane): &(&ProfilePlan, &LanePlan)| lane.host_rate * prefix::addresses(profile, busiest.prefix);
    let hungriest = lanes.clone().max_by(|a, b| rate(a).total_cmp(&rate(b)))?;
    let title = format!(
        "the network {} would get {} probes per second, and {} times `sensor.rate_per_host` allows {}",
        busiest.prefix,
        render::per_second(plan.prefix_rate),
        model::HOSTS_OF_A_PREFIX,
        render::per_second(plan.prefix_ceiling)
    );
    let mut diagnostic = Diagnostic::error(place(cadences, &hungriest.0.name, hungriest.1.lane), title)
        .label(format!("{} of them for this", render::per_second(rate(&hungriest))));
    for (profile, lane) in lanes.take(8) {
        diagnostic = diagnostic.note(format!(
            "profile {}, {}: {:.0} addresses × {} ports every {} = {}/s",
            show(&profile.name),
            lane.lane,
            prefix::addresses(profile, busiest.prefix),
            grouped(u128::from(lane.ports)),
            render::every(lane),
            render::per_second(rate(&(profile, lane)))
        ));
    }
    Some(diagnostic.help("make the periods longer, list fewer ports, or raise `sensor.rate_per_host`"))
}

/// Where everything else fits, and yet a lane takes longer than its period.
fn over_lane_ceiling(plan: &Plan, cadences: &BTreeMap<Arc<str>, Cadence>) -> Option<Diagnostic> {
    let (profile, slow) = plan.slow_lane()?;
    let is_told = !fits(plan.total_rate, plan.ceiling.get().into())
        || !fits(plan.host_rate, plan.host_ceiling.get().into())
        || !fits(plan.prefix_rate, plan.prefix_ceiling);
    if is_told {
        return None;
    }
    let title = format!(
        "the {} lane needs {} probes per second and reaches {}",
        slow.lane,
        render::per_second(slow.needed_rate),
        render::per_second(slow.reached_rate)
    );
    let why = format!(
        "it asks group after group, {} hosts at a time at `sensor.rate_per_host` at the most",
        lane::hosts(slow.lane, slow.ports)
    );
    #[expect(clippy::cast_precision_loss, reason = "rounded up to what reads well")]
    let longer = model::format_duration(open_for(
        profile.windows.as_ref(),
        round_up(slow.probes as f64 / slow.reached_rate.max(1e-3)),
    ));
    let help = format!("write `{} = \"{longer}\"`, raise `sensor.rate_per_host`, or list fewer ports", slow.lane);
    let place = place(cadences, &profile.name, slow.lane);
    Some(Diagnostic::error(place, title).label("too often").note(why).help(help))
}

/// The period where it was written, the profile's name otherwise.
fn place(cadences: &BTreeMap<Arc<str>, Cadence>, profile: &str, lane: Lane) -> Option<Span> {
    let cadence = cadences.get(profile)?;
    Some(cadence.written.get(&lane).copied().unwrap_or(cadence.key))
}

#[cfg(test)]
mod tests;
