//! Ports behind which machines stand that take questions badly.

/// Whether what listens on this TCP port may take harm from a question it does not expect, or act upon it: printers put it
/// on paper, controllers of machines stop, supplies of power switch. Such ports are listened to and told nothing, unless the
/// operator allows it.
pub fn is_fragile(port: u16) -> bool {
    matches!(port,
        102 | 502 | 515 | 789 | 1911 | 1962 | 2404 | 4786 | 4840 | 4911 | 5006 | 5007 | 9100..=9109 | 9112..=9116 | 9600
            | 10001 | 18245 | 20000 | 20547 | 44818 | 47808)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fragile_are_known_by_their_ports() {
        for (port, expect) in [(443, false), (9100, true), (9109, true), (9110, false), (502, true), (3306, false)] {
            assert_eq!(is_fragile(port), expect, "{port}");
        }
    }
}
