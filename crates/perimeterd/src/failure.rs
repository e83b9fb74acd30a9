//! How a command can end badly, and what that means to whoever called it.

use std::{io, process::ExitCode};

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for something that cannot be: exit 2.
    Usage(String),
    /// No daemon answers: exit 3.
    Absent(String),
    /// Whoever reads our output went away (`| head`): no failure of anybody's, exit 0.
    ReaderGone,
    /// Something is wrong in the world: exit 1.
    World(anyhow::Error),
}

impl Failure {
    pub(crate) fn world(message: impl Into<String>) -> Self {
        Self::World(anyhow::Error::msg(message.into()))
    }

    /// The sentence for the operator, where there is one.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Usage(message) | Self::Absent(message) => Some(message.clone()),
            Self::ReaderGone => None,
            Self::World(error) => Some(told_once(error)),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::ReaderGone => ExitCode::SUCCESS,
            Self::World(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Absent(_) => ExitCode::from(3),
        }
    }
}

/// The error and its causes, without those that only repeat what stands before them.
fn told_once(error: &anyhow::Error) -> String {
    let mut told: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.last() != Some(&cause) {
            told.push(cause);
        }
    }
    told.join(": ")
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<io::Error>() {
            Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::World(error),
        }
    }
}

/// From writing to stdout: everything else brings its own context.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::World(anyhow::Error::new(error).context("the output could not be written"))
        }
    }
}

pub(crate) type Outcome = Result<ExitCode, Failure>;

#[cfg(test)]
mod tests {
    use super::*;
    use monitor::{JournalError, MonitorError};

    #[test]
    fn says_each_thing_once() {
        let full = MonitorError::from(JournalError::Retry("the disk is full".to_owned()));
        let wrapped = anyhow::Error::new(io::Error::other("no room")).context("it could not be written");
        for (error, expect) in
            [(anyhow::Error::new(full), "the disk is full"), (wrapped, "it could not be written: no room")]
        {
            assert_eq!(Failure::World(error).message().as_deref(), Some(expect));
        }
    }
}
