//! Times in eight bytes, to the nanosecond.

use jiff::Timestamp;

const NANOSECONDS: i64 = 1_000_000_000;

/// Nanoseconds since 1970. The ends of `i64` stand for the ends of time, so that order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Moment(i64);

impl Moment {
    /// None outside the years 1677 to 2262, the ends of time excepted.
    pub(super) fn new(time: Timestamp) -> Option<Self> {
        if time == Timestamp::MIN {
            return Some(Self(i64::MIN));
        }
        if time == Timestamp::MAX {
            return Some(Self(i64::MAX));
        }
        let whole = time.as_second().checked_mul(NANOSECONDS)?;
        let number = whole.checked_add(i64::from(time.subsec_nanosecond()))?;
        (number != i64::MIN && number != i64::MAX).then_some(Self(number))
    }

    pub(super) fn time(self) -> Timestamp {
        match self.0 {
            i64::MIN => Timestamp::MIN,
            i64::MAX => Timestamp::MAX,
            number => {
                let rest = i32::try_from(number.rem_euclid(NANOSECONDS)).unwrap_or_default();
                // The years 1677 to 2262 are well inside what a timestamp holds.
                Timestamp::new(number.div_euclid(NANOSECONDS), rest).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nanosecond_comes_back_and_order_is_kept() {
        let texts = [
            "-009999-01-02T01:59:59Z",
            "1678-01-01T00:00:00.000000001Z",
            "1969-12-31T23:59:59.999999999Z",
            "1970-01-01T00:00:00Z",
            "2026-11-21T10:05:03.120000001Z",
            "2026-11-21T10:05:03.120000002Z",
            "2262-04-11T23:47:16.854775806Z",
            "9999-12-30T22:00:00.999999999Z",
        ];
        let times = texts.map(|text| text.parse::<Timestamp>().expect("a time"));
        let moments = times.map(|time| Moment::new(time).expect("fits"));
        assert_eq!(moments.map(Moment::time), times);
        assert!(moments.is_sorted());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in ["1677-01-01T00:00:00Z", "2262-04-11T23:47:16.854775807Z", "2262-04-12T00:00:00Z"] {
            assert_eq!(Moment::new(text.parse().expect("a time")), None, "{text}");
        }
    }
}
