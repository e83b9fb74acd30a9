//! What holds for a whole run: which tools take part, which perimeterd, how it is to ask.

use crate::tool::Tool;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub(crate) struct Bench {
    tools: BTreeSet<Tool>,
    binary: Option<PathBuf>,
    mode: String,
    /// The receive ring of the measure that makes it too small.
    pub(crate) ring_bytes: u64,
}

impl Bench {
    /// `binary`: another perimeterd than the one that belongs to this program.
    pub(crate) fn new(tools: BTreeSet<Tool>, binary: Option<PathBuf>, mode: String, ring_bytes: u64) -> Self {
        Self { tools, binary, mode, ring_bytes }
    }

    /// Whether it takes part.
    pub(crate) fn has(&self, tool: Tool) -> bool {
        self.tools.contains(&tool)
    }

    /// Those of these that take part, in this order.
    pub(crate) fn among<'a>(&'a self, tools: &'a [Tool]) -> impl Iterator<Item = Tool> + 'a {
        tools.iter().copied().filter(|tool| self.has(*tool))
    }

    /// perimeterd's; built first where it is this program's own and not up to date.
    pub(crate) fn binary(&self) -> &Path {
        self.binary.as_deref().unwrap_or_else(|| testkit::binary())
    }

    /// What `--mode` is given.
    pub(crate) fn mode(&self) -> &str {
        &self.mode
    }
}
