use super::{line, printable};
use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Width, presets};
use jiff::Timestamp;
use std::io;

/// A table that fits the terminal, as long as that breaks no word of ordinary length. On anything else its columns are as
/// wide as what is in them, one row a line.
#[derive(Debug)]
pub(crate) struct Table {
    table: comfy_table::Table,
    /// The longest word of each column, in characters.
    words: Vec<u16>,
}

/// Words longer than this may be broken: names and digests from the network have any length.
const UNBROKEN: u16 = 20;

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
        if let Some(first) = table.column_mut(0) {
            first.set_padding((0, 1));
        }
        Self { table, words: headings.iter().map(|heading| longest_word(heading)).collect() }
    }

    /// Cells may hold text from anywhere.
    pub(crate) fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        let cells: Vec<String> = cells.into_iter().map(|cell| printable(&cell).into_owned()).collect();
        for (word, cell) in self.words.iter_mut().zip(&cells) {
            *word = longest_word(cell).max(*word);
        }
        self.table.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.row_count() == 0
    }

    pub(crate) fn print(mut self) -> io::Result<()> {
        for row in self.arranged() {
            line(row.trim_end())?;
        }
        Ok(())
    }

    /// As it would be printed.
    #[cfg(test)]
    pub(crate) fn text(mut self) -> String {
        self.arranged().join("\n")
    }

    fn arranged(&mut self) -> Vec<String> {
        for (index, &word) in self.words.iter().enumerate() {
            if let Some(column) = self.table.column_mut(index) {
                // The padding counts: one space on each side, none before the first column.
                let padding = if index == 0 { 1 } else { 2 };
                let width = Width::Fixed(word.min(UNBROKEN) + padding);
                column.set_constraint(ColumnConstraint::LowerBoundary(width));
            }
        }
        self.table.lines().collect()
    }
}

fn longest_word(text: &str) -> u16 {
    text.split_whitespace().map(|word| u16::try_from(word.chars().count()).unwrap_or(u16::MAX)).max().unwrap_or(0)
}

/// `2026-11-21 10:05:03Z`: to the second, in UTC.
pub(crate) fn short_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How long ago, in the largest two units: `3d4h`, `5m12s`, `now`.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(time.as_second());
    let Ok(seconds) = u64::try_from(seconds) else { return "in the future".to_owned() };
    let parts = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let mut left = seconds;
    let mut text = String::new();
    let mut units = 0;
    for (size, unit) in parts {
        let count = left / size;
        left %= size;
        if count > 0 && units < 2 {
            text.push_str(&count.to_string());
            text.push(unit);
        }
        if count > 0 || units > 0 {
            units += 1;
        }
    }
    if text.is_empty() { "now".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_cells_stay_in_their_row() {
        let mut table = Table::new(&["BANNER", "PORT"]);
        table.row(["evil\u{1b}[2J\nsecond line".to_owned(), "22".to_owned()]);
        let shown = table.arranged();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown.iter().all(|line| !line.contains('\u{1b}')));
    }

    #[test]
    fn a_narrow_terminal_breaks_lines_between_words() {
        let mut table = Table::new(&["ENDPOINT", "WHAT"]);
        table.row(["127.0.0.1:8000/tcp".to_owned(), "refused in three passes over ten seconds".to_owned()]);
        table.table.set_width(34);
        let shown = table.arranged();
        assert!(shown.len() > 2, "{shown:?}");
        for word in ["127.0.0.1:8000/tcp", "refused", "passes", "seconds"] {
            assert!(shown.iter().any(|line| line.contains(word)), "{word} was broken: {shown:?}");
        }
    }

    #[test]
    fn tells_how_long_ago() {
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        for (seconds, expect) in [
            (0, "now"),
            (5, "5s"),
            (312, "5m12s"),
            (3_600, "1h"),
            (3_605, "1h"),
            (273_600, "3d4h"),
            (-5, "in the future"),
        ] {
            let then = Timestamp::from_second(1_800_000_000 - seconds).expect("in range");
            assert_eq!(ago(then, now), expect);
        }
    }
}
