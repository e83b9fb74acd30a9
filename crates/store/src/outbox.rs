//! The notifiers' outbox.
//!
//! An owed row is waiting (in no digest), in an open digest, or in one that ended. A digest's rows never change.

use crate::{
    Store, StoreError,
    column::{Ms, count, get_count, get_time},
    reader::notices,
    steps::Steps,
};
use jiff::Timestamp;
use model::Notice;
use notifiers::{Digest, Ending, OpenDigest, Outbox, OutboxError, OutboxFuture};
use rusqlite::{Connection, Row, params};
use siphasher::sip::SipHasher13;
use std::hash::{Hash as _, Hasher as _};

impl Outbox for Store {
    fn open_digests(&self) -> OutboxFuture<'_, Vec<OpenDigest>> {
        Box::pin(async { Ok(self.shared.reader.query(open_digests).await?) })
    }

    /// Where a digest of the recipient is open already, that one: two at a time would break the order, and after an
    /// uncertain call this is the answer that was lost.
    fn begin<'a>(&'a self, recipient: &'a str, to: Timestamp, limit: usize) -> OutboxFuture<'a, Option<Digest>> {
        let (recipient, now) = (recipient.to_owned(), self.shared.clock.now());
        Box::pin(async move {
            let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
            Ok(self.write(move |steps| begin(steps, &recipient, to, limit, now)).await?)
        })
    }

    fn postpone<'a>(&'a self, digest: &'a str, next_try: Timestamp, error: &'a str) -> OutboxFuture<'a, ()> {
        let (id, error) = (digest.to_owned(), error.to_owned());
        Box::pin(async move {
            let known = self
                .write(move |steps| {
                    steps.execute(
                        "UPDATE digest SET attempts = attempts + 1, next_try = ?2, last_error = ?3
                         WHERE id = ?1 AND ended_at IS NULL",
                        params![id, Ms(next_try), error],
                    )
                })
                .await?;
            if known == 0 { Err(OutboxError(format!("there is no open digest {digest} to postpone"))) } else { Ok(()) }
        })
    }

    /// The first ending counts; another one changes nothing.
    fn end<'a>(&'a self, digest: &'a str, ending: Ending) -> OutboxFuture<'a, ()> {
        let id = digest.to_owned();
        Box::pin(async move {
            let known = self.write(move |steps| end(steps, &id, &ending)).await?;
            if known { Ok(()) } else { Err(OutboxError(format!("there is no digest {digest} to end"))) }
        })
    }

    /// What is in a dead digest is no longer owed: nobody will try again.
    fn backlog(&self) -> OutboxFuture<'_, Vec<(String, u64, Timestamp)>> {
        Box::pin(async { Ok(self.shared.reader.query(backlog).await?) })
    }
}

const OPEN: &str = "SELECT number, id, recipient, window_from, window_to, alerts_until, attempts, first_try, next_try,
    last_error FROM digest WHERE ended_at IS NULL";

fn open_digests(connection: &Connection) -> rusqlite::Result<Vec<OpenDigest>> {
    let connection = connection.unchecked_transaction()?;
    let heads = connection
        .prepare_cached(&format!("{OPEN} ORDER BY number"))?
        .query_map([], head)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    heads.into_iter().map(|head| fill(&connection, head)).collect()
}

/// A digest without its notices, its number, and up to which alert its events' alerts are told.
struct Head {
    number: i64,
    alerts_until: i64,
    open: OpenDigest,
}

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    let digest = Digest {
        id: row.get(1)?,
        recipient: row.get(2)?,
        from: get_time(row, 3)?,
        to: get_time(row, 4)?,
        notices: Vec::new(),
    };
    Ok(Head {
        number: row.get(0)?,
        alerts_until: row.get(5)?,
        open: OpenDigest {
            digest,
            attempts: row.get(6)?,
            first_try: get_time(row, 7)?,
            next_try: get_time(row, 8)?,
            last_error: row.get(9)?,
        },
    })
}

fn fill(connection: &Connection, head: Head) -> rusqlite::Result<OpenDigest> {
    let Head { number, alerts_until, mut open } = head;
    open.digest.notices = notices(
        connection,
        "FROM owed o JOIN alert a ON a.seq = o.alert WHERE o.digest = ? ORDER BY a.seq",
        params![number],
        alerts_until,
    )?;
    Ok(open)
}

