use crate::{Surroundings, Tls, file, store::read_path, walk::Value};

pub(crate) const KEYS: &[&str] = &["roots"];

/// Roots decide the verdict on every certificate there is, so all of them must be there and readable.
pub(crate) fn read(value: Option<&Value<'_>>, around: &Surroundings) -> Tls {
    let Some(roots) = value.and_then(|value| value.table(KEYS)?.get("roots")) else { return Tls::default() };
    let read = |item: &Value<'_>| {
        let path = around.resolve(&read_path(item)?);
        match file::read_certificates(&path) {
            Ok(()) => Some(path),
            Err(fault) => {
                item.refuse(fault);
                None
            }
        }
    };
    Tls { roots: roots.one_or_many().iter().filter_map(read).collect() }
}
