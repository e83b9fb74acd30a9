//! JSON Lines to a file or to standard output: the event of the API, one object a line.

mod deliver;
mod file;

#[cfg(test)]
mod tests;

use crate::Channel;
use config::JsonlPath;
use deliver::{Jsonl, Sink};
use file::LineFile;
use std::sync::{Arc, Mutex};

pub(crate) const KIND: &str = "jsonl";

pub(crate) fn build(path: &JsonlPath) -> Arc<dyn Channel> {
    let (place, sink): (String, Box<dyn Sink>) = match path {
        JsonlPath::Stdout => ("standard output".to_owned(), Box::new(std::io::stdout())),
        JsonlPath::File(path) => (path.display().to_string(), Box::new(LineFile::new(path.clone()))),
    };
    Arc::new(Jsonl::new(place, Arc::new(Mutex::new(sink))))
}
