//! Walking a parsed file by hand: every value knows where it stands and what it is called, every mistake is reported
//! and none stops the walk, so that one wrong key does not hide the others.

use crate::{
    diagnostic::Diagnostic,
    names::{key, nearest, show, suggestion},
    sink::Sink,
    source::{FileId, Span},
};
use std::{fmt::Display, ops::RangeInclusive, time::Duration};
use toml::de::{DeTable, DeValue};

/// A value of the file.
#[derive(Debug, Clone)]
pub(crate) struct Value<'a> {
    pub(crate) sink: &'a Sink,
    /// Where its key stands; for a list's item, where the item does.
    pub(crate) key: Span,
    pub(crate) span: Span,
    /// What it is called in messages: `asset.dmz.value`.
    pub(crate) path: String,
    inner: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// The same value, whose mistakes are collected elsewhere.
    pub(crate) fn reporting_to(self, sink: &'a Sink) -> Self {
        Self { sink, ..self }
    }

    pub(crate) fn error(&self, title: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span, title)
    }

    pub(crate) fn warning(&self, title: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.span, title)
    }

    /// Says that it is of the wrong type.
    pub(crate) fn expected(&self, what: &str) {
        let found = match self.inner {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let title = format!("`{}` must be {what}, not {found}", self.path);
        let diagnostic = self.error(title).label(format!("expected {what}"));
        let unquoted = matches!(self.inner, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_));
        self.sink.push(match what {
            "a string" if unquoted => diagnostic.help("put it in quotes, and its unit too if it has one"),
            _ => diagnostic,
        });
    }

    /// Says that it is of the right type and wrong all the same. Where the reason ends with advice behind a
    /// semicolon, that is set apart as help.
    pub(crate) fn refuse(&self, reason: impl Display) {
        self.refuse_with(reason, None);
    }

    fn refuse_with(&self, reason: impl Display, help: Option<&str>) {
        let reason = reason.to_string();
        // A semicolon inside of what was typed stands between back-quotes: then the tail has an odd number of them.
        let advice = reason.rsplit_once("; ").filter(|(_, tail)| tail.matches('`').count().is_multiple_of(2));
        let (reason, help) = match advice {
            Some((reason, advice)) => (reason, Some(advice)),
            None => (reason.as_str(), help),
        };
        let diagnostic = self.error(format!("`{}`: {reason}", self.path));
        self.sink.push(match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }

    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.inner.as_str()
    }

    pub(crate) fn is_table(&self) -> bool {
        self.inner.is_table()
    }

    pub(crate) fn is_list(&self) -> bool {
        self.inner.is_array()
    }

    /// An integer of any size as far as an `i64` goes; none for anything else, without a word.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        let integer = self.inner.as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// An integer or a float, finite; none for anything else, without a word.
    pub(crate) fn as_number(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "thresholds; nobody compares with 2^53")]
        let whole = self.as_integer().map(|integer| integer as f64);
        whole.or_else(|| self.inner.as_float()?.as_str().parse().ok()).filter(|number: &f64| number.is_finite())
    }

    pub(crate) fn as_boolean(&self) -> Option<bool> {
        self.inner.as_bool()
    }

    /// A local date without a time; none for anything else, without a word.
    pub(crate) fn as_date(&self) -> Option<jiff::civil::Date> {
        let datetime = self.inner.as_datetime()?;
        let date = datetime.date.filter(|_| datetime.time.is_none() && datetime.offset.is_none())?;
        let small = |number: u8| i8::try_from(number).ok();
        jiff::civil::Date::new(i16::try_from(date.year).ok()?, small(date.month)?, small(date.day)?).ok()
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        if self.as_text().is_none() {
            self.expected("a string");
        }
        self.as_text()
    }

    /// Says that it holds a secret where none should be; it is not shown.
    pub(crate) fn refuse_secret(&self, reason: &str) {
        self.sink.hide(self.span);
        self.refuse(reason);
    }

    /// A string that is shown to people and sent to machines: printable, not empty, at most `most` characters.
    pub(crate) fn line(&self, most: usize) -> Option<String> {
        let text = self.text()?.trim();
        if text.is_empty() {
            self.refuse("the text is empty");
        } else if text.chars().count() > most {
            self.refuse(format!("the text is longer than {most} characters"));
        } else if text.chars().any(char::is_control) {
            self.refuse("the text holds control characters; write it on one line");
        } else {
            return Some(text.to_owned());
        }
        None
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        if self.as_boolean().is_none() {
            self.expected("`true` or `false`");
        }
        self.as_boolean()
    }

    pub(crate) fn integer_in(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let Some(integer) = self.inner.as_integer() else {
            self.expected("a whole number");
            return None;
        };
        let (least, most) = (range.start(), range.end());
        let value = self.as_integer().filter(|value| range.contains(value));
        if value.is_none() {
            let title =
                format!("`{}` is {least} to {most}, not {}", self.path, show(integer.as_str()).replace('`', ""));
            let diagnostic = self.error(title).label(format!("outside {least} to {most}"));
            self.sink.push(diagnostic.help(format!("write a whole number from {least} to {most}")));
        }
        value
    }

    /// A string that `read` understands; what it says otherwise is reported here, with this help where it has no advice
    /// of its own.
    pub(crate) fn parse<T, E: Display>(&self, help: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match read(self.text()?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse_with(error, Some(help));
                None
            }
        }
    }

    /// A duration like `5m`, within bounds.
    pub(crate) fn duration_in(&self, least: Duration, most: Duration) -> Option<Duration> {
        let duration = self.parse("write a duration like `5m`", model::parse_duration)?;
        if duration < least || duration > most {
            let (least, most) = (spoken(least), spoken(most));
            let title = format!("`{}` is {least} to {most}, not {}", self.path, spoken(duration));
            let diagnostic = self.error(title).label(format!("outside {least} to {most}"));
            self.sink.push(diagnostic.help(format!("write a duration from {least} to {most}")));
            return None;
        }
        Some(duration)
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let title = format!("`{}` does not know the word {}", self.path, show(text));
            self.suggest(self.error(title), text, "word", words.iter().map(|(word, _)| *word));
        }
        found
    }

    /// Reports a diagnostic about a mistyped word together with the one that was probably meant.
    pub(crate) fn suggest<'c>(
        &self,
        diagnostic: Diagnostic,
        typed: &str,
        what: &str,
        candidates: impl IntoIterator<Item = &'c str> + Clone,
    ) {
        let diagnostic = match suggestion(typed, what, candidates) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        };
        self.sink.push(diagnostic);
    }

    /// A list's items; anything else is reported.
    pub(crate) fn list(&self) -> Option<Vec<Self>> {
        let Some(items) = self.inner.as_array() else {
            self.expected("a list");
            return None;
        };
        Some(items.iter().map(|item| self.item(item)).collect())
    }

    /// A list's items, or the one value that stands for a list of one.
    pub(crate) fn one_or_many(&self) -> Vec<Self> {
        match self.inner.as_array() {
            Some(items) => items.iter().map(|item| self.item(item)).collect(),
            None => vec![self.clone()],
        }
    }

    fn item(&self, item: &'a toml::Spanned<DeValue<'a>>) -> Self {
        let span = Span::new(self.span.file, &item.span());
        Self { key: span, span, path: self.path.clone(), inner: item.get_ref(), sink: self.sink }
    }

    /// A table with these keys and no others.
    pub(crate) fn table(&self, keys: &'static [&'static str]) -> Option<Table<'a>> {
        self.table_without(keys, &[])
    }

    /// As [`Value::table`], with keys that are refused with a sentence of their own.
    pub(crate) fn table_without(
        &self,
        keys: &'static [&'static str],
        refused: &[(&str, &'static str)],
    ) -> Option<Table<'a>> {
        let table = self.open_table()?;
        table.check_keys(keys, refused);
        Some(Table { keys, ..table })
    }

    /// A table whose keys are names the operator chose.
    pub(crate) fn open_table(&self) -> Option<Table<'a>> {
        let Some(entries) = self.inner.as_table() else {
            self.expected("a table");
            return None;
        };
        Some(Table { sink: self.sink, span: self.key, path: self.path.clone(), entries, keys: &[] })
    }
}

