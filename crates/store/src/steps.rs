//! The statements of one transaction, each by way of one place.

use rusqlite::{Connection, Params, Row};

/// What a piece of work may do to the database. Its statements are prepared once and kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps<'a> {
    connection: &'a Connection,
    #[cfg(test)]
    fault: &'a fault::Fault,
}

impl<'a> Steps<'a> {
    #[cfg(not(test))]
    pub(crate) fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    #[cfg(test)]
    pub(crate) fn new(connection: &'a Connection, fault: &'a fault::Fault) -> Self {
        Self { connection, fault }
    }

    /// Runs a statement that gives no rows; returns how many rows it changed.
    pub(crate) fn execute(self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        #[cfg(test)]
        self.fault.strike()?;
        self.connection.prepare_cached(sql)?.execute(params)
    }

    /// The first row, or none.
    pub(crate) fn first<T>(
        self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        use rusqlite::OptionalExtension as _;
        self.connection.prepare_cached(sql)?.query_row(params, read).optional()
    }

    /// The only row.
    pub(crate) fn one<T>(
        self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.prepare_cached(sql)?.query_row(params, read)
    }

    /// The rowid of the row inserted last.
    pub(crate) fn last_rowid(self) -> i64 {
        self.connection.last_insert_rowid()
    }

    pub(crate) fn connection(self) -> &'a Connection {
        self.connection
    }
}

/// Failures on demand: the only way to stop between two statements.
#[cfg(test)]
pub(crate) mod fault {
    use rusqlite::ffi;
    use std::sync::{Arc, Mutex, PoisonError};

    type Witness = Box<dyn FnMut() + Send>;

    /// Fails the nth statement from now on, once, with that result code, after calling the witness.
    #[derive(Clone, Default)]
    pub(crate) struct Fault(Arc<Mutex<Option<(usize, i32, Witness)>>>);

    impl std::fmt::Debug for Fault {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Fault")
        }
    }

    impl Fault {
        /// The statement with that number, from 0, will fail.
        pub(crate) fn arm(&self, statement: usize, code: i32, witness: impl FnMut() + Send + 'static) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((statement, code, Box::new(witness)));
        }

        /// How many statements it still lets pass; none where it has struck.
        pub(crate) fn left(&self) -> Option<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(left, ..)| *left)
        }

        /// Whether it has not struck since it was armed.
        pub(crate) fn disarm(&self) -> bool {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
        }

        pub(super) fn strike(&self) -> rusqlite::Result<()> {
            let mut armed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match armed.as_mut() {
                Some((0, code, witness)) => {
                    witness();
                    let error = rusqlite::Error::SqliteFailure(ffi::Error::new(*code), None);
                    *armed = None;
                    Err(error)
                }
                Some((left, ..)) => {
                    *left -= 1;
                    Ok(())
                }
                None => Ok(()),
            }
        }
    }
}
