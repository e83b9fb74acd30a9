use crate::{Diagnostic, Span};
use std::cell::RefCell;

/// Where diagnostics go.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// What is not TOML. A file that has any may not say all it seems to say.
    syntax: RefCell<Vec<Diagnostic>>,
    /// What must not be shown: secrets that stand where they should not.
    hidden: RefCell<Vec<Span>>,
}

impl Sink {
    pub(crate) fn push(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    pub(crate) fn push_syntax(&self, diagnostic: Diagnostic) {
        self.syntax.borrow_mut().push(diagnostic);
    }

    pub(crate) fn hide(&self, span: Span) {
        self.hidden.borrow_mut().push(span);
    }

    pub(crate) fn hidden(&self) -> Vec<Span> {
        self.hidden.borrow().clone()
    }

    /// Whether every file could be read in full, so that something missing really is.
    pub(crate) fn is_whole(&self) -> bool {
        self.syntax.borrow().is_empty()
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.is_whole() || self.diagnostics.borrow().iter().any(Diagnostic::is_error)
    }

    /// Reports that something is missing or not defined: only where everything there is could be read.
    pub(crate) fn push_if_whole(&self, diagnostic: Diagnostic) {
        if self.is_whole() {
            self.push(diagnostic);
        }
    }

    /// What was pushed, and what is not TOML.
    pub(crate) fn into_parts(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        (self.diagnostics.into_inner(), self.syntax.into_inner())
    }
}
