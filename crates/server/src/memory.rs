//! What is kept beside the project in `.floodmark/serve.sqlite`: who is paused, which times of schedules are dealt with, what
//! was asked for, and what runs told. No fact about data is in it. It may be deleted at any moment, also while a server has
//! it open: then the ledgers say where schedules go on.

use crate::{
    alert::{Record, Told},
    board::{Kept, Note},
    due::Tries,
    work::{Cause, End, Job, Progress, Said, Stage, Task},
};
use chrono::{DateTime, Utc};
use floodmark_core::outlet::Trouble;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long it waits for another server that writes.
const WAIT: Duration = Duration::from_secs(5);
/// Ended work that is kept, of all pipelines.
const JOBS: i64 = 1000;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS pipelines (
  pipeline TEXT PRIMARY KEY, handled TEXT, tick TEXT, failures INTEGER, failed_at TEXT, paused TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, task TEXT NOT NULL, cause TEXT NOT NULL, attempt INTEGER NOT NULL,
  since TEXT NOT NULL, began TEXT, ended TEXT, \"end\" TEXT, run TEXT, message TEXT, result TEXT, events TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (
  channel TEXT NOT NULL, pipeline TEXT NOT NULL, trouble TEXT NOT NULL, since TEXT NOT NULL, told TEXT NOT NULL, \"over\" TEXT,
  PRIMARY KEY (channel, pipeline, trouble)
) WITHOUT ROWID;
PRAGMA user_version = 1;
";

/// The file, opened anew whenever it is gone.
pub(crate) struct Memory {
    path: PathBuf,
    db: Option<Connection>,
    /// What the file's own counter said when it was read last.
    version: i64,
    /// Held by the first server beside the project, for as long as it lives.
    lock: Option<fs::File>,
    /// Held by the one that tells people.
    telling: Option<fs::File>,
}

/// What there is.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) kept: BTreeMap<String, Kept>,
    /// Asked for and not done.
    pub(crate) asked: Vec<Job>,
    /// Done, newest first.
    pub(crate) ended: Vec<Job>,
}

impl Memory {
    /// Beside a pipeline file.
    pub(crate) fn beside(folder: &Path) -> Memory {
        Memory {
            path: folder.join(".floodmark").join("serve.sqlite"),
            db: None,
            version: -1,
            lock: None,
            telling: None,
        }
    }

    fn open(&mut self) -> Result<&Connection, String> {
        if self.db.is_some() && !self.path.exists() {
            self.db = None;
        }
        let db = match self.db.take() {
            Some(db) => db,
            None => match made(&self.path) {
                Ok(db) => db,
                // What cannot be read is no loss; a newer server's is left alone.
                Err(error) if error.damaged => {
                    tracing::warn!(path = %self.path.display(), "it could not be read, and was begun anew");
                    fs::remove_file(&self.path).map_err(|e| e.to_string())?;
                    made(&self.path).map_err(|e| e.message)?
                }
                Err(error) => return Err(error.message),
            },
        };
        Ok(self.db.insert(db))
    }

    /// Whether no other server is there beside the project: what another one was asked for is its own to do. The lock dies
    /// with its process.
    pub(crate) fn first(&mut self) -> bool {
        let Ok(file) = fs::File::create(self.path.with_file_name("serve.lock")) else { return true };
        let first = file.try_lock().is_ok();
        self.lock = Some(file).filter(|_| first);
        first
    }

    /// Whether it is this server that tells people: one of those beside the project does, and another one when that is gone.
    pub(crate) fn tells(&mut self) -> bool {
        if self.telling.is_none() {
            let file = self.path.with_file_name("alerts.lock");
            let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
            // Where nothing can be kept, nobody can be kept from telling: twice is better than not at all.
            let Ok(file) = folder.and_then(|()| fs::File::create(file)) else { return true };
            self.telling = file.try_lock().is_ok().then_some(file);
        }
        self.telling.is_some()
    }

