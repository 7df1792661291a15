//! A project with a database of its own on the tests' server.

use ::postgres::Client;
use floodmark_testkit::{
    Postgres, copy_tree,
    crash::{Database as _, Look, Sqlite},
    floodmark, scratch,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// One pipeline, `t`, that loads the table `t`.
pub(crate) struct Project {
    folder: TempDir,
    pub(crate) database: Postgres,
    /// The pipeline file's URL of the database.
    url: String,
    /// Whether the database is what is read, and a file what is loaded.
    pub(crate) reads: bool,
}

impl Project {
    /// Loads `data/*` into the database.
    pub(crate) fn new(fields: &str) -> Project {
        Project::loading(Postgres::empty().unwrap(), fields)
    }

    /// The same with a database that is there.
    pub(crate) fn loading(database: Postgres, fields: &str) -> Project {
        let into = "    source: { files: \"data/*\" }\n    destination: { url: \"URL\", table: t }\n";
        Project::of(database, &format!("{into}{fields}"), false)
    }

    pub(crate) fn upsert() -> Project {
        Project::new("    load: upsert\n    key: id\n    version: v\n")
    }

    /// Loads a database's table `s` into a file.
    pub(crate) fn reading(database: Postgres, fields: &str) -> Project {
        let from = "    source: { url: \"URL\", table: s }\n    destination: { url: \"sqlite:///out.db\", table: t }\n";
        Project::of(database, &format!("{from}{fields}"), true)
    }

    fn of(database: Postgres, fields: &str, reads: bool) -> Project {
        let folder = scratch().unwrap();
        let text = format!("version: 1\npipelines:\n  t:\n{fields}").replace("URL", database.url());
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("floodmark.yaml"), text).unwrap();
        let url = database.url().to_owned();
        Project { folder, database, url, reads }
    }

    /// The same once more, as it is now.
    pub(crate) fn copy(&self) -> Project {
        let (folder, database) = (scratch().unwrap(), self.database.again().unwrap());
        copy_tree(self.path(), folder.path()).unwrap();
        let mut copy = Project { folder, database, url: self.url.clone(), reads: self.reads };
        let url = copy.database.url().to_owned();
        copy.point_to(&url);
        copy
    }

    /// Has the pipeline file name the database by another URL.
    pub(crate) fn point_to(&mut self, url: &str) {
        let yaml = self.yaml();
        fs::write(&yaml, fs::read_to_string(&yaml).unwrap().replace(&self.url, url)).unwrap();
        url.clone_into(&mut self.url);
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn yaml(&self) -> PathBuf {
        self.path().join("floodmark.yaml")
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        fs::write(self.path().join("data").join(name), text).unwrap();
    }

    pub(crate) fn start(&self) -> Child {
        self.start_with(|_| {})
    }

    /// Started so that it meets its end, or whatever else, at a crash point.
    pub(crate) fn start_at(&self, crash: &str) -> Child {
        self.start_with(|command| {
            command.env("FLOODMARK_CRASH", crash);
        })
    }

    fn start_with(&self, more: impl FnOnce(&mut Command)) -> Child {
        let mut command = self.command(&["run"]);
        more(&mut command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The program in the project's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(floodmark().unwrap());
        command.current_dir(self.path()).env("NO_COLOR", "1").args(["--format", "json"]).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self) -> Output {
        self.start().wait_with_output().unwrap()
    }

    pub(crate) fn loads(&self) {
        let ran = self.run();
        assert!(ran.status.success(), "{}", said(&ran));
    }

    pub(crate) fn client(&self) -> Client {
        self.database.connect().unwrap()
    }

    /// Everything a run leaves.
    pub(crate) fn look(&self) -> Look {
        if self.reads { Sqlite.look(self.path()).unwrap() } else { self.database.look(self.path()).unwrap() }
    }

    pub(crate) fn rows(&self) -> Vec<(i64, String)> {
        let rows = self.client().query("SELECT id, name FROM t ORDER BY id", &[]).unwrap();
        rows.iter().map(|r| (r.get(0), r.get(1))).collect()
    }

    /// Holds every write of rows up for so long that nobody waits for it.
    pub(crate) fn hold_up(&self) {
        self.client()
            .batch_execute(
                "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(300); RETURN NULL; END $$;
                 CREATE TRIGGER hold BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION hold()",
            )
            .unwrap();
    }

    /// Waits until a run is held up, and returns the server's process.
    pub(crate) fn held(&self) -> i32 {
        let mut client = self.client();
        let asleep = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        let since = Instant::now();
        loop {
            if let Some(row) = client.query_opt(asleep, &[]).unwrap() {
                return row.get(0);
            }
            assert!(since.elapsed() < Duration::from_secs(60), "no run came so far");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Both outputs of a run, for a report.
pub(crate) fn said(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}
