use std::{fmt, ops::Range};

/// One of the files of a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(usize);

/// Bytes `start..end` of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub file: FileId,
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(file: FileId, range: &Range<usize>) -> Self {
        Self { file, start: range.start, end: range.end }
    }
}

/// The texts that diagnostics point into: the main file and what it included, in the order read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceMap {
    files: Vec<Source>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    name: String,
    text: String,
}

impl SourceMap {
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.files.push(Source { name: name.into(), text: text.into() });
        FileId(self.files.len() - 1)
    }

    /// Overwrites text that must not be shown. Lengths and lines stay as they are.
    pub(crate) fn hide(&mut self, span: Span) {
        let Some(source) = self.files.get_mut(span.file.0) else { return };
        let (start, end) = (floor_boundary(&source.text, span.start), ceil_boundary(&source.text, span.end));
        if start < end {
            let stars: String = source.text[start..end]
                .chars()
                .flat_map(|c| match c {
                    '\n' | '\r' => std::iter::repeat_n(c, 1),
                    c => std::iter::repeat_n('*', c.len_utf8()),
                })
                .collect();
            source.text.replace_range(start..end, &stars);
        }
    }

    pub fn files(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..self.files.len()).map(FileId)
    }

    /// The name shown to people: the path as it was given.
    pub fn name(&self, file: FileId) -> &str {
        self.files.get(file.0).map_or("", |source| &source.name)
    }

    pub fn text(&self, file: FileId) -> &str {
        self.files.get(file.0).map_or("", |source| &source.text)
    }

    /// Line and column of a byte, both from 1, columns in characters. Behind the end it is the end.
    pub fn position(&self, file: FileId, offset: usize) -> Position {
        let text = self.text(file);
        let before = &text[..floor_boundary(text, offset)];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }

    /// The part of a span that lies on its first line, on character boundaries, never empty where there is text to mark.
    pub(crate) fn first_line(&self, span: Span) -> Range<usize> {
        let text = self.text(span.file);
        let start = floor_boundary(text, span.start);
        let end = ceil_boundary(text, span.end.max(start));
        let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |newline| start + newline);
        start..end.min(line_end).max(start)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn ceil_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset += 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_and_characters() {
        let mut map = SourceMap::default();
        let file = map.add("a.toml", "a = 1\nß = \"ü\"\n");
        for (offset, line, column) in [(0, 1, 1), (4, 1, 5), (6, 2, 1), (7, 2, 1), (8, 2, 2), (99, 3, 1)] {
            assert_eq!(map.position(file, offset), Position { line, column }, "{offset}");
        }
    }

    #[test]
    fn hides_without_moving_anything() {
        let mut map = SourceMap::default();
        let file = map.add("a.toml", "p = \"\"\"\nßecret\n\"\"\"\nq = 1\n");
        map.hide(Span { file, start: 4, end: 19 });
        assert_eq!(map.text(file), "p = ***\n*******\n***\nq = 1\n");
    }

    #[test]
    fn marks_one_line_on_character_boundaries() {
        let mut map = SourceMap::default();
        let file = map.add("a.toml", "aß\nb");
        for (start, end, marked) in [(0, 9, 0..3), (2, 2, 1..3), (4, 5, 4..5), (9, 12, 5..5)] {
            assert_eq!(map.first_line(Span { file, start, end }), marked, "{start}..{end}");
        }
    }
}
