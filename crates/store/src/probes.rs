//! The probe ledger, written and let go.

use crate::{
    Store, StoreError,
    column::{Ms, address, count},
    steps::Steps,
};
use jiff::Timestamp;
use model::Vantage;
use monitor::ledger::{Entry, Errand, Order, Territory, VolleyId};
use rusqlite::{Connection, params};

/// Territories looked through in one transaction.
const SLICE: u64 = 500;
/// A pass is over after this: what it was for is kept longer than its volleys, not to be looked for in each of them.
const LONGEST_PASS_MS: i64 = 60 * 86_400_000;

/// Writes a row, or the later word of one that is there. One of which nothing left is none.
pub(crate) fn put(steps: Steps<'_>, entry: &Entry, vantage: &Vantage, now: Timestamp) -> rusqlite::Result<()> {
    let Entry { volley, territory } = entry;
    let Some(territory) = put_territory(steps, territory)? else { return Ok(()) };
    let id = count(volley.id.number());
    if volley.indices.is_empty() {
        let sql = "DELETE FROM probe_volley WHERE territory = ? AND id = ?";
        return steps.execute(sql, params![territory, id]).map(drop);
    }
    steps.execute(
        "INSERT OR IGNORE INTO setting (name, value) VALUES ('probes_since', ?)",
        params![now.as_millisecond().to_string()],
    )?;
    let errand = put_errand(steps, &volley.errand, vantage, volley.began)?;
    let (seed, moments) = match &volley.order {
        Order::Permuted(seed) => (Some(seed.cast_signed()), None),
        Order::Moments(moments) => (None, Some(&**moments)),
        Order::Ascending => (None, None),
    };
    steps.execute(
        "INSERT INTO probe_volley (territory, id, errand, attempt, last_attempt, raw, source, seed, moments, first_index,
             end_index, some, began, ended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (territory, id) DO UPDATE SET raw = excluded.raw, first_index = excluded.first_index, end_index = excluded.end_index,
             some = excluded.some, began = excluded.began, ended = excluded.ended, moments = excluded.moments",
        params![
            territory,
            id,
            errand,
            volley.attempts.0,
            volley.attempts.1,
            volley.mode.number(),
            volley.source.map(address),
            seed,
            moments,
            volley.indices.start.cast_signed(),
            volley.indices.end.cast_signed(),
            volley.some,
            Ms(volley.began),
            volley.ended.map(Ms),
        ],
    )?;
    Ok(())
}

/// None where it holds nothing.
fn put_territory(steps: Steps<'_>, territory: &Territory) -> rusqlite::Result<Option<i64>> {
    let Some((low, high)) = territory.extent() else { return Ok(None) };
    let digest = territory.digest().0;
    let known = steps.first("SELECT id FROM probe_territory WHERE digest = ?", params![digest], |row| row.get(0))?;
    if known.is_some() {
        return Ok(known);
    }
    steps.execute(
        "INSERT INTO probe_territory (digest, low, high, content) VALUES (?, ?, ?, ?)",
        params![digest, address(low), address(high), territory.bytes()],
    )?;
    Ok(Some(steps.last_rowid()))
}

fn put_errand(steps: Steps<'_>, errand: &Errand, vantage: &Vantage, began: Timestamp) -> rusqlite::Result<i64> {
    let Errand { profile, lane, pass, why } = errand;
    let pass: &[u8] = pass.as_ref().map_or(&[], |pass| pass.0.as_bytes());
    let (vantage, profile) = (&*vantage.0, profile.as_deref().unwrap_or_default());
    let (lane, why) = (lane.map_or("", model::Lane::as_str), why.as_str());
    let known = steps.first(
        "SELECT id FROM probe_errand WHERE pass = ? AND why = ? AND vantage = ? AND profile = ? AND lane = ?",
        params![pass, why, vantage, profile, lane],
        |row| row.get(0),
    )?;
    if let Some(known) = known {
        return Ok(known);
    }
    steps.execute(
        "INSERT INTO probe_errand (pass, why, vantage, profile, lane, began) VALUES (?, ?, ?, ?, ?, ?)",
        params![pass, why, vantage, profile, lane, Ms(began)],
    )?;
    Ok(steps.last_rowid())
}

impl Store {
    /// Lets volleys go that began before then, and more where there are too many. Returns how many.
    pub(crate) async fn expire_probes(&self, now: Timestamp, mut cutoff: Timestamp) -> Result<u64, StoreError> {
        let mut expired = self.forget_volleys(cutoff).await?;
        let most = self.shared.most_volleys;
        let all = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM probe_volley", [], |row| crate::column::get_count(row, 0))
        };
        let mut left = self.shared.reader.query(all).await?;
        // An eighth of the time at a time; in the end there is none left.
        for _ in 0..64 {
            if left <= most {
                break;
            }
            let step = now.duration_since(cutoff) / 8;
            cutoff = cutoff.checked_add(step).unwrap_or(now);
            tracing::warn!(%cutoff, "the probe ledger has {left} rows, more than the {most} that are kept: what is older goes");
            expired += self.forget_volleys(cutoff).await?;
            left = self.shared.reader.query(all).await?;
        }
        Ok(expired)
    }

    async fn forget_volleys(&self, cutoff: Timestamp) -> Result<u64, StoreError> {
        let (mut expired, mut after) = (0, 0_i64);
        loop {
            let (gone, last) = self.write(move |steps| forget(steps, cutoff, after)).await?;
            expired += gone;
            match last {
                Some(last) => after = last,
                None => return Ok(expired),
            }
        }
    }
}

/// One slice of territories behind `after`; returns where it ended, or none where there were no more.
fn forget(steps: Steps<'_>, cutoff: Timestamp, after: i64) -> rusqlite::Result<(u64, Option<i64>)> {
    let territories = steps
        .connection()
        .prepare_cached("SELECT id FROM probe_territory WHERE id > ? ORDER BY id LIMIT ?")?
        .query_map(params![after, count(SLICE)], |row| row.get::<_, i64>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut gone = 0;
    for territory in &territories {
        let before = count(VolleyId::at(cutoff).number());
        let sql = "DELETE FROM probe_volley WHERE territory = ? AND id < ?";
        gone += steps.execute(sql, params![territory, before])? as u64;
        let sql = "DELETE FROM probe_territory WHERE id = ?1
                       AND NOT EXISTS (SELECT 1 FROM probe_volley WHERE territory = ?1)";
        steps.execute(sql, params![territory])?;
    }
    if territories.is_empty() {
        let before = cutoff.as_millisecond().saturating_sub(LONGEST_PASS_MS);
        steps.execute("DELETE FROM probe_errand WHERE length(pass) > 0 AND began < ?", params![before])?;
        steps.execute(
            "UPDATE setting SET value = ?1 WHERE name = 'probes_since' AND CAST(value AS INTEGER) < CAST(?1 AS INTEGER)",
            params![cutoff.as_millisecond().to_string()],
        )?;
    }
    Ok((gone, territories.last().copied()))
}
