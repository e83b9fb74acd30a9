//! What stands behind a server, what a host calls itself, which system it runs, and names that change with the rules alone.

mod world;

use inventory::Label;
use model::{NameSource, Service, Software, Transport};
use world::*;

const IP: &str = "192.0.2.7";
const NOTHING: [&str; 0] = [];
const HOUR: i64 = 3_600;

fn learnt(seen: &[Seen]) -> World {
    let mut world = World::new();
    world.sees(1, IP, seen);
    world.cover("192.0.2.0/24", "1-1024");
    world
}

fn facts(text: &str, facts: &[(&str, &str)]) -> Service {
    let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Service { facts, ..service(text) }
}

/// nginx before these: `WordPress 6.4`.
fn before(status: &str, behind: &[&str]) -> [Seen; 2] {
    let mut server = facts("http nginx 1.22.1", &[("http.status", status)]);
    for text in behind {
        let (product, version) =
            text.split_once(' ').map_or((*text, None), |(product, version)| (product, Some(version)));
        server.note_behind(Software {
            vendor: None,
            product: product.to_owned(),
            version: version.map(str::to_owned),
            cpe: Some(format!("cpe:2.3:a:*:{}:*:*:*:*:*:*:*:*", product.to_lowercase())),
        });
    }
    [open(80), says(80, &server)]
}

#[test]
fn every_product_behind_a_server_is_software() {
    let mut world = learnt(&before("200", &["WordPress 6.4", "PHP 8.2"]));
    assert_eq!(world.sees(HOUR, IP, &before("200", &["PHP 8.2", "WordPress 6.4"])), NOTHING);
    // Another version of one of them.
    assert_eq!(
        world.sees(2 * HOUR, IP, &before("200", &["WordPress 6.5", "PHP 8.2"])),
        NOTHING,
        "not at the first sight"
    );
    let (told, _) = world.settles(IP, &before("200", &["WordPress 6.5", "PHP 8.2"]));
    assert_eq!(told, ["SOFTWARE_UPDATED"]);
    let event = world.last();
    assert_eq!((event.old.as_deref(), event.new.as_deref()), (Some("WordPress 6.4"), Some("WordPress 6.5")));
    assert!(event.reason.as_deref().is_some_and(|reason| reason.starts_with("upgrade")), "{:?}", event.reason);
    // A page without the version's number takes nothing away.
    assert_eq!(world.sees(4 * HOUR, IP, &before("200", &["WordPress", "PHP 8.2"])), NOTHING);
    assert!(world.inventory.pending().is_empty());
    // Nor does an error's page.
    assert_eq!(world.sees(5 * HOUR, IP, &before("502", &[])), NOTHING);
    assert!(world.inventory.pending().is_empty());
    // However often it comes.
    for minutes in 0..40 {
        assert_eq!(world.sees(5 * HOUR + minutes * 60, IP, &before("502", &[])), NOTHING);
    }
    assert!(world.inventory.pending().is_empty());
    assert_eq!(world.sees(6 * HOUR, IP, &before("200", &["WordPress 6.5", "PHP 8.2"])), NOTHING);
    // One more, and one that is gone.
    world.sees(8 * HOUR, IP, &before("200", &["WordPress 6.5", "PHP 8.2", "Matomo"]));
    assert_eq!(world.settles(IP, &before("200", &["WordPress 6.5", "PHP 8.2", "Matomo"])).0, ["SOFTWARE_ADDED"]);
    assert_eq!(world.last().software.as_ref().map(|software| software.product.as_str()), Some("Matomo"));
    world.sees(10 * HOUR, IP, &before("200", &["WordPress 6.5", "Matomo"]));
    assert_eq!(world.settles(IP, &before("200", &["WordPress 6.5", "Matomo"])).0, ["SOFTWARE_REMOVED"]);
    assert_eq!(world.last().old.as_deref(), Some("PHP 8.2"));
}

