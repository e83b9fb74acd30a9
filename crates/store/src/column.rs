//! How the field's words stand in columns.

use jiff::Timestamp;
use model::AddressRange;
use rusqlite::{
    Row, ToSql,
    types::{FromSqlError, ToSqlOutput, Type},
};
use serde::{Serialize, de::DeserializeOwned};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A time, as milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ms(pub(crate) Timestamp);

impl ToSql for Ms {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_millisecond().into())
    }
}

/// An address, as its family's number and its bytes.
pub(crate) fn address(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => [&[4], ip.octets().as_slice()].concat(),
        IpAddr::V6(ip) => [&[6], ip.octets().as_slice()].concat(),
    }
}

/// The first and the last of a range, for `BETWEEN`.
pub(crate) fn bounds(range: AddressRange) -> (Vec<u8>, Vec<u8>) {
    (address(range.first()), address(range.last()))
}

pub(crate) fn get_address(row: &Row<'_>, column: usize) -> rusqlite::Result<IpAddr> {
    let bytes: Vec<u8> = row.get(column)?;
    match bytes.split_first() {
        Some((4, rest)) => <[u8; 4]>::try_from(rest).ok().map(|octets| Ipv4Addr::from(octets).into()),
        Some((6, rest)) => <[u8; 16]>::try_from(rest).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
    .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(FromSqlError::InvalidType)))
}

pub(crate) fn get_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let milliseconds: i64 = row.get(column)?;
    Timestamp::from_millisecond(milliseconds)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, milliseconds))
}

pub(crate) fn get_time_or_none(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| get_time(row, column)).transpose()
}

/// A count or a sequence number: never negative in a column of ours.
pub(crate) fn get_count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A sequence number or count for a parameter; what does not fit is more than any row has.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A page's length for `LIMIT`; -1 is `SQLite`'s word for no limit.
pub(crate) fn limit(limit: Option<usize>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

pub(crate) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub(crate) fn get_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    from_json(text, column)
}

pub(crate) fn get_json_or_none<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?.as_str_or_null()?.map(|text| from_json(text, column)).transpose()
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_sort_as_blobs(a in any::<IpAddr>(), b in any::<IpAddr>()) {
            prop_assert_eq!(address(a).cmp(&address(b)), a.cmp(&b));
        }
    }
}
