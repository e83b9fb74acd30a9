//! What `strace` saw, as changes of files.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

/// One change, in the order of the calls. Files go by their name inside the folder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Create {
        file: String,
    },
    Write {
        file: String,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        length: u64,
    },
    Remove {
        file: String,
    },
    Sync {
        file: String,
    },
    /// The folder itself: which names there are.
    SyncFolder,
    /// The work says something of itself, on stdout.
    Said(String),
}

/// Reads the log. A call the reconstruction does not know is no silent hole: it panics.
pub(crate) fn read(log: &Path, folder: &Path) -> Vec<Step> {
    let folder = folder.to_str().expect("a plain path");
    let mut waiting: HashMap<String, String> = HashMap::new();
    let mut steps = Vec::new();
    for line in BufReader::new(File::open(log).expect("the log is there")).lines() {
        let line = line.expect("text");
        let (pid, rest) = line.split_once(' ').expect("a process number");
        let rest = rest.trim_start();
        // A sync counts when it returns; a write may be on the disk from when it is asked for.
        let call = if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            let begun = begun.to_owned();
            if !begun.starts_with('f') && !begun.starts_with("openat") {
                steps.extend(step(&begun, folder));
            } else {
                waiting.insert(pid.to_owned(), begun);
            }
            continue;
        } else if rest.starts_with("<... ") {
            let Some(begun) = waiting.remove(pid) else { continue };
            let (_, end) = rest.split_once("resumed>").expect("resumed");
            begun + end
        } else {
            rest.to_owned()
        };
        if !call.starts_with("+++") && !call.starts_with("---") {
            steps.extend(step(&call, folder));
        }
    }
    steps
}

fn step(call: &str, folder: &str) -> Option<Step> {
    let (name, arguments) = call.split_once('(')?;
    if arguments.contains(" = -1 ") {
        return None;
    }
    if name == "write" && arguments.starts_with("1<") {
        let text = String::from_utf8(bytes(arguments)).expect("text");
        return Some(Step::Said(text.trim_end().to_owned()));
    }
    if name == "openat" {
        // The name that the descriptor got, which is the whole path; only a file that is made is a change.
        let file = inside(arguments.rsplit_once("= ")?.1, folder)?;
        return arguments.contains("O_CREAT").then_some(Step::Create { file });
    }
    if name.starts_with("rename") || name.starts_with("unlink") {
        let path = String::from_utf8(bytes(arguments)).expect("a path");
        let file = path.strip_prefix(folder)?.trim_start_matches('/').to_owned();
        assert!(name.starts_with("unlink"), "no renaming is known: {call:.200}");
        return Some(Step::Remove { file });
    }
    let file = inside(arguments, folder)?;
    let numbers = || arguments.rsplit_once('"').map_or(arguments, |(_, rest)| rest);
    match name {
        "fsync" | "fdatasync" if file.is_empty() => Some(Step::SyncFolder),
        "fsync" | "fdatasync" => Some(Step::Sync { file }),
        "pwrite64" => {
            let offset = numbers().trim_end_matches(|c| c != ')').trim_end_matches(')');
            let offset = offset.split(", ").nth(2).or_else(|| numbers().split(", ").nth(2)).expect("an offset");
            let offset: String = offset.chars().take_while(char::is_ascii_digit).collect();
            Some(Step::Write { file, offset: offset.parse().expect("a number"), bytes: bytes(arguments) })
        }
        "ftruncate" => {
            let length = arguments.split(", ").nth(1).expect("a length");
            let length: String = length.chars().take_while(char::is_ascii_digit).collect();
            Some(Step::Truncate { file, length: length.parse().expect("a number") })
        }
        // The note of the process number, which is no part of the database.
        "write" if file == "perimeter.db.lock" => None,
        // Written at once, into a file made for it.
        "write" if file == "perimeter.db.seal" => Some(Step::Write { file, offset: 0, bytes: bytes(arguments) }),
        _ => panic!("a call nobody thought of: {call:.200}"),
    }
}

/// `5</folder/name>`: the name, where it is in the folder, and nothing for the folder itself.
fn inside(descriptor: &str, folder: &str) -> Option<String> {
    let (_, rest) = descriptor.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    let path = unescaped(path);
    let path = String::from_utf8(path).expect("a plain path");
    let file = path.strip_prefix(folder)?;
    Some(file.trim_start_matches('/').to_owned())
}

/// The first text in quotes: `\x41` and the like.
fn bytes(arguments: &str) -> Vec<u8> {
    let (_, rest) = arguments.split_once('"').expect("a text");
    let (text, after) = rest.split_once('"').expect("its end");
    assert!(!after.starts_with("..."), "strace cut it short");
    unescaped(text)
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'\\' && tail.first() == Some(&b'x') {
            let digits = std::str::from_utf8(&tail[1..3]).expect("digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("hexadecimal"));
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}