    /// What people were told of troubles that are not over.
    pub(crate) fn told(&mut self) -> Result<Vec<Record>, String> {
        let db = self.open()?;
        let read = || -> rusqlite::Result<Vec<Record>> {
            let mut statement = db.prepare("SELECT channel, pipeline, trouble, since, told, \"over\" FROM told")?;
            let rows = statement.query_map([], |row| {
                let trouble: String = row.get(2)?;
                let trouble = Trouble::NAMES.iter().find(|(name, _)| *name == trouble).map(|(_, trouble)| *trouble);
                let (Some(trouble), Some(since), Some(told)) = (trouble, time(row, 3)?, time(row, 4)?) else {
                    return Ok(None);
                };
                let told = Some(Told { since, told, over: time(row, 5)? });
                Ok(Some(Record { channel: row.get(0)?, pipeline: row.get(1)?, trouble, told }))
            })?;
            rows.filter_map(Result::transpose).collect()
        };
        read().map_err(|e| e.to_string())
    }

    /// All that is kept.
    pub(crate) fn read(&mut self) -> Result<Remembered, String> {
        let db = self.open()?;
        let read = || -> rusqlite::Result<Remembered> {
            let kept = pipelines(db)?;
            let of = |condition: &str| -> rusqlite::Result<Vec<Job>> {
                let sql = format!(
                    "SELECT id, pipeline, task, cause, attempt, since, began, ended, \"end\", run, message, result, events
                     FROM jobs WHERE {condition}"
                );
                let mut statement = db.prepare(&sql)?;
                let rows = statement.query_map([], job)?;
                rows.filter_map(Result::transpose).collect()
            };
            let asked = of("ended IS NULL ORDER BY since")?;
            let ended = of(&format!("ended IS NOT NULL ORDER BY ended DESC LIMIT {}", crate::board::REMEMBERED))?;
            Ok(Remembered { kept, asked, ended })
        };
        read().map_err(|e| e.to_string())
    }

    /// What is kept of pipelines, where another server changed it since it was read or written here.
    pub(crate) fn changed(&mut self) -> Option<BTreeMap<String, Kept>> {
        let before = self.version;
        let db = self.open().ok()?;
        let version: i64 = db.query_row("PRAGMA data_version", [], |r| r.get(0)).ok()?;
        let kept = if version == before { None } else { Some(pipelines(db).ok()?) };
        self.version = version;
        kept.filter(|_| before >= 0)
    }

    /// Writes down.
    pub(crate) fn write(&mut self, notes: &[Note]) -> Result<(), String> {
        let db = self.open()?;
        let write = || -> rusqlite::Result<()> {
            let transaction = db.unchecked_transaction()?;
            for note in notes {
                match note {
                    Note::Kept(pipeline, kept) => keep(&transaction, pipeline, kept)?,
                    Note::Asked(job) => put(&transaction, job)?,
                    // What was never begun and is not wanted any more has left no trace.
                    Note::Ended(job) => put(&transaction, job)?,
                    Note::Told(record) => tell(&transaction, record)?,
                }
            }
            transaction.execute(
                "DELETE FROM jobs WHERE ended IS NOT NULL AND id NOT IN
                   (SELECT id FROM jobs WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT ?1)",
                [JOBS],
            )?;
            transaction.commit()
        };
        write().map_err(|e| e.to_string())
    }
}

struct Unopened {
    damaged: bool,
    message: String,
}

fn made(path: &Path) -> Result<Connection, Unopened> {
    let failed = |message: String| Unopened { damaged: false, message };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| failed(e.to_string()))?;
        let ignore = folder.join(".gitignore");
        if !ignore.exists() {
            // Without it the folder shows in `git status`, which is all.
            let _ = fs::write(&ignore, "*\n");
        }
    }
    let open = || -> rusqlite::Result<(Connection, i64)> {
        let db = Connection::open(path)?;
        db.busy_timeout(WAIT)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        let version: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        if version <= 1 {
            db.execute_batch(TABLES)?;
        }
        Ok((db, version))
    };
    match open() {
        Ok((_, version)) if version > 1 => Err(failed("it was written by a newer Floodmark".into())),
        Ok((db, _)) => Ok(db),
        Err(error) => {
            use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
            let damaged = matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase));
            Err(Unopened { damaged, message: error.to_string() })
        }
    }
}

