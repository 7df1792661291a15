//! A source that changes between a kill and the next run: the table is what the files hold by then.

use super::project::Project;
use floodmark_testkit::crash::{Scenario, Stage};
use std::fs;

/// Kills the first load of two files at a point, then changes one after the other and runs on; the table must hold `ids`.
fn changed(fields: &str, point: &str, later: [(&str, &str); 2], ids: &[&str]) {
    let files = [("data/a.csv", "id,v\n1,10\n2,60\n3,100\n"), ("data/b.csv", "id,v\n4,20\n5,50\n6,51\n")];
    let stage = Stage::run(files.map(|(path, text)| (path.to_owned(), text.into()))).with(fields);
    let project = Project::at(&Scenario { name: "two files".into(), stages: vec![stage], chunked: true }, 0);
    let killed = project.run(&["run"], Some(&format!("{point}=abort")));
    assert_eq!(killed.exit, None, "{}", killed.said);
    for (path, text) in later {
        fs::write(project.path().join(path), text).unwrap();
        project.ok(&["run"]);
    }
    let look = project.look();
    let rows = look.content.get("t").unwrap();
    let mut found: Vec<&str> = rows.iter().filter_map(|row| row.split(" | ").next()).collect();
    found.sort_unstable();
    assert_eq!(found, ids, "{fields}, {point}: {rows:?}");
}

/// The watermark must not fall behind what the other file brought, or that is added again when it grows.
#[test]
fn p2_p4_a_half_loaded_file_that_changes_doubles_nothing() {
    let later = [("data/b.csv", "id,v\n4,20\n5,50\n6,51\n7,52\n"), ("data/a.csv", "id,v\n1,10\n2,60\n3,100\n8,101\n")];
    let ids = ["1", "2", "3", "4", "5", "6", "7", "8"];
    for fields in ["load: append\nwatermark: v", "load: upsert\nkey: id\nwatermark: v"] {
        for point in ["load-commit:after:1", "load-commit:before:2", "load-commit:after:2"] {
            changed(&format!("{fields}\ncommit_every: 1"), point, later, &ids);
        }
    }
}
