use super::{line, printable};
use comfy_table::{Attribute, Cell, ContentArrangement, presets};
use jiff::Timestamp;
use std::io;

/// A table that fits the terminal. On anything else its columns are as wide as what is in them, one row a line.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
        if let Some(first) = table.column_mut(0) {
            first.set_padding((0, 1));
        }
        Self(table)
    }

    /// Cells may hold text from anywhere.
    pub(crate) fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        self.0.add_row(cells.into_iter().map(|cell| printable(&cell).into_owned()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.row_count() == 0
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        for row in self.0.lines() {
            line(row.trim_end())?;
        }
        Ok(())
    }
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
        let shown: Vec<_> = table.0.lines().collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown.iter().all(|line| !line.contains('\u{1b}')));
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
