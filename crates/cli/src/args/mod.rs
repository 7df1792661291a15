//! What was typed, and nothing more: no defaults that depend on files, no resolving.

mod backfill;
mod diff;
mod load;
mod run;
mod serve;
mod state;
mod store;
mod tools;

pub(crate) use backfill::BackfillArgs;
pub(crate) use diff::{DiffArgs, How, VerifyArgs};
pub(crate) use load::LoadArgs;
pub(crate) use run::{CheckArgs, Elsewhere, PlanArgs, ProveArgs, RunArgs, Wait};
pub(crate) use serve::ServeArgs;
pub(crate) use state::{StateArgs, StateCommand};
pub(crate) use store::{RejectsArgs, RejectsCommand, RunsArgs, RunsCommand, Store};
pub(crate) use tools::{CompletionsArgs, ExplainArgs, FingerprintArgs, InitArgs, OptimizeArgs};

use crate::env;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Data loads that are safe to re-run.
///
/// A load that is run twice, killed half-way or fired by two crons at once leaves the table exactly as one clean run
/// would.
#[derive(Debug, Parser)]
#[command(
    name = "floodmark",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 busy, 4 differences found, 130/143 interrupted.\nStart with `floodmark init`."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Accepted before and after every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The pipeline file [default: ./floodmark.yaml]
    #[arg(short, long, value_name = "FILE", global = true, env = env::FILE, hide_env_values = true)]
    pub(crate) file: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_name = "FORMAT", global = true, env = env::FORMAT, hide_env_values = true, default_value = "text")]
    pub(crate) format: Format,
    /// Log to stderr what happens; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How log lines are written
    #[arg(long, value_name = "FORMAT", global = true, env = env::LOG_FORMAT, hide_env_values = true, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Answer yes to every confirmation
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// Only errors, and what was asked to be shown
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a small project that runs as it is
    Init(InitArgs),
    /// Load files into a table, without a pipeline file
    Load(LoadArgs),
    /// Run the pipelines of the pipeline file, all of them by default
    Run(RunArgs),
    /// Show what a run would do, row for row, and do nothing
    Plan(PlanArgs),
    /// Try a pipeline's promises on a copy of its database: run twice, in disorder, killed, fired at once
    Prove(ProveArgs),
    /// Load a range of a pipeline's history, interval by interval, and show what of it is in
    Backfill(BackfillArgs),
    /// Compare a pipeline's table with its source, and name the rows that are missing, too many or different
    Verify(VerifyArgs),
    /// Compare two tables or files, in whatever databases they are, and name the rows that differ
    Diff(DiffArgs),
    /// Run pipelines on their schedules, and show on a web page what is loaded, what failed and why
    Serve(ServeArgs),
    /// Check the pipeline file, its connections and sources, and say what is unsafe
    Check(CheckArgs),
    /// Show or change what is remembered of a pipeline
    State(StateArgs),
    /// List past runs
    Runs(RunsArgs),
    /// List, show, replay or drop rows that could not be loaded
    Rejects(RejectsArgs),
    /// Print the fingerprint of a table: equal for equal content, in any order and any database
    Fingerprint(FingerprintArgs),
    /// Write small files of a lake's table together, and delete those that are the table's no more
    Optimize(OptimizeArgs),
    /// Explain an error code
    Explain(ExplainArgs),
    /// Print the JSON Schema of the pipeline file, for editors
    Schema,
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// Reads a command line, the program's name first.
pub(crate) fn parse(line: &[OsString]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line).or_else(|error| match paths(line) {
        Some(paths) if error.kind() == ErrorKind::UnknownArgument => Cli::try_parse_from(paths).map_err(|_| error),
        _ => Err(error),
    })
}

/// The same with what stands behind `--` written so that nothing takes it for a flag: files of `load` are several words, and
/// clap looks ahead for the flag that ends them even where there can be none. Names of pipelines stay as they are.
fn paths(line: &[OsString]) -> Option<Vec<OsString>> {
    let behind = line.iter().position(|word| word == "--")? + 1;
    line[..behind].iter().any(|word| word == "load").then_some(())?;
    let path = |word: &OsString| match word.as_encoded_bytes() {
        [b'-', _, ..] => Path::new(".").join(word).into_os_string(),
        _ => word.clone(),
    };
    Some(line[..behind].iter().cloned().chain(line[behind..].iter().map(path)).collect())
}

/// The command line's own description, for completions: without what is for no person, which their generators would offer.
pub(crate) fn command() -> clap::Command {
    Cli::command().mut_subcommand("run", |run| {
        let shown: Vec<clap::Arg> = run.get_arguments().filter(|arg| !arg.is_hide_set()).cloned().collect();
        clap::Command::new("run").about(run.get_about().cloned().unwrap_or_default()).args(shown)
    })
}

/// The format asked for, where the line as a whole could not be read.
pub(crate) fn wants_json(line: &[OsString]) -> bool {
    let args: Vec<_> = line.iter().map(|arg| arg.to_string_lossy()).collect();
    let flag = args.iter().rposition(|a| a == "--format").and_then(|i| args.get(i + 1)).map(|arg| arg.as_ref());
    let glued = args.iter().rev().find_map(|a| a.strip_prefix("--format="));
    flag.or(glued).map_or_else(|| env::lookup(env::FORMAT).is_some_and(|f| f == "json"), |f| f == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(line: &str) -> Option<Vec<String>> {
        let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match parse(&line).ok()?.command {
            Command::Load(load) => Some([load.sources, vec![load.destination]].concat()),
            _ => None,
        }
    }

    #[test]
    fn behind_two_hyphens_every_word_is_a_path() {
        let want = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(sources("floodmark load --key id -- --x.csv sqlite:///a.db"), want(&["--x.csv", "sqlite:///a.db"]));
        let several = "floodmark --format json load --key id -- a.csv --full-refresh - -x.csv sqlite:///a.db";
        assert_eq!(sources(several), want(&["a.csv", "./--full-refresh", "-", "./-x.csv", "sqlite:///a.db"]));
        assert_eq!(sources("floodmark load a.csv --kee id sqlite:///a.db"), None);
        assert_eq!(sources("floodmark load a.csv --kee id sqlite:///a.db -- --x.csv"), None);
    }
}
