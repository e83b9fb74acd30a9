//! All cells, running in a lab.

use crate::{
    cell::Cell,
    daemons::{self, Daemons},
    front::{self, Front},
};
use std::{net::IpAddr, thread};
use testkit::{Host, Lab, server::Bind};

pub(crate) struct Matrix {
    /// Reaches all of them.
    pub(crate) watcher: Host,
    front: Front,
    daemons: Daemons,
    _bind: Bind,
}

impl Matrix {
    pub(crate) fn start(lab: &mut Lab) -> Self {
        let (watcher, dns) = (lab.watcher("watcher", &["10.77.0.1"]), lab.host("dns", &["10.77.0.53"]));
        let prepared = daemons::prepare(lab);
        // These wait for their disks while those compute.
        let (front, daemons) = thread::scope(|scope| {
            let daemons = scope.spawn(move || prepared.start());
            (front::start(lab, &watcher), daemons.join().expect("the daemons start"))
        });
        let cells = front.cells.iter().chain(&daemons.cells);
        let names: Vec<(&str, IpAddr)> = cells.map(|cell| (&*cell.name, cell.address)).collect();
        let bind = Bind::start_with(&dns, &names);
        Self { watcher, front, daemons, _bind: bind }
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.front.cells.iter().chain(&self.daemons.cells)
    }

    /// How many connections have been begun with each of these so far, by whomever.
    pub(crate) fn connections(&self, cells: &[&Cell]) -> Vec<u64> {
        let begun = self.front.connections();
        let of = |cell: &Cell| begun.get(&cell.address).copied().or_else(|| self.daemons.connections(cell));
        cells.iter().map(|cell| of(cell).unwrap_or(0)).collect()
    }
}
