use super::{Format, Global};
use crate::{
    client::{Client, PATIENT},
    failure::Outcome,
    output,
};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Halt {
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    format: Format,
}

impl Halt {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        act(global, self.format, "halt", &json!({})).await
    }
}

impl Resume {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        act(global, self.format, "resume", &json!({})).await
    }
}

/// Asks the daemon to do something and says what it said.
pub(super) async fn act(global: &Global, format: Format, action: &str, body: &Value) -> Outcome {
    let answer: Value = Client::connect(global).await?.post(&format!("/api/v1/{action}"), body, PATIENT).await?;
    if format.json {
        output::json(&answer)?;
    } else if let Some(message) = answer.get("message").and_then(Value::as_str) {
        for text in message.lines() {
            output::line(&output::printable(text))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