/// A table of the file.
#[derive(Debug, Clone)]
pub(crate) struct Table<'a> {
    pub(crate) sink: &'a Sink,
    /// Where its name stands.
    pub(crate) span: Span,
    /// What it is called in messages: `asset.dmz`; empty for the file itself.
    pub(crate) path: String,
    entries: &'a DeTable<'a>,
    keys: &'static [&'static str],
}

impl<'a> Table<'a> {
    /// A whole file.
    pub(crate) fn document(
        file: FileId,
        entries: &'a DeTable<'a>,
        keys: &'static [&'static str],
        sink: &'a Sink,
    ) -> Self {
        let table = Self { sink, span: Span { file, start: 0, end: 0 }, path: String::new(), entries, keys };
        table.check_keys(keys, &[]);
        table
    }

    /// The value of a key this kind of table has.
    pub(crate) fn get(&self, name: &'static str) -> Option<Value<'a>> {
        debug_assert!(self.keys.contains(&name), "`{name}` is read and not listed");
        self.entries.get_key_value(name).map(|(key, value)| self.value(key, value))
    }

    /// As [`Table::get`]; reports where it is missing.
    pub(crate) fn require(&self, name: &'static str, why: &str) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() {
            let title = format!("`{}` has no `{name}`", self.path);
            self.sink
                .push_if_whole(Diagnostic::error(self.span, title).label(format!("`{name}` is missing")).help(why));
        }
        value
    }

    /// Whether any of these refused keys stands in it.
    pub(crate) fn holds(&self, refused: &[(&str, &str)]) -> bool {
        refused.iter().any(|(key, _)| self.entries.contains_key(*key))
    }

    /// Every entry with its name, in the order of the names.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + '_ {
        self.entries.iter().map(|(key, value)| (key.get_ref().as_ref(), self.value(key, value)))
    }

    pub(crate) fn error(&self, title: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span, title)
    }

    pub(crate) fn warning(&self, title: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.span, title)
    }

    fn value(
        &self,
        name: &'a toml::Spanned<toml::de::DeString<'a>>,
        value: &'a toml::Spanned<DeValue<'a>>,
    ) -> Value<'a> {
        let name_text = key(name.get_ref());
        let path = if self.path.is_empty() { name_text } else { format!("{}.{name_text}", self.path) };
        let place = |range: std::ops::Range<usize>| Span::new(self.span.file, &range);
        Value { sink: self.sink, key: place(name.span()), span: place(value.span()), path, inner: value.get_ref() }
    }

    fn check_keys(&self, keys: &'static [&'static str], refused: &[(&str, &'static str)]) {
        let place =
            if self.path.is_empty() { "at the top of the file".to_owned() } else { format!("in `{}`", self.path) };
        for (name, value) in self.entries().filter(|(name, _)| !keys.contains(name)) {
            if let Some((_, why)) = refused.iter().find(|(key, _)| *key == name) {
                let title = format!("`{name}` cannot be written {place}");
                self.sink.push(Diagnostic::error(value.key, title).help(*why));
                self.sink.hide(value.span);
                continue;
            }
            let title = format!("unknown key {} {place}", show(name));
            let mut diagnostic = Diagnostic::error(value.key, title).label("unknown key");
            diagnostic =
                match (nearest(name, keys.iter().copied()), suggestion(name, "known key", keys.iter().copied())) {
                    (Some(meant), _) => diagnostic.help(format!("did you mean `{meant}`?")),
                    (None, Some(list)) => diagnostic.help(list),
                    (None, None) => diagnostic,
                };
            self.sink.push(diagnostic);
        }
    }
}

/// A duration as people say it: `1y` is not a unit we read, so long bounds are told in days.
pub(crate) fn spoken(duration: Duration) -> String {
    let days = duration.as_secs() / 86_400;
    if days >= 14 && duration == Duration::from_secs(days * 86_400) {
        format!("{days}d")
    } else {
        model::format_duration(duration)
    }
}
