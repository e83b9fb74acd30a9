use super::*;

/// That every index gives a number inside and that number gives the index back proves both at once: what can be turned back is
/// one to one, and one to one from `0..n` into `0..n` leaves nothing out.
fn check_all(n: u64, seed: u64) {
    let order = Permutation::new(n, seed);
    for i in 0..n {
        let v = order.at(i);
        assert!(v.is_some_and(|v| v < n && order.index_of(v) == Some(i)), "{i} of {n} gives {v:?}");
    }
    assert_eq!((order.at(n), order.index_of(n)), (None, None));
}

#[test]
fn visits_each_number_once() {
    for n in [0, 1, 2, 3, 5, 256, 1_000, 4_097] {
        let order = Permutation::new(n, 11);
        let mut visited: Vec<u64> = (0..n).filter_map(|i| order.at(i)).collect();
        visited.sort_unstable();
        assert_eq!(visited, (0..n).collect::<Vec<_>>());
    }
}

/// Every size there is up to 65,536, each number of each: two billion steps, in four tests so that they share the processors. This
/// package is compiled with optimisation in every profile for their sake. A number that is visited twice leaves another out.
macro_rules! every_size {
    ($($name:ident: $residue:literal),*) => {
        $(#[test]
        fn $name() {
            let mut visited = vec![0_u64; (1 << 16) / 64 + 1];
            for n in (0..=1_u64 << 16).filter(|n| n % 4 == $residue) {
                let order = Permutation::new(n, n / 64 ^ 0x5eed);
                visited.fill(0);
                for i in 0..n {
                    let v = order.at(i).unwrap_or(u64::MAX);
                    assert!(v < n, "{i} of {n} gives {v}");
                    visited[usize::try_from(v >> 6).expect("small")] |= 1 << (v & 63);
                }
                let count: u64 = visited.iter().map(|word| u64::from(word.count_ones())).sum();
                assert_eq!((count, order.at(n)), (n, None), "visited of {n}");
            }
        })*
    };
}
every_size!(covers_every_size_a: 0, covers_every_size_b: 1, covers_every_size_c: 2, covers_every_size_d: 3);

/// The way back of every number of every size up to 65,536. All sizes of one domain share its steps, so those are turned back
/// once, and then for each size whatever walks on.
#[test]
fn turns_every_size_back() {
    let mut domain = (0, 0);
    let mut steps: Vec<u64> = Vec::new();
    for n in 1..=1_u64 << 16 {
        let order = Permutation::new(n, 0x5eed);
        if domain != (order.bits, order.b) {
            domain = (order.bits, order.b);
            steps = (0..order.b << order.bits).map(|value| order.forward(value)).collect();
            for (value, step) in (0..).zip(&steps) {
                assert!(*step < order.b << order.bits);
                assert_eq!(order.backward(*step), value, "{value} of {domain:?}");
            }
        }
        assert!(order.b << order.bits >= n && n > (order.b - 1) << order.bits, "{n} in {domain:?}");
        // What comes out at or above `n` walks on, forwards; what comes from there, backwards.
        for outside in n..order.b << order.bits {
            for i in [order.backward(outside), order.forward(outside)].into_iter().filter(|i| *i < n) {
                assert_eq!(order.at(i).and_then(|v| order.index_of(v)), Some(i), "{i} of {n}");
                assert_eq!(order.index_of(i).and_then(|v| order.at(v)), Some(i), "{i} of {n}, backwards");
            }
        }
        assert_eq!((order.at(0), order.index_of(n)), (Some(walked(&steps, 0, n)), None));
    }
}

#[test]
fn is_a_bijection_both_ways() {
    for n in 0..=1 << 10 {
        check_all(n, n);
    }
    for n in [(1 << 16) - 1, 1 << 16, 65_535 * 3, 100_003, (1 << 20) - 1, (1 << 20) + 1, (1 << 21) + 77, 3_000_017] {
        check_all(n, 7);
    }
}

