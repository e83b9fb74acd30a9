//! SQLite: the journal the monitor commits to, and the read side.
