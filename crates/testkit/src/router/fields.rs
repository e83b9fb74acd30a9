//! How single values are written in a scenario.

/// `30s`, `150ms`.
pub(crate) mod period {
    use serde::{Deserialize, Deserializer, de::Error};
    use std::time::Duration;

    pub(crate) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        model::parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// `0.02`: from 0 to 1.
pub(crate) mod share {
    use serde::{Deserialize, Deserializer, de::Error};

    pub(crate) fn whole() -> f64 {
        1.0
    }

    pub(crate) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        let share = f64::deserialize(from)?;
        if (0.0..=1.0).contains(&share) {
            Ok(share)
        } else {
            Err(D::Error::custom(format_args!("{share} is no share: from 0 to 1")))
        }
    }
}

/// `["10.77.0.0/24", "fd77::2"]`.
pub(crate) mod prefixes {
    use model::{AddressRange, AddressSet, Target};
    use serde::{Deserialize, Deserializer, de::Error};

    pub(crate) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<AddressSet, D::Error> {
        let range = |text: String| -> Result<AddressRange, D::Error> {
            let target: Target = text.parse().map_err(D::Error::custom)?;
            target.range().ok_or_else(|| D::Error::custom(format_args!("`{text}` is no address and no prefix")))
        };
        Vec::<String>::deserialize(from)?.into_iter().map(range).collect()
    }
}
