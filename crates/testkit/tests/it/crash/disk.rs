//! A disk that is full or may not be written to: a clear error, and nothing half-written.

use crate::crash::{
    data::{Kind, table},
    project::{Project, ended},
};
use floodmark_testkit::crash::{Look, Program, Scenario, Stage};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

/// Enough rows for some dozens of pages, then changes to most of them.
fn scenario() -> Scenario {
    let rows = |amount: i64| {
        let lines: Vec<String> = (0..2000).map(|n| format!("{n} name{n:06} {} @{}", n * amount, amount)).collect();
        Kind::Csv.file("a", &table("id name amount at", &lines.join(";")))
    };
    let first = Stage::run([rows(1)]).with("load: upsert\nkey: id\nwatermark: at");
    Scenario { name: "many rows".into(), stages: vec![first, Stage::run([rows(2)])], chunked: false }
}

/// After a run that could not write: an error, or nothing was lacking; the table as before or as after.
fn check(what: &str, ran: &Program, project: &Project, before: &Look, after: &Look) -> bool {
    let done = ran.exit == Some(0);
    let word = ran.exit == Some(1) && ran.said.contains("error[FM04");
    assert!(done || word, "{what}: {:?}\n{}", ran.exit, ran.said);
    let table = project.look().content.get("t").cloned();
    let expected = if done { after } else { before };
    assert!(table == expected.content.get("t").cloned(), "{what}: half a table\n{}", ran.said);
    project.ok(&["run"]);
    assert_eq!(project.look().content.get("t"), after.content.get("t"), "{what}: the run after it");
    done
}

/// By a limit on the size of files: every write beyond it fails, wherever the run is.
#[test]
fn p10_a_full_disk_leaves_the_table_as_it_was() {
    let scenario = scenario();
    for stage in 0..2 {
        let unbroken = Project::at(&scenario, stage);
        let before = unbroken.look();
        unbroken.ok(&["run"]);
        let after = unbroken.look();
        let (mut failed, mut kibibytes) = (0, 0);
        loop {
            let project = Project::at(&scenario, stage);
            let mut command = Command::new("sh");
            let run = Program::command(project.path(), &["run".into()], None).unwrap();
            command.current_dir(project.path()).args(["-c", "ulimit -f $0 && exec \"$@\""]);
            command.arg((kibibytes * 2).to_string()).arg(run.get_program()).arg("run").stdin(Stdio::null());
            let ran: Program = command.output().unwrap().into();
            if check(&format!("stage {}, {kibibytes} KiB", stage + 1), &ran, &project, &before, &after) {
                break;
            }
            failed += 1;
            kibibytes += if kibibytes < 48 { 8 } else { 48 };
        }
        assert!(failed > 4, "stage {}: only {failed} limits were too small", stage + 1);
    }
}

/// Drops root's right to write where permissions forbid it; nothing for anybody else.
fn as_anybody(run: &Command, project: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]);
        command.arg(run.get_program());
        command
    } else {
        Command::new(run.get_program())
    };
    command.args(run.get_args()).current_dir(project).stdin(Stdio::null());
    command
}

#[test]
fn p10_a_database_that_may_not_be_written_to_is_named() {
    let scenario = scenario();
    let unbroken = Project::at(&scenario, 1);
    let before = unbroken.look();
    unbroken.ok(&["run"]);
    let after = unbroken.look();
    type Path = fn(&Project) -> std::path::PathBuf;
    let places: [(&str, Path, u32); 4] = [
        ("the file", Project::database, 0o444),
        ("the folder", |p| p.path().to_owned(), 0o555),
        ("the locks", Project::locks, 0o555),
        ("the folder and the file", |p| p.path().to_owned(), 0o555),
    ];
    for (what, path, mode) in places {
        let project = Project::at(&scenario, 1);
        let path = path(&project);
        let usual = fs::metadata(&path).unwrap().permissions();
        if what == "the folder and the file" {
            fs::set_permissions(project.database(), PermissionsExt::from_mode(0o444)).unwrap();
        }
        if what == "the locks" {
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let run = Program::command(project.path(), &["run".into()], None).unwrap();
        let child = as_anybody(&run, project.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ran = ended(child);
        fs::set_permissions(&path, usual).unwrap();
        fs::set_permissions(project.database(), PermissionsExt::from_mode(0o644)).unwrap();
        assert!(ran.said.contains("permission") || ran.said.contains("read-only"), "{what}: {}", ran.said);
        assert!(!check(what, &ran, &project, &before, &after), "{what}: it was written to");
    }
}
