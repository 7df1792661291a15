//! One attempt: a run of the visitor's pipeline and of the naive loader beside it, each by the real program as a process of its
//! own, and what the tables hold then.

use super::recipe::{NAIVE, Recipe, TABLE};
use crate::{Program, child};
use floodmark_core::Counts;
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde_json::Value;
use std::{
    fs, io,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

/// A process takes no longer.
const PATIENCE: Duration = Duration::from_secs(8);
/// Of its environment a process has what starting the program may need, and nothing that is somebody's secret.
const KEPT: [&str; 5] = ["PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT"];
/// Of a table so many rows and columns are shown, and of a value so many characters.
const ROWS: usize = 40;
const COLUMNS: usize = 24;
const CHARACTERS: usize = 80;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Run,
    /// It is killed at this moment, by the signal that nothing can catch.
    Kill(Moment),
    /// The tables, and what is known of them, go.
    Anew,
}

/// When a run is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The first file is written and not committed.
    First,
    /// The first file is in, the second is written and not committed.
    Middle,
    /// Everything is in, and nobody was told.
    End,
}

impl Moment {
    /// As forms have it.
    pub(crate) const NAMES: [(&str, Moment); 3] =
        [("middle", Moment::Middle), ("first", Moment::First), ("end", Moment::End)];

    /// As `floodmark_connect::crash` has it.
    fn point(self) -> &'static str {
        match self {
            Moment::First => "load-commit:before:1=abort",
            Moment::Middle => "load-commit:before:2=abort",
            Moment::End => "released=abort",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) deed: Deed,
    /// Whether something was edited since the one before.
    pub(crate) edited: bool,
    /// Of the visitor's pipeline and of the naive loader; `None` where nothing was run.
    pub(crate) sides: Option<[Side; 2]>,
}

/// How one of both ended.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub(crate) how: How,
    /// What it committed.
    pub(crate) rows: Counts,
    /// As the program prints it.
    pub(crate) error: Option<Value>,
    /// What the table holds; `None` where there is none.
    pub(crate) holds: Option<Held>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Ok,
    NothingNew,
    Failed,
    Killed,
    TooLong,
}

/// A table in two figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) rows: u64,
    pub(crate) fingerprint: String,
}

/// A table as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    /// `None` is NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// Writes what was chosen into a folder.
pub(super) fn write(folder: &Path, recipe: &Recipe) -> io::Result<()> {
    fs::create_dir_all(folder.join("data"))?;
    fs::write(folder.join("floodmark.yaml"), recipe.file())?;
    fs::write(folder.join("naive.yaml"), Recipe::naive())?;
    for (n, text) in recipe.files().iter().enumerate() {
        let path = folder.join("data").join(format!("orders-{}.csv", n + 1));
        // What is as it was stays untouched: whether a file is another one is part of the lesson.
        match fs::read_to_string(&path) {
            Ok(there) if there == *text => {}
            Ok(_) if text.trim().is_empty() => fs::remove_file(&path)?,
            Err(_) if text.trim().is_empty() => {}
            _ => fs::write(&path, text)?,
        }
    }
    Ok(())
}

/// Removes everything from a folder.
pub(super) fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// Bytes of all that is in a folder.
pub(super) fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(known) if known.is_dir() => size(&entry.path()),
            Ok(known) => known.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Runs both, and looks at both tables.
pub(super) async fn sides(program: &dyn Program, folder: &Path, moment: Option<Moment>) -> [Side; 2] {
    let (ours, naive) = tokio::join!(
        side(program, folder, "floodmark.yaml", "sqlite:///shop.db", TABLE, moment),
        side(program, folder, "naive.yaml", "sqlite:///naive.db", NAIVE, moment),
    );
    [ours, naive]
}

async fn side(
    program: &dyn Program,
    folder: &Path,
    file: &str,
    database: &str,
    table: &str,
    moment: Option<Moment>,
) -> Side {
    let command = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        program.command(Path::new(file), &arguments)
    };
    let mut run = command(&["run", "--format", "json", "--", table]);
    bare(&mut run, folder);
    run.env(child::EVENTS, "1");
    if let Some(moment) = moment {
        run.env(child::CRASH, moment.point());
    }
    let mut side = read(end(run, PATIENCE).await);
    let mut look = command(&["fingerprint", "--format", "json", "--", database, table]);
    bare(&mut look, folder);
    side.holds = end(look, PATIENCE).await.ok().flatten().and_then(|output| {
        let told: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(Held { rows: told["rows"].as_u64()?, fingerprint: told["fingerprint"].as_str()?.to_owned() })
    });
    side
}

/// Nothing of this process's environment, and no other folder.
fn bare(command: &mut Command, folder: &Path) {
    command.env_clear().current_dir(folder).env("TMPDIR", folder);
    for (name, value) in KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))) {
        command.env(name, value);
    }
}

/// Waits for its end; `None` where it was killed because it took too long.
async fn end(mut command: Command, patience: Duration) -> io::Result<Option<Output>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut command = tokio::process::Command::from(command);
    // Also when whoever asked for it has gone.
    let child = command.kill_on_drop(true).spawn()?;
    match tokio::time::timeout(patience, child.wait_with_output()).await {
        Ok(output) => output.map(Some),
        Err(_) => Ok(None),
    }
}

