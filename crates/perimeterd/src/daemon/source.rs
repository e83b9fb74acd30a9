//! Where the configuration comes from: the file named, the one installed, or the one built in.

use crate::paths;
use anyhow::anyhow;
use config::Config;
use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

#[derive(Debug, Clone)]
pub(crate) enum Source {
    File(PathBuf),
    /// No file anywhere: 127.0.0.1 is watched, and the database is kept in this folder.
    Embedded(PathBuf),
}

impl Source {
    pub(crate) fn find(named: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = named {
            return Ok(Self::File(path));
        }
        let installed = Path::new(paths::INSTALLED_CONFIG);
        // One that is there but may not be read must not be passed over in silence.
        if paths::is_there(installed) {
            return Ok(Self::File(installed.to_owned()));
        }
        let folder = paths::state_dir().ok_or_else(|| {
            anyhow!("there is no configuration, and no home folder to keep a database in; name a file with --config")
        })?;
        Ok(Self::Embedded(folder))
    }

    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }

    /// Reads it, telling warnings. The error is every diagnostic, rendered.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        match self {
            Self::File(path) => {
                let loaded = config::load(path).map_err(|failure| {
                    let errors = match failure.errors() {
                        1 => "an error".to_owned(),
                        errors => format!("{errors} errors"),
                    };
                    anyhow!("{} has {errors} and is not used:\n\n{failure}", path.display())
                })?;
                for warning in &loaded.warnings {
                    tracing::warn!("{}", warning.line(&loaded.sources));
                }
                Ok(loaded.config)
            }
            Self::Embedded(folder) => {
                DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
                    anyhow!("the folder {} for the database could not be made: {error}", folder.display())
                })?;
                Ok(Config::embedded(folder))
            }
        }
    }
}
