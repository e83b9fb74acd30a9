//! Every two values that fit together, in few settings.

use std::collections::BTreeSet;

/// Two values: the dimension of each, and its number there.
type Two = [(usize, usize); 2];

fn twos<const N: usize>(setting: &[usize; N]) -> BTreeSet<Two> {
    let places = 0..N;
    places
        .clone()
        .flat_map(|a| (a + 1..N).map(move |b| (a, b)))
        .map(|(a, b)| [(a, setting[a]), (b, setting[b])])
        .collect()
}

/// Of all settings with so many values in each dimension, as many of the sensible ones as it takes for every two values that
/// are together in one of them to be together in one that is chosen.
pub(crate) fn cover<const N: usize>(values: [usize; N], is_sensible: impl Fn(&[usize; N]) -> bool) -> Vec<[usize; N]> {
    let count: usize = values.iter().product();
    let nth = |mut number: usize| {
        values.map(|values| {
            let value = number % values;
            number /= values;
            value
        })
    };
    let all: Vec<[usize; N]> = (0..count).map(nth).filter(&is_sensible).collect();
    let mut open: BTreeSet<Two> = all.iter().flat_map(twos).collect();
    let mut chosen = Vec::new();
    while !open.is_empty() {
        let best = all.iter().max_by_key(|setting| twos(setting).intersection(&open).count());
        let best = *best.expect("what is open comes from one of them");
        open = open.difference(&twos(&best)).copied().collect();
        chosen.push(best);
    }
    chosen
}

#[test]
fn every_two_are_together_once() {
    let chosen = cover([3, 3, 2], |&[a, b, _]| (a, b) != (2, 2));
    let together: BTreeSet<Two> = chosen.iter().flat_map(twos).collect();
    assert_eq!(together.len(), 9 + 6 + 6 - 1);
    assert!(chosen.len() <= 10, "{chosen:?}");
    assert!(!chosen.iter().any(|&[a, b, _]| (a, b) == (2, 2)));
}
