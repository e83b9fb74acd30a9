use crate::{Identify, Surroundings, file, scan::read_ports, store::read_path, walk::Value};
use model::Transport;
use std::path::PathBuf;

pub(crate) const KEYS: &[&str] = &["recog", "service_probes", "fragile_ports"];

/// Rules that are not there name nothing, silently: what is written must be there.
pub(crate) fn read(value: Option<&Value<'_>>, around: &Surroundings) -> Identify {
    let Some(table) = value.and_then(|value| value.table(KEYS)) else { return Identify::default() };
    let folder = |item: Value<'_>| {
        let path = around.resolve(item.line(4_000)?.trim_end_matches('/'));
        seen(&item, file::look_for(&path, "xml"), path)
    };
    let file = |item: Value<'_>| {
        let path = around.resolve(&read_path(&item)?);
        seen(&item, file::look_at(&path), path)
    };
    let ports = |item: Value<'_>| read_ports(&item, Transport::Tcp);
    Identify {
        recog: table.get("recog").and_then(folder),
        service_probes: table.get("service_probes").and_then(file),
        fragile_ports: table.get("fragile_ports").and_then(ports).unwrap_or_default(),
    }
}

fn seen(item: &Value<'_>, looked: Result<(), file::FileFault>, path: PathBuf) -> Option<PathBuf> {
    match looked {
        Ok(()) => Some(path),
        Err(fault) => {
            item.refuse(fault);
            None
        }
    }
}
