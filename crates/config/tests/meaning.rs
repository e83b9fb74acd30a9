//! What good files mean, and that the files and the guide we ship are right.

use config::{ChannelConfig, Config, Framing, Interval, JsonlPath, Mode, SmtpSecurity, Surroundings, SyslogTransport};
use jiff::civil::date;
use model::{Lane, PortSet, Severity, Transport};
use proptest::prelude::*;
use std::{fs, path::Path, time::Duration};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn surroundings() -> Surroundings {
    Surroundings { today: date(2026, 11, 21), host_name: "here".to_owned(), credentials: None, folder: None }
}

fn good(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good").join(name);
    let around = Surroundings { folder: Some("/etc/perimeterd".into()), ..surroundings() };
    config::parse(&fs::read_to_string(path).expect("readable"), name, &around).expect("good").config
}

#[test]
fn the_designs_example_means_what_it_says() {
    let config = good("design.toml");
    assert_eq!(&*config.sensor.name, "scan1");
    assert_eq!((config.sensor.rate.get(), config.sensor.rate_per_host.get()), (5_000, 500));
    assert_eq!(config.sensor.exclude.len(), 129);
    let dmz = &config.assets["dmz"];
    assert_eq!((dmz.targets.len(), dmz.value, dmz.owner.as_deref()), (3, 5, Some("netops")));
    let authorization = dmz.authorization.as_ref().expect("written");
    assert_eq!(authorization.until, Some(date(2027, 12, 31)));
    assert_eq!(dmz.certificates.as_ref().expect("written").issuers, ["O=Example CA Inc"]);
    let profile = &config.profiles["dmz"];
    assert_eq!(profile.scan.full, Some(Duration::from_hours(24)));
    assert_eq!(profile.rulesets.len(), 3);
    assert_eq!(
        config.rulesets.keys().map(|name| &**name).collect::<Vec<_>>(),
        ["builtin:certificates", "builtin:perimeter", "dmz-critical"]
    );
    let soc = &config.recipients["soc"];
    assert_eq!(soc.every, Interval::Every(Duration::from_mins(5)));
    assert_eq!((soc.min_severity, &*soc.profiles[0]), (Severity::HIGH, "dmz"));
    assert!(matches!(&config.recipients["siem"].channel, ChannelConfig::Syslog(syslog)
        if syslog.transport == SyslogTransport::Tls && syslog.port == 6514 && syslog.host == "siem.example.org" && syslog.facility == 16));
    assert_eq!(config.recipients["siem"].every, Interval::Immediate);
    let email = config.email.expect("written");
    assert_eq!((email.security, email.port, email.password), (SmtpSecurity::Tls, 465, None));
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = good("minimal.toml");
    assert_eq!((&*config.sensor.name, config.sensor.mode), ("here", Mode::Auto));
    assert_eq!((config.sensor.rate.get(), config.sensor.rate_per_host.get()), (5_000, 500));
    assert_eq!(config.store.path, Path::new("/var/lib/perimeterd/perimeter.db"));
    assert_eq!(config.store.retention, Duration::from_hours(400 * 24));
    assert_eq!(config.console.listen, Some(([127, 0, 0, 1], 8321).into()));
    let profile = &config.profiles["home"];
    assert_eq!(profile.assets, ["profile:home".into()]);
    assert_eq!(config.assets["profile:home"].targets.len(), 1);
    assert_eq!(profile.rulesets, ["builtin:perimeter".into(), "builtin:certificates".into()]);
    assert!(config.rulesets["builtin:perimeter"].rules.len() > 5);
    assert_eq!(profile.confirm, model::Confirm::default());
    assert_eq!((profile.scan.hot_ports.len(), profile.scan.tcp.len(), profile.scan.udp.len()), (22, 1000, 100));
    assert!(config.recipients.is_empty() && config.email.is_none() && profile.active);
}

