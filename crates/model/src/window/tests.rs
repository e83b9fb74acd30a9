use super::*;
use proptest::prelude::*;

fn windows(texts: &[&str], zone: &str) -> Windows {
    let windows = texts.iter().map(|text| text.parse().expect(text)).collect();
    Windows::new(windows, TimeZone::get(zone).expect(zone)).expect("there are some")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

#[test]
fn reads_what_people_write() {
    for (text, shown) in [
        ("22:00-06:00", "22:00-06:00"),
        ("  2:00-3:05 ", "02:00-03:05"),
        ("00:00-24:00", "00:00-24:00"),
        ("Sat,sun 00:00-24:00", "Sat,Sun 00:00-24:00"),
        ("Mon-Fri 22:00-06:00", "Mon,Tue,Wed,Thu,Fri 22:00-06:00"),
        ("Sat-Mon, Wed 01:00-02:00", "Mon,Wed,Sat,Sun 01:00-02:00"),
        ("Mon-Sun 01:00-02:00", "01:00-02:00"),
    ] {
        let window: Window = text.parse().expect(text);
        assert_eq!(window.to_string(), shown, "{text}");
        assert_eq!(shown.parse(), Ok(window), "{shown}");
    }
    for (text, said) in [
        ("", "is no window"),
        ("22:00", "is no window"),
        ("24:00-06:00", "is no window"),
        ("22-06", "is no time"),
        ("22:00-6:60", "is no time"),
        ("25:00-06:00", "is no time"),
        ("+2:00-06:00", "is no time"),
        ("22:00-22:00", "never opens"),
        ("Funday 22:00-23:00", "`Funday` is no day"),
        ("Mon-Fun 22:00-23:00", "`Fun` is no day"),
        (", 22:00-23:00", "`` is no day"),
    ] {
        let error = text.parse::<Window>().expect_err(text).to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn opens_and_closes_by_the_clock_of_its_zone() {
    let nightly = windows(&["22:00-06:00"], "Europe/Berlin");
    for (now, is_open, opens, closes) in [
        ("2026-11-23T12:00:00Z", false, "2026-11-23T21:00:00Z", "2026-11-23T12:00:00Z"),
        ("2026-11-23T20:59:59Z", false, "2026-11-23T21:00:00Z", "2026-11-23T20:59:59Z"),
        ("2026-11-23T21:00:00Z", true, "2026-11-23T21:00:00Z", "2026-11-24T05:00:00Z"),
        ("2026-11-24T04:59:59Z", true, "2026-11-24T04:59:59Z", "2026-11-24T05:00:00Z"),
        ("2026-11-24T05:00:00Z", false, "2026-11-24T21:00:00Z", "2026-11-24T05:00:00Z"),
        // Daylight saving ends within it, and begins within it.
        ("2026-10-24T20:00:00Z", true, "2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"),
        ("2026-03-28T21:00:00Z", true, "2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"),
    ] {
        let now = at(now);
        assert_eq!(nightly.is_open(now), is_open, "{now}");
        assert_eq!(nightly.opens(now), at(opens), "{now}");
        assert_eq!(nightly.closes(now), Some(at(closes)), "{now}");
    }
}

#[test]
fn what_touches_is_one_and_what_is_always_open_never_closes() {
    let weekend = windows(&["Fri 22:00-24:00", "Sat,Sun 00:00-24:00"], "UTC");
    assert_eq!(weekend.closes(at("2026-11-20T23:00:00Z")), Some(at("2026-11-23T00:00:00Z")));
    assert_eq!(weekend.opens(at("2026-11-23T00:00:00Z")), at("2026-11-27T22:00:00Z"));
    let always = windows(&["00:00-24:00"], "Europe/Berlin");
    assert_eq!(always.closes(at("2026-11-20T23:00:00Z")), None);
    let now = at("2026-10-25T00:30:00Z");
    assert_eq!(always.opens(now), now);
    assert_eq!(always.open_in(Duration::from_hours(5)), Duration::from_hours(5));
    assert_eq!(always.open_in(Duration::from_hours(240)), Duration::from_hours(240));
}

#[test]
fn an_hour_that_is_left_out_opens_nothing_on_that_day() {
    let short = windows(&["02:00-03:00"], "Europe/Berlin");
    assert_eq!(short.opens(at("2026-03-28T12:00:00Z")), at("2026-03-30T00:00:00Z"));
    let on_sunday = windows(&["Sun 02:00-03:00"], "Europe/Berlin");
    assert_eq!(on_sunday.opens(at("2026-03-28T12:00:00Z")), at("2026-04-05T00:00:00Z"), "a week later");
    // It comes twice: the window lasts through both.
    assert_eq!(short.open_between(at("2026-10-24T12:00:00Z"), at("2026-10-25T12:00:00Z")), Duration::from_hours(2));
}

#[test]
fn counts_the_time_it_is_open() {
    let nightly = windows(&["22:00-06:00"], "UTC");
    for (from, to, hours) in [
        ("2026-11-23T12:00:00Z", "2026-11-23T20:00:00Z", 0),
        ("2026-11-23T12:00:00Z", "2026-11-23T23:00:00Z", 1),
        ("2026-11-23T03:00:00Z", "2026-11-23T23:00:00Z", 4),
        ("2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", 56),
        ("2026-11-23T12:00:00Z", "2026-11-23T11:00:00Z", 0),
    ] {
        assert_eq!(nightly.open_between(at(from), at(to)), Duration::from_hours(hours), "{from} {to}");
    }
    for (period, open) in [(1, 1), (8, 8), (12, 8), (24, 8), (25, 9), (168, 56)] {
        assert_eq!(nightly.open_in(Duration::from_hours(period)), Duration::from_hours(open), "{period} h");
    }
    let weekends = windows(&["Sat,Sun 00:00-24:00"], "UTC");
    assert_eq!(weekends.open_in(Duration::from_hours(24)), Duration::from_hours(24));
    assert_eq!(weekends.open_in(Duration::from_hours(168)), Duration::from_hours(48));
    let uneven = windows(&["Mon 01:00-02:00", "Tue 01:00-05:00"], "UTC");
    assert_eq!(uneven.open_in(Duration::from_hours(24)), Duration::from_hours(1), "the least of them");
}

proptest! {
    #[test]
    fn opening_and_closing_agree_with_being_open(
        hours in proptest::collection::vec((0_i8..24, 0_i8..60, 0_i8..24, 0_i8..60, 1_u8..128), 1..4),
        zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("Australia/Lord_Howe"), Just("America/New_York")],
        second in 1_760_000_000_i64..1_800_000_000,
    ) {
        let windows: Vec<Window> = hours.into_iter().filter_map(|(h1, m1, h2, m2, days)| {
            let mut of = [false; 7];
            for (day, opens) in of.iter_mut().enumerate() {
                *opens = days & (1 << day) != 0;
            }
            let (from, to) = (Time::new(h1, m1, 0, 0).ok()?, Time::new(h2, m2, 0, 0).ok()?);
            (from != to).then_some(Window { days: of, from, to: Some(to) })
        }).collect();
        let Some(windows) = Windows::new(windows, TimeZone::get(zone).expect(zone)) else { return Ok(()) };
        let now = Timestamp::from_second(second).expect("in range");
        let second = jiff::SignedDuration::from_secs(1);
        let opens = windows.opens(now);
        prop_assert!(opens >= now && windows.is_open(opens));
        prop_assert_eq!(opens == now, windows.is_open(now));
        prop_assert!(opens == now || !windows.is_open(opens - second));
        if let Some(closes) = windows.closes(opens) {
            prop_assert!(closes > opens && !windows.is_open(closes) && windows.is_open(closes - second));
            let open = windows.open_between(now, closes);
            prop_assert_eq!(jiff::SignedDuration::try_from(open).expect("short"), closes.duration_since(opens));
        }
    }
}
