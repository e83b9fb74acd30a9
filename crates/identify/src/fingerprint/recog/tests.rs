use super::*;
use proptest::prelude::*;

const OWN: &str = r#"<?xml version="1.0"?>
<fingerprints matches="ssh.banner" protocol="ssh" preference="0.9">
  <!-- ours -->
  <fingerprint pattern="^zorb[ _](?i:SSH)(?: ([\d.]+))?$" flags="REG_ICASE">
    <description>The Zorb  &amp; its kin</description>
    <example service.version="7.1" service.cpe23="cpe:/a:zorb:sshd:7.1">Zorb_ssh 7.1</example>
    <example _encoding="base64">em9yYiBzc2g=</example>
    <param pos="0" name="service.vendor" value="Zorb"/>
    <param pos="0" name="service.product" value="{_tmp.model} server"/>
    <param pos="0" name="_tmp.model" value="{service.vendor} SSH"/>
    <param pos="1" name="service.version"/>
    <param pos="0" name="service.cpe23" value="cpe:/a:zorb:sshd:{service.version}"/>
    <param pos="0" name="hw.product" value="{hw.model}"/>
  </fingerprint>
  <fingerprint pattern="^zorb.second$" flags="REG_DOT_NEWLINE" certainty="0.4">
    <description>Over lines</description>
    <example>zorb&#10;second</example>
    <param pos="0" name="service.protocol" value="zorb"/>
  </fingerprint>
</fingerprints>"#;

#[test]
fn parameters_and_what_they_stand_for() {
    let database = Database::read("own", OWN).unwrap();
    assert_eq!((database.matches.as_str(), database.fingerprints.len()), ("ssh.banner", 2));
    let [first, second] = database.fingerprints.as_slice() else { panic!() };
    assert_eq!((first.description.as_str(), second.certainty), ("The Zorb & its kin", Some(0.4)));
    for fingerprint in &database.fingerprints {
        for example in &fingerprint.examples {
            let said = fingerprint.read(&example.value, None).unwrap();
            assert!(example.expect.iter().all(|(name, value)| said.get(name) == Some(value)), "{said:?}");
        }
    }
    let hit = database.identify(b"zorb ssh").unwrap();
    let said: Vec<(&str, &str)> = hit.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        said,
        [
            ("service.cpe23", "cpe:/a:zorb:sshd:-"),
            ("service.product", "Zorb SSH server"),
            ("service.protocol", "ssh"),
            ("service.vendor", "Zorb"),
        ]
    );
    assert_eq!(database.identify(b"a line\nzorb\nsecond\nanother").unwrap().parameters["service.protocol"], "zorb");
    assert_eq!(database.identify(b"zorb\xff\xfe"), None);
}

#[test]
fn faults_are_told_with_their_line() {
    for (text, expect) in [
        ("", "no file of Recog's"),
        ("<a/>", "no file of Recog's"),
        ("<fingerprints>", "ends in the middle"),
        ("<fingerprints>\n<fingerprint pattern='('/></fingerprints>", "line 2: the pattern `(` cannot be read"),
        ("<fingerprints><fingerprint/></fingerprints>", "without a pattern"),
        ("<fingerprints><fingerprint pattern='a' flags='REG_ODD'/></fingerprints>", "`REG_ODD`"),
        (
            "<fingerprints><fingerprint pattern='a'><param pos='x' name='y'/></fingerprint></fingerprints>",
            "`pos` is `x`",
        ),
        (
            "<fingerprints><fingerprint pattern='a'><example _encoding='rot13'>a</example></fingerprint></fingerprints>",
            "rot13",
        ),
        ("<fingerprints>&evil;</fingerprints>", "&evil;"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><fingerprints/>", "DOCTYPE"),
        ("<fingerprints></other>", "not XML"),
    ] {
        let fault = Database::read("own", text).unwrap_err().to_string();
        assert!(fault.contains(expect), "{text}: {fault}");
    }
    let deep = format!("<fingerprints>{}", "<a>".repeat(1000));
    assert!(Database::read("own", &deep).is_err());
}

/// Every example that Recog's own files bring matches its fingerprint, which says of it what the example asserts, and no
/// fingerprint before it in the file takes it away. Skips where the data is absent.
#[test]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn every_example_of_recog_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/recog/xml");
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("skipped: {folder} is absent");
        return;
    };
    let (mut fingerprints, mut examples, mut assertions) = (0, 0, 0);
    let mut failures = Vec::new();
    for path in
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "xml"))
    {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let database = Database::read(&name, &std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        for (index, fingerprint) in database.fingerprints.iter().enumerate() {
            fingerprints += 1;
            assert!(fingerprint.regex().is_some(), "{name}: {}", fingerprint.pattern);
            for example in &fingerprint.examples {
                examples += 1;
                let shown = || format!("{name} #{}: {}", index + 1, example.value.escape_ascii());
                let Some(said) = fingerprint.read(&example.value, database.protocol.as_deref()) else {
                    failures.push(shown());
                    continue;
                };
                for (key, value) in &example.expect {
                    assertions += 1;
                    if said.get(key) != Some(value) {
                        failures.push(format!("{}: {key} is {:?}, not {value}", shown(), said.get(key)));
                    }
                }
                let first = database.identify(&example.value).map(|hit| hit.number);
                if first != Some(index + 1) {
                    failures.push(format!("{}: goes to {first:?}", shown()));
                }
            }
        }
    }
    assert_eq!(failures, Vec::<String>::new());
    assert!(
        fingerprints >= 4_600 && examples >= 7_500 && assertions >= 7_800,
        "{fingerprints} {examples} {assertions}"
    );
}

proptest! {
    /// Whatever is in a file is read or refused, and what was read bears any value.
    #[test]
    fn spoilt_files_are_read_or_refused(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), proptest::char::any()), 0..6),
        value in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut chars: Vec<char> = OWN.chars().collect();
        for (at, char) in edits {
            let at = at.index(chars.len());
            chars[at] = char;
        }
        if let Ok(database) = Database::read("own", &chars.into_iter().collect::<String>())
            && let Some(hit) = database.identify(&value)
        {
            prop_assert!(hit.number >= 1 && hit.parameters.keys().all(|name| !name.starts_with("_tmp.")));
        }
    }
}
