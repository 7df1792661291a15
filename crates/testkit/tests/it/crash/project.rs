//! A scratch project with a database, for tests that need more than the matrix does.

use floodmark_testkit::{
    crash::{Database, Look, Program, Scenario, Sqlite, Stage},
    scratch,
};
use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
};
use tempfile::TempDir;

pub(crate) struct Project(TempDir);

impl Project {
    /// At the beginning of a scenario's stage: the stages before it have run.
    pub(crate) fn at(scenario: &Scenario, stage: usize) -> Project {
        let project = Project(scratch().unwrap());
        for earlier in &scenario.stages[..stage] {
            project.prepare(earlier);
            let ran = Program::run(project.path(), &earlier.command, None).unwrap();
            assert_eq!(ran.exit, Some(0), "{}: {}", scenario.name, ran.said);
        }
        project.prepare(&scenario.stages[stage]);
        project
    }

    fn prepare(&self, stage: &Stage) {
        stage.prepare(self.path(), &Sqlite).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("out.db")
    }

    /// The folder of the lock files.
    pub(crate) fn locks(&self) -> PathBuf {
        self.path().join("out.db-floodmark")
    }

    pub(crate) fn look(&self) -> Look {
        Sqlite.look(self.path()).unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str], crash: Option<&str>) -> Program {
        Program::run(self.path(), &words(arguments), crash).unwrap()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments, None);
        assert_eq!(ran.exit, Some(0), "{arguments:?}: {}", ran.said);
        ran.said
    }

    pub(crate) fn start(&self, arguments: &[&str], crash: Option<&str>) -> Child {
        let mut command = Program::command(self.path(), &words(arguments), crash).unwrap();
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

pub(crate) fn ended(child: Child) -> Program {
    child.wait_with_output().unwrap().into()
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|word| (*word).to_owned()).collect()
}
