use super::{Format, Global};
use crate::{
    failure::{Failure, Outcome},
    output::{self, printable_lines},
    paths,
};
use clap::Args;
use config::{Diagnostic, SourceMap};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    format: Format,
}

impl Check {
    /// Exit 0: valid, perhaps with warnings. Exit 1: not.
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let installed = Path::new(paths::INSTALLED_CONFIG);
        if global.config.is_none() && !self.format.json && !paths::is_there(installed) {
            return Err(Failure::world(format!(
                "there is no {}; name a file with --config. Without any, `perimeterd run` watches 127.0.0.1",
                installed.display()
            )));
        }
        let path = global.config.as_deref().unwrap_or(installed);
        match config::load(path) {
            Ok(loaded) => {
                let plan = config::plan(&loaded.config);
                if self.format.json {
                    output::json(&report(true, &loaded.warnings, &loaded.sources))?;
                } else {
                    diagnose(&loaded.warnings, &loaded.sources);
                    let place = probe::Place::watch();
                    output::line(
                        plan.render(|among| place.neighbours(among).difference(&loaded.config.sensor.exclude))
                            .trim_end(),
                    )?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(failure) => {
                if self.format.json {
                    output::json(&report(false, &failure.diagnostics, &failure.sources))?;
                } else {
                    diagnose(&failure.diagnostics, &failure.sources);
                    let errors = failure.errors();
                    let plural = if errors == 1 { "error" } else { "errors" };
                    return Err(Failure::world(format!("{}: {errors} {plural}", path.display())));
                }
                Ok(ExitCode::from(1))
            }
        }
    }
}

/// Prints diagnostics on stderr, as rustc does.
pub(super) fn diagnose(diagnostics: &[Diagnostic], sources: &SourceMap) {
    if diagnostics.is_empty() {
        return;
    }
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = config::render_all(diagnostics, sources, colour);
    // A file may hold anything; our own colours are let through only where nothing of it could hide among them.
    let text = if colour { text } else { printable_lines(&text).into_owned() };
    // Nothing can be done where stderr is gone.
    let _ = writeln!(anstream::stderr(), "{text}\n");
}

fn report(valid: bool, diagnostics: &[Diagnostic], sources: &SourceMap) -> Value {
    let one = |diagnostic: &Diagnostic| {
        let (file, line) = diagnostic.place(sources).unzip();
        json!({
            "severity": if diagnostic.is_error() { "error" } else { "warning" },
            "file": file, "line": line, "title": diagnostic.title, "label": diagnostic.label,
            "help": diagnostic.help, "notes": diagnostic.notes,
        })
    };
    json!({ "valid": valid, "diagnostics": diagnostics.iter().map(one).collect::<Vec<_>>() })
}
