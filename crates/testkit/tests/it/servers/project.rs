//! A project with a database of its own on a server.

use super::{Hosted, said};
use floodmark_testkit::{
    copy_tree,
    crash::{Database as _, Look, Sqlite, written},
    floodmark, scratch,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};
use tempfile::TempDir;

/// One pipeline, `t`, that loads the table `t`.
pub(crate) struct Project<D> {
    folder: TempDir,
    pub(crate) database: D,
    /// The pipeline file's URL of the database.
    url: String,
    /// Whether the database is what is read, and a file what is loaded.
    pub(crate) reads: bool,
}

impl<D: Hosted> Project<D> {
    /// Loads `data/*` into the database.
    pub(crate) fn new(fields: &str) -> Self {
        Project::loading(D::empty(), fields)
    }

    /// The same with a database that is there.
    pub(crate) fn loading(database: D, fields: &str) -> Self {
        let into = "    source: { files: \"data/*\" }\n    destination: { url: \"URL\", table: t }\n";
        Project::of(database, &format!("{into}{fields}"), false)
    }

    pub(crate) fn upsert() -> Self {
        Project::new("    load: upsert\n    key: id\n    version: v\n")
    }

    /// Loads a database's table `s` into a file.
    pub(crate) fn reading(database: D, fields: &str) -> Self {
        let from = "    source: { url: \"URL\", table: s }\n    destination: { url: \"sqlite:///out.db\", table: t }\n";
        Project::of(database, &format!("{from}{fields}"), true)
    }

    fn of(database: D, fields: &str, reads: bool) -> Self {
        let folder = scratch().unwrap();
        let text = format!("version: 1\npipelines:\n  t:\n{fields}").replace("URL", &database.url());
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("floodmark.yaml"), text).unwrap();
        let url = database.url();
        Project { folder, database, url, reads }
    }

    /// The same once more, as it is now.
    pub(crate) fn copy(&self) -> Self {
        let (folder, database) = (scratch().unwrap(), self.database.again());
        copy_tree(self.path(), folder.path()).unwrap();
        let mut copy = Project { folder, database, url: self.url.clone(), reads: self.reads };
        let url = copy.database.url();
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
        spawn(self.command(&["run"]))
    }

    /// Started so that it meets its end, or whatever else, at a crash point.
    pub(crate) fn start_at(&self, crash: &str) -> Child {
        self.start_command(&["run"], crash)
    }

    /// The same with other arguments.
    pub(crate) fn start_command(&self, arguments: &[&str], crash: &str) -> Child {
        let mut command = self.command(arguments);
        command.env("FLOODMARK_CRASH", crash);
        spawn(command)
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

    /// Everything a run leaves.
    pub(crate) fn look(&self) -> Look {
        if self.reads { Sqlite.look(self.path()).unwrap() } else { self.database.look(self.path()).unwrap() }
    }

    /// What a run leaves that nothing disturbs.
    pub(crate) fn unbroken(&self) -> Look {
        let unbroken = self.copy();
        unbroken.loads();
        unbroken.look()
    }

    /// The state of now is that of an unbroken run. What was committed before something happened is read, but not written,
    /// again.
    pub(crate) fn is_as_unbroken(&self, before: &Look, unbroken: &Look, what: &str) {
        let look = self.look();
        assert_eq!(look.content, unbroken.content, "{what}");
        assert_eq!(written(&look.since(before)), written(&unbroken.since(before)), "{what}: receipts");
    }
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
