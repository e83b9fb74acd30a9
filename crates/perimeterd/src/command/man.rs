use super::Arguments;
use crate::failure::Outcome;
use clap::{Args, CommandFactory};
use std::{
    io::{self, Write},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command to describe [default: perimeterd itself]
    command: Option<String>,
}

impl Man {
    pub(crate) fn run(self) -> Outcome {
        let mut page = Vec::new();
        let mut root = Arguments::command();
        root.build();
        let wanted = match &self.command {
            None => root,
            Some(name) => root
                .find_subcommand(name)
                .cloned()
                .map(|command| command.display_name(format!("perimeterd-{name}")))
                .ok_or_else(|| crate::failure::Failure::Usage(format!("there is no command `{name}`")))?,
        };
        clap_mangen::Man::new(wanted).render(&mut page)?;
        io::stdout().lock().write_all(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}