#[test]
fn another_revision_of_the_package_is_another_version() {
    let ssh = |revision: &str| {
        let service = facts("ssh OpenSSH 9.2p1", &[("package.version", revision)]);
        [open(22), says(22, &service)]
    };
    let (old, new) = ("1:9.2p1-2+deb12u3", "1:9.2p1-2+deb12u2");
    let mut world = learnt(&ssh(old));
    assert_eq!(world.sees(30 * HOUR, IP, &ssh(new)), NOTHING);
    assert_eq!(world.settles(IP, &ssh(new)).0, ["SOFTWARE_UPDATED"]);
    let event = world.last();
    assert!(event.reason.as_ref().unwrap().starts_with("downgrade"), "{:?}", event.reason);
    assert!(event.old.as_ref().unwrap().ends_with("(package 1:9.2p1-2+deb12u3)"), "{:?}", event.old);
    // Whoever says no more than upstream's version takes nothing away.
    assert_eq!(world.sees(60 * HOUR, IP, &[open(22), says(22, &service("ssh OpenSSH 9.2p1"))]), NOTHING);
    assert!(world.inventory.pending().is_empty());
    assert_eq!(world.sees(61 * HOUR, IP, &ssh(new)), NOTHING);
}

#[test]
fn a_version_that_is_hidden_is_let_go_after_a_week() {
    const DAY: i64 = 24 * HOUR;
    let page = |text: &str, status: &str| [open(80), says(80, &facts(text, &[("http.status", status)]))];
    let known = |world: &World| {
        let host = world.inventory.host(IP.parse().expect("an address")).expect("known");
        Service::clone(host.endpoints[0].services[0].service.as_deref().expect("named"))
    };
    let mut world = learnt(&page("http nginx 1.22.1", "200"));
    // As long as it shows now and then, it is believed.
    for day in 1..20 {
        let text = if day % 6 == 0 { "http nginx 1.22.1" } else { "http nginx" };
        assert_eq!(world.sees(day * DAY, IP, &page(text, "200")), NOTHING);
        assert_eq!(known(&world).version.as_deref(), Some("1.22.1"), "day {day}");
        assert_eq!(known(&world).facts.contains_key("version.unseen"), day % 6 != 0, "day {day}");
    }
    // The last was on day 18.
    let mark = known(&world).facts["version.unseen"].clone();
    for (hour, status) in [(20, "200"), (21, "502"), (22, "200"), (24, "200"), (25, "200")].map(|(d, s)| (d * 24, s)) {
        assert_eq!(world.sees(hour * HOUR, IP, &page("http nginx", status)), NOTHING);
        assert_eq!(known(&world).version.as_deref(), Some("1.22.1"), "hour {hour}");
        assert_eq!(known(&world).facts["version.unseen"], mark, "nothing new is written");
    }
    assert_eq!(world.sees(26 * DAY, IP, &page("http nginx", "200")), NOTHING);
    let service = known(&world);
    assert_eq!((service.product.as_deref(), service.version.as_deref()), (Some("nginx"), None));
    assert!(!service.facts.contains_key("version.unseen"));
    assert!(world.inventory.pending().is_empty());
    // And it is no news when it shows again.
    world.sees(27 * DAY, IP, &page("http nginx 1.24.0", "200"));
    assert_eq!(world.settles(IP, &page("http nginx 1.24.0", "200")).0, NOTHING);
    assert_eq!(known(&world).version.as_deref(), Some("1.24.0"));
}

#[test]
fn a_version_that_comes_to_light_is_no_update() {
    let seen = |text: &str| [open(3306), says(3306, &service(text))];
    let mut world = learnt(&seen("mysql MariaDB"));
    world.sees(30 * HOUR, IP, &seen("mysql MariaDB 10.11.6"));
    assert_eq!(world.settles(IP, &seen("mysql MariaDB 10.11.6")).0, NOTHING);
    world.sees(60 * HOUR, IP, &seen("mysql MariaDB 10.11.7"));
    assert_eq!(world.settles(IP, &seen("mysql MariaDB 10.11.7")).0, ["SOFTWARE_UPDATED"]);
}