#[test]
fn everything_that_can_be_written_arrives() {
    let config = good("everything.toml");
    assert_eq!(
        config.sensor.resolvers,
        ["192.0.2.53:53".parse().expect("good"), "[2001:db8::53]:5353".parse().expect("good")]
    );
    assert_eq!(config.store.path, Path::new("/etc/perimeterd/state/perimeter.db"));
    assert_eq!(config.console.listen, None);
    let profile = &config.profiles["dmz"];
    let names = ["Zürich office", "dmz", "profile:dmz"];
    assert_eq!(profile.assets.iter().map(|name| &**name).collect::<std::collections::BTreeSet<_>>(), names.into());
    assert_eq!(profile.scan.full, None);
    assert_eq!(profile.scan.hot_ports, PortSet::parse("22,3389,8000-8010", Transport::Tcp).expect("good"));
    assert!(profile.scan.udp.is_empty());
    assert_eq!(profile.confirm.service_changed.passes, 1);
    assert_eq!(profile.confirm.certificate_changed.at_least, Duration::from_hours(24));
    assert!(!config.profiles["asleep"].active);
    assert_eq!(config.recipients["soc"].every, Interval::Every(Duration::from_hours(4)));
    assert_eq!(config.recipients["archive"].every, Interval::Never);
    assert!(matches!(&config.recipients["siem"].channel, ChannelConfig::Syslog(syslog)
        if syslog.host == "2001:db8::9" && syslog.port == 601 && syslog.framing == Framing::Lf && syslog.facility == 4));
    assert_eq!(
        config.recipients["file"].channel,
        ChannelConfig::Jsonl(JsonlPath::File("/etc/perimeterd/alerts.jsonl".into()))
    );
    assert_eq!(config.recipients["screen"].channel, ChannelConfig::Jsonl(JsonlPath::Stdout));
    let email = config.email.expect("written");
    assert_eq!((email.security, email.port), (SmtpSecurity::StartTls, 2587));
    assert_eq!(config.rulesets["all"].rules.len(), 6);
}

