use crate::{
    names::printable,
    source::{SourceMap, Span},
};
use annotate_snippets::{AnnotationKind, Group, Level, Message, Renderer, Snippet};
use std::fmt::Write;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiagnosticSeverity {
    Error,
    Warning,
}

/// One thing that is wrong, or odd, with the configuration: what, where, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: DiagnosticSeverity,
    /// What it is about; none where there is no text to point at, as for a file that cannot be read.
    pub span: Option<Span>,
    /// One sentence that stands for itself.
    pub title: String,
    /// A few words under the marked text.
    pub label: Option<String>,
    /// Other places that belong to it, each with a few words.
    pub related: Vec<(Span, String)>,
    pub help: Option<String>,
    pub notes: Vec<String>,
}

impl Diagnostic {
    pub fn error(span: impl Into<Option<Span>>, title: impl Into<String>) -> Self {
        Self::new(DiagnosticSeverity::Error, span.into(), &title.into())
    }

    pub fn warning(span: impl Into<Option<Span>>, title: impl Into<String>) -> Self {
        Self::new(DiagnosticSeverity::Warning, span.into(), &title.into())
    }

    fn new(severity: DiagnosticSeverity, span: Option<Span>, title: &str) -> Self {
        Self {
            severity,
            span,
            title: printable(title),
            label: None,
            related: Vec::new(),
            help: None,
            notes: Vec::new(),
        }
    }

    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(printable(&text.into()));
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(printable(&text.into()));
        self
    }

    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(printable(&text.into()));
        self
    }

    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push((span, printable(&text.into())));
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == DiagnosticSeverity::Error
    }

    /// File and line, where there is a place: `/etc/perimeterd/perimeterd.toml`, 12.
    pub fn place<'a>(&self, sources: &'a SourceMap) -> Option<(&'a str, usize)> {
        let span = self.span?;
        Some((sources.name(span.file), sources.position(span.file, span.start).line))
    }

    /// On one line: `perimeterd.toml:12: error: unknown key …; did you mean …`.
    pub fn line(&self, sources: &SourceMap) -> String {
        let mut line = String::new();
        if let Some((file, number)) = self.place(sources) {
            let _ = write!(line, "{file}:{number}: ");
        }
        let word = if self.is_error() { "error" } else { "warning" };
        let _ = write!(line, "{word}: {}", self.title);
        if let Some(help) = &self.help {
            let _ = write!(line, "; {help}");
        }
        line
    }

    /// As rustc would: the file, the line, the span underlined, what was expected, and how to put it right. No newline
    /// at the end.
    pub fn render(&self, sources: &SourceMap, colour: bool) -> String {
        let level = if self.is_error() { Level::ERROR } else { Level::WARNING };
        let mut group = Group::with_title(level.primary_title(self.title.as_str()));
        for snippet in self.snippets(sources) {
            group = group.element(snippet);
        }
        let message = |level: Level<'static>, text: &str| -> Message<'_> { level.message(text.to_owned()) };
        for note in &self.notes {
            group = group.element(message(Level::NOTE, note));
        }
        if let Some(help) = &self.help {
            group = group.element(message(Level::HELP, help));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// One for each file, in the order in which they are spoken of.
    fn snippets<'a>(&'a self, sources: &'a SourceMap) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let main = self.span.map(|span| (span, self.label.as_deref(), AnnotationKind::Primary));
        let related = self.related.iter().map(|(span, text)| (*span, Some(text.as_str()), AnnotationKind::Context));
        let mut files: Vec<(crate::source::FileId, Vec<_>)> = Vec::new();
        for (span, label, kind) in main.into_iter().chain(related) {
            let mut annotation = kind.span(sources.first_line(span));
            if let Some(label) = label {
                annotation = annotation.label(label);
            }
            match files.iter_mut().find(|(file, _)| *file == span.file) {
                Some((_, annotations)) => annotations.push(annotation),
                None => files.push((span.file, vec![annotation])),
            }
        }
        files
            .into_iter()
            .map(|(file, annotations)| {
                Snippet::source(sources.text(file)).path(sources.name(file)).annotations(annotations)
            })
            .collect()
    }
}