fn text(at: Option<DateTime<Utc>>) -> Option<String> {
    at.map(|at| at.to_rfc3339())
}

fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let text: Option<String> = row.get(at)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

fn pipelines(db: &Connection) -> rusqlite::Result<BTreeMap<String, Kept>> {
    let mut statement = db.prepare("SELECT pipeline, handled, tick, failures, failed_at, paused FROM pipelines")?;
    let rows = statement.query_map([], |row| {
        let failures: Option<i64> = row.get(3)?;
        let tries = match (time(row, 2)?, failures, time(row, 4)?) {
            (Some(tick), Some(failures), Some(last)) => {
                Some(Tries { tick, failures: u64::try_from(failures).unwrap_or(0), last })
            }
            _ => None,
        };
        Ok((row.get(0)?, Kept { handled: time(row, 1)?, tries, paused: time(row, 5)? }))
    })?;
    rows.collect()
}

/// Of what is dealt with the later counts: two servers may write in any order.
fn keep(db: &Connection, pipeline: &str, kept: &Kept) -> rusqlite::Result<()> {
    let before: Option<Option<String>> =
        db.query_row("SELECT handled FROM pipelines WHERE pipeline = ?1", [pipeline], |row| row.get(0)).optional()?;
    let before: Option<DateTime<Utc>> = before.flatten().and_then(|text| text.parse().ok());
    let tries = kept.tries;
    db.execute(
        "INSERT OR REPLACE INTO pipelines VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            pipeline,
            text(kept.handled.max(before)),
            text(tries.map(|tries| tries.tick)),
            tries.map(|tries| i64::try_from(tries.failures).unwrap_or(i64::MAX)),
            text(tries.map(|tries| tries.last)),
            text(kept.paused),
        ],
    )?;
    Ok(())
}

fn tell(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    let Record { channel, pipeline, trouble, told } = record;
    match told {
        Some(Told { since, told, over }) => db.execute(
            "INSERT OR REPLACE INTO told VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![channel, pipeline, trouble.name(), text(Some(*since)), text(Some(*told)), text(*over)],
        )?,
        None => db.execute(
            "DELETE FROM told WHERE channel = ?1 AND pipeline = ?2 AND trouble = ?3",
            params![channel, pipeline, trouble.name()],
        )?,
    };
    Ok(())
}

fn put(db: &Connection, job: &Job) -> rusqlite::Result<()> {
    let events: Vec<Value> =
        job.events.iter().map(|said| serde_json::json!({"at": said.at.to_rfc3339(), "event": said.event})).collect();
    db.execute(
        "INSERT OR REPLACE INTO jobs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            job.id,
            job.pipeline,
            serde_json::to_string(&job.task).unwrap_or_default(),
            serde_json::to_string(&job.cause).unwrap_or_default(),
            i64::try_from(job.attempt).unwrap_or(i64::MAX),
            text(Some(job.since)),
            text(job.began),
            text(job.ended),
            job.end().map(End::name),
            job.run,
            job.message,
            job.result.as_ref().map(Value::to_string),
            Value::from(events).to_string(),
        ],
    )?;
    Ok(())
}

