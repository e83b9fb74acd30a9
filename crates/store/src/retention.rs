//! What is old and told is let go.

use crate::{
    Store, StoreError,
    column::{Ms, count},
    steps::Steps,
};
use jiff::Timestamp;
use rusqlite::params;
use std::time::Duration;

/// Events let go in one transaction: commits wait no longer than one of these takes.
const SLICE: usize = 500;

/// How much was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    pub events: u64,
    pub alerts: u64,
    pub digests: u64,
    /// What was, of hosts and services: intervals.
    pub intervals: u64,
    /// Rows of the probe ledger.
    pub volleys: u64,
    /// Certificates' own bytes that nobody presents.
    pub chains: u64,
}

/// How much longer than what the database holds and the time since it was opened the calendar may have gone on.
const OFF: Duration = Duration::from_hours(24);

impl Store {
    /// The time by which to let things go: `now`, but not much later than the newest record there was at the opening and what
    /// has passed since. A clock that starts in another year must not make a history old that is not. After a long time out of
    /// use old things so stay until the next opening.
    pub fn time_for_expiry(&self, now: Timestamp) -> Timestamp {
        let opened = self.shared.opened;
        believable(opened.at, opened.instant.elapsed(), now)
    }

    /// Deletes events older than `retention` with their alerts, and the digests that told of nothing else. An event
    /// stays, whatever its age, while one of its alerts is owed to anybody, or for as long again where the digest with
    /// it ended only lately. Of what was, forgets what had ended before then, and of what was asked what was
    /// asked before. Of certificates, forgets those nobody presents any more. Call it once a day.
    pub async fn expire(&self, now: Timestamp, retention: Duration) -> Result<Expired, StoreError> {
        let Ok(cutoff) = now.checked_sub(retention) else { return Ok(Expired::default()) };
        let mut total = Expired::default();
        let mut after = 0_i64;
        loop {
            let (slice, last) = self.write(move |steps| expire(steps, cutoff, after)).await?;
            total.events += slice.events;
            total.alerts += slice.alerts;
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        total.digests = self
            .write(move |steps| {
                steps
                    .execute(
                        "DELETE FROM digest WHERE ended_at < ?1
                             AND NOT EXISTS (SELECT 1 FROM owed WHERE owed.digest = digest.number)
                             AND number < (SELECT max(number) FROM digest later
                                           WHERE later.recipient = digest.recipient)",
                        params![Ms(cutoff)],
                    )
                    .map(rows)
            })
            .await?;
        for table in [
            "DELETE FROM host_past WHERE (address, vantage, until) IN
                 (SELECT address, vantage, until FROM host_past WHERE until < ?1 LIMIT ?2)",
            "DELETE FROM service_past WHERE (address, vantage, until, transport, port, name) IN
                 (SELECT address, vantage, until, transport, port, name FROM service_past WHERE until < ?1 LIMIT ?2)",
        ] {
            loop {
                let forget = move |steps: Steps<'_>| steps.execute(table, params![Ms(cutoff), count(SLICE as u64)]);
                let forgotten = rows(self.write(forget).await?);
                total.intervals += forgotten;
                if forgotten == 0 {
                    break;
                }
            }
        }
        total.volleys = self.expire_probes(now, cutoff).await?;
        total.chains = self.expire_chains().await?;
        Ok(total)
    }

    /// Lets the bytes go of certificates that are neither known themselves nor presented with one that is: issuers, mostly.
    async fn expire_chains(&self) -> Result<u64, StoreError> {
        // Beside the writer first, as all that is presented is looked through, and mostly for nothing.
        let any = format!("SELECT EXISTS (SELECT 1 FROM certificate_der WHERE {UNPRESENTED})");
        let any: bool =
            self.shared.reader.query(move |connection| connection.query_row(&any, [], |row| row.get(0))).await?;
        if !any {
            return Ok(0);
        }
        let sql = format!("DELETE FROM certificate_der WHERE {UNPRESENTED}");
        self.write(move |steps| steps.execute(&sql, []).map(rows)).await
    }
}

const UNPRESENTED: &str = "sha256 NOT IN (SELECT sha256 FROM certificate)
    AND sha256 NOT IN (SELECT value FROM service, json_each(service.tls, '$.chain') WHERE service.tls IS NOT NULL)";

/// What may be believed of `now` where it was `opened` at that time, so long ago.
fn believable(opened: Timestamp, ago: Duration, now: Timestamp) -> Timestamp {
    opened.checked_add(ago.saturating_add(OFF)).map_or(now, |latest| latest.min(now))
}

/// One slice of events behind `after`; returns where it ended, or none where nothing was left to let go.
fn expire(steps: Steps<'_>, cutoff: Timestamp, after: i64) -> rusqlite::Result<(Expired, Option<i64>)> {
    let old = steps
        .connection()
        .prepare_cached(
            "SELECT e.seq FROM event e WHERE e.seq > ?1 AND e.time < ?2 AND NOT EXISTS (
                 SELECT 1 FROM alert a JOIN owed o ON o.alert = a.seq LEFT JOIN digest d ON d.number = o.digest
                 WHERE a.event = e.seq AND (d.ended_at IS NULL OR d.ended_at >= ?2))
             ORDER BY e.seq LIMIT ?3",
        )?
        .query_map(params![after, Ms(cutoff), count(SLICE as u64)], |row| row.get::<_, i64>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut expired = Expired::default();
    for event in &old {
        steps.execute("DELETE FROM owed WHERE alert IN (SELECT seq FROM alert WHERE event = ?)", params![event])?;
        expired.alerts += rows(steps.execute("DELETE FROM alert WHERE event = ?", params![event])?);
        expired.events += rows(steps.execute("DELETE FROM event WHERE seq = ?", params![event])?);
    }
    Ok((expired, old.last().copied()))
}

fn rows(changed: usize) -> u64 {
    u64::try_from(changed).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_by_the_clock_that_never_jumps() {
        let check = |days: u64, now: &str, expect: &str| {
            let time = |text: &str| text.parse::<Timestamp>().expect("a time");
            let found = believable(time("2026-11-21T10:00:00Z"), Duration::from_hours(24 * days), time(now));
            assert_eq!(found, time(expect), "{now} after {days} days");
        };
        check(0, "2026-11-21T10:00:05Z", "2026-11-21T10:00:05Z");
        check(0, "2036-01-01T00:00:00Z", "2026-11-22T10:00:00Z");
        check(3, "2036-01-01T00:00:00Z", "2026-11-25T10:00:00Z");
        check(3, "2026-11-24T10:01:00Z", "2026-11-24T10:01:00Z");
        // It takes less away.
        check(3, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z");
    }
}
