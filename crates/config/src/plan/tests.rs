use super::*;
use crate::{Surroundings, parse};
use jiff::civil::date;

fn surroundings() -> Surroundings {
    Surroundings { today: date(2026, 11, 21), host_name: "scan1".to_owned(), credentials: None, folder: None }
}

fn planned(text: &str) -> Plan {
    let loaded = parse(text, "plan.toml", &surroundings()).unwrap_or_else(|failure| panic!("{failure}"));
    plan(&loaded.config)
}

fn lane(plan: &Plan, lane: Lane) -> &LanePlan {
    plan.profiles[0].lanes.iter().find(|known| known.lane == lane).expect("the lane is on")
}

#[test]
fn the_sums_are_right() {
    let plan = planned(
        "[sensor]\nexclude = [\"192.0.2.7\", \"198.51.100.0/25\"]\n[profile.p]\n\
         targets = [\"192.0.2.0/24\", \"192.0.2.128/25\", \"2001:db8:1::/120\", \"2001:db8::/64\", \"www.example.org\", \"www.example.org\"]\n\
         scan = { hot = \"1m\", hot_ports = \"22,80\", full = \"1d\", likely = \"never\" }\n",
    );
    let profile = &plan.profiles[0];
    assert_eq!((profile.addresses, profile.host_names), (255 + 256 + 1, 1));
    assert_eq!(profile.unsweepable, ["2001:db8::/64".parse().expect("a prefix")]);
    assert_eq!(profile.lanes.iter().map(|lane| lane.lane).collect::<Vec<_>>(), [Lane::Hot, Lane::Known, Lane::Full]);
    let full = lane(&plan, Lane::Full);
    assert_eq!(full.probes, 512 * 65_535);
    assert!((full.needed_rate - 388.35).abs() < 0.01, "{}", full.needed_rate);
    assert!((lane(&plan, Lane::Hot).needed_rate - 512.0 * 2.0 / 60.0).abs() < 1e-9);
    assert!((plan.total_rate - (full.needed_rate + 512.0 * 2.0 / 60.0)).abs() < 1e-9);
    let text = plan.render(|_| AddressSet::empty());
    for words in [
        "512 addresses, one of them for a host name",
        "not enumerable: 2001:db8::/64, 0 candidates so far",
        "full   every 1d     512 × 65,535 ports = 33,553,920 probes, 389 packets per second",
        "of the 5,000 that sensor.rate allows (8 %)",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn candidates_are_those_that_are_given_and_those_that_are_met() {
    let plan = planned(
        "[sensor]\nexclude = [\"2001:db8::e\"]\n[profile.p]\n\
         targets = [\"2001:db8::/64\", \"2001:db8::c-2001:db8::f\", \"2001:db8:1::/64\", \"192.0.2.0/24\"]\n",
    );
    let met = |among: &AddressSet| {
        let all = ["2001:db8::d", "2001:db8::77"].map(|text| text.parse().expect("an address"));
        all.into_iter().filter(|ip| among.contains(*ip)).map(model::AddressRange::single).collect()
    };
    let text = plan.render(met);
    for words in
        ["not enumerable: 2001:db8::/64, 4 candidates so far", "not enumerable: 2001:db8:1::/64, 0 candidates so far"]
    {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn the_ceiling_decides_to_the_packet() {
    // 256 addresses × 10 ports in 1s: 2560/s.
    let text = |rate: u32, per_host: u32| {
        format!(
            "[sensor]\nrate = \"{rate}/s\"\nrate_per_host = \"{per_host}/s\"\n[profile.p]\ntargets = \"10.0.0.0/24\"\n\
             scan = {{ hot = \"1s\", hot_ports = \"1-10\", known = \"1s\", likely = \"never\", full = \"never\" }}\n"
        )
    };
    let failure = parse(&text(2_560, 255), "p.toml", &surroundings()).expect_err("one short").to_string();
    for words in [
        "the network 10.0.0.0-10.0.0.255 would get 2,560 probes per second, and 10 times `sensor.rate_per_host` allows 2,550",
        "profile `p`, hot: 256 addresses × 10 ports every 1s = 2,560/s",
    ] {
        assert!(failure.contains(words), "{words}\n{failure}");
    }
    assert!(parse(&text(2_560, 256), "p.toml", &surroundings()).is_ok());
    let failure = parse(&text(2_559, 256), "p.toml", &surroundings()).expect_err("one short").to_string();
    assert!(failure.contains("need 2,560 probes per second and `sensor.rate` allows 2,559"), "{failure}");
    assert!(failure.contains("256 addresses × 10 ports every 1s = 2,560/s"), "{failure}");
    assert!(failure.contains("write `hot = \"2s\"`"), "{failure}");
    let failure = parse(&text(2_560, 9), "p.toml", &surroundings()).expect_err("one short").to_string();
    assert!(
        failure.contains("one host would get 10 probes per second and `sensor.rate_per_host` allows 9"),
        "{failure}"
    );
}

#[test]
fn a_large_network_every_day_is_refused_with_the_arithmetic() {
    let text = "[profile.p]\ntargets = \"10.1.0.0/16\"\nscan = { full = \"1d\", hot = \"1h\", likely = \"7d\" }\n";
    let failure = parse(text, "p.toml", &surroundings()).expect_err("49,710/s").to_string();
    assert!(failure.contains("65,536 addresses × 65,535 ports every 1d = 49,710/s"), "{failure}");
}

#[test]
fn defaults_give_way_to_what_was_written() {
    let plan = planned("[profile.p]\ntargets = \"10.1.0.0/16\"\nscan = { hot = \"1m\", hot_ports = \"22,80,443\" }\n");
    assert!(plan.is_feasible());
    let hot = lane(&plan, Lane::Hot);
    assert_eq!(hot.period, Duration::from_mins(1), "what was written stays");
    assert!(lane(&plan, Lane::Full).period > Duration::from_hours(24));
    assert!(plan.total_rate - hot.needed_rate <= f64::from(plan.ceiling.get()) / 2.0 + 1e-6);
    // Nothing gives way where all fits.
    let plan = planned("[profile.p]\ntargets = \"10.1.0.0/24\"\n");
    assert_eq!(lane(&plan, Lane::Full).period, Duration::from_hours(24));
}

#[test]
fn one_host_under_a_small_ceiling_gets_longer_defaults() {
    let plan = planned("[sensor]\nrate_per_host = \"1/s\"\n[profile.p]\ntargets = \"192.0.2.7\"\n");
    assert!(plan.is_feasible(), "{}", plan.render(AddressSet::clone));
    assert!(lane(&plan, Lane::Full).period > Duration::from_hours(24));
}

#[test]
fn what_profiles_share_adds_up() {
    let text = |other: &str| {
        format!(
            "[profile.p]\ntargets = \"192.0.2.0/30\"\nscan = {{ full = \"4m\", hot = \"never\", likely = \"never\" }}\n\
             [profile.q]\ntargets = \"{other}\"\nscan = {{ full = \"4m\", hot = \"never\", likely = \"never\" }}\n\
             [sensor]\nrate = \"100k/s\"\n"
        )
    };
    assert!(parse(&text("192.0.2.4/30"), "p.toml", &surroundings()).is_ok(), "neighbours share nothing");
    let failure =
        parse(&text("192.0.2.3"), "p.toml", &surroundings()).expect_err("the last address is shared").to_string();
    assert!(failure.contains("one host would get 547 probes per second"), "{failure}");
}

#[test]
fn an_inactive_profile_needs_nothing() {
    let plan = planned("[profile.p]\ntargets = \"10.0.0.0/8\"\nactive = false\nscan = { full = \"1s\" }\n");
    assert!(plan.profiles.is_empty() && plan.is_feasible());
    assert!(plan.render(AddressSet::clone).contains("no profile is active"));
}

#[test]
fn numbers_read_well() {
    for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (33_553_920, "33,553,920")] {
        assert_eq!(grouped(number), text);
    }
    for (rate, text) in [(0.0, "0"), (0.01, "0.1"), (2.0, "2"), (9.91, "10"), (388.35, "389"), (49_709.8, "49,710")] {
        assert_eq!(render::per_second(rate), text, "{rate}");
    }
}

#[test]
fn a_lane_that_asks_too_few_hosts_at_a_time_is_refused() {
    // 12,426 a second: nothing for everything, a network or a host, and 97 for each of the hosts that are asked at a time.
    let text = |per_host: &str| {
        format!(
            "[sensor]\nrate = \"40k/s\"\nrate_per_host = \"{per_host}\"\n[profile.p]\ntargets = \"10.0.0.0/16\"\n\
             scan = {{ hot = \"never\", likely = \"never\", full = \"4d\" }}\n"
        )
    };
    let failure = parse(&text("90/s"), "p.toml", &surroundings()).expect_err("too slow").to_string();
    for words in [
        "the full lane needs 12,428 probes per second and reaches 11,520",
        "128 hosts at a time",
        "raise `sensor.rate_per_host`",
    ] {
        assert!(failure.contains(words), "{words}\n{failure}");
    }
    assert!(planned(&text("100/s")).is_feasible());
}

#[test]
fn a_window_leaves_less_time_for_the_same_work() {
    let of = |scan: &str| planned(&format!("[profile.p]\ntargets = [\"192.0.2.0/30\"]\nscan = {{ {scan} }}\n"));
    let always = of("full = \"1d\", hot = \"5m\", likely = \"1h\"");
    let nightly = of("full = \"1d\", hot = \"5m\", likely = \"1h\", window = \"22:00-06:00\", zone = \"UTC\"");
    let rate = |plan: &Plan, of: Lane| lane(plan, of).needed_rate;
    assert!((rate(&nightly, Lane::Full) - 3.0 * rate(&always, Lane::Full)).abs() < 1e-9);
    for of in [Lane::Hot, Lane::Likely] {
        assert!((rate(&nightly, of) - rate(&always, of)).abs() < 1e-9, "{of}");
    }
    let text = nightly.render(|_| AddressSet::empty());
    for words in ["  asks in its window only: 22:00-06:00 UTC\n", "full   every 1d (open for 8h) 4 × 65,535 ports"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn defaults_are_stretched_over_as_many_windows_as_they_need() {
    let plan = planned(
        "[sensor]\nrate = \"1k/s\"\n[profile.p]\ntargets = [\"192.0.2.0/24\"]\n\
         scan = { hot = \"never\", likely = \"never\", window = \"02:00-04:00\", zone = \"UTC\" }\n",
    );
    let full = lane(&plan, Lane::Full);
    assert!(full.period > Duration::from_hours(24) && plan.is_feasible(), "{full:?}");
    // 16.8 million questions at half of a thousand a second take 9.3 hours: five nights.
    assert!(full.period <= Duration::from_hours(5 * 24) && full.open <= Duration::from_hours(10), "{full:?}");
}
