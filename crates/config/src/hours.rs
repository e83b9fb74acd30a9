//! The hours in which a profile asks: `window` and `zone` of its `scan`.

use crate::walk::{Table, Value};
use jiff::tz::TimeZone;
use model::{Window, Windows};

const WINDOW_HELP: &str =
    "write hours like `22:00-06:00`, or several: `[\"Mon-Fri 22:00-06:00\", \"Sat,Sun 00:00-24:00\"]`";

pub(crate) fn read(table: &Table<'_>) -> Option<Windows> {
    // Read where there is no window as well: what is wrong with it is said.
    let zone = table.get("zone").map(|value| (zone(&value), value));
    let Some(value) = table.get("window") else {
        if let Some((Some(_), value)) = zone {
            let diagnostic = value.warning(format!("`{}` says nothing without a `window`", value.path));
            value.sink.push(diagnostic.label("the zone its hours are in"));
        }
        return None;
    };
    let windows: Option<Vec<Window>> =
        value.one_or_many().iter().map(|item| item.parse(WINDOW_HELP, str::parse::<Window>)).collect();
    let zone = zone.map_or_else(|| Some(TimeZone::system()), |(zone, _)| zone)?;
    let windows = Windows::new(windows?, zone);
    if windows.is_none() {
        let diagnostic = value.error(format!("`{}` is empty: nothing would ever be asked", value.path));
        value.sink.push(
            diagnostic
                .help("leave it out to ask at all hours, or write `active = false` in the profile to ask at none"),
        );
    }
    windows
}

/// By its IANA name.
fn zone(value: &Value<'_>) -> Option<TimeZone> {
    let name = value.text()?;
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        let known = TimeZone::get("Europe/Berlin").is_ok();
        let help = if known {
            "write a name like `Europe/Berlin`, or `UTC`; without it the hours are the machine's"
        } else {
            "this machine knows no time zones: install the package `tzdata`"
        };
        value.sink.push(value.error(format!("`{}`: no time zone has this name", value.path)).help(help));
    }
    zone
}
