//! Where the state of a pipeline lies in a lake.
//!
//! ```text
//! _floodmark/pipelines/orders/table.json         the table it loads
//! _floodmark/pipelines/orders/state/1732….db     its state: ledgers, position, what is remembered of keys
//! _floodmark/pipelines/orders/runs/0193….json    runs that wrote nothing, until the next state has them
//! ```
//!
//! A file of a state is never changed. Which of them is the state, the table's log says, in the entry that has the rows
//! that belong to it: an application transaction whose version is the file's number. So both are there or neither.

use crate::{
    failure,
    lake::Lake,
    log::Snapshot,
    notes::{self, Note},
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, Error, Result, state::RunRecord};
use floodmark_sqlite::lock;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use std::{fs, path::Path as File, sync::Arc, time::Duration};

const PIPELINES: &str = "_floodmark/pipelines";

/// A state that no log names any more is left for those who may be reading it.
const LINGERS: Duration = Duration::from_secs(24 * 60 * 60);

/// Which table a pipeline loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pointer {
    /// The table; `None` before the first load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table: Option<String>,
    /// The number of a state that came before there was a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<i64>,
}

/// Keeps the state of one pipeline.
#[derive(Clone)]
pub(crate) struct Keeper {
    lake: Arc<Lake>,
    pipeline: String,
    /// What logs know the pipeline as.
    pub(crate) application: String,
}

impl Keeper {
    pub(crate) fn new(lake: &Arc<Lake>, pipeline: &str) -> Keeper {
        let application = format!("floodmark:{pipeline}");
        Keeper { lake: Arc::clone(lake), pipeline: pipeline.to_owned(), application }
    }

    /// The pipelines that were ever here.
    pub(crate) fn pipelines(lake: &Lake) -> Result<Vec<String>> {
        let found = lake.folders(&Path::from(PIPELINES))?;
        let mut names: Vec<String> = found.iter().filter_map(|folder| unescaped(folder)).collect();
        names.sort();
        Ok(names)
    }

    /// Where everything of a pipeline's state lies.
    pub(crate) fn folder(pipeline: &str) -> Path {
        as_it_is(format!("{PIPELINES}/{}", lock::file_name(pipeline)))
    }

    fn path(&self, rest: &str) -> Path {
        as_it_is(format!("{PIPELINES}/{}/{rest}", lock::file_name(&self.pipeline)))
    }

    pub(crate) fn pointer(&self) -> Result<Option<Pointer>> {
        let path = self.path("table.json");
        let Some(bytes) = self.lake.get(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| failure::damaged(&path).cause(e))
    }

    pub(crate) fn point(&self, to: &Pointer) -> Result<()> {
        let bytes = serde_json::to_vec(to).map_err(|e| Error::internal("a pointer has no JSON form").cause(e))?;
        crash::at(Point::PutPointer, || self.lake.put(&self.path("table.json"), bytes))
    }

    /// The number of the state that the table's log names.
    pub(crate) fn number(&self, snapshot: Option<&Snapshot>) -> Result<Option<i64>> {
        snapshot.map_or(Ok(None), |snapshot| snapshot.transaction(&self.application))
    }

    /// Writes a state into a file on this machine; `false` where it is not there.
    pub(crate) fn fetch(&self, number: i64, into: &File) -> Result<bool> {
        let path = self.path(&format!("state/{number}.db"));
        let Some(bytes) = self.lake.get(&path)? else { return Ok(false) };
        if bytes.is_empty() {
            // To SQLite it would be a database with nothing in it.
            return Err(failure::damaged(&path));
        }
        crash::at(Point::Temporary, || fs::write(into, &bytes).map_err(failure::scratch)).map(|()| true)
    }

