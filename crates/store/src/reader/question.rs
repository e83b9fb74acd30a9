//! A SELECT put together from the parts of a filter that are set.

use crate::column::{self, bounds};
use model::AddressRange;
use rusqlite::{Connection, Row, ToSql, params_from_iter};

/// Values are always parameters; only texts of ours become SQL.
pub(super) struct Question {
    sql: String,
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
}

impl Question {
    /// `SELECT … FROM …`
    pub(super) fn new(select: &str) -> Self {
        Self { sql: select.to_owned(), conditions: Vec::new(), values: Vec::new() }
    }

    /// A condition with one `?` a value.
    pub(super) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Box<dyn ToSql>>) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }

    /// A condition with one `?`, where there is something to compare with.
    pub(super) fn and_some<T: ToSql + 'static>(&mut self, condition: &str, value: Option<T>) {
        if let Some(value) = value {
            self.and(condition, [Box::new(value) as Box<dyn ToSql>]);
        }
    }

    /// The address lies in one of the ranges; no ranges are no condition. `template` holds `{}` where the comparison of
    /// the column `address` goes.
    pub(super) fn and_within(&mut self, template: &str, ranges: &[AddressRange]) {
        if ranges.is_empty() {
            return;
        }
        let any = vec!["address BETWEEN ? AND ?"; ranges.len()].join(" OR ");
        let values = ranges.iter().flat_map(|range| {
            let (first, last) = bounds(*range);
            [Box::new(first) as Box<dyn ToSql>, Box::new(last)]
        });
        self.and(&template.replace("{}", &any), values);
    }

    /// The column is one of the values; none are no condition.
    pub(super) fn and_any<T: ToSql + 'static>(&mut self, column: &str, values: impl IntoIterator<Item = T>) {
        let values: Vec<Box<dyn ToSql>> = values.into_iter().map(|value| Box::new(value) as Box<dyn ToSql>).collect();
        if !values.is_empty() {
            self.and(&format!("{column} IN ({})", vec!["?"; values.len()].join(", ")), values);
        }
    }

    /// The answer's rows in that order, at most `limit`.
    pub(super) fn ask<T>(
        mut self,
        connection: &Connection,
        order: &str,
        limit: Option<usize>,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let (tail, values) = self.tail(order, limit);
        connection
            .prepare_cached(&format!("{}{tail}", self.sql))?
            .query_map(params_from_iter(values.iter()), read)?
            .collect()
    }

    /// Everything behind `FROM …`, with its values: ` WHERE … ORDER BY … LIMIT ?`.
    pub(super) fn tail(&mut self, order: &str, limit: Option<usize>) -> (String, Vec<Box<dyn ToSql>>) {
        let mut tail = String::new();
        for (index, condition) in self.conditions.iter().enumerate() {
            tail.push_str(if index == 0 { " WHERE (" } else { " AND (" });
            tail.push_str(condition);
            tail.push(')');
        }
        tail.push_str(" ORDER BY ");
        tail.push_str(order);
        tail.push_str(" LIMIT ?");
        let mut values = std::mem::take(&mut self.values);
        values.push(Box::new(column::limit(limit)));
        (tail, values)
    }
}

/// A text for `LIKE … ESCAPE '\'` that finds what contains it, in either case.
pub(super) fn containing(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}
