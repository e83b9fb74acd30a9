use super::{Question, Reader, question::containing};
use crate::{
    StoreError,
    column::{Ms, address, get_json},
};
use inventory::CertificateState;
use jiff::Timestamp;
use model::{Sha256, Verdict};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Which certificates; every part that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct CertificateFilter {
    /// Ends at that time or earlier.
    pub expires_before: Option<Timestamp>,
    /// Ends later than that.
    pub expires_after: Option<Timestamp>,
    /// Whether anything serves it now.
    pub served: Option<bool>,
    /// Part of its subject or of one of its names.
    pub subject: Option<String>,
    /// Part of its issuer.
    pub issuer: Option<String>,
    pub sha256: Option<Sha256>,
    /// Its public key's.
    pub spki_sha256: Option<Sha256>,
    /// Where the last page ended: that certificate's end and digest.
    pub after: Option<(Timestamp, Sha256)>,
    pub limit: Option<usize>,
}

impl Reader {
    /// Next to expire first.
    pub async fn certificates(&self, filter: CertificateFilter) -> Result<Vec<CertificateState>, StoreError> {
        self.query(move |connection| {
            let mut question = Question::new("SELECT state FROM certificate");
            question.and_some("not_after <= ?", filter.expires_before.map(Ms));
            question.and_some("not_after > ?", filter.expires_after.map(Ms));
            question.and_some("served = ?", filter.served);
            if let Some(part) = filter.subject.as_deref().map(containing) {
                let twice: [Box<dyn ToSql>; 2] = [Box::new(part.clone()), Box::new(part)];
                question.and(
                    "subject LIKE ? ESCAPE '\\' OR EXISTS (SELECT 1 FROM json_each(state, '$.certificate.sans')
                         WHERE value LIKE ? ESCAPE '\\')",
                    twice,
                );
            }
            question.and_some("issuer LIKE ? ESCAPE '\\'", filter.issuer.as_deref().map(containing));
            question.and_some("sha256 = ?", filter.sha256.map(|sha256| sha256.to_string()));
            question.and_some("spki_sha256 = ?", filter.spki_sha256.map(|sha256| sha256.to_string()));
            if let Some((not_after, sha256)) = filter.after {
                let place: [Box<dyn ToSql>; 2] = [Box::new(Ms(not_after)), Box::new(sha256.to_string())];
                question.and("(not_after, sha256) > (?, ?)", place);
            }
            question.ask(connection, "not_after, sha256", filter.limit, |row| get_json(row, 0))
        })
        .await
    }

    /// What is wrong with each of these where it is served now, by the last handshakes there. Those with which nothing is are left out.
    pub async fn verdicts(&self, certificates: Vec<Sha256>) -> Result<BTreeMap<Sha256, BTreeSet<Verdict>>, StoreError> {
        self.query(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT json_extract(tls, '$.verdicts') FROM service
                 WHERE certificate = ? AND status = 'open' AND json_extract(tls, '$.verdicts') IS NOT NULL",
            )?;
            let mut all = BTreeMap::new();
            for sha256 in certificates {
                let rows = statement.query_map(params![sha256.to_string()], |row| get_json::<Vec<Verdict>>(row, 0))?;
                for verdicts in rows {
                    all.entry(sha256).or_insert_with(BTreeSet::new).extend(verdicts?);
                }
            }
            Ok(all)
        })
        .await
    }

    /// The certificate itself, in DER.
    pub async fn certificate_der(&self, sha256: Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        self.query(move |connection| {
            connection
                .prepare_cached("SELECT der FROM certificate_der WHERE sha256 = ?")?
                .query_row(params![sha256.to_string()], |row| row.get(0))
                .optional()
        })
        .await
    }
}

/// What the address serves on open endpoints.
pub(super) fn served_by(connection: &Connection, ip: IpAddr) -> rusqlite::Result<Vec<CertificateState>> {
    connection
        .prepare_cached(
            "SELECT state FROM certificate
             WHERE sha256 IN (SELECT certificate FROM service WHERE address = ? AND status = 'open')
             ORDER BY not_after, sha256",
        )?
        .query_map(params![address(ip)], |row| get_json(row, 0))?
        .collect()
}
