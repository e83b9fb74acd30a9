use jiff::{civil::Date, tz::TimeZone};
use model::{Clock, SystemClock};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What reading a configuration needs to know of the machine, handed in so that tests decide it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// In UTC; authorizations end by it.
    pub today: Date,
    /// The default for `sensor.name`.
    pub host_name: String,
    /// systemd's `$CREDENTIALS_DIRECTORY`: where a relative `password_file` is looked for.
    pub credentials: Option<PathBuf>,
    /// What other relative paths are relative to: the folder of the main file. None leaves them as they are.
    pub folder: Option<PathBuf>,
}

impl Surroundings {
    /// This machine, for a configuration file in that folder.
    pub fn of_machine(folder: Option<&Path>) -> Self {
        let host_name = ["/proc/sys/kernel/hostname", "/etc/hostname"]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .map(|text| text.trim().to_owned())
            .find(|name| crate::sensor::name_fault(name).is_none());
        Self {
            today: TimeZone::UTC.to_datetime(SystemClock.now()).date(),
            host_name: host_name.unwrap_or_else(|| "perimeterd".to_owned()),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from),
            folder: folder.map(Path::to_owned),
        }
    }

    /// A path of the configuration, as the daemon will open it.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.folder.as_ref().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// As [`Surroundings::resolve`] for secrets, which systemd may have put elsewhere.
    pub(crate) fn resolve_secret(&self, path: &str) -> PathBuf {
        self.credentials.as_ref().map_or_else(|| self.resolve(path), |folder| folder.join(path))
    }
}
