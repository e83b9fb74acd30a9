use super::{Format, Global, halt::act};
use crate::failure::{Failure, Outcome};
use clap::Args;
use serde_json::json;
use std::path::{self, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write, on the daemon's machine and where the daemon may write; it must not exist yet
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Backup {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        // The daemon stands in another folder than we do.
        let file = path::absolute(&self.file)
            .map_err(|error| Failure::Usage(format!("`{}` is no path: {error}", self.file.display())))?;
        let Some(file) = file.to_str() else {
            return Err(Failure::Usage(format!("`{}` is not UTF-8; choose another name", file.display())));
        };
        act(global, self.format, "backup", &json!({ "path": file })).await
    }
}
