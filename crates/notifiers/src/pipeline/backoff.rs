use siphasher::sip::SipHasher13;
use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

/// After this long a digest is given up, if it was really tried meanwhile.
pub(crate) const GIVE_UP: Duration = Duration::from_hours(72);
/// Failed attempts before that: about as many as two days hold. A machine that was off over a long weekend, or whose clock was put
/// right by years, has not tried for three days, whatever its calendar says.
const TRIED: u32 = 60;

/// A mail server that is away is away for a while, and greylisting wants to see patience.
const MAIL_S: &[u64] = &[30, 60, 120, 240, 480, 960, 1800, 3600];
/// A log collector is mostly away for a restart, which should not cost half a minute.
const MACHINE_S: &[u64] = &[1, 2, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600];

/// How long to wait after the `attempts`-th failed attempt (from 1): quickly growing to half an hour, then hourly. Up to a tenth
/// is added so that many recipients of one dead server do not return in step; it follows from the digest, not from chance.
pub(crate) fn delay(channel: &str, attempts: u32, digest: &str) -> Duration {
    let steps = if channel == "email" { MAIL_S } else { MACHINE_S };
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let seconds = steps.get(step).or(steps.last()).copied().unwrap_or(3600);
    let mut hasher = SipHasher13::new();
    (digest, attempts).hash(&mut hasher);
    Duration::from_millis(seconds * 1000 + hasher.finish() % (seconds * 100))
}

/// Whether a digest that failed for so long and so often before, and now once more, is given up.
pub(crate) fn is_over(age: Duration, attempts: u32) -> bool {
    age >= GIVE_UP && attempts >= TRIED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_hourly_and_stays_there() {
        for (channel, expect) in [("email", MAIL_S), ("syslog", MACHINE_S), ("jsonl", MACHINE_S)] {
            for (attempt, &seconds) in (1..).zip(expect.iter().chain(&[3600, 3600])) {
                let delay = delay(channel, attempt, "soc.1-9").as_millis();
                let base = u128::from(seconds) * 1000;
                assert!(delay >= base && delay < base + base / 10, "{channel} {attempt}: {delay}");
            }
        }
        assert_ne!(delay("email", 1, "a"), delay("email", 1, "b"), "not in step");
        assert_eq!(delay("email", 1, "a"), delay("email", 1, "a"), "not by chance");
        assert!(delay("email", u32::MAX, "a") >= Duration::from_hours(1));
    }
}
