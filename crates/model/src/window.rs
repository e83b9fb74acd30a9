//! The hours in which a profile may ask: `22:00-06:00`, `Sat,Sun 00:00-24:00`, in a time zone.

use jiff::{
    Timestamp,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use std::{fmt, str::FromStr, time::Duration};

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];
/// An opening is looked for so many days ahead: one that falls into the hour that a change of clocks leaves out comes a week later.
const SEARCHED_DAYS: u32 = 15;
const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error(
        "`{0}` is no window; write hours like `22:00-06:00`, with days before them where it is not every day: `Sat,Sun 00:00-24:00`"
    )]
    Form(String),
    #[error("`{0}` is no day; write Mon, Tue, Wed, Thu, Fri, Sat or Sun, and `Mon-Fri` for those between")]
    Day(String),
    #[error("`{0}` is no time of day; write one between 00:00 and 24:00")]
    Time(String),
    #[error("`{0}` never opens, as it ends when it begins; for a whole day write `00:00-24:00`")]
    Empty(String),
}

/// Hours of certain days. Where they end at or before the time they begin, they last into the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Monday first: the days on which it opens.
    days: [bool; 7],
    from: Time,
    /// None is midnight at the day's end.
    to: Option<Time>,
}

/// When something may be asked: while any of its windows is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    windows: Vec<Window>,
    zone: TimeZone,
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let form = || WindowError::Form(text.to_owned());
        let text = text.trim();
        let (days, hours) = match text.rsplit_once(char::is_whitespace) {
            Some((days, hours)) => (read_days(days)?, hours),
            None => ([true; 7], text),
        };
        let (from, to) = hours.split_once('-').ok_or_else(form)?;
        let from = read_time(from)?.ok_or_else(form)?;
        let to = read_time(to)?;
        if to == Some(from) {
            return Err(WindowError::Empty(text.to_owned()));
        }
        Ok(Self { days, from, to })
    }
}

fn read_days(text: &str) -> Result<[bool; 7], WindowError> {
    let place = |name: &str| {
        let known = DAYS.iter().position(|(day, _)| day.eq_ignore_ascii_case(name.trim()));
        known.ok_or_else(|| WindowError::Day(name.trim().to_owned()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (place(first)?, place(last)?),
            None => (place(part)?, place(part)?),
        };
        // `Sat-Mon` goes over the end of the week.
        let length = (last + 7 - first) % 7;
        for offset in 0..=length {
            days[(first + offset) % 7] = true;
        }
    }
    Ok(days)
}

/// None is 24:00.
fn read_time(text: &str) -> Result<Option<Time>, WindowError> {
    let wrong = || WindowError::Time(text.trim().to_owned());
    let (hour, minute) = text.trim().split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<i8>().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    match (number(hour)?, number(minute)?) {
        (24, 0) => Ok(None),
        (hour, minute) => Time::new(hour, minute, 0, 0).map(Some).map_err(|_| wrong()),
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != [true; 7] {
            let days: Vec<&str> =
                DAYS.iter().zip(self.days).filter(|(_, opens)| *opens).map(|((name, _), _)| *name).collect();
            write!(f, "{} ", days.join(","))?;
        }
        write!(f, "{:02}:{:02}-", self.from.hour(), self.from.minute())?;
        match self.to {
            Some(to) => write!(f, "{:02}:{:02}", to.hour(), to.minute()),
            None => f.write_str("24:00"),
        }
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, window) in self.windows.iter().enumerate() {
            write!(f, "{}{window}", if place > 0 { "; " } else { "" })?;
        }
        match self.zone.iana_name() {
            Some(name) => write!(f, " {name}"),
            None => Ok(()),
        }
    }
}

/// From this time on, and before that.
type Stretch = (Timestamp, Timestamp);