/// What a run told.
fn read(ended: io::Result<Option<Output>>) -> Side {
    let mut side = Side { how: How::Failed, rows: Counts::default(), error: None, holds: None };
    let output = match ended {
        Ok(Some(output)) => output,
        Ok(None) => return Side { how: How::TooLong, ..side },
        Err(error) => {
            side.error = Some(serde_json::json!({ "message": format!("the program cannot be started: {error}") }));
            return side;
        }
    };
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let mut result = None;
    for line in lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
        let committed = &line["event"]["rows"];
        if line["event"]["kind"] == "committed" {
            side.rows = serde_json::from_value(committed.clone()).unwrap_or_default();
        }
        if line.get("event").is_none() {
            result = Some(line);
        }
    }
    // A signal leaves no code.
    side.how = match (output.status.code(), &result) {
        (None, _) => How::Killed,
        (Some(0), Some(result)) if result["status"] == "nothing_new" => How::NothingNew,
        (Some(0), Some(_)) => How::Ok,
        _ => How::Failed,
    };
    if let Some(result) = result {
        side.error = Some(result["error"].clone()).filter(Value::is_object);
        if let Ok(rows) = serde_json::from_value(result["rows"].clone()) {
            side.rows = rows;
        }
    }
    side
}

/// The visitor's table; `None` where there is none.
pub(super) fn table(folder: &Path) -> Option<Table> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(folder.join("shop.db"), flags).ok()?;
    let mut statement = db.prepare(&format!("SELECT * FROM \"{TABLE}\" ORDER BY 1 LIMIT {ROWS}")).ok()?;
    let columns: Vec<String> = statement.column_names().take(COLUMNS).map(|name| shortened(name.to_owned())).collect();
    let many = columns.len();
    let row = |row: &rusqlite::Row<'_>| (0..many).map(|at| row.get_ref(at).map(shown)).collect();
    let rows = statement.query_map([], row).ok()?.collect::<rusqlite::Result<_>>().ok()?;
    Some(Table { columns, rows })
}

fn shown(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Real(value) => Some(value.to_string()),
        ValueRef::Text(value) | ValueRef::Blob(value) => Some(shortened(String::from_utf8_lossy(value).into_owned())),
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn script(text: &str, folder: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]);
        bare(&mut command, folder);
        command
    }

    #[tokio::test]
    async fn a_process_that_takes_too_long_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let text = "echo $$ > number; exec sleep 60";
        assert!(end(script(text, folder.path()), Duration::from_millis(500)).await.unwrap().is_none());
        let number = fs::read_to_string(folder.path().join("number")).unwrap();
        let gone = || !Path::new("/proc").join(number.trim()).join("exe").exists();
        while !gone() {
            assert!(began.elapsed() < Duration::from_secs(30), "it lives on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_process_knows_nothing_of_this_ones_environment() {
        let folder = tempfile::tempdir().unwrap();
        // Cargo sets these for a test.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let output = end(script("env; pwd", folder.path()), PATIENCE).await.unwrap().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let names = told.lines().filter_map(|line| Some(line.split_once('=')?.0));
        let known = |name: &str| KEPT.contains(&name) || ["TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"].contains(&name);
        names.for_each(|name| assert!(known(name), "{name}"));
        assert!(told.ends_with(&format!("{}\n", folder.path().display())), "{told}");
    }

    #[test]
    fn what_a_process_told_counts_also_where_it_was_killed() {
        use std::os::unix::process::ExitStatusExt as _;
        let told = |status: i32, text: &str| {
            let output = Output {
                status: std::process::ExitStatus::from_raw(status),
                stdout: text.as_bytes().to_vec(),
                stderr: Vec::new(),
            };
            let side = read(Ok(Some(output)));
            (side.how, side.rows.read, side.error.is_some())
        };
        let rows = |read: u64| serde_json::to_string(&Counts { read, ..Counts::default() }).unwrap();
        let committed = format!(r#"{{"event":{{"kind":"committed","rows":{}}}}}"#, rows(5));
        assert_eq!(told(9, &format!("{committed}\n")), (How::Killed, 5, false));
        assert_eq!(told(9, ""), (How::Killed, 0, false));
        let result = |status: &str, rest: &str| format!("{committed}\n{{\"status\":\"{status}\"{rest}}}\n");
        assert_eq!(told(0, &result("ok", &format!(",\"rows\":{}", rows(9)))), (How::Ok, 9, false));
        assert_eq!(told(0, &result("nothing_new", "")).0, How::NothingNew);
        assert_eq!(told(1 << 8, &result("failed", ",\"error\":{\"message\":\"x\"}")), (How::Failed, 5, true));
        assert_eq!(told(0, "").0, How::Failed);
        assert_eq!(read(Ok(None)).how, How::TooLong);
    }

    #[test]
    fn a_file_that_is_as_it_was_is_not_touched_and_one_without_a_word_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |n: usize| folder.path().join(format!("data/orders-{n}.csv"));
        write(folder.path(), &Recipe::example()).unwrap();
        let changed = || fs::metadata(path(1)).unwrap().modified().unwrap();
        let before = changed();
        let other = [Recipe::example().files()[0].clone(), " \n".to_owned()];
        write(folder.path(), &Recipe::new("append", "", "", other).unwrap()).unwrap();
        assert!(before == changed() && !path(2).exists());
        assert!(size(folder.path()) > 100);
        empty(folder.path()).unwrap();
        assert_eq!(size(folder.path()), 0);
    }
}
