//! A directory of its own for each test, and the program run in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A scratch project.
pub(crate) struct Scratch(tempfile::TempDir);

/// What the program printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    /// With the pipeline file and the data that `init` makes.
    pub(crate) fn project() -> Self {
        let scratch = Scratch::new();
        scratch.ok(&["init"]);
        scratch
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// The program, with nothing of the caller's environment that could change what it prints.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_floodmark"));
        command.current_dir(self.path()).args(args).env_clear().stdin(Stdio::null());
        // As a terminal shows it: in a pipe nothing would be wrapped.
        command.env("COLUMNS", "80");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.ran(&self.command(args).output().unwrap())
    }

    pub(crate) fn ran(&self, output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Runs it, and it must end well. Returns stdout.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    /// Runs it with `--format json`, and it must end with `code`. Returns the objects printed.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Vec<serde_json::Value> {
        let ran = self.run(&[args, &["--format", "json"]].concat());
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs it with `--format json`; it must end well and print one object.
    pub(crate) fn one(&self, args: &[&str]) -> serde_json::Value {
        let mut objects = self.json(args, 0);
        assert_eq!(objects.len(), 1, "{args:?}: {objects:?}");
        objects.remove(0)
    }

    pub(crate) fn fingerprint(&self, url: &str, table: &str) -> String {
        self.ok(&["fingerprint", url, table])
    }
}

/// Every file below a folder, with its bytes; of lock files that they are there.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else if path.to_string_lossy().ends_with(".lock") {
            out.insert(path, Vec::new());
        } else {
            out.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    out
}

/// The keys of an object, in the order printed.
pub(crate) fn keys(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// What the program printed, as a snapshot shows it: exit code, stdout, stderr, times taken out.
pub(crate) fn shown(ran: &Ran) -> String {
    let mut out = format!("exit code: {}\n", ran.code);
    for (name, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        out.push_str(&format!("----- {name} -----\n"));
        out.push_str(&timeless(text));
    }
    out
}

/// `0.03 s (1,200 rows/s)` becomes `[time]`.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        // A wrapped line begins with blanks.
        let (blanks, line) = line.split_at(line.len() - line.trim_start().len());
        let parts: Vec<&str> = line.split(" · ").map(|part| if is_time(part) { "[time]" } else { part }).collect();
        out.push_str(blanks);
        out.push_str(&parts.join(" · "));
        out.push('\n');
    }
    out
}

fn is_time(part: &str) -> bool {
    let words: Vec<&str> = part.split(' ').collect();
    matches!(words[..], [n, "s"] | [n, "s", ..] if n.parse::<f64>().is_ok())
}
