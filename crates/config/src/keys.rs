use crate::{asset, channel, condition, console, identify, profile, raw, recipient, ruleset, scan, sensor, store, tls};

/// Every key the configuration knows, with its section: (`[sensor]`, `rate`). The guide is checked against it.
pub fn known_keys() -> Vec<(&'static str, &'static str)> {
    let sections: [(&str, &[&str]); 19] = [
        ("the file", raw::KEYS),
        ("[sensor]", sensor::KEYS),
        ("[store]", store::KEYS),
        ("[console]", console::KEYS),
        ("[tls]", tls::KEYS),
        ("[identify]", identify::KEYS),
        ("[asset.NAME]", asset::KEYS),
        ("[asset.NAME] authorization", asset::AUTHORIZATION_KEYS),
        ("[asset.NAME] certificates", asset::CERTIFICATES_KEYS),
        ("[ruleset.NAME]", ruleset::KEYS),
        ("[[ruleset.NAME.rule]]", ruleset::RULE_KEYS),
        ("[profile.NAME]", profile::KEYS),
        ("[profile.NAME] scan", scan::SCAN_KEYS),
        ("[profile.NAME] confirm", scan::CONFIRM_KEYS),
        ("[profile.NAME] confirm.*", scan::CONFIRM_RULE_KEYS),
        ("[recipient.NAME]", recipient::KEYS),
        ("[recipient.NAME] syslog", recipient::SYSLOG_KEYS),
        ("[channel]", raw::CHANNEL_KEYS),
        ("[channel.email]", channel::EMAIL_KEYS),
    ];
    let words = recipient::ALIASES.iter().map(|(alias, _)| ("[recipient.NAME] every", *alias));
    sections
        .into_iter()
        .flat_map(|(section, keys)| keys.iter().map(move |key| (section, *key)))
        .chain(condition::vocabulary().map(|word| ("conditions", word)))
        .chain(words)
        .collect()
}
