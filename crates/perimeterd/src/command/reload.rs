use super::{Format, Global, halt::act};
use crate::failure::Outcome;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    format: Format,
}

impl Reload {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        // `--config` says which daemon is meant; that daemon reads its own file again.
        act(global, self.format, "reload", &json!({})).await
    }
}
