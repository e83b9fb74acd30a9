use super::{Format, Global, halt::act};
use crate::failure::Outcome;
use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use model::Target;
use serde_json::json;
use std::{io::Read, path::PathBuf, process::ExitCode};

/// A list of approved hosts is no larger than this, in bytes.
const MOST_CSV: u64 = 64 << 20;
const MOST_AT_ONCE: usize = 20_000;

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// Addresses, prefixes and ranges
    #[arg(value_name = "TARGET", required_unless_present_any = ["csv", "all"])]
    targets: Vec<String>,
    /// A CSV file whose first column holds them; a first line of headings, empty lines and lines that begin with # are
    /// passed over; - is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    csv: Option<PathBuf>,
    /// Every host known now
    #[arg(long, conflicts_with = "targets")]
    all: bool,
    /// Take the approval back
    #[arg(long)]
    withdraw: bool,
    /// Who approves them [default: the CSV file's name, or "operator"]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Approve {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let mut targets = self.targets;
        let mut by = self.by;
        if let Some(path) = &self.csv {
            let is_stdin = path.as_os_str() == "-";
            let source: Box<dyn Read> = if is_stdin {
                Box::new(std::io::stdin())
            } else {
                Box::new(std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?)
            };
            targets.extend(read(source).with_context(|| format!("{} is not taken", path.display()))?);
            by = by.or_else(|| path.file_name().map(|name| name.to_string_lossy().into_owned()).filter(|_| !is_stdin));
        }
        if targets.is_empty() && !self.all {
            return Err(anyhow!("the list is empty: nothing is approved").into());
        }
        // A request holds no more than a megabyte or two.
        let mut pieces: Vec<&[String]> = targets.chunks(MOST_AT_ONCE).collect();
        if self.all {
            pieces.push(&[]);
        }
        for piece in pieces {
            let order = json!({ "targets": piece, "all": self.all, "withdraw": self.withdraw, "by": by });
            act(global, self.format, "hosts/approve", &order).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The first column of a CSV (RFC 4180). One wrong line refuses all of it.
pub(super) fn read(source: impl Read) -> anyhow::Result<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(source.take(MOST_CSV));
    let mut targets = Vec::new();
    let mut is_first = true;
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = record.get(0).unwrap_or_default();
        // Spreadsheets begin a file with a mark of its encoding.
        let field = if is_first { field.trim_start_matches('\u{feff}') } else { field };
        let was_first = std::mem::replace(&mut is_first, false);
        if field.is_empty() {
            continue;
        }
        match field.parse::<Target>() {
            Ok(target) if target.range().is_some() => targets.push(field.to_owned()),
            // `ip`, `Address`, … : a heading has neither dot nor colon.
            _ if was_first && !field.contains(['.', ':']) => {}
            _ => bail!("line {line}: `{}` is no address, prefix or range", field.escape_debug()),
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn reads_the_first_column() {
        for (text, expect) in [
            ("", &[][..]),
            ("192.0.2.7\n", &["192.0.2.7"]),
            (
                "\u{feff}IP address,owner\r\n192.0.2.7,web\r\n\r\n# old\r\n192.0.2.0/28,\"a, b\"\r\n",
                &["192.0.2.7", "192.0.2.0/28"],
            ),
            ("\"192.0.2.1-192.0.2.4\"\n2001:db8::7 ,y", &["192.0.2.1-192.0.2.4", "2001:db8::7"]),
        ] {
            assert_eq!(read(text.as_bytes()).expect(text), expect, "{text}");
        }
        for text in ["192.0.2.7\nwww.example.org\n", "192.0.2.300\n", "ip\nip\n", "name.example\n192.0.2.7\n"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
