//! What was not asked, and why: our own trouble is asked again, what must not be asked is not.

use super::*;

/// Numbers of a group of two hosts and two ports each.
#[test]
fn what_must_not_be_asked_is_neither_silent_nor_our_trouble() {
    let hosts = addresses(2);
    // What was spoilt and what was passed over, in that order and the other way round.
    for is_spoilt_first in [true, false] {
        let progress = Progress::new(&hosts, 2);
        if is_spoilt_first {
            progress.spoil(&[2]);
        }
        progress.pass_over(2);
        progress.pass_over(3);
        progress.spoil(&[2]);
        progress.settle(0..2, |_| true, &[]);
        assert_eq!(progress.spoilt(0), None, "nobody asks it again");
        // A later round over it does not make it silent.
        progress.settle_some(&[2, 3], &[]);
        let outcome = progress.outcome(&hosts);
        let counts = outcome.counts;
        assert_eq!((counts.probes, counts.local_errors, counts.not_probed), (2, 0, 2));
        assert_eq!(outcome.incomplete, [hosts[1]]);
        assert_eq!(progress.silent_worth_asking(2, 2, 2, |_| true), None);
    }
}

#[test]
fn what_was_asked_before_is_known_whatever_becomes_of_later_questions() {
    let hosts = addresses(1);
    let progress = Progress::new(&hosts, 3);
    progress.record(0, 0, false, &observation(0, 1, OPEN));
    progress.settle(0..2, |_| true, &[]);
    for number in 0..3 {
        progress.pass_over(number);
    }
    progress.settle(0..3, |_| true, &[]);
    let outcome = progress.outcome(&hosts);
    assert_eq!((outcome.counts.probes, outcome.counts.not_probed, &outcome.incomplete), (2, 1, &hosts));
    // An answer to an earlier question is an answer all the same.
    progress.record(0, 2, false, &observation(0, 3, REFUSED));
    assert!(progress.outcome(&hosts).incomplete.is_empty());
}

/// Who is asked again to make up for what was lost here is spared the next question, unless that was lost, too.
#[test]
fn nobody_is_asked_for_the_second_time_twice() {
    let progress = Progress::new(&addresses(1), 4);
    progress.sent(4, Some((1, 0)));
    progress.ask_again(1);
    progress.ask_again(2);
    progress.ask_not_again(2);
    progress.sent(2, None);
    assert_eq!([0, 1, 2, 3].map(|number| progress.spare(number)), [false, true, false, false]);
    progress.sent(3, Some((2, 0)));
    let counts = progress.counts();
    assert_eq!((counts.attempts, counts.asked_at[0], counts.asked_at[1]), (9, 4, 4), "all four were asked twice");
    assert!(!progress.spare(1), "once");
}

fn counts(asked: [u64; 3], answered: [u64; 3], lost: [u64; 3]) -> SweepCounts {
    let mut counts = SweepCounts { probes: asked[0], answered: answered.iter().sum(), ..SweepCounts::default() };
    counts.asked_at[..3].copy_from_slice(&asked);
    counts.answered_at[..3].copy_from_slice(&answered);
    counts.lost_at[..3].copy_from_slice(&lost);
    counts
}

#[test]
fn how_often_an_open_port_would_have_been_asked_in_vain() {
    for (asked, answered, lost, expect) in [
        // Dark: all asked once, twice, half of them three times.
        ([1_000, 0, 0], [0, 0, 0], [0; 3], [0, 1_000, 0, 0]),
        ([1_000, 1_000, 0], [0, 0, 0], [0; 3], [0, 0, 1_000, 0]),
        ([1_000, 1_000, 500], [0, 0, 0], [0; 3], [0, 0, 500, 500]),
        // The same where nearly all answer: whoever is silent is asked as often.
        ([1_000, 20, 2], [980, 18, 1], [0; 3], [0, 0, 0, 1_000]),
        ([1_000, 20, 1], [980, 18, 1], [0; 3], [0, 0, 500, 500]),
        // Nobody is silent.
        ([1_000, 20, 0], [980, 20, 0], [0; 3], [0; 4]),
        // A tenth of the first questions was in vain, and a fifth of the second.
        ([1_000, 1_000, 0], [0, 0, 0], [100, 200, 0], [20, 260, 720, 0]),
        // Answers that came twice do not make it more than it was.
        ([1_000, 30, 0], [980, 5, 0], [2_000, 0, 0], [0, 1_000, 0, 0]),
        ([0; 3], [0; 3], [0; 3], [0; 4]),
    ] {
        let got = counts(asked, answered, lost).asked_in_vain();
        let got: Vec<u64> = (0..4).map(|times| got.iter().filter(|(n, _)| *n == times).map(|(_, n)| n).sum()).collect();
        assert_eq!(got, expect, "{asked:?} {answered:?} {lost:?}");
    }
}

/// A third of the third questions was left out, where nearly everybody answers: it shows in the chance of a miss, and does not make it
/// that of two questions, although most of those that are missed were asked only twice.
#[test]
fn the_chance_of_a_miss_is_that_of_all_and_not_of_those_that_were_missed() {
    let mut counts = counts([1_000_000, 20_000, 267], [980_000, 19_600, 261], [0; 3]);
    counts.open_at[..3].copy_from_slice(&[980_000, 19_600, 261]);
    let p = counts.p_miss(counts.loss()).expect("it was measured");
    let wanted = 0.02_f64.powi(2) * (1.0 - 267.0 / 400.0) + 0.02_f64.powi(3) * 267.0 / 400.0;
    assert!((p / wanted - 1.0).abs() < 0.01, "{p} for {wanted}");
}

#[test]
fn the_chance_of_a_miss_is_what_chance_and_bursts_make_it() {
    for (lost, asked, open, wanted) in [
        // One in ten of each: what the second finds is a ninth less than what was lost of the first.
        ("by chance", [100_000, 10_000, 1_000], [90_000, 9_000, 900], 1e-3),
        // Who lost one question loses the next one more often.
        ("in bursts", [100_000, 10_000, 2_000], [90_000, 8_000, 1_600], 0.089 * 0.2 * 0.2),
        ("seldom, and few were found", [10_000, 9_900, 9_899], [100, 1, 0], 7e-6),
        ("never", [10_000, 9_000, 0], [1_000, 0, 0], 1e-6),
    ] {
        let mut counts = counts(asked, open, [0; 3]);
        counts.open_at[..3].copy_from_slice(&open);
        let p = counts.p_miss(counts.loss()).expect("it was measured");
        assert!((0.7..1.4).contains(&(p / wanted)), "{lost}: {p} for {wanted}");
    }
    assert_eq!(SweepCounts::default().p_miss(model::Loss::default()), None);
    let dark = counts([1_000, 1_000, 0], [0; 3], [0; 3]);
    assert_eq!(dark.p_miss(dark.loss()), None, "nothing is known of what is lost");
    let whole = counts([1_000, 0, 0], [1_000, 0, 0], [0; 3]);
    assert_eq!(whole.p_miss(whole.loss()), Some(0.0));
}
