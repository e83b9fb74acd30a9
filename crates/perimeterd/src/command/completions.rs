use super::Arguments;
use crate::failure::Outcome;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::{
    io::{self, Write},
    process::ExitCode,
};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Outcome {
        // Into memory first: the generator panics where the reader has gone.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "perimeterd", &mut script);
        io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
