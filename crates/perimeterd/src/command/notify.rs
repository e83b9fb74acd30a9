use super::{Format, Global};
use crate::{
    client::{Client, PATIENT},
    failure::Outcome,
    output::{self, printable},
};
use clap::{Args, Subcommand};
use model::Delivery;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Notify {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Send a marked test alert through the recipient's real channel and say what the other end said
    Test {
        /// The recipient, by its name in the configuration
        recipient: String,
        #[command(flatten)]
        format: Format,
    },
}

impl Notify {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let Action::Test { recipient, format } = self.action;
        let body = json!({ "recipient": recipient });
        let delivery: Delivery = Client::connect(global).await?.post("/api/v1/notify-test", &body, PATIENT).await?;
        if format.json {
            output::json(&delivery)?;
        }
        let (text, arrived) = sentence(&recipient, &delivery);
        if arrived {
            if !format.json {
                output::line(&text)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        output::complain("error", &text);
        Ok(ExitCode::from(1))
    }
}

fn sentence(recipient: &str, delivery: &Delivery) -> (String, bool) {
    let recipient = printable(recipient);
    match delivery {
        Delivery::Delivered(answer) if answer.is_empty() => (format!("delivered to {recipient}"), true),
        Delivery::Delivered(answer) => (format!("delivered to {recipient}: {}", printable(answer)), true),
        Delivery::Partly { answer, missed } => {
            let (answer, missed) = (printable(answer), printable(missed));
            (format!("delivered to some of {recipient} only: {answer}; not to: {missed}"), false)
        }
        Delivery::RetryAfter { reason, .. } => {
            (format!("not delivered to {recipient} now: {}", printable(reason)), false)
        }
        Delivery::Refused(reason) => (format!("refused for {recipient}: {}", printable(reason)), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_other_end_said() {
        for (delivery, expect, arrived) in [
            (Delivery::Delivered("250 queued".to_owned()), "delivered to soc: 250 queued", true),
            (Delivery::Delivered(String::new()), "delivered to soc", true),
            (Delivery::Refused("550 no\r\n\u{1b}[1m".to_owned()), "refused for soc: 550 no\\r\\n\\u{1b}[1m", false),
            (
                Delivery::RetryAfter { after: None, reason: "451 later".to_owned() },
                "not delivered to soc now: 451 later",
                false,
            ),
        ] {
            assert_eq!(sentence("soc", &delivery), (expect.to_owned(), arrived));
        }
    }
}