/// `None` for a line that this version does not understand.
fn job(row: &Row<'_>) -> rusqlite::Result<Option<Job>> {
    let json = |at: usize| -> rusqlite::Result<Value> {
        let text: Option<String> = row.get(at)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    };
    let task: Option<Task> = serde_json::from_value(json(2)?).ok();
    let cause: Option<Cause> = serde_json::from_value(json(3)?).ok();
    let (Some(task), Some(cause), Some(since)) = (task, cause, time(row, 5)?) else { return Ok(None) };
    let end: Option<String> = row.get(8)?;
    let end = end.as_deref().and_then(End::parse);
    let mut job = Job {
        id: row.get(0)?,
        pipeline: row.get(1)?,
        task,
        cause,
        attempt: u64::try_from(row.get::<_, i64>(4)?).unwrap_or(1),
        since,
        began: time(row, 6)?.filter(|_| end.is_some()),
        ended: time(row, 7)?,
        stage: end.map_or(Stage::Waiting(None), Stage::Ended),
        run: row.get(9)?,
        basis: None,
        progress: Progress::default(),
        events: VecDeque::new(),
        told: 0,
        result: Some(json(11)?).filter(|result| !result.is_null()),
        message: row.get(10)?,
    };
    for said in json(12)?.as_array().into_iter().flatten() {
        let at = said["at"].as_str().and_then(|at| at.parse().ok()).unwrap_or(since);
        job.told += 1;
        job.events.push_back(Said { number: job.told, at, event: said["event"].clone() });
    }
    Ok(Some(job))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_000 + second, 0).unwrap()
    }

    fn kept(handled: i64) -> Kept {
        let tries = Some(Tries { tick: at(5), failures: 2, last: at(6) });
        Kept { handled: Some(at(handled)), tries, paused: Some(at(7)) }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_dealt_with_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::beside(folder.path());
        memory.write(&[Note::Kept("orders".into(), kept(20))]).unwrap();
        memory.write(&[Note::Kept("orders".into(), kept(10))]).unwrap();
        let again = Memory::beside(folder.path()).read().unwrap();
        assert_eq!(again.kept["orders"], kept(20));
        assert_eq!(fs::read_to_string(folder.path().join(".floodmark/.gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn it_may_be_deleted_and_damaged_at_any_moment() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::beside(folder.path());
        memory.write(&[Note::Kept("orders".into(), kept(20))]).unwrap();
        fs::remove_dir_all(folder.path().join(".floodmark")).unwrap();
        assert!(memory.read().unwrap().kept.is_empty());
        memory.write(&[Note::Kept("orders".into(), kept(30))]).unwrap();
        assert_eq!(memory.read().unwrap().kept["orders"], kept(30));
        drop(memory);
        let file = folder.path().join(".floodmark/serve.sqlite");
        for beside in ["serve.sqlite-wal", "serve.sqlite-shm"] {
            let _ = fs::remove_file(folder.path().join(".floodmark").join(beside));
        }
        fs::write(&file, "this was never a database, however long it is".repeat(50)).unwrap();
        assert!(Memory::beside(folder.path()).read().unwrap().kept.is_empty());
    }

    #[test]
    fn a_file_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        Memory::beside(folder.path()).read().unwrap();
        let file = folder.path().join(".floodmark/serve.sqlite");
        Connection::open(&file).unwrap().pragma_update(None, "user_version", 2).unwrap();
        assert!(Memory::beside(folder.path()).read().unwrap_err().contains("newer"));
        assert!(file.exists());
    }

    #[test]
    fn the_first_server_is_known_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (Memory::beside(folder.path()), Memory::beside(folder.path()));
        one.read().unwrap();
        assert!(one.first());
        assert!(!other.first());
        drop(one);
        assert!(other.first());
    }

    #[test]
    fn one_server_tells_and_the_next_one_knows_what() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (Memory::beside(folder.path()), Memory::beside(folder.path()));
        one.read().unwrap();
        assert!(one.tells() && !other.tells() && one.tells());
        let told = Some(Told { since: at(1), told: at(2), over: Some(at(3)) });
        let record = Record { channel: "ops".into(), pipeline: "a".into(), trouble: Trouble::Late, told };
        one.write(&[Note::Told(record.clone())]).unwrap();
        drop(one);
        assert!(other.tells());
        assert_eq!(other.told().unwrap(), std::slice::from_ref(&record));
        other.write(&[Note::Told(Record { told: None, ..record })]).unwrap();
        assert_eq!(other.told().unwrap(), []);
        // A folder that nothing can be written into.
        let sealed = tempfile::tempdir().unwrap();
        fs::write(sealed.path().join(".floodmark"), "").unwrap();
        assert!(Memory::beside(sealed.path()).tells());
    }

    #[test]
    fn what_another_server_wrote_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (Memory::beside(folder.path()), Memory::beside(folder.path()));
        assert!(one.changed().is_none());
        assert!(one.changed().is_none());
        other.write(&[Note::Kept("orders".into(), kept(20))]).unwrap();
        assert_eq!(one.changed().unwrap()["orders"], kept(20));
        assert!(one.changed().is_none());
    }
}
