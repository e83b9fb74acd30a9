use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Probes per second, 1 to 100 million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(u32);

/// The ceiling of a /24 (IPv4) or /56 (IPv6) is so many times that of a host: what stands before a network must not suffer because
/// many of its hosts are asked at a time.
pub const HOSTS_OF_A_PREFIX: u32 = 10;

/// So many hosts are asked at a time where each is asked many ports: more ports than that many hosts take at their ceiling leave for
/// nobody.
pub const HOSTS_AT_A_TIME: u32 = 128;

/// Questions of a lane that are under way or not yet written down: what a crash makes asked again, at most.
pub const QUESTIONS_OF_A_CHUNK: u64 = 1 << 20;

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    #[error("`{0}` is not a rate; write packets per second, like `500/s`, `5k/s` or `10M/s`")]
    Form(String),
    #[error("`{0}` is outside 1/s to 100M/s")]
    Range(String),
}

impl Rate {
    /// From a whole number of probes per second.
    pub fn per_second(rate: u32) -> Result<Self, RateError> {
        if (1..=100_000_000).contains(&rate) { Ok(Self(rate)) } else { Err(RateError::Range(rate.to_string())) }
    }

    pub fn get(self) -> u32 {
        self.0
    }
}

/// Reads `500/s`, `5k/s`, `2.5k/s`, `10M/s`; the `/s` may be left out.
impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let form = || RateError::Form(text.to_owned());
        let body = text.trim();
        let body = body.strip_suffix("/s").unwrap_or(body);
        let (number, factor) = match body.as_bytes().last() {
            Some(b'k' | b'K') => (&body[..body.len() - 1], 1e3),
            Some(b'M') => (&body[..body.len() - 1], 1e6),
            _ => (body, 1.0),
        };
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(form());
        }
        let value = number.parse::<f64>().map_err(|_| form())? * factor;
        if !(1.0..=1e8).contains(&value) {
            return Err(RateError::Range(text.to_owned()));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
        Ok(Self(value.round() as u32))
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;

    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1_000_000 && n % 100_000 == 0 => write!(f, "{}M/s", f64::from(n) / 1e6),
            n if n >= 1_000 && n % 100 == 0 => write!(f, "{}k/s", f64::from(n) / 1e3),
            n => write!(f, "{n}/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, value, shown) in [
            ("500/s", 500, "500/s"),
            ("5k/s", 5_000, "5k/s"),
            ("10M/s", 10_000_000, "10M/s"),
            ("2.5k", 2_500, "2.5k/s"),
        ] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!((rate.get(), rate.to_string().as_str()), (value, shown));
        }
        for text in ["", "k/s", "-5/s", "5 k/s", "0/s", "200M/s", "1e5", "nan"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
