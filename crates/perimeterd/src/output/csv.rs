use super::printable;
use std::io;

/// One record (RFC 4180) with its line feed. Cells may hold text from anywhere: none of them does something to a terminal,
/// and none is a formula to a spreadsheet.
pub(crate) fn to_record<I: IntoIterator<Item = String>>(cells: I) -> io::Result<String> {
    let mut writer = ::csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(cells.into_iter().map(|cell| harmless(&cell)))?;
    let record = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    String::from_utf8(record).map_err(io::Error::other)
}

/// An apostrophe before what a spreadsheet would calculate makes it text.
fn harmless(cell: &str) -> String {
    let shown = printable(cell);
    // The last four are what East Asian keyboards type for the first.
    let is_formula = shown.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if is_formula { format!("'{shown}") } else { shown.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_cell_is_more_than_text() {
        for (cells, expect) in [
            (&["192.0.2.7", "up", ""][..], "192.0.2.7,up,\n"),
            (&["a, \"b\""], "\"a, \"\"b\"\"\"\n"),
            (&["=cmd|' /C calc'!A0", " +1", "-2", "@SUM(1)", "＝1"], "'=cmd|' /C calc'!A0,' +1,'-2,'@SUM(1),'＝1\n"),
            (&["two\r\nlines", "\t=1", "\u{1b}[2J"], "two\\r\\nlines,\\t=1,\\u{1b}[2J\n"),
            (&["2001:db8::7", "::1"], "2001:db8::7,::1\n"),
        ] {
            let cells = cells.iter().map(|&cell| cell.to_owned());
            assert_eq!(to_record(cells).expect("text"), expect);
        }
    }

    proptest! {
        #[test]
        fn a_record_is_a_line_of_as_many_cells(cells in proptest::collection::vec(any::<String>(), 1..5)) {
            let line = to_record(cells.clone()).expect("text");
            prop_assert_eq!(line.matches('\n').count(), 1);
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            let record = reader.records().next().expect("a record").expect("reads");
            let expect: Vec<String> = cells.iter().map(|cell| harmless(cell)).collect();
            prop_assert_eq!(record.iter().collect::<Vec<_>>(), expect);
        }
    }
}