#[test]
fn who_could_not_be_named_for_long_and_says_something_else_now_is_another() {
    let stranger = Service { banner: Some("ZORB/1.4 ready".to_owned()), ..service("unknown") };
    let seen = |service: &Service| [open(7_000), says(7_000, service)];
    let telnet = service("telnet");
    let mut world = learnt(&seen(&stranger));
    world.sees(200 * HOUR, IP, &seen(&telnet));
    assert_eq!(world.settles(IP, &seen(&telnet)).0, ["PORT_CHANGED"]);
    // Who never said anything may only not have been asked in the right way.
    let mut world = learnt(&seen(&Service { banner: None, ..service("unknown") }));
    assert_eq!(world.sees(200 * HOUR, IP, &seen(&telnet)), NOTHING);
    assert!(world.inventory.pending().is_empty());
    // And what other rules make of the same answer is no change.
    let mut world = learnt(&seen(&stranger));
    let label = Label { transport: Transport::Tcp, port: 7_000, name: None, service: telnet.clone() };
    let (change, count) = world.inventory.relabel(IP.parse().unwrap(), &[label]);
    world.inventory.install(&change);
    assert_eq!((count, world.sees(200 * HOUR, IP, &seen(&telnet))), (1, NOTHING.to_vec()));
}

#[test]
fn an_outage_behind_a_balancer_and_a_mute_server_are_no_others_until_a_week_has_passed() {
    const DAY: i64 = 24 * HOUR;
    let page = |text: &str, status: &str| [open(80), says(80, &facts(text, &[("http.status", status)]))];
    let leaf = certificate(1, "O=Example CA Inc", 800);
    let within = |text: &str| {
        let mut seen = tls(443, text, &leaf);
        if let Seen::Service(seen) = &mut seen
            && let Some(service) = seen.service.as_mut().filter(|service| service.name == "tls")
        {
            service.banner = None;
        }
        [open(443), seen]
    };
    let well = [page("http nginx 1.22.1", "200"), within("irc ngIRCd")];
    let ill = [page("http HAProxy", "503"), within("tls")];
    for (well, ill) in well.iter().zip(&ill) {
        let mut world = learnt(well);
        for hour in 1..48 {
            world.sees(hour * HOUR, IP, well);
        }
        // Six days of it, hour by hour, and it is back.
        for hour in 48..192 {
            assert_eq!(world.sees(hour * HOUR, IP, ill), NOTHING, "{hour}");
        }
        assert_eq!(world.sees(192 * HOUR, IP, well), NOTHING);
        let host = world.inventory.host(IP.parse().expect("an address")).expect("known");
        let known = host.endpoints[0].services[0].service.clone().expect("known");
        assert!(known.product.is_some() && !known.facts.contains_key("service.unseen"), "{known:?}");
        // What stays is believed in the end.
        let mut told = Vec::new();
        for hour in 193..(193 + 9 * 24) {
            told.extend(world.sees(hour * HOUR, IP, ill).into_iter().map(|kind| (hour * HOUR / DAY, kind)));
            told.extend(world.settles(IP, ill).0.into_iter().map(|kind| (hour * HOUR / DAY, kind)));
        }
        assert_eq!(told.first(), Some(&(15, "PORT_CHANGED")), "{told:?}");
    }
    // A server whose page was broken from the start is judged by it.
    let mut world = learnt(&page("http nginx 1.22.1", "502"));
    world.sees(HOUR, IP, &page("http HAProxy", "503"));
    assert!(world.settles(IP, &page("http HAProxy", "503")).0.contains(&"PORT_CHANGED"));
}

#[test]
fn volatile_fields_tell_nothing() {
    let page = |title: &str, banner: &str| {
        let server = facts("http nginx 1.22.1", &[("http.status", "200"), ("http.title", title)]);
        [open(80), says(80, &Service { banner: Some(banner.to_owned()), ..server })]
    };
    let mut world = learnt(&page("a", "b"));
    for hour in 1..50 {
        let number = hour.to_string();
        assert_eq!(world.sees(hour * HOUR, IP, &page(&number, &number)), NOTHING);
        assert!(world.inventory.pending().is_empty());
    }
}

