use super::{Format, Global, halt::act};
use crate::failure::Outcome;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(crate) struct ScanNow {
    /// The profile, by its name in the configuration
    profile: String,
    #[command(flatten)]
    format: Format,
}

impl ScanNow {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        act(global, self.format, "scan-now", &json!({ "profile": self.profile })).await
    }
}
