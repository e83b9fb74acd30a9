use crate::JournalError;

/// Why the monitor stopped without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The world: the database cannot be used any more. Everything committed is still in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A bug: a part of the monitor ended although it never should.
    #[error("the monitor's {0} ended unexpectedly; this is a bug, please report it with the log")]
    Bug(&'static str),
}