#[test]
fn what_a_host_calls_itself_is_a_set_by_source() {
    let smb = |computer: &str, dns: &str| {
        says(445, &facts("microsoft-ds Samba", &[("ntlm.computer", computer), ("ntlm.dns_computer", dns)]))
    };
    let rdp = |computer: &str| says(3389, &facts("ms-wbt-server", &[("ntlm.computer", computer)]));
    let ports = [open(445), open(3389)];
    let with = |services: &[Seen]| [&ports, services].concat();
    let mut world = learnt(&with(&[smb("FILES", "files.example.org."), rdp("FILES")]));
    let host = world.inventory.host(IP.parse().unwrap()).unwrap();
    let told: Vec<&str> = host.names[&NameSource::Ntlm].iter().map(String::as_str).collect();
    assert_eq!(told, ["files", "files.example.org"]);
    // One of them alone says the same, in whatever letters.
    assert_eq!(world.sees(HOUR, IP, &with(&[rdp("files")])), NOTHING);
    assert!(world.inventory.host(IP.parse().unwrap()).unwrap().name_turns.is_none());
    // Another name, and only when it is met again.
    assert_eq!(world.sees(2 * HOUR, IP, &with(&[smb("DEPOT", "depot.example.org"), rdp("DEPOT")])), NOTHING);
    assert_eq!(
        world.sees(3 * HOUR, IP, &with(&[smb("DEPOT", "depot.example.org"), rdp("DEPOT")])),
        ["HOST_NAME_CHANGED"]
    );
    assert_eq!(world.last().new.as_deref(), Some("depot, depot.example.org"));
    // Two machines that take turns behind the address are told once, as a set.
    let told: Vec<_> = (4..40)
        .flat_map(|hour| {
            let name = if hour % 2 == 0 { "ONE" } else { "TWO" };
            world.sees(hour * HOUR, IP, &with(&[smb(name, name), rdp(name)]))
        })
        .collect();
    assert!(told.len() <= 2, "{told:?}");
}

#[test]
fn a_system_is_told_when_its_evidence_agrees_and_several_are_not_voted_on() {
    let both = |ssh: &str, web: &str| {
        [open(22), open(80), runs(22, "ssh OpenSSH", ssh, 0.9), runs(80, "http Apache", web, 0.85)]
    };
    let os = |world: &World| world.inventory.host(IP.parse().unwrap()).unwrap().os.unwrap();
    let mut world = learnt(&both("linux Debian 12", "linux Debian"));
    assert_eq!(os(&world).to_string(), "Debian 12");
    assert!(os(&world).confidence > 0.98);
    // A container of another distribution takes the host's place in no list.
    let mut hour = 1;
    for _ in 0..5 {
        assert_eq!(world.sees(hour * HOUR, IP, &both("linux Debian 12", "linux Ubuntu 22.04")), NOTHING);
        hour += 1;
    }
    assert_eq!(os(&world).to_string(), "Debian 12");
    // Nor does another machine behind a forwarded port.
    for _ in 0..5 {
        assert_eq!(world.sees(hour * HOUR, IP, &both("linux Debian 12", "windows Windows 10.0.17763")), NOTHING);
        hour += 1;
    }
    assert_eq!(os(&world).to_string(), "Debian 12");
    // Everything else says so too: it is another one.
    world.sees(hour * HOUR, IP, &both("linux Debian 13", "linux Debian"));
    assert_eq!(world.settles(IP, &both("linux Debian 13", "linux Debian")).0, ["HOST_UPDATED"]);
    assert_eq!(os(&world).to_string(), "Debian 13");
    // Met as several from the beginning: said so, and nobody is sure.
    let world = learnt(&both("linux Debian 12", "windows Windows 10.0.17763"));
    assert_eq!(os(&world).to_string(), "several stacks behind this address (Debian 12, Windows 10.0.17763)");
}

