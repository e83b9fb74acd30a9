use super::*;
use clap::{CommandFactory, error::ErrorKind};
use std::{fmt::Write, path::Path};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn reads_what_operators_type() {
    for line in [
        "perimeterd",
        "perimeterd --config /etc/x.toml",
        "perimeterd run --config x.toml --log-format json -vv",
        "perimeterd check --config x.toml --json",
        "perimeterd scan 127.0.0.1 --tcp 1-65535 --rate 100k/s --no-identify --json",
        "perimeterd scan 192.0.2.0/24 www.example.org --udp top:20 --mode connect --exclude 192.0.2.7,192.0.2.9",
        "perimeterd hosts --ip 192.0.2.0/24 --up --json",
        "perimeterd hosts --unapproved --up --csv",
        "perimeterd hosts --approved --asset dmz",
        "perimeterd host 2001:db8::7",
        "perimeterd services --port 443",
        "perimeterd software --product openssh",
        "perimeterd certificates --expiring 30d",
        "perimeterd certificates --expiring --json",
        "perimeterd events --type PORT_OPEN,port_closed --since 24h --severity 4 --limit 5",
        "perimeterd alerts --recipient soc --after 17",
        "perimeterd probes 192.0.2.7:443 --since 24h --until 1h --json",
        "perimeterd probes [2001:db8::7]:53/udp --limit 5",
        "perimeterd --socket /run/x.sock status --json",
        "perimeterd status --socket /run/x.sock",
        "perimeterd halt",
        "perimeterd resume --json",
        "perimeterd scan-now dmz",
        "perimeterd notify test soc",
        "perimeterd backup /tmp/x.db",
        "perimeterd reload",
        "perimeterd fingerprints relabel --json",
        "perimeterd completions bash",
        "perimeterd man scan",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn refuses_with_the_reason() {
    for (line, kind, part) in [
        ("perimeterd scan", ErrorKind::MissingRequiredArgument, "TARGET"),
        ("perimeterd scan 192.0.2.1/24", ErrorKind::ValueValidation, "192.0.2.0/24"),
        ("perimeterd scan 192.0.2.1 --tcp 70000", ErrorKind::ValueValidation, "ports are 1 to 65535"),
        ("perimeterd scan 192.0.2.1 --tcp top:5000", ErrorKind::ValueValidation, "ranked"),
        ("perimeterd scan 192.0.2.1 --rate fast", ErrorKind::ValueValidation, "not a rate"),
        ("perimeterd scan 192.0.2.1 --mode stealth", ErrorKind::InvalidValue, "stealth"),
        ("perimeterd scan 192.0.2.1 --exclude www.example.org", ErrorKind::ValueValidation, "host name"),
        ("perimeterd host www.example.org", ErrorKind::ValueValidation, "invalid"),
        ("perimeterd hosts --up --down", ErrorKind::ArgumentConflict, "--down"),
        ("perimeterd hosts --approved --unapproved", ErrorKind::ArgumentConflict, "--unapproved"),
        ("perimeterd hosts --csv --json", ErrorKind::ArgumentConflict, "--json"),
        ("perimeterd hosts --unapproved --at 24h", ErrorKind::ArgumentConflict, "--at"),
        ("perimeterd hosts --port 0", ErrorKind::ValueValidation, "0"),
        ("perimeterd events --type PORT_OPENED", ErrorKind::ValueValidation, "not an event type"),
        ("perimeterd events --severity 9", ErrorKind::ValueValidation, "1 to 5"),
        ("perimeterd certificates --expiring soon", ErrorKind::ValueValidation, "not a duration"),
        ("perimeterd probes 192.0.2.0/24", ErrorKind::ValueValidation, "`tcp` or `udp`"),
        ("perimeterd probes www.example.org", ErrorKind::ValueValidation, "192.0.2.7:443"),
        ("perimeterd explode", ErrorKind::InvalidSubcommand, "explode"),
        ("perimeterd notify", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, "test"),
    ] {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} was accepted"));
        assert_eq!(error.kind(), kind, "{line}: {error}");
        assert!(error.to_string().contains(part), "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[tokio::test]
async fn a_scan_of_nothing_is_a_usage_error() {
    for (line, part) in [("perimeterd scan 127.0.0.1 --tcp none", "no port")] {
        let failure = run(parse(line).expect(line)).await.expect_err(line);
        let message = failure.message().expect("a sentence");
        assert!(matches!(failure, crate::failure::Failure::Usage(_)), "{line}");
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_name_brings_no_loopback_into_scope_and_exclusions_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("perimeterd.toml");
    std::fs::write(
        &config,
        "[sensor]\nexclude = [\"127.0.0.0/8\"]\n[profile.p]\ntargets = [\"192.0.2.1\"]\nscan = { full = \"never\" }\n",
    )
    .expect("written");
    for (line, part) in [
        ("perimeterd scan localhost --tcp 1".to_owned(), "give the address itself"),
        ("perimeterd scan 127.0.0.1 --exclude 127.0.0.1 --tcp 1".to_owned(), "excluded"),
        (format!("perimeterd scan 127.0.0.1 --tcp 1 --config {}", config.display()), "excluded"),
        ("perimeterd scan 2001:db8::/64 --tcp 1".to_owned(), "/104"),
    ] {
        let failure = run(parse(&line).expect("parses")).await.expect_err(&line);
        let message = failure.message().expect("a sentence");
        assert!(message.contains(part), "{line}: {message}");
    }
}

/// The reference page, as clap knows the commands.
fn reference() -> String {
    let mut root = Arguments::command().term_width(100);
    root.build();
    let mut text = String::from(
        "# Command line\n\n<!-- Generated from the program: `PERIMETERD_BLESS=1 cargo test -p perimeterd reference` writes \
         it anew. -->\n",
    );
    page(&mut root, "perimeterd", &mut text);
    text
}

fn page(command: &mut clap::Command, name: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        let name = format!("{name} {}", inner.get_name());
        page(inner, &name, text);
    }
}

#[test]
fn the_reference_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let expect = reference();
    if std::env::var_os("PERIMETERD_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&path, &expect).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expect, "{} is stale; run this test with PERIMETERD_BLESS=1", path.display());
}
