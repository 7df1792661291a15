//! Tables as wide as SQLite allows.

use crate::support::Scratch;

/// A pipeline over a file of `columns` columns (c0, c1 …) with two rows.
fn project(columns: usize, fields: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write(
        "floodmark.yaml",
        &format!(
            "version: 1\npipelines:\n  t:\n    source: {{ files: 'data/*.csv' }}\n    destination: {{ url: 'sqlite:///t.db' }}\n    version: none\n{fields}"
        ),
    );
    scratch.write("data/a.csv", &rows(columns, "1"));
    scratch
}

fn rows(columns: usize, value: &str) -> String {
    let line = |cell: &dyn Fn(usize) -> String| (0..columns).map(cell).collect::<Vec<_>>().join(",") + "\n";
    let row = |key: &str| line(&|n| if n == 0 { key.to_owned() } else { value.to_owned() });
    line(&|n| format!("c{n}")) + &row("1") + &row("2")
}

#[test]
fn a_keyed_table_may_have_every_column_there_can_be() {
    for fields in ["    key: c0\n", "    key: c0\n    load: overwrite\n", "    key: c0\n    on_null: keep\n"] {
        let scratch = project(2000, fields);
        assert_eq!(scratch.one(&["run"])["rows"]["inserted"], 2);
        scratch.write("data/a.csv", &rows(2000, "7"));
        assert_eq!(scratch.one(&["run"])["rows"]["updated"], 2, "{fields}");
        assert_eq!(scratch.one(&["run"])["status"], "nothing_new");
    }
}

#[test]
fn what_is_too_wide_is_refused_with_the_limit_and_the_remedy() {
    let key: Vec<String> = (0..301).map(|n| format!("c{n}")).collect();
    let soft = "    key: c0\n    deletes: soft\n    delete_when: c1 = 5\n";
    for (columns, fields, says) in [
        (2000, soft.to_owned(), "the table would have 2001 columns (with is_deleted)"),
        (2001, "    key: c0\n".to_owned(), "2001 columns are more than the destination's 2000"),
        (400, format!("    key: [{}]\n", key.join(", ")), "`key` has 301 columns, and SQLite compares at most 300"),
    ] {
        let scratch = project(columns, &fields);
        let ran = scratch.run(&["run"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("error[FM0307]") && ran.stderr.contains(says), "{}", ran.stderr);
        assert!(ran.stderr.contains("transform: SELECT"), "{}", ran.stderr);
    }
}