fn begin(
    steps: Steps<'_>,
    recipient: &str,
    to: Timestamp,
    limit: i64,
    now: Timestamp,
) -> rusqlite::Result<Option<Digest>> {
    let connection = steps.connection();
    if let Some(open) = steps.first(&format!("{OPEN} AND recipient = ?"), params![recipient], head)? {
        return fill(connection, open).map(|open| Some(open.digest));
    }
    let until = steps.one("SELECT coalesce(max(seq), 0) FROM alert", [], |row| row.get(0))?;
    let notices = notices(
        connection,
        "FROM owed o JOIN alert a ON a.seq = o.alert WHERE o.recipient = ? AND o.digest IS NULL
         ORDER BY o.alert LIMIT ?",
        params![recipient, limit],
        until,
    )?;
    let (Some(first), Some(last)) = (notices.first(), notices.last()) else { return Ok(None) };
    let before = steps.first(
        "SELECT window_to FROM digest WHERE recipient = ? ORDER BY number DESC LIMIT 1",
        params![recipient],
        |row| get_time(row, 0),
    )?;
    // A clock set back must not make a window that runs backwards.
    let from = before.unwrap_or(first.alert.time).min(to);
    let id = digest_id(recipient, first, last);
    steps.execute(
        "INSERT INTO digest (id, recipient, window_from, window_to, first_seq, last_seq, alerts_until, first_try,
             next_try)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
        params![id, recipient, Ms(from), Ms(to), count(first.seq), count(last.seq), until, Ms(now)],
    )?;
    steps.execute(
        "UPDATE owed SET digest = ?1 WHERE recipient = ?2 AND digest IS NULL AND alert <= ?3",
        params![steps.last_rowid(), recipient, count(last.seq)],
    )?;
    let millisecond = model::to_millisecond;
    let (recipient, from, to) = (recipient.to_owned(), millisecond(from), millisecond(to));
    Ok(Some(Digest { id, recipient, from, to, notices }))
}

/// `<hash>.<first>-<last>`. The hash takes in the recipient and the alerts' own ids, so that a database begun anew,
/// which counts from 1 again, does not give out a mailbox's old ids.
fn digest_id(recipient: &str, first: &Notice, last: &Notice) -> String {
    let mut hasher = SipHasher13::new();
    (recipient, first.alert.id, last.alert.id).hash(&mut hasher);
    format!("{:016x}.{}-{}", hasher.finish(), first.seq, last.seq)
}

/// Whether there is such a digest.
fn end(steps: Steps<'_>, id: &str, ending: &Ending) -> rusqlite::Result<bool> {
    let (at, word, text) = match ending {
        Ending::Delivered { at, answer } => (at, "delivered", answer),
        Ending::Dead { at, reason } => (at, "dead", reason),
    };
    steps.execute(
        "UPDATE digest SET attempts = attempts + 1, ended_at = ?2, ending = ?3, answer = ?4
         WHERE id = ?1 AND ended_at IS NULL",
        params![id, Ms(*at), word, text],
    )?;
    steps.one("SELECT EXISTS (SELECT 1 FROM digest WHERE id = ?)", params![id], |row| row.get(0))
}

fn backlog(connection: &Connection) -> rusqlite::Result<Vec<(String, u64, Timestamp)>> {
    connection
        .prepare_cached(
            "SELECT o.recipient, count(*), min(a.time) FROM owed o JOIN alert a ON a.seq = o.alert
             WHERE o.digest IS NULL OR o.digest IN (SELECT number FROM digest WHERE ended_at IS NULL)
             GROUP BY o.recipient ORDER BY o.recipient",
        )?
        .query_map([], |row| Ok((row.get(0)?, get_count(row, 1)?, get_time(row, 2)?)))?
        .collect()
}

impl Store {
    /// Gives up what is owed to recipients that are no longer configured: without this it would be kept for ever, for
    /// nobody. Their open digests end as dead, with the reason. Returns how many alerts that were.
    pub async fn forget_recipients(&self, configured: &[&str], reason: &str) -> Result<u64, StoreError> {
        let configured = configured.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (reason, now) = (reason.to_owned(), self.shared.clock.now());
        self.write(move |steps| forget(steps, &configured, &reason, now)).await
    }
}

fn forget(steps: Steps<'_>, configured: &[String], reason: &str, now: Timestamp) -> rusqlite::Result<u64> {
    let mut given_up = 0;
    for (recipient, owed, _) in backlog(steps.connection())? {
        if configured.contains(&recipient) {
            continue;
        }
        given_up += owed;
        let ending = Ending::Dead { at: now, reason: reason.to_owned() };
        // At most two: the one that was open, and one of everything that waits.
        while let Some(digest) = begin(steps, &recipient, now, i64::MAX, now)? {
            end(steps, &digest.id, &ending)?;
        }
    }
    Ok(given_up)
}