    /// A state that the log of that table names is not there.
    pub(crate) fn lost(&self, number: Option<i64>, table: Option<&str>) -> Error {
        let path = self.path(&format!("state/{}.db", number.unwrap_or_default()));
        let error =
            Error::new(Code::StateDamaged, format!("the state of pipeline {:?} is gone: {path}", self.pipeline))
                .state("nothing was written")
                .help("the table's log names it: bring the file back");
        let state = self.lake.shown(Keeper::folder(&self.pipeline).as_ref());
        error.help(match table {
            // By the state alone nobody would know which of the table's rows are loaded.
            Some(table) => {
                format!("or, to load everything anew, delete two folders: {} and {state}", self.lake.shown(table))
            }
            None => format!("or, to load everything anew, delete the folder {state}"),
        })
    }

    pub(crate) fn keep(&self, number: i64, from: &File) -> Result<()> {
        let bytes = fs::read(from).map_err(failure::scratch)?;
        let path = self.path(&format!("state/{number}.db"));
        if crash::at(Point::PutState, || self.lake.put_new(&path, bytes.clone()))? {
            return Ok(());
        }
        // Ours, of which the answer was lost, or that of a run elsewhere in the same microsecond.
        match self.lake.get(&path)?.is_some_and(|there| there == bytes) {
            true => Ok(()),
            false => Err(Error::new(Code::DestinationBusy, format!("{path} is there already"))
                .state("nothing was written")
                .help("run again: another run of this pipeline has begun at the same moment")
                .transient()),
        }
    }

    /// Puts a run on record that wrote nothing.
    pub(crate) fn note(&self, run: &RunRecord) -> Result<()> {
        let name = format!("runs/{}.json", lock::file_name(&run.run));
        crash::at(Point::RecordCommit, || self.lake.put(&self.path(&name), notes::written(run)?))
    }

    /// Such runs.
    pub(crate) fn notes(&self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        for object in self.lake.list(&self.path("runs"))?.into_iter().map(|object| object.location) {
            // One that is gone by now is in the state.
            if let Some(bytes) = self.lake.get(&object)? {
                let run = notes::read(&bytes).map_err(|e| failure::damaged(&object).cause(e))?;
                notes.push(Note { path: object, run });
            }
        }
        Ok(notes)
    }

    /// Drops what the state `number` has, and states that came before it. What cannot be dropped now goes the next time.
    pub(crate) fn sweep(&self, number: i64, notes: &[Note]) {
        let old = |at: i64, modified: chrono::DateTime<chrono::Utc>| {
            let lingers = chrono::Utc::now() - modified < chrono::Duration::from_std(LINGERS).unwrap_or_default();
            // One with a higher number may be of a load elsewhere, that has not committed yet.
            if at < number { self.lake.path().is_some() || !lingers } else { at > number && !lingers }
        };
        let states = self.lake.list(&self.path("state")).unwrap_or_default().into_iter().filter(|object| {
            let at = object.location.filename().and_then(|name| name.strip_suffix(".db")?.parse().ok());
            at.is_some_and(|at| old(at, object.last_modified))
        });
        for path in states.map(|object| object.location).chain(notes.iter().map(|note| note.path.clone())) {
            let _ = crash::at(Point::Sweep, || self.lake.delete(&path));
        }
    }

    /// Drops a state that never became one.
    pub(crate) fn discard(&self, number: i64) {
        let _ = crash::at(Point::Sweep, || self.lake.delete(&self.path(&format!("state/{number}.db"))));
    }
}

/// A path with the escapes that it has, and no others.
fn as_it_is(path: String) -> Path {
    Path::parse(&path).unwrap_or_else(|_| Path::from(path))
}

/// The name that [`lock::file_name`] wrote down.
fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?);
        rest = &rest[at + 3..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pipelines_come_back_as_they_were() {
        for name in ["orders", "a/b", "a%2Fb", "ü .", "%", ""] {
            assert_eq!(unescaped(&lock::file_name(name)).as_deref(), Some(name));
        }
        assert_eq!(unescaped("%zz"), None);
    }
}
