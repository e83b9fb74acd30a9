use crate::{
    Store, Surroundings,
    scan::{DAY, TEN_YEARS},
    walk::{Table, Value},
};
use std::path::PathBuf;

pub(crate) const KEYS: &[&str] = &["path", "retention"];
const PATH: &str = "/var/lib/perimeterd/perimeter.db";
const RETENTION_DAYS: u32 = 400;

pub(crate) fn read(value: Option<&Value<'_>>, around: &Surroundings) -> Store {
    let table = value.and_then(|value| value.table(KEYS));
    let get = |key| table.as_ref().and_then(|table: &Table<'_>| table.get(key));
    Store {
        path: get("path").and_then(|value| read_path(&value)).map_or(PathBuf::from(PATH), |path| around.resolve(&path)),
        retention: get("retention").and_then(|value| value.duration_in(DAY, TEN_YEARS)).unwrap_or(RETENTION_DAYS * DAY),
    }
}

/// A path that could name a file.
pub(crate) fn read_path(value: &Value<'_>) -> Option<String> {
    let path = value.line(4_000)?;
    if path.ends_with('/') {
        value.refuse("this names a folder; write the file");
        return None;
    }
    Some(path)
}