#[test]
fn the_files_we_ship_load() {
    for name in ["perimeterd.toml", "minimal.toml"] {
        let loaded = config::load(&root().join("config").join(name)).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(loaded.warnings.is_empty(), "{name}: {}", config::render_all(&loaded.warnings, &loaded.sources, false));
    }
    // With every commented section put to work it still is what it says it is.
    let text = fs::read_to_string(root().join("config/perimeterd.toml")).expect("readable");
    let mut uncommented = String::new();
    for line in text.lines() {
        let code = line.strip_prefix("# ").filter(|rest| {
            rest.starts_with('[')
                || rest
                    .split_once(" =")
                    .is_some_and(|(key, _)| key.trim_end().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        });
        uncommented.push_str(code.unwrap_or(line));
        uncommented.push('\n');
    }
    assert_ne!(uncommented, text);
    let around = Surroundings { folder: Some(root().join("config")), ..surroundings() };
    let failure = config::parse(&uncommented, "uncommented.toml", &around)
        .expect_err("the files the example names are not there");
    assert_eq!(failure.errors(), 3, "{failure}");
    for missing in ["own-ca.pem", "/usr/local/share/recog/xml", "service-probes"] {
        assert!(failure.to_string().contains(&format!("{missing} does not exist")), "{failure}");
    }
}

#[test]
fn the_embedded_configuration_watches_loopback_only() {
    let config = Config::embedded(Path::new("/home/user/.local/state/perimeterd"));
    assert_eq!(config.store.path, Path::new("/home/user/.local/state/perimeterd/perimeter.db"));
    assert_eq!(config.assets.len(), 1);
    assert_eq!(config.assets["local"].targets, ["127.0.0.1".parse().expect("an address")]);
    let scan = &config.profiles["local"].scan;
    let seconds = |lane| scan.period(lane).map(|period| period.as_secs());
    assert_eq!(Lane::PERIODIC.map(seconds), [Some(5), Some(5), Some(20), Some(20)]);
    assert_eq!((scan.identify, scan.udp.len()), (Duration::from_secs(30), 3));
    assert!(config.recipients.is_empty() && config.sources.is_empty());
    assert!(config::plan(&config).is_feasible());
}

#[test]
fn the_guide_names_every_key() {
    let guide = fs::read_to_string(root().join("docs/guide/configure.md")).expect("readable");
    let keys = config::known_keys();
    assert!(keys.len() > 100);
    for (section, key) in keys {
        assert!(guide.contains(&format!("`{key}`")), "the guide does not speak of `{key}` of {section}");
    }
    let ports: Vec<String> =
        good("minimal.toml").profiles["home"].scan.hot_ports.iter().map(|port| port.to_string()).collect();
    assert!(guide.contains(&ports.join(",")), "the guide's list of hot ports is not the default");
    let plan = config::plan(&good("design.toml")).render(Clone::clone);
    assert!(guide.contains(&plan), "the guide shows another plan than\n{plan}");
}

/// A TOML basic string that stands for any text.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(format!("\\U{:08X}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

proptest! {
    /// A name is taken exactly as it was typed, or refused; nothing in between, whatever it is.
    #[test]
    fn hostile_names_round_trip(name in "[\\PC]{1,20}|\\PC{1,70}|[a-z\\n\"\\\\:]{1,8}") {
        let key = quoted(&name);
        let text = format!("[asset.{key}]\ntargets = \"192.0.2.7\"\ntags = [{key}]\n[profile.{key}]\nassets = [{key}]\n[recipient.{key}]\njsonl = \"-\"\nprofiles = [{key}]\n");
        match config::parse(&text, "hostile.toml", &surroundings()) {
            Ok(loaded) => {
                prop_assert_eq!(&loaded.warnings, &vec![]);
                prop_assert_eq!(&*loaded.config.assets[name.as_str()].tags[0], name.as_str());
                prop_assert_eq!(&*loaded.config.profiles[name.as_str()].assets[0], name.as_str());
                prop_assert_eq!(&*loaded.config.recipients[name.as_str()].profiles[0], name.as_str());
            }
            Err(failure) => {
                let said = failure.to_string();
                prop_assert!(said.contains("a name "), "{}", said);
                prop_assert!(failure.diagnostics.iter().all(|diagnostic| !diagnostic.title.chars().any(char::is_control)));
            }
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*|([a-z]{1,6}( = |\\.|\\[|\\]|\\{|\\}|\"|'|\n|#|,|[0-9]){0,6}){0,20}") {
        if let Err(failure) = config::parse(&text, "a.toml", &surroundings()) {
            prop_assert!(failure.errors() > 0);
            prop_assert!(!failure.render(true).is_empty());
            for diagnostic in &failure.diagnostics {
                prop_assert!(!diagnostic.line(&failure.sources).contains('\n'));
            }
        }
    }

    /// A good file with a few bytes changed anywhere: still no panic, and what fails says where.
    #[test]
    fn damaged_files_never_panic(at in 0_usize..4_000, cut in 0_usize..40, put in "\\PC{0,6}|[\\[\\]{}=\"'\n#,.]{0,4}") {
        let whole = include_str!("good/everything.toml");
        let start = (0..=at.min(whole.len())).rev().find(|&at| whole.is_char_boundary(at)).unwrap_or(0);
        let end = (start + cut..=whole.len()).find(|&at| whole.is_char_boundary(at)).unwrap_or(whole.len());
        let text = format!("{}{put}{}", &whole[..start], &whole[end..]);
        if let Err(failure) = config::parse(&text, "a.toml", &Surroundings { folder: Some("/nonexistent".into()), ..surroundings() }) {
            prop_assert!(failure.errors() > 0);
            prop_assert!(!failure.render(false).is_empty());
            prop_assert!(failure.diagnostics.iter().all(|diagnostic| diagnostic.place(&failure.sources).is_some()));
        }
    }
}
