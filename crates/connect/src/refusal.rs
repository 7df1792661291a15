//! What every destination refuses, in the same words. The destination looks; this decides and says.

use floodmark_core::{
    Code, Error, Result,
    pipeline::{AbsentRows, Load, Pipeline},
    state::State,
    wording,
};

/// What a first load would meet in a table that is there.
pub trait Stranger {
    /// Whether the table is there and holds rows.
    fn holds_rows(&self) -> Result<bool>;
    /// How many.
    fn rows(&self) -> Result<u64>;
    /// Whether a run of the pipeline committed anything, anywhere: one that failed later has the rows that it read until
    /// then.
    fn has_loaded(&self) -> Result<bool>;
}

/// Refuses a first load that would take out rows somebody else put into the table, or add rows to it that may be in
/// it, unless the pipeline says `adopt`. `state` does not speak of this table.
///
/// A pipeline whose state was forgotten comes to its own table as if for the first time; the run ledger knows it.
pub fn adopt(pipeline: &Pipeline, state: &State, stranger: &dyn Stranger) -> Result<()> {
    let table = &pipeline.destination.table;
    if pipeline.adopt || !stranger.holds_rows()? {
        return Ok(());
    }
    let moved = state.table.as_ref().filter(|before| *before != table);
    let takes_out = match pipeline.load {
        Load::Overwrite => Some("`load: overwrite` would replace them"),
        _ if pipeline.absent_rows == AbsentRows::Delete => Some("`absent_rows: delete` would take out most of them"),
        _ => None,
    };
    let rows = || stranger.rows().map(|n| wording::count(n, "row"));
    if let Some(takes_out) = takes_out {
        if moved.is_none() && stranger.has_loaded()? {
            return Ok(());
        }
        let message = format!("table {table:?} holds {} that this pipeline did not load: {takes_out}", rows()?);
        return Err(Error::new(Code::TableShape, message)
            .state("nothing was written")
            .help("load into another table, or empty this one first")
            .help("if they may go, and the table is this pipeline's from now on: `adopt: true`"));
    }
    if let (Load::Append, false, Some(before)) = (pipeline.load, pipeline.at_least_once, moved) {
        let name = &pipeline.name;
        let message = format!(
            "pipeline {name:?} loaded table {before:?} last, and table {table:?} holds {} already: what it loaded there \
             earlier would be added again",
            rows()?
        );
        return Err(Error::new(Code::TableShape, message)
            .state("nothing was written")
            .help(
                "another project may have a pipeline of the same name in this database: give one of them another name",
            )
            .help("if none of those rows came from this source: `adopt: true`; if all did: `--full-refresh`"));
    }
    Ok(())
}

/// Two pipelines that load one table undo each other's work, and neither notices. `files`: two of the other's at most; where
/// it is of another project, they tell a person whose it is.
pub fn shared(pipeline: &str, table: &str, other: &str, files: &[String]) -> Error {
    let from = match files {
        [] => String::new(),
        [only] => format!(" from {only}"),
        [first, ..] => format!(" from {first} and other files"),
    };
    Error::new(Code::TableShape, format!("table {table:?} is loaded by pipeline {other:?}{from}"))
        .state("nothing was written")
        .help("load into another table")
        .help(format!(
            "if {pipeline:?} takes its place, first `floodmark state reset {other} --destination URL`, without the \
             flag where a pipeline file names {other:?}"
        ))
}

/// A strategy that does not know the rows an earlier one left would double or lose them. `before`: how the last run that
/// committed anything loaded, as the run ledger has it.
pub fn other_load(before: Option<&str>, load: Load) -> Result<()> {
    let before = before.and_then(|name| Load::NAMES.iter().find(|(n, _)| *n == name).map(|(_, load)| *load));
    match before {
        Some(before) if !load.may_follow(before) => Err(Error::new(
            Code::TableShape,
            format!(
                "the table was loaded with `load: {}`, and `load: {}` cannot go on from there",
                before.name(),
                load.name()
            ),
        )
        .state("nothing was written")
        .help(
            "go back to the earlier strategy, load everything again with `--full-refresh`, or load into another table",
        )),
        _ => Ok(()),
    }
}

/// The table's rows are found by another key now, or by one for the first time.
pub fn other_key(pipeline: &Pipeline) -> Error {
    let (name, key) = (&pipeline.destination.table, pipeline.key.join(", "));
    Error::new(Code::TableShape, format!("the pipeline loaded table {name:?} before, and not with the key {key}"))
        .state("nothing was written")
        .help(
            "under another key, rows of the table would overwrite each other: go back to the earlier key and strategy",
        )
        .help("or load everything again with `--full-refresh`, or into another table")
}

/// A load beside the runs of a pipeline, of which one changed what the rows were made ready for. `was`: the state when they
/// were; `now`: as it is.
pub fn moved_on(pipeline: &str, was: &State, now: &State) -> Result<()> {
    let what = if was.schema.is_none() && now.schema.is_none() {
        return Err(Error::internal(format!("pipeline {pipeline:?} never loaded, and is loaded beside its runs")));
    } else if now.schema.is_none() {
        "its state was forgotten"
    } else if was.table != now.table {
        "it loads another table now"
    } else if was.schema != now.schema {
        "the columns of its table are others now"
    } else if was.settings != now.settings {
        "its settings are others now"
    } else {
        return Ok(());
    };
    Err(Error::new(Code::DestinationBusy, format!("pipeline {pipeline:?} ran in the meantime: {what}"))
        .state("nothing was written; what the other run wrote stands")
        .help("run again: it begins with what is there now")
        .transient())
}

/// A run whose token is not the newest.
pub fn fenced(pipeline: &str) -> Error {
    Error::new(Code::Fenced, format!("pipeline {pipeline:?} was taken over by a newer run while this one was held up"))
        .state("this run's open transaction was rolled back; the newer run's data stands")
        .help("nothing needs repair; see `floodmark runs` for the newer run")
}
