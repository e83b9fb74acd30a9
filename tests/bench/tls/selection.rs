//! Few cells that stand for the matrix.

use crate::cell::Cell;
use std::collections::BTreeSet;

/// The words of its label beside the make: version, key, client certificates, names, protocols inside. A name of its own is none.
fn words(cell: &Cell) -> BTreeSet<(&str, &str)> {
    let mut words = cell.label.split_whitespace().filter(|word| !word.contains("lab.example"));
    let make = words.next().unwrap_or_default();
    words.map(|word| (make, word)).collect()
}

/// As many as it takes for everything that a make is set up with to be in one of them; in the order of the matrix.
pub(crate) fn representative<'a>(cells: &[&'a Cell]) -> Vec<&'a Cell> {
    let mut open: BTreeSet<(&str, &str)> = cells.iter().flat_map(|cell| words(cell)).collect();
    let mut left: Vec<usize> = (0..cells.len()).collect();
    let mut chosen = BTreeSet::new();
    while !open.is_empty() {
        // Of those that bring the same, the first one.
        let best = left.iter().rev().max_by_key(|&&at| words(cells[at]).intersection(&open).count());
        let best = *best.expect("what is open comes from one of them");
        open.retain(|word| !words(cells[best]).contains(word));
        left.retain(|at| *at != best);
        chosen.insert(best);
    }
    // Each of what nobody should have any more is a kind of its own.
    chosen.extend((0..cells.len()).filter(|&at| cells[at].label.starts_with("tlslite")));
    chosen.into_iter().map(|at| cells[at]).collect()
}
