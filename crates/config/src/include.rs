//! `include`: more files, relative to the main one.

use crate::{
    Diagnostic, FileId, SourceMap, Surroundings,
    load::read_file,
    names::show,
    sink::Sink,
    walk::{Table, Value},
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use toml::de::DeTable;

/// More files than this are a mistake.
const MOST_FILES: usize = 1_000;
const KEYS: &[&str] = crate::raw::KEYS;

/// Reads the files that the main text includes into the source map and returns their paths, in the order of the list and
/// of their names. An included file that itself includes is refused: the reader of a file must see what belongs to it.
pub(crate) fn read(
    text: &str,
    main: FileId,
    name: &str,
    around: &Surroundings,
    sources: &mut SourceMap,
    sink: &Sink,
) -> Vec<PathBuf> {
    // The main file is walked again for everything else: what is wrong outside `include` is reported then.
    let quiet = Sink::default();
    let (document, _) = DeTable::parse_recoverable(text);
    let document = Table::document(main, document.get_ref(), KEYS, &quiet);
    let mut read = Vec::new();
    let Some(include) = document.get("include").map(|value| value.reporting_to(sink)) else { return read };
    let Some(folder) = &around.folder else {
        include.sink.push(include.error("there is no folder that an include could be relative to"));
        return read;
    };
    for item in include.one_or_many() {
        for path in matching(&item, folder) {
            let same = |known: &Path| {
                known == path || matches!((known.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b)
            };
            if same(Path::new(name)) || read.iter().any(|known: &PathBuf| same(known)) {
                continue;
            }
            if read.len() == MOST_FILES {
                item.refuse(format!("more than {MOST_FILES} files"));
                return read;
            }
            match read_file(&path) {
                Ok(text) => {
                    let file = sources.add(path.display().to_string(), text);
                    refuse_nested(file, sources, sink);
                    read.push(path);
                }
                Err(diagnostic) => {
                    // What it defines is unknown now, so nobody is to be told that something is not defined.
                    sink.push_syntax(Diagnostic {
                        span: Some(item.span),
                        label: Some("included here".to_owned()),
                        ..*diagnostic
                    });
                }
            }
        }
    }
    read
}

fn refuse_nested(file: FileId, sources: &SourceMap, sink: &Sink) {
    let quiet = Sink::default();
    let (document, _) = DeTable::parse_recoverable(sources.text(file));
    if let Some(include) = Table::document(file, document.get_ref(), KEYS, &quiet).get("include") {
        let diagnostic = Diagnostic::error(include.key, "an included file cannot include others");
        sink.push(diagnostic.help("name the files in the main file's `include`"));
    }
}

/// The files one entry means, sorted by name. `*` stands for any part of the last component; hidden files are left out.
fn matching(value: &Value<'_>, folder: &Path) -> Vec<PathBuf> {
    let Some(pattern) = value.line(4_000) else { return Vec::new() };
    let path = folder.join(&pattern);
    let Some(last) = path.file_name().and_then(|last| last.to_str()).map(str::to_owned) else {
        value.refuse(format!("{} does not name files", show(&pattern)));
        return Vec::new();
    };
    let parent = crate::load::folder_of(&path);
    let written_parent =
        Path::new(&pattern).parent().map(|parent| parent.to_string_lossy().into_owned()).unwrap_or_default();
    if written_parent.contains('*') {
        value.refuse("`*` can stand in the last part of the path only");
        return Vec::new();
    }
    if !last.contains('*') {
        if !path.exists() {
            let diagnostic = value.warning(format!("there is no file {}", show(&path.display().to_string())));
            value.sink.push(diagnostic.label("includes nothing"));
            return Vec::new();
        }
        return vec![path];
    }
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            value.refuse(format!("cannot list {}: {error}", parent.display()));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => {
                let name = entry.file_name();
                let fits = name.to_str().is_some_and(|name| !name.starts_with('.') && glob(&last, name));
                if fits && !entry.path().is_dir() {
                    found.push(entry.path());
                }
            }
            Err(error) => value.refuse(format!("cannot list {}: {error}", parent.display())),
        }
    }
    found.sort();
    found
}

/// `*` stands for any run of characters, also none.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, fits) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml~", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("*", "anything", true),
            ("plain", "plain", true),
            ("plain", "plainer", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }
}
