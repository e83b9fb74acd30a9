//! Data on stdout, for people as tables, for programs as JSON Lines and for spreadsheets as CSV. Whatever came from the network is made harmless here,
//! and only here.

mod csv;
mod event;
mod json;
mod printable;
mod table;

pub(crate) use csv::to_record;
pub(crate) use event::{change, subject};
pub(crate) use json::to_line;
pub(crate) use printable::{printable, printable_lines};
pub(crate) use table::{Table, ago, short_time};

use std::io::{self, Write};

/// Writes one line to stdout. Styles reach only a terminal.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

/// One object as one line of JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(to_line(value)?.as_bytes())
}

/// One record of CSV.
pub(crate) fn record<I: IntoIterator<Item = String>>(cells: I) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(to_record(cells)?.as_bytes())
}

/// A sentence on stderr, with the word that says how bad it is.
pub(crate) fn complain(word: &str, message: &str) {
    let style = match word {
        "error" => anstyle::AnsiColor::Red.on_default().bold(),
        _ => anstyle::AnsiColor::Yellow.on_default().bold(),
    };
    // Nothing can be done where stderr is gone.
    let _ = writeln!(anstream::stderr(), "{style}{word}{style:#}: {}", printable_lines(message));
}