impl Window {
    /// When it is open that opens on this day. None where it does not open on it. A time that a change of clocks leaves out is the first
    /// one after it, of one that comes twice the first counts.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<Stretch> {
        let is_its_day = DAYS.iter().zip(self.days).any(|((_, day), opens)| opens && *day == date.weekday());
        if !is_its_day {
            return None;
        }
        let at = |date: Date, time: Time| zone.to_timestamp(date.to_datetime(time)).ok();
        let from = at(date, self.from)?;
        let to = match self.to {
            Some(to) if to > self.from => at(date, to)?,
            other => at(date.tomorrow().ok()?, other.unwrap_or(Time::midnight()))?,
        };
        (from < to).then_some((from, to))
    }
}

impl Windows {
    /// None where there is no window.
    pub fn new(windows: Vec<Window>, zone: TimeZone) -> Option<Self> {
        (!windows.is_empty()).then_some(Self { windows, zone })
    }

    /// The stretches of time that begin on so many days from the day before `at` on, in their order and none touching another.
    fn stretches(&self, at: Timestamp, days: u32) -> Vec<Stretch> {
        let first = self.zone.to_datetime(at).date();
        let dates = std::iter::successors(first.yesterday().ok(), |date| date.tomorrow().ok());
        let mut all: Vec<Stretch> = dates
            .take(usize::try_from(days).unwrap_or(usize::MAX))
            .flat_map(|date| self.windows.iter().filter_map(move |window| window.on(date, &self.zone)))
            .collect();
        all.sort_unstable();
        let mut merged: Vec<Stretch> = Vec::with_capacity(all.len());
        for (from, to) in all {
            match merged.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        merged
    }

    pub fn is_open(&self, at: Timestamp) -> bool {
        // None lasts longer than a day.
        self.stretches(at, 2).iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    /// The first time from `at` on at which it is open: `at` itself where it is.
    pub fn opens(&self, at: Timestamp) -> Timestamp {
        let next = |days| self.stretches(at, days).into_iter().find(|(_, to)| *to > at).map(|(from, _)| at.max(from));
        // Most open within the day. None is only where the calendar ends.
        next(3).or_else(|| next(SEARCHED_DAYS)).unwrap_or(Timestamp::MAX)
    }

    /// When it will no longer be open; `at` itself where it is not. None where that is more than two weeks away.
    pub fn closes(&self, at: Timestamp) -> Option<Timestamp> {
        let ahead = self.stretches(at, SEARCHED_DAYS);
        let within = ahead.iter().find(|(from, to)| (*from..*to).contains(&at));
        let Some((_, to)) = within else { return Some(at) };
        ahead.last().filter(|last| last.1 != *to).map(|_| *to)
    }

    /// Between two times, how long it is open.
    pub fn open_between(&self, from: Timestamp, to: Timestamp) -> Duration {
        let length = Duration::try_from(to.duration_since(from)).unwrap_or_default();
        let days = u32::try_from(length.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX).saturating_add(3);
        let open = self.stretches(from, days).into_iter().map(|(opens, closes)| {
            let (opens, closes) = (opens.max(from), closes.min(to));
            Duration::try_from(closes.duration_since(opens)).unwrap_or_default()
        });
        open.sum()
    }

    /// How long it is open in a period that begins when it opens: of such periods, the least. Without changes of clocks.
    pub fn open_in(&self, period: Duration) -> Duration {
        let steady = Self { windows: self.windows.clone(), zone: TimeZone::UTC };
        // Some Monday.
        let monday = Timestamp::from_second(1_767_571_200).unwrap_or_default();
        let openings = steady.stretches(monday, 9).into_iter().map(|(from, _)| from).filter(|from| *from >= monday);
        let open = openings.map(|from| {
            let to = from.checked_add(jiff::SignedDuration::try_from(period).unwrap_or(jiff::SignedDuration::MAX));
            steady.open_between(from, to.unwrap_or(Timestamp::MAX))
        });
        // One that never closes has no opening in it.
        open.min().unwrap_or(period)
    }
}

#[cfg(test)]
mod tests;
