//! A project whose files and lake lie in a bucket, and the network to it.

use floodmark_testkit::{
    crash::{Database, Delta, Look, Program},
    objects::{Bucket, Fault, Kind, Protocol, Proxy, Rule},
    scratch,
};
use std::{path::Path, process::Command};
use tempfile::TempDir;

/// The folder of a lake, as the reader of Delta tables wants it called.
const FOLDER: &str = "out.lake";

/// What says which files are a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Delta,
    Parquet,
}

impl Format {
    pub(super) const BOTH: [Format; 2] = [Format::Delta, Format::Parquet];

    pub(super) fn scheme(self) -> &'static str {
        match self {
            Format::Delta => "delta",
            Format::Parquet => "parquet",
        }
    }

    /// The folder of what is put once for each version.
    pub(super) fn log(self) -> &'static str {
        match self {
            Format::Delta => "/orders/_delta_log/",
            Format::Parquet => "/orders/_floodmark/manifest/",
        }
    }

    /// What is put once for a version.
    pub(super) fn entry(self, version: u64) -> String {
        format!("{}{version:020}.json", self.log())
    }
}

pub(super) struct Project {
    pub(super) bucket: Bucket,
    pub(super) net: Proxy,
    /// The lake's place in the bucket.
    pub(super) lake: String,
    folder: TempDir,
}

/// Where a project's rows go.
pub(super) fn destination(bucket: &Bucket, net: &Proxy, format: Format, lake: &str) -> String {
    format!("{}+{}", format.scheme(), bucket.url_at(&net.url(), lake))
}

impl Project {
    /// Loads the files `in/*.csv` of a bucket into a lake of it; `source` says that they are read over the network that
    /// fails, and not straight from the store.
    pub(super) fn new(bucket: &Bucket, format: Format, lake: &str, load: &str) -> Project {
        let net = Proxy::start(bucket).unwrap();
        let url = destination(bucket, &net, format, lake);
        Project::of(bucket, net, lake, &url, load)
    }

    /// Into a file of this machine, so that the source alone is in the bucket.
    pub(super) fn into_file(bucket: &Bucket, load: &str) -> Project {
        Project::of(bucket, Proxy::start(bucket).unwrap(), "", "sqlite:///out.db", load)
    }

    fn of(bucket: &Bucket, net: Proxy, lake: &str, url: &str, load: &str) -> Project {
        let folder = scratch().unwrap();
        let source = bucket.url_at(&net.url(), "");
        let text = format!(
            "version: 1\nconnections: {{ in: \"{source}\", out: \"{url}\" }}\npipelines:\n  orders:\n    source: {{ connection: in, files: \"in/*.csv\" }}\n    destination: {{ connection: out, table: orders }}\n{load}"
        );
        std::fs::write(folder.path().join("floodmark.yaml"), text).unwrap();
        Project { bucket: bucket.clone(), net, lake: lake.to_owned(), folder }
    }

    /// A command, which may say no secret however it ends.
    pub(super) fn call(&self, arguments: &[&str], crash: Option<&str>) -> Program {
        ended(self.start(arguments, crash).output().unwrap().into())
    }

    /// The command, not started. Locks of its own: as if it ran on a machine of its own.
    pub(super) fn start(&self, arguments: &[&str], crash: Option<&str>) -> Command {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut command = Program::command(self.folder.path(), &arguments, crash).unwrap();
        command.env("TMPDIR", self.folder.path());
        command
    }

    pub(super) fn run(&self) -> Program {
        self.call(&["--format", "json", "run"], None)
    }

    /// A run with the network as it should be.
    pub(super) fn well(&self) -> Program {
        self.net.heal();
        let ran = self.run();
        assert_eq!(ran.exit, Some(0), "{}", ran.said);
        ran
    }

    pub(super) fn strike(&self, kind: Kind, key: &str, times: u32, fault: Fault) {
        self.net.strike(Rule { kind, key: key.to_owned(), after: 0, times, fault });
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Table and state, as a reader of Delta tables finds them that is not the program's.
    pub(super) fn look(&self) -> Look {
        let copy = scratch().unwrap();
        self.bucket.bring(&self.lake, &copy.path().join(FOLDER)).unwrap();
        Delta.look(copy.path()).unwrap()
    }
}

pub(super) fn ended(ran: Program) -> Program {
    for secret in Protocol::ALL.map(Protocol::secret).into_iter().chain(["Signature="]) {
        assert!(!ran.said.contains(secret), "{}", ran.said);
    }
    ran
}
