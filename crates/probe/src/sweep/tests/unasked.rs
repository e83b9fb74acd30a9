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

/// What this machine lost whenever it was asked.
#[test]
fn what_was_lost_here_again_and_again_is_no_silence_worth_counting() {
    let hosts = addresses(1);
    let progress = Progress::new(&hosts, 4);
    progress.sent(4, Some(1));
    progress.record(0, 0, false, &observation(0, 1, OPEN));
    for number in 0..4 {
        progress.lose(number);
    }
    progress.settle(0..4, |_| true, &[]);
    // One is asked again for its silence, and nothing is lost that time.
    progress.ask_anew(3);
    let counts = progress.outcome(&hosts).counts;
    assert_eq!(counts.lost_here, 2, "one answered, and of one it is known");
    let measured = model::Loss { asked: 998, missed: 0 };
    let p_miss = |counts: SweepCounts| measured.p_miss(counts.probes, counts.silent_after());
    let clean = SweepCounts { lost_here: 0, ..counts };
    assert_eq!(p_miss(clean), Some(0.001));
    assert!(p_miss(counts).is_some_and(|p| (0.5..0.7).contains(&p)), "{:?}", p_miss(counts));
    let silent = |counts: SweepCounts| counts.silent_after().map(|(_, count)| count).sum::<u64>();
    assert_eq!(silent(counts), silent(clean), "nobody is counted twice");
}