#[test]
fn inverts_at_any_size() {
    let sizes = (17..64).flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1]);
    for n in sizes.chain([256 * 65_535, 3 << 40, u64::MAX - 1, u64::MAX]) {
        for seed in [0, 42, u64::MAX] {
            let order = Permutation::new(n, seed);
            let sampled = (0..2_000_u64).map(|k| k.wrapping_mul(0x9e37_79b9_7f4a_7c15) % n);
            for i in sampled.chain([0, 1, n - 1, n / 2]) {
                let v = order.at(i).expect("inside");
                assert!(v < n);
                assert_eq!(order.index_of(v), Some(i), "{i} of {n}");
                let back = order.index_of(i).expect("inside");
                assert_eq!(order.at(back), Some(i), "{i} of {n}, backwards");
            }
        }
    }
}

#[test]
fn seeds_give_different_orders_that_are_not_the_plain_one() {
    let n = 65_536;
    let orders: Vec<Vec<u64>> =
        (0..4).map(|seed| (0..n).filter_map(|i| Permutation::new(n, seed).at(i)).collect()).collect();
    for (k, order) in orders.iter().enumerate() {
        let fixed = order.iter().zip(0..).filter(|(v, i)| *v == i).count();
        let neighbours = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
        // A random permutation has one fixed point and two neighbours on average.
        assert!(fixed < 12 && neighbours < 16, "seed {k}: {fixed} fixed, {neighbours} neighbours");
        for other in &orders[k + 1..] {
            assert!(order.iter().zip(other).filter(|(a, b)| a == b).count() < 12);
        }
    }
}

const PARTS: u64 = 64;
const STRETCH: u64 = 16_384;

/// Any stretch of the order is spread over the whole, in any part of it: no network gets more of a second than its share. And
/// the next number is any: the differences are spread as well.
#[test]
fn every_stretch_is_spread_evenly() {
    // Twice the square root of twice as many degrees of freedom, ten times over: 63 + 10 · √126.
    const MOST: f64 = 175.0;
    for n in [STRETCH * 4, 256 * 65_535, (1 << 32) - 5, 65_536 * 65_535, u64::MAX] {
        for seed in 0..8 {
            let order = Permutation::new(n, seed);
            for (start, stride) in [(0, 1), (n / 3, 1), (n - STRETCH - 1, 1), (1, 3), (0, 2)] {
                let numbers: Vec<u64> = (0..=STRETCH).filter_map(|k| order.at(start + k * stride)).collect();
                let part =
                    |number: u64| u64::try_from(u128::from(number) * u128::from(PARTS) / u128::from(n)).expect("small");
                let place = |number: u64| number % PARTS;
                let step =
                    |pair: &[u64]| part(if pair[1] >= pair[0] { pair[1] - pair[0] } else { n - (pair[0] - pair[1]) });
                for (what, counts) in [
                    ("parts", tally(numbers.iter().skip(1).map(|number| part(*number)))),
                    ("places", tally(numbers.iter().skip(1).map(|number| place(*number)))),
                    ("steps", tally(numbers.windows(2).map(step))),
                ] {
                    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
                    let expected = (STRETCH / PARTS) as f64;
                    let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
                    assert!(chi < MOST, "{n} by seed {seed} from {start} by {stride}, {what}: {chi}");
                }
            }
        }
    }
}

fn walked(steps: &[u64], start: u64, n: u64) -> u64 {
    let mut value = start;
    loop {
        value = steps[usize::try_from(value).expect("small")];
        if value < n {
            return value;
        }
    }
}

fn tally(which: impl Iterator<Item = u64>) -> Vec<u32> {
    let mut counts = vec![0; usize::try_from(PARTS).expect("small")];
    for slot in which {
        counts[usize::try_from(slot).expect("small")] += 1;
    }
    counts
}
