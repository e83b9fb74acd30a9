//! Every rule the loader enforces has a file in `tests/bad` that breaks it, and beside it the words the operator reads.
//! `PERIMETERD_BLESS=1` writes those words anew; read the difference before committing it.

use config::Surroundings;
use jiff::civil::date;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

fn surroundings() -> Surroundings {
    Surroundings { today: date(2026, 11, 21), host_name: "scan1".to_owned(), credentials: None, folder: None }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn cases(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(name)).expect("the folder is there").map(|entry| entry.expect("readable").path());
    let mut cases: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// Everything that is said about a text, errors and warnings.
fn said(text: &str, name: &str, around: &Surroundings) -> (bool, usize, String) {
    let (good, diagnostics, sources) = match config::parse(text, name, around) {
        Ok(loaded) => (true, loaded.warnings, loaded.sources),
        Err(failure) => (false, failure.diagnostics, failure.sources),
    };
    (good, diagnostics.len(), config::render_all(&diagnostics, &sources, false) + "\n")
}

fn compare(case: &Path, found: &str) {
    let expected = case.with_extension("expected");
    if std::env::var_os("PERIMETERD_BLESS").is_some() {
        fs::write(&expected, found).expect("writable");
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_else(|_| panic!("{} is missing", expected.display()));
    assert_eq!(found, wanted, "{}\nfound:\n{found}\nwanted:\n{wanted}", case.display());
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

#[test]
fn every_mistake_has_its_words() {
    for case in cases("bad") {
        let text = fs::read_to_string(&case).expect("readable");
        let (good, _, found) = said(&text, &file_name(&case), &surroundings());
        let is_warning = file_name(&case).starts_with("warn-");
        assert_eq!(good, is_warning, "{}:\n{found}", case.display());
        compare(&case, &found);
    }
}

#[test]
fn five_mistakes_give_five_diagnostics() {
    let case = folder("bad").join("five-mistakes.toml");
    let text = fs::read_to_string(case).expect("readable");
    let failure = config::parse(&text, "five-mistakes.toml", &surroundings()).expect_err("five mistakes");
    assert_eq!((failure.errors(), failure.diagnostics.len()), (5, 5), "{failure}");
    for diagnostic in &failure.diagnostics {
        assert!(diagnostic.place(&failure.sources).is_some_and(|(_, line)| line > 0));
        assert!(diagnostic.help.is_some() || diagnostic.label.is_some(), "{}", diagnostic.title);
    }
}

/// The design's example, verbatim: it passes, and only what is still to come is warned of.
#[test]
fn good_files_load() {
    for case in cases("good") {
        let text = fs::read_to_string(&case).expect("readable");
        let around = Surroundings { folder: Some(folder("good")), ..surroundings() };
        let (good, _, found) = said(&text, &file_name(&case), &around);
        assert!(good, "{}:\n{found}", case.display());
        compare(&case, &found.replace(&format!("{}/", folder("good").display()), ""));
    }
}

#[test]
fn secrets_are_read_from_files_that_only_we_can_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "profile.p.targets = [\"127.0.0.1\"]\n[channel.email]\nsmtp = \"smtps://mail.example.org\"\n\
                  from = \"p@example.org\"\nusername = \"p\"\npassword_file = \"smtp\"\n";
    let secret = folder.path().join("smtp");
    let check = |content: Option<&[u8]>, mode: u32, credentials: bool| {
        if let Some(content) = content {
            fs::write(&secret, content).expect("writable");
            fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("ours");
        }
        let inside = Some(folder.path().to_owned());
        let around = if credentials {
            Surroundings { credentials: inside, ..surroundings() }
        } else {
            Surroundings { folder: inside, ..surroundings() }
        };
        config::parse(config, "p.toml", &around)
    };
    let password = |content: &[u8], credentials| {
        let loaded = check(Some(content), 0o600, credentials).expect("a good secret");
        assert!(!format!("{:?}", loaded.config).contains("hunter2"), "secrets are never printed");
        loaded.config.email.and_then(|email| email.password).map(|secret| secret.reveal().to_owned())
    };

    let missing = check(None, 0, false).expect("a missing secret may come");
    assert!(missing.config.email.expect("a channel").password.is_none());
    assert!(missing.warnings[0].title.contains("does not exist"), "{}", missing.warnings[0].title);

    assert_eq!(password(b"hunter2\n", false).as_deref(), Some("hunter2"));
    assert_eq!(password(b" hunter2 \r\n", true).as_deref(), Some(" hunter2 "));
    for (content, mode, why) in [
        (&b"hunter2"[..], 0o644, "can be read by everybody on this machine (mode 0644)"),
        (b"hunter2", 0o602, "can be read by everybody"),
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (b"hunter2\nmore\n", 0o600, "more than one line"),
        (b"\xff\xfe", 0o600, "more than one line"),
    ] {
        let failure = check(Some(content), mode, false).expect_err(why);
        assert!(failure.to_string().contains(why), "{failure}");
        assert!(!failure.to_string().contains("hunter2"), "secrets are never printed");
        assert!(failure.to_string().contains("p.toml:6:"), "{failure}");
    }
    fs::remove_file(&secret).expect("ours");
    fs::create_dir(&secret).expect("ours");
    assert!(check(None, 0, false).expect_err("a folder").to_string().contains("is not a file"));
}

#[test]
fn certificate_files_are_looked_into() {
    let folder = tempfile::tempdir().expect("a folder");
    let around = Surroundings { folder: Some(folder.path().to_owned()), ..surroundings() };
    fs::write(folder.path().join("good.pem"), "-----BEGIN CERTIFICATE-----\n").expect("writable");
    fs::write(folder.path().join("bad.pem"), "nothing").expect("writable");
    let roots = |name: &str| format!("profile.p.targets = \"127.0.0.1\"\n[tls]\nroots = [\"{name}\"]\n");
    let loaded = config::parse(&roots("good.pem"), "p.toml", &around).expect("good");
    assert_eq!(loaded.config.tls.roots, [folder.path().join("good.pem")]);
    for (name, why) in [("bad.pem", "holds no certificate"), ("none.pem", "does not exist")] {
        let failure = config::parse(&roots(name), "p.toml", &around).expect_err(why);
        assert!(failure.to_string().contains(why), "{failure}");
    }
}

#[test]
fn rules_for_naming_must_be_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let around = Surroundings { folder: Some(folder.path().to_owned()), ..surroundings() };
    fs::create_dir(folder.path().join("recog")).expect("writable");
    fs::create_dir(folder.path().join("empty")).expect("writable");
    fs::write(folder.path().join("recog/ssh_banners.xml"), "").expect("writable");
    fs::write(folder.path().join("probes"), "").expect("writable");
    let identify = |key: &str, path: &str| {
        let text = format!("profile.p.targets = \"127.0.0.1\"\n[identify]\n{key} = \"{path}\"\n");
        config::parse(&text, "p.toml", &around)
    };
    let loaded = identify("recog", "recog/").expect("good");
    assert_eq!(loaded.config.identify.recog, Some(folder.path().join("recog")));
    assert_eq!(loaded.config.identify.service_probes, None);
    let loaded = identify("service_probes", "probes").expect("good");
    assert_eq!(loaded.config.identify.service_probes, Some(folder.path().join("probes")));
    for (key, path, why) in [
        ("recog", "none", "does not exist"),
        ("recog", "probes", "is not a folder"),
        ("recog", "empty", "holds no file that ends in .xml"),
        ("service_probes", "none", "does not exist"),
        ("service_probes", "recog", "is not a file"),
    ] {
        let failure = identify(key, path).expect_err(why);
        assert!(failure.to_string().contains(why), "{failure}");
    }
}

#[test]
fn includes_are_relative_to_the_file_and_names_are_defined_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("inside")).expect("writable");
        fs::write(&path, text).expect("writable");
        path
    };
    let main =
        write("main.toml", "include = [\"conf.d/*.toml\", \"extra.toml\"]\n[profile.p]\nassets = [\"a\", \"b\"]\n");
    let first = write("conf.d/a.toml", "[asset.a]\ntargets = [\"127.0.0.1\"]\n");
    write("conf.d/.hidden.toml", "not toml");
    write("conf.d/readme.txt", "not toml");
    let second = write("extra.toml", "[asset.b]\ntargets = [\"127.0.0.2\"]\n");
    let loaded = config::load(&main).expect("three files");
    assert_eq!(loaded.config.sources, [main.clone(), first, second]);
    assert_eq!(loaded.config.assets.len(), 2);

    write("conf.d/b.toml", "[asset.a]\ntargets = [\"127.0.0.3\"]\n[sensor]\nraet = 5\n");
    let failure = config::load(&main).expect_err("defined twice").to_string();
    for words in
        ["the asset `a` is defined twice", "first here", "again here", "a.toml:1", "b.toml:1:", "did you mean `rate`?"]
    {
        assert!(failure.contains(words), "{words}:\n{failure}");
    }

    write("conf.d/b.toml", "[console]\nlisten = \"none\"\n");
    write("extra.toml", "[asset.b]\ntargets = [\"127.0.0.2\"]\n[console]\nlisten = \"none\"\n");
    assert!(config::load(&main).expect_err("two sections").to_string().contains("`[console]` is defined twice"));

    write("conf.d/b.toml", "include = [\"c.toml\"]\n");
    assert!(config::load(&main).expect_err("nested").to_string().contains("an included file cannot include others"));
    write("conf.d/b.toml", "= 1");
    assert!(config::load(&main).expect_err("broken").to_string().contains("b.toml:1:"));
    fs::remove_file(folder.path().join("conf.d/b.toml")).expect("ours");

    fs::remove_file(folder.path().join("extra.toml")).expect("ours");
    write("main.toml", "include = [\"extra.toml\", \"*/nothing.toml\"]\n[profile.p]\ntargets = \"127.0.0.1\"\n");
    let failure = config::load(&main).expect_err("a glob in a folder's name").to_string();
    assert!(failure.contains("there is no file") && failure.contains("last part of the path"), "{failure}");
    write("main.toml", "include = [\"extra.toml\", \"none/*.toml\"]\n[profile.p]\ntargets = \"127.0.0.1\"\n");
    assert_eq!(config::load(&main).expect("a warning").warnings.len(), 1);
}

#[test]
fn what_cannot_be_read_is_one_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("none.toml");
    let failure = config::load(&missing).expect_err("missing").to_string();
    assert_eq!(failure, format!("error: cannot read {}: No such file or directory (os error 2)", missing.display()));
    let failure = config::load(folder.path()).expect_err("a folder").to_string();
    assert_eq!(failure, format!("error: cannot read {}: it is a folder", folder.path().display()));
    fs::write(&missing, b"a = 1\n\xff").expect("writable");
    let failure = config::load(&missing).expect_err("not UTF-8").to_string();
    assert!(failure.ends_with("line 2 is not UTF-8 text"), "{failure}");
}
