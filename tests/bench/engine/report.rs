//! What came of a measure, in Markdown.

use crate::{measure::Measure, trial::Trial};
use std::fmt::Write as _;

/// What one measure gave.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) claims: Vec<Claim>,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    commands: Vec<String>,
    notes: Vec<String>,
}

/// One figure the engine has to reach, and whether it did.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) what: String,
    pub(crate) at_least: String,
    pub(crate) ours: String,
    pub(crate) theirs: String,
    /// None: not measured in this run.
    pub(crate) is_reached: Option<bool>,
}

impl Report {
    /// A table of trials, each with its command.
    pub(crate) fn of(trials: &[Trial]) -> Self {
        let mut report = Self { columns: Trial::COLUMNS.map(str::to_owned).to_vec(), ..Self::default() };
        for trial in trials {
            report.rows.push(trial.row());
            report.command(&trial.ran.command);
        }
        report
    }

    /// A table of its own kind.
    pub(crate) fn table(columns: &[&str], rows: Vec<Vec<String>>) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { columns, rows, ..Self::default() }
    }

    pub(crate) fn claim(&mut self, claim: Claim) {
        self.claims.push(claim);
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Each is shown once.
    pub(crate) fn command(&mut self, command: &str) {
        if !self.commands.iter().any(|known| known == command) {
            self.commands.push(command.to_owned());
        }
    }

    /// The measure's own section.
    pub(crate) fn section(&self, measure: &Measure) -> String {
        let mut text = format!("### {}\n\n{}\n\n", measure.name, measure.what);
        if !self.rows.is_empty() {
            text.push_str(&table(&self.columns, &self.rows));
            text.push('\n');
        }
        for note in &self.notes {
            let _infallible = writeln!(text, "{note}\n");
        }
        if !self.commands.is_empty() {
            let _infallible = writeln!(text, "```\n{}\n```\n", self.commands.join("\n"));
        }
        text
    }
}

/// The table of what is to be reached.
pub(crate) fn summary(claims: &[(&Measure, Claim)]) -> String {
    let columns = ["measure", "at least", "perimeterd", "peers", "reached"].map(str::to_owned);
    let rows: Vec<Vec<String>> = claims
        .iter()
        .map(|(_, claim)| {
            let reached = match claim.is_reached {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "not measured",
            };
            vec![
                claim.what.clone(),
                claim.at_least.clone(),
                claim.ours.clone(),
                claim.theirs.clone(),
                reached.to_owned(),
            ]
        })
        .collect();
    table(&columns, &rows)
}

fn table(columns: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(columns.len()));
    [line(columns), rule].into_iter().chain(rows.iter().map(|row| line(row))).collect()
}

/// `1.38 ×`, or a dash where one of them was not measured.
pub(crate) fn times(ours: Option<f64>, theirs: Option<f64>) -> String {
    ratio(ours, theirs).map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2} ×"))
}

/// None where one of them was not measured, or there is nothing to compare with.
pub(crate) fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    let (ours, theirs) = (ours?, theirs?);
    (theirs > 0.0).then_some(ours / theirs)
}

/// Thousands apart: `1,048,576`.
pub(crate) fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ratios_are_shown() {
        for (value, shown) in [(0.0, "0"), (999.0, "999"), (1_000.0, "1,000"), (1_048_576.4, "1,048,576")] {
            assert_eq!(number(value), shown);
        }
        assert_eq!(times(Some(3.0), Some(2.0)), "1.50 ×");
        assert_eq!((times(None, Some(2.0)), times(Some(1.0), Some(0.0))), ("–".to_owned(), "–".to_owned()));
    }

    #[test]
    fn a_table_has_as_many_columns_in_each_line() {
        let text = table(&["a".into(), "b".into()], &[vec!["1".into(), "2".into()]]);
        assert_eq!(text, "| a | b |\n|---|---|\n| 1 | 2 |\n");
    }
}
