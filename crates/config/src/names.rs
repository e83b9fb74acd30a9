//! Names: what one may be, how a hostile one is shown, and which known one was probably meant.

use std::fmt::Write;

const LONGEST: usize = 64;
const SHOWN: usize = 80;
const LISTED: usize = 60;
const LONGEST_MESSAGE: usize = 2_000;

/// What is wrong with a name for an asset, a profile, a recipient, a rule set, a rule or a tag.
///
/// Names travel into databases, e-mail headers, CEF and URLs. Each place escapes for itself; what nobody could read or
/// type again is refused here.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("a name cannot be empty")
    } else if name.chars().count() > LONGEST {
        Some("a name has at most 64 characters")
    } else if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        Some("a name cannot hold control characters or invisible ones")
    } else if name.trim() != name {
        Some("a name cannot begin or end with a space")
    } else if name.contains(':') {
        Some("a name cannot hold `:`, which marks perimeterd's own, like `builtin:perimeter`")
    } else {
        None
    }
}

/// Text from outside in back-quotes: on one line, printable, and not endless.
pub(crate) fn show(text: &str) -> String {
    format!("`{}`", cut(text, SHOWN))
}

/// A message that may quote text from outside: on one line, printable, and not endless.
pub(crate) fn printable(message: &str) -> String {
    cut(message, LONGEST_MESSAGE)
}

fn cut(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(4 * most));
    for (count, c) in text.chars().enumerate() {
        if count == most {
            shown.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The key as it stands in TOML: bare where it may be, quoted otherwise.
pub(crate) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= LONGEST && name.chars().all(bare) {
        name.to_owned()
    } else {
        let shown = show(name);
        format!("\"{}\"", shown.trim_matches('`'))
    }
}

/// The candidate that was probably meant, if any is near enough to be worth a word.
pub(crate) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The measure is quadratic: nobody mistypes a name of that length.
    if typed.len() > 4 * LONGEST {
        return None;
    }
    let fold = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let typed = fold(typed);
    let most = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let known = fold(candidate);
            let distance = strsim::damerau_levenshtein(&typed, &known);
            let begins =
                typed.len() >= 3 && (known.starts_with(&typed) || typed.starts_with(&known) && known.len() >= 3);
            (if begins { distance.min(most) } else { distance }, distance, candidate)
        })
        .filter(|(judged, ..)| *judged <= most)
        .min()
        .map(|(.., candidate)| candidate)
}

/// `did you mean `x`?` or the list of what there is.
pub(crate) fn suggestion<'a>(
    typed: &str,
    what: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(meant) = nearest(typed, candidates.clone()) {
        return Some(format!("did you mean {}?", show(meant)));
    }
    let mut list: Vec<String> = candidates.into_iter().map(show).collect();
    let more = list.len().saturating_sub(LISTED);
    list.truncate(LISTED);
    match list.as_slice() {
        [] => None,
        [one] => Some(format!("the only {what} is {one}")),
        list if more == 0 => Some(format!("{what}s are {}", list.join(", "))),
        list => Some(format!("{what}s are {}, and {more} more", list.join(", "))),
    }
}

/// Formatting characters that could hide or turn around what a line says.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["rate", "rate_per_host", "retention", "exclude", "PORT_OPEN", "PORT_CLOSED"];
        for (typed, meant) in [
            ("raet", Some("rate")),
            ("retentoin", Some("retention")),
            ("excludes", Some("exclude")),
            ("port_open", Some("PORT_OPEN")),
            ("PORT_OPENED", Some("PORT_OPEN")),
            ("rate-per-host", Some("rate_per_host")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }

    #[test]
    fn hostile_names_are_refused_and_shown_harmlessly() {
        for (name, good) in [
            ("dmz", true),
            ("Zürich 1", true),
            ("", false),
            (" a", false),
            ("a\nb", false),
            ("a\u{202e}b", false),
            ("builtin:x", false),
        ] {
            assert_eq!(fault(name).is_none(), good, "{name:?}");
        }
        assert_eq!(show("a\n\u{1b}[31m"), "`a\\u{a}\\u{1b}[31m`");
        assert!(show(&"x".repeat(10_000)).len() < 300);
    }
}