#[test]
fn other_rules_change_names_and_tell_nothing() {
    let plain = service("http Zorb");
    let named = Service {
        product: Some("Zorbnet Server".to_owned()),
        version: Some("7.1".to_owned()),
        os: Some(model::Os { family: "linux".into(), product: Some("ZorbOS".into()), version: None, confidence: 0.9 }),
        ..plain.clone()
    };
    let seen = |service: &Service| [open(80), says(80, service)];
    let ip = IP.parse().unwrap();
    let label =
        |service: &Service| vec![Label { transport: Transport::Tcp, port: 80, name: None, service: service.clone() }];
    let mut world = learnt(&seen(&plain));
    world.sees(HOUR, IP, &seen(&plain));
    // Without looking at what is kept it would be a change.
    let mut other = world.clone();
    other.sees(2 * HOUR, IP, &seen(&named));
    assert_ne!(other.settles(IP, &seen(&named)).0, NOTHING);

    let (change, count) = world.inventory.relabel(ip, &label(&named));
    assert_eq!((count, kinds(&change.events)), (1, NOTHING.to_vec()));
    world.inventory.install(&change);
    let host = world.inventory.host(ip).unwrap();
    assert_eq!(host.endpoints[0].services[0].service.as_deref(), Some(&named));
    assert_eq!(host.os.as_ref().map(ToString::to_string).as_deref(), Some("ZorbOS"));
    assert_eq!(world.inventory.relabel(ip, &label(&named)).1, 0, "nothing is left to do");
    for hour in 2..40 {
        assert_eq!(world.sees(hour * HOUR, IP, &seen(&named)), NOTHING);
        assert!(world.inventory.pending().is_empty());
    }
    // What is said by an answer that is not in force, or of an unknown place, changes nothing.
    let ssh = Service { name: "ssh".into(), ..named.clone() };
    assert_eq!(world.inventory.relabel(ip, &label(&ssh)).1, 0);
    assert_eq!(world.inventory.relabel("192.0.2.8".parse().unwrap(), &label(&plain)).1, 0);
    // A true change is still one.
    let newer = Service { version: Some("7.2".to_owned()), ..named };
    world.sees(50 * HOUR, IP, &seen(&newer));
    assert_eq!(world.settles(IP, &seen(&newer)).0, ["SOFTWARE_UPDATED"]);
}

#[test]
fn other_rules_put_no_worse_system_in_the_place_of_a_known_one() {
    let runs_on = |system: Option<(&str, Option<&str>, f32)>| {
        let os = system.map(|(product, version, confidence)| model::Os {
            family: "linux".into(),
            product: Some(product.to_owned()),
            version: version.map(str::to_owned),
            confidence,
        });
        Service { os, ..service("http Zorb") }
    };
    let ip = IP.parse().unwrap();
    // By the old rules, by the new ones on a second port, what is known then.
    let debian = ("Debian", Some("12"), 0.9);
    let cases = [
        // A guess, and less of the same, beside who still says it: it stays.
        (runs_on(Some(debian)), runs_on(Some(("Ubuntu", None, 0.5))), "Debian 12"),
        (runs_on(Some(debian)), runs_on(Some(("Ubuntu", None, 0.8))), "Debian 12"),
        // It came of the old name alone: it was never heard.
        (runs_on(None), runs_on(Some(("Ubuntu", None, 0.5))), "Ubuntu"),
    ];
    for (first, other, expect) in cases {
        let before = [open(80), open(81), says(80, &runs_on(Some(debian))), says(81, &runs_on(None))];
        let mut world = learnt(&before);
        let label = |port, service| Label { transport: Transport::Tcp, port, name: None, service };
        let (change, count) = world.inventory.relabel(ip, &[label(80, first), label(81, other)]);
        assert!(count > 0 && change.events.is_empty());
        world.inventory.install(&change);
        let os = world.inventory.host(ip).unwrap().os.clone().unwrap();
        assert_eq!(os.to_string(), expect);
    }
    // A system that its services say no more of is not forgotten for what a page of another one guesses.
    let mut world = learnt(&[open(80), open(81), says(80, &runs_on(Some(debian))), says(81, &runs_on(None))]);
    for hour in 1..12 {
        world.sees(hour * HOUR, IP, &[refused(80), open(81), says(81, &runs_on(None))]);
    }
    let guess =
        Label { transport: Transport::Tcp, port: 81, name: None, service: runs_on(Some(("Ubuntu", None, 0.5))) };
    let (change, count) = world.inventory.relabel(ip, &[guess]);
    assert_eq!((count, change.hosts[0].os.as_ref().map(ToString::to_string).as_deref()), (1, Some("Debian 12")));
}
