//! From a path, or a text, to a configuration: every file is read, every mistake collected, and only a configuration
//! without errors gets out.

use crate::{
    ChannelConfig, Config, Diagnostic, FileId, JsonlPath, SourceMap, Span, Surroundings, asset, channel, console,
    identify, include,
    names::show,
    plan::{self, Cadence},
    profile, raw,
    raw::Raw,
    recipient, ruleset, sensor,
    sink::Sink,
    store, tls,
    walk::Table,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::de::DeTable;

/// No configuration is as large as this.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A configuration without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// In the order of files and lines.
    pub warnings: Vec<Diagnostic>,
    pub sources: SourceMap,
}

/// A configuration with errors: all of them, and the warnings, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    pub diagnostics: Vec<Diagnostic>,
    pub sources: SourceMap,
}

impl Failure {
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    /// Every diagnostic as rustc would print it, with an empty line between two.
    pub fn render(&self, colour: bool) -> String {
        render_all(&self.diagnostics, &self.sources, colour)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Several diagnostics as rustc would print them, with an empty line between two.
pub fn render_all(diagnostics: &[Diagnostic], sources: &SourceMap, colour: bool) -> String {
    diagnostics.iter().map(|diagnostic| diagnostic.render(sources, colour)).collect::<Vec<_>>().join("\n\n")
}

/// Reads the configuration file at `path` and what it includes.
pub fn load(path: &Path) -> Result<Loaded, Failure> {
    load_in(path, &Surroundings::of_machine(Some(folder_of(path))))
}

/// As [`load`], with the surroundings handed in.
pub fn load_in(path: &Path, around: &Surroundings) -> Result<Loaded, Failure> {
    let text = read_file(path)
        .map_err(|diagnostic| Failure { diagnostics: vec![*diagnostic], sources: SourceMap::default() })?;
    let mut loaded = parse(&text, &path.display().to_string(), around)?;
    loaded.config.sources.insert(0, path.to_owned());
    Ok(loaded)
}

/// Reads a configuration from a text. `name` is what diagnostics call it. Includes are read where the surroundings name a
/// folder they are relative to.
pub fn parse(text: &str, name: &str, around: &Surroundings) -> Result<Loaded, Failure> {
    let sink = Sink::default();
    let mut sources = SourceMap::default();
    let main = sources.add(name, text);
    let included = include::read(text, main, name, around, &mut sources, &sink);

    let (mut config, cadences) = read_all(main, around, &sources, &sink);
    config.sources = included;
    // The sum is done only where everything that goes into it could be read.
    if !sink.has_errors() {
        for diagnostic in plan::fit(&mut config, &cadences) {
            sink.push(diagnostic);
        }
    }
    let hidden = sink.hidden();
    let diagnostics = sorted(sink, &sources);
    for span in hidden {
        sources.hide(span);
    }
    if diagnostics.iter().any(Diagnostic::is_error) {
        Err(Failure { diagnostics, sources })
    } else {
        Ok(Loaded { config, warnings: diagnostics, sources })
    }
}

/// Parses and walks every file of the map.
fn read_all(
    main: FileId,
    around: &Surroundings,
    sources: &SourceMap,
    sink: &Sink,
) -> (Config, BTreeMap<Arc<str>, Cadence>) {
    let parsed: Vec<_> = sources.files().map(|file| (file, DeTable::parse_recoverable(sources.text(file)))).collect();
    for (file, (_, errors)) in &parsed {
        report_syntax(errors, *file, sink);
    }
    let mut raw = Raw::default();
    for (file, (document, _)) in &parsed {
        raw.add(&Table::document(*file, document.get_ref(), raw::KEYS, sink));
    }
    read(&raw, main, around, sink)
}

fn read(raw: &Raw<'_>, main: FileId, around: &Surroundings, sink: &Sink) -> (Config, BTreeMap<Arc<str>, Cadence>) {
    let mut assets = BTreeMap::new();
    for (&name, value) in &raw.assets {
        assets.insert(Arc::from(name), asset::read(name, value, around.today));
    }
    let mut rulesets = BTreeMap::new();
    for (&name, value) in &raw.rulesets {
        rulesets.insert(Arc::from(name), ruleset::read(value));
    }
    let mut profiles = BTreeMap::new();
    let mut cadences = BTreeMap::new();
    for (&name, value) in &raw.profiles {
        let mut beside = profile::Beside { raw, assets: &mut assets, rulesets: &mut rulesets };
        let (profile, written) = profile::read(name, value, &mut beside);
        profiles.insert(Arc::from(name), profile);
        cadences.insert(Arc::from(name), Cadence { key: value.key, written });
    }
    if profiles.is_empty() {
        let diagnostic = Diagnostic::error(Span { file: main, start: 0, end: 0 }, "no profile says what to watch");
        sink.push_if_whole(diagnostic.help("the least there is: `[profile.NAME]` with `targets = [\"192.0.2.7\"]`"));
    }
    let recipients: BTreeMap<_, _> = raw
        .recipients
        .iter()
        .filter_map(|(&name, value)| Some((Arc::from(name), recipient::read(value, raw, around)?)))
        .collect();
    let config = Config {
        sources: Vec::new(),
        sensor: sensor::read(raw.sensor.as_ref(), &assets, around),
        store: store::read(raw.store.as_ref(), around),
        console: console::read(raw.console.as_ref()),
        tls: tls::read(raw.tls.as_ref(), around),
        identify: identify::read(raw.identify.as_ref(), around),
        assets,
        rulesets,
        profiles,
        recipients,
        email: raw.email.as_ref().and_then(|value| channel::read_email(value, around)),
    };
    refuse_database(raw, &config, sink);
    // Beside errors it would only distract: a name that is mistyped where it is used is unused too.
    if !sink.has_errors() {
        warn_unused(raw, &config.profiles, sink);
    }
    (config, cadences)
}

/// Alerts written into the database would destroy it.
fn refuse_database(raw: &Raw<'_>, config: &Config, sink: &Sink) {
    for (name, recipient) in &config.recipients {
        let ChannelConfig::Jsonl(JsonlPath::File(path)) = &recipient.channel else { continue };
        let database = config.store.path.as_os_str().as_encoded_bytes();
        let rest = path.as_os_str().as_encoded_bytes().strip_prefix(database);
        if rest.is_some_and(|rest| [&b""[..], b"-wal", b"-shm", b".lock", b".seal"].contains(&rest))
            && let Some(value) = raw.recipients.get(&**name)
        {
            let title =
                format!("recipient {} would write into the database {}", show(name), config.store.path.display());
            sink.push(Diagnostic::error(value.key, title).help("give `jsonl` a file of its own"));
        }
    }
}

/// What is defined and used by no profile was probably meant to be.
fn warn_unused(raw: &Raw<'_>, profiles: &BTreeMap<Arc<str>, crate::Profile>, sink: &Sink) {
    let assets: BTreeSet<&str> =
        profiles.values().flat_map(|profile| profile.assets.iter().map(|name| &**name)).collect();
    let rulesets: BTreeSet<&str> =
        profiles.values().flat_map(|profile| profile.rulesets.iter().map(|name| &**name)).collect();
    for (name, value) in raw.assets.iter().filter(|(name, _)| !assets.contains(**name)) {
        let title = format!("no profile watches asset {}", show(name));
        sink.push(Diagnostic::warning(value.key, title).label("never scanned"));
    }
    for (name, value) in raw.rulesets.iter().filter(|(name, _)| !rulesets.contains(**name)) {
        let title = format!("no profile uses rule set {}", show(name));
        sink.push(Diagnostic::warning(value.key, title).label("never evaluated"));
    }
}

/// A file's text, or the one sentence that says why not.
pub(crate) fn read_file(path: &Path) -> Result<String, Box<Diagnostic>> {
    let shown = path.display();
    let fault = |reason: String| Box::new(Diagnostic::error(None, format!("cannot read {shown}: {reason}")));
    let metadata = fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if metadata.is_dir() {
        return Err(fault("it is a folder".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| fault(error.to_string()))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| fault(error.to_string()))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MOST_BYTES {
        return Err(fault("it is larger than 16 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|&&byte| byte == b'\n').count() + 1;
        fault(format!("line {line} is not UTF-8 text"))
    })
}

/// The folder that a file's relative paths are relative to.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or_else(|| Path::new("."))
}

/// One diagnostic for each line with syntax errors: what follows on the line is mostly the same mistake again.
pub(crate) fn report_syntax(errors: &[toml::de::Error], file: FileId, sink: &Sink) {
    for error in errors {
        let span = error.span().map_or(Span { file, start: 0, end: 0 }, |span| Span::new(file, &span));
        sink.push_syntax(Diagnostic::error(span, format!("this is not TOML: {}", error.message())).label("here"));
    }
}

/// In the order of files and lines. A line that is not TOML is reported once, and nothing more is said about it.
pub(crate) fn sorted(sink: Sink, sources: &SourceMap) -> Vec<Diagnostic> {
    let line =
        |diagnostic: &Diagnostic| diagnostic.span.map(|span| (span.file, sources.position(span.file, span.start).line));
    let (diagnostics, syntax) = sink.into_parts();
    let damaged: BTreeSet<_> = syntax.iter().filter_map(line).collect();
    let files: BTreeSet<_> = damaged.iter().map(|(file, _)| *file).collect();
    // Recovery fills gaps with values that stand nowhere.
    let is_filler = |diagnostic: &Diagnostic| {
        diagnostic.span.is_some_and(|span| span.start == span.end && files.contains(&span.file))
    };
    let mut seen = BTreeSet::new();
    let mut all: Vec<Diagnostic> = syntax.into_iter().filter(|diagnostic| seen.insert(line(diagnostic))).collect();
    all.extend(
        diagnostics.into_iter().filter(|diagnostic| {
            !is_filler(diagnostic) && line(diagnostic).is_none_or(|line| !damaged.contains(&line))
        }),
    );
    all.sort_by_key(|diagnostic| diagnostic.span.map(|span| (span.file, span.start)));
    all
}

/// The configuration the program carries with it: watches this machine's loopback address and nothing else, keeps its
/// database in `state_dir`.
impl Config {
    pub fn embedded(state_dir: &Path) -> Self {
        let around = Surroundings { folder: Some(state_dir.to_owned()), ..Surroundings::of_machine(None) };
        match parse(crate::EMBEDDED, "embedded.toml", &around) {
            Ok(loaded) => Self { sources: Vec::<PathBuf>::new(), ..loaded.config },
            Err(failure) => unreachable!("the embedded configuration is tested: {failure}"),
        }
    }
}
