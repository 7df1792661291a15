//! What is killed: every strategy over every kind of file, then what an option adds to the statements of a load.

use crate::crash::data::{Kind, Table, sqlite, table};
use floodmark_testkit::crash::{Again, Scenario, Stage};

/// Stages of a strategy: the fields of the pipeline, then the files that are new or changed at each.
struct Life {
    name: &'static str,
    fields: &'static str,
    stages: Vec<Vec<(&'static str, Table)>>,
    chunked: bool,
}

const COLUMNS: &str = "id name amount part at";

fn rows(lines: &str) -> Table {
    table(COLUMNS, lines)
}

/// The strategies, each with a second batch that gives it everything it can meet: new rows, newer and older copies,
/// ties, rows that are the same, rows that are gone, NULLs.
fn lives() -> Vec<Life> {
    let first = || rows("1 apple 100 a @1; 2 pear 200 a @2; 3 plum 300 b @3; 3 prune 310 b @4; 4 fig 400 b @4");
    let second = || rows("2 pear 250 a @6; 3 old 1 b @1; 4 - 400 b @7; 5 kiwi 500 c @8; 1 apple 100 a @1");
    let gone = || rows("1 apple 100 a @1; 3 prune 330 b @5; 6 lime 600 c @9");
    let life = |name, fields, stages| Life { name, fields, stages, chunked: false };
    let two = || vec![vec![("a", first())], vec![("b", second())]];
    let changed = || vec![vec![("a", first()), ("b", rows("9 nut 900 d @2"))], vec![("a", gone())]];
    vec![
        life("append, file by file", "load: append", two()),
        life("append, a file reloaded", "load: append\nchanged_files: reload", changed()),
        life(
            "append, by watermark",
            "load: append\nwatermark: { column: at, late_rows: load }",
            vec![
                vec![("a", first())],
                // The file grows; its old rows are at or behind the watermark, two of them at it.
                vec![("a", rows("3 prune 310 b @4; 4 fig 400 b @4; 7 new 1 a @4; 8 newer 2 a @5"))],
            ],
        ),
        life("overwrite", "load: overwrite", changed()),
        life("overwrite by key", "load: overwrite\nkey: id", changed()),
        life("overwrite by key, soft", "load: overwrite\nkey: id\ndeletes: soft", changed()),
        life("upsert without versions", "load: upsert\nkey: id", two()),
        life("upsert", "load: upsert\nkey: id\nwatermark: at", two()),
        life("upsert, absent rows go", "load: upsert\nkey: id\nabsent_rows: delete", changed()),
        life(
            "upsert with hard deletes",
            "load: upsert\nkey: id\nwatermark: at\ndelete_when: \"amount = 0\"",
            vec![
                vec![("a", first())],
                vec![("b", rows("1 apple 0 a @9; 2 pear 0 a @8; 8 ghost 0 a @8; 3 prune 0 b @1"))],
                vec![("c", rows("1 apple 110 a @5; 2 pear 220 a @12; 8 ghost 1 a @3"))],
            ],
        ),
        life(
            "upsert with soft deletes",
            "load: upsert\nkey: id\nwatermark: at\ndelete_when: \"amount = 0\"\ndeletes: soft",
            vec![
                vec![("a", first())],
                vec![("b", rows("1 apple 0 a @9; 8 ghost 0 a @8; 3 prune 0 b @1; 3 prune 0 b @9"))],
                vec![("c", rows("1 apple 110 a @5; 3 prune 330 b @12"))],
            ],
        ),
        life(
            "upsert, NULL keeps",
            "load: upsert\nkey: id\nwatermark: at\non_null: keep\ndelete_when: \"amount = 0\"",
            vec![
                vec![("a", rows("1 apple 100 a @1; 2 - 200 a @5; 3 plum 300 b @3"))],
                vec![("b", rows("1 - 110 - @6; 2 pear 150 a @2; 3 - 330 b @7"))],
                vec![("c", rows("1 quince 105 - @4; 3 - 0 b @5; 3 damson 1 b @8; 4 fig 1 a @9; 4 fig 0 a @10"))],
            ],
        ),
        life("insert_only", "load: insert_only\nkey: id", two()),
        life("delete_insert by window", "load: delete_insert\nwindow: part", changed()),
        life("delete_insert by window, with a key", "load: delete_insert\nwindow: part\nkey: id", changed()),
        life("delete_insert by key", "load: delete_insert\nkey: id", two()),
        life(
            "scd2",
            "load: scd2\nkey: id\nwatermark: at\ndelete_when: \"amount = 0\"",
            vec![
                vec![("a", first())],
                vec![("b", rows("1 apple 100 a @5; 2 pear 250 a @6; 3 old 1 b @1; 9 ghost 0 a @4; 4 fig 0 b @9"))],
                vec![("c", rows("1 pome 100 a @3; 4 fig 400 b @6; 9 ghost 9 a @2"))],
            ],
        ),
        life("scd2, absent rows close", "load: scd2\nkey: id\nversion: at", changed()),
        Life {
            name: "upsert in chunks",
            fields: "load: upsert\nkey: id\nwatermark: at\ncommit_every: 1",
            stages: vec![
                vec![("a", first()), ("b", second()), ("c", rows("6 lime 600 c @3; 7 date 700 c @4"))],
                vec![("d", rows("1 apple 111 a @9; 6 lime 6 c @2")), ("e", rows("7 date 777 c @9"))],
            ],
            chunked: true,
        },
        Life {
            name: "append in chunks",
            fields: "load: append\ncommit_every: 1",
            stages: vec![
                vec![("a", first()), ("b", second()), ("c", rows("6 lime 600 c @3"))],
                vec![("b", rows("2 pear 251 a @6")), ("d", rows("1 apple 111 a @9; 6 lime 6 c @2"))],
            ],
            chunked: true,
        },
        Life {
            name: "append in chunks, by watermark",
            fields: "load: append\nwatermark: at\ncommit_every: 1",
            stages: vec![
                vec![("a", rows("1 apple 100 a @1; 2 pear 200 a @4")), ("b", rows("3 plum 300 b @4; 4 fig 1 a @2"))],
                vec![("b", rows("3 plum 300 b @4; 4 fig 1 a @2; 5 kiwi 5 a @4; 6 lime 6 a @9"))],
            ],
            chunked: true,
        },
    ]
}

fn scenario(life: &Life, kind: Kind) -> Scenario {
    let stages = life.stages.iter().enumerate().map(|(number, files)| {
        let stage = Stage::run(files.iter().map(|(name, table)| kind.file(name, table)));
        if number == 0 { stage.with(life.fields) } else { stage }
    });
    Scenario { name: format!("{}, {kind:?}", life.name), stages: stages.collect(), chunked: life.chunked }
}

/// What needs files or commands of its own.
fn special() -> Vec<Scenario> {
    let csv = |name: &str, text: &str| (format!("data/{name}.csv"), text.as_bytes().to_vec());
    let name = |name: &str, stages: Vec<Stage>| Scenario { name: name.to_owned(), stages, chunked: false };
    let upsert = "load: upsert\nkey: id\nwatermark: at";
    // Rows so wide that one file is several batches: a chunk ends in the middle of it.
    let wide = |from: usize, to: usize| {
        let line = |n: usize| format!("{n},2024-01-{:02},{}\n", 1 + n * 7 % 28, "x".repeat(300_000 + n));
        format!("id,at,text\n{}", (from..to).map(line).collect::<String>())
    };
    let chunked = |mut scenario: Scenario| {
        scenario.chunked = true;
        scenario
    };
    let bad = "id,n,at\n1,1,2024-01-01\n2,x,2024-01-02\n3,3,2024-01-03\n,4,2024-01-04\n";
    let reject = "load: upsert\nkey: id\nwatermark: at\non_bad_row: reject\ncolumns: { n: { type: bigint } }";
    vec![
        chunked(name(
            "a file in several chunks, append",
            vec![Stage::run([csv("a", &wide(0, 12))]).with("load: append\ncommit_every: 3")],
        )),
        chunked(name(
            "a file in several chunks, upsert",
            vec![Stage::run([csv("a", &wide(0, 12))]).with(&format!("{upsert}\ncommit_every: 3"))],
        )),
        chunked(name(
            "a full refresh in chunks",
            vec![
                Stage::run([csv("a", &wide(0, 4)), csv("b", &wide(3, 9))]).with(&format!("{upsert}\ncommit_every: 3")),
                Stage {
                    files: vec![("data/a.csv".into(), None)],
                    again: Again::Everything,
                    ..Stage::command("run --full-refresh --yes")
                },
            ],
        )),
        name(
            "a file that grows",
            vec![
                Stage::run([csv("a", "id,n\n1,1\n2,2\n")]).with("load: append\nchanged_files: append_tail"),
                Stage::run([csv("a", "id,n\n1,1\n2,2\n3,3\n4,4\n")]),
            ],
        ),
        name(
            "a file renamed, another touched",
            vec![
                Stage::run([csv("a", "id,n\n1,1\n2,2\n"), csv("b", "id,n\n3,3\n")]).with("load: append"),
                Stage {
                    files: vec![
                        ("data/a.csv".into(), None),
                        ("data/c.csv".into(), Some(b"id,n\n1,1\n2,2\n".to_vec())),
                        ("data/b.csv".into(), Some(b"id,n\n3,3\n".to_vec())),
                    ],
                    ..Stage::command("run")
                },
                Stage {
                    files: vec![
                        ("data/b.csv".into(), Some(b"id,n\n3,3\n".to_vec())),
                        ("data/d.csv".into(), Some(b"id,n\n4,4\n".to_vec())),
                    ],
                    ..Stage::command("run")
                },
            ],
        ),
        name(
            "columns added and widened, the key among them",
            vec![
                Stage::run([csv("a", "id,n,at\n1,1,2024-01-01\n2,0,2024-01-02\n3,3,2024-01-03\n")])
                    .with(&format!("{upsert}\ndelete_when: \"n = 0\"")),
                Stage::run([csv("b", "id,n,at,more\n1.50,2.5,2024-01-04 10:00:00,x\n3,7,2024-01-05 11:00:00,y\n")]),
            ],
        ),
        name(
            "soft deletes from now on",
            vec![
                Stage::run([csv("a", "id,n,at\n1,1,2024-01-01\n2,2,2024-01-02\n")]).with(upsert),
                Stage::run([csv("b", "id,n,at\n1,0,2024-01-04\n3,3,2024-01-05\n")])
                    .with(&format!("{upsert}\ndelete_when: \"n = 0\"\ndeletes: soft")),
            ],
        ),
        name(
            "a table somebody else made",
            vec![Stage {
                sql: "CREATE TABLE t (id INTEGER, n INTEGER, note TEXT); INSERT INTO t VALUES (1, 5, 'theirs')".into(),
                ..Stage::run([csv("a", "id,n\n1,1\n2,2\n")]).with("load: upsert\nkey: id")
            }],
        ),
        name(
            "a transform",
            vec![
                Stage::run([csv("a", "id,n\n1,1\n2,2\n3,3\n"), csv("b", "id,n\n4,4\n")])
                    .with("load: upsert\nkey: id\ntransform: SELECT id, n * 2 AS n, 'v' AS v FROM source WHERE n <> 2"),
                Stage::run([csv("c", "id,n\n1,5\n6,6\n")]),
            ],
        ),
        name(
            "rejects, read again, dropped",
            vec![
                Stage::run([csv("a", bad)]).with(reject),
                Stage::run([csv("a", &bad.replace("2,x", "2,2")), csv("b", "id,n,at\n9,y,2024-01-09\n")]),
                Stage { again: Again::Refuses, ..Stage::command("rejects drop --all t --yes") },
            ],
        ),
        name(
            "rejects replayed",
            vec![
                Stage::run([csv("a", "id,n,at\n1,1,2024-01-01\n2,,2024-01-02\n3,,2024-01-03\n")])
                    .with(&format!("{upsert}\non_bad_row: reject\ncolumns: {{ n: {{ not_null: true }} }}")),
                Stage::command("rejects replay t").with(&format!("{upsert}\non_bad_row: reject")),
            ],
        ),
        name(
            "rejects of an append replayed, one of them in vain",
            vec![
                Stage::run([csv("a", "id,n\n1,1\n2,\n,3\n")]).with(
                    "load: append\non_bad_row: reject\ncolumns: { id: { not_null: true }, n: { not_null: true } }",
                ),
                Stage { again: Again::Everything, ..Stage::command("rejects replay t") }
                    .with("load: append\non_bad_row: reject\ncolumns: { id: { not_null: true } }"),
                Stage::run([csv("a", "id,n\n1,1\n2,2\n3,3\n")]).with("load: append\nchanged_files: reload"),
            ],
        ),
        name(
            "a position reset, and loaded again",
            vec![
                Stage::run([csv("a", "id,n,at\n1,1,2024-01-01\n2,0,2024-01-02\n")])
                    .with(&format!("{upsert}\ndelete_when: \"n = 0\"")),
                Stage { again: Again::Refuses, ..Stage::command("state reset t --yes") },
                Stage::run([]),
            ],
        ),
        name(
            "a plan, which keeps nothing",
            vec![
                Stage { command: vec!["plan".into()], ..Stage::run([csv("a", bad)]) }.with(reject),
                Stage::command("run"),
                Stage {
                    command: vec!["plan".into()],
                    ..Stage::run([csv("b", "id,n,at\n1,7,2024-02-01\n9,9,2024-02-02\n")])
                },
            ],
        ),
        name("no new file", vec![Stage::run([csv("a", "id,n\n1,1\n")]).with("load: append"), Stage::command("run")]),
        name(
            "a full refresh",
            vec![
                Stage::run([csv("a", "id,n,at\n1,0,2024-01-01\n2,2,2024-01-02\n")])
                    .with(&format!("{upsert}\ndelete_when: \"n = 0\"\non_null: keep")),
                Stage {
                    files: vec![("data/b.csv".into(), Some(b"id,n,at\n1,1,2024-01-03\n".to_vec()))],
                    again: Again::Everything,
                    ..Stage::command("run --full-refresh --yes")
                },
            ],
        ),
    ]
}

/// The strategies over a table of another database, whose rows change between the runs.
fn tables() -> Vec<Scenario> {
    let first = "1 apple 100 a @1; 2 pear 200 a @2; 3 plum 300 b @3; 4 fig 400 b @4";
    let second = "1 apple 100 a @1; 2 pear 250 a @6; 3 - 300 b @5; 5 kiwi 500 c @8; 6 lime 600 c @4";
    let life = |name: &str, fields: &str, stages: &[&str]| {
        // Without a key, equal rows are written again.
        let again = if fields.contains("key:") || fields.contains("append") { Again::Reads } else { Again::Everything };
        let stage = |(number, lines): (usize, &&str)| {
            let stage = Stage { again, ..Stage::run([("source.db".to_owned(), sqlite(&rows(lines)))]) };
            let fields = format!("source: {{ url: \"sqlite:///source.db\", table: s }}\n{fields}");
            if number == 0 { stage.with(&fields) } else { stage }
        };
        let stages = stages.iter().enumerate().map(stage).collect();
        Scenario { name: format!("{name}, a table"), stages, chunked: false }
    };
    let two = [first, second];
    vec![
        life("append by watermark", "load: append\nwatermark: at", &two),
        life("overwrite", "load: overwrite", &two),
        life("overwrite by key", "load: overwrite\nkey: id", &two),
        life("upsert", "key: id\nwatermark: at", &two),
        life("upsert without versions", "key: id", &two),
        life("upsert, absent rows go", "key: id\nversion: at\nabsent_rows: delete\ndeletes: soft", &two),
        life(
            "upsert with hard deletes",
            "key: id\nwatermark: at\ndelete_when: \"amount = 0\"",
            &[first, "1 apple 0 a @9; 2 pear 0 a @8; 8 ghost 0 a @8", "1 apple 1 a @10; 2 pear 1 a @7; 8 ghost 1 a @9"],
        ),
        life("insert_only", "load: insert_only\nkey: id", &two),
        life("delete_insert by window", "load: delete_insert\nwindow: part", &two),
        life("scd2", "load: scd2\nkey: id\nwatermark: at", &two),
        life("scd2, absent rows close", "load: scd2\nkey: id\nversion: at", &two),
    ]
}

/// Ranges of a table's history, before, between and after runs: several transactions each.
fn backfills() -> Vec<Scenario> {
    let first = "1 apple 100 a @1; 2 pear 200 a @2; 2 pear 200 a @2; 3 plum 300 b @3; 4 fig 400 b @4; 5 kiwi 500 c @9";
    let second = "1 apple 100 a @1; 2 pear 250 a @6; 3 - 300 b @3; 5 kiwi 500 c @9; 6 lime 600 c @2; 7 date 700 c @11";
    let range =
        |from: u8, to: u8| format!("backfill t --from 2024-01-01T{from:02}:00:00 --to 2024-01-01T{to:02}:00:00");
    let life = |name: &str, fields: &str, commands: &[(&str, String, Again)]| {
        let stage = |(number, (lines, command, again)): (usize, &(&str, String, Again))| {
            let files = Stage::run([("source.db".to_owned(), sqlite(&rows(lines)))]).files;
            let stage = Stage { files, again: *again, ..Stage::command(command) };
            let fields = format!("source: {{ url: \"sqlite:///source.db\", table: s }}\ncommit_every: 1\n{fields}");
            if number == 0 { stage.with(&fields) } else { stage }
        };
        let stages = commands.iter().enumerate().map(stage).collect();
        Scenario { name: format!("{name}, backfilled"), stages, chunked: true }
    };
    // Files, of which any row may be the last of an interval: a commit for each, and it stays open until the last.
    let files = |lines: &str| {
        let parts = lines.split("; ").enumerate();
        Stage::run(parts.map(|(n, line)| Kind::Csv.file(&n.to_string(), &rows(line)))).files
    };
    let of_files = |fields: &str| {
        let fields = format!("commit_every: 1\n{fields}");
        let fill = Stage { files: files(first), again: Again::Everything, ..Stage::command(&range(0, 8)) };
        Scenario {
            name: "upsert of files, backfilled".into(),
            stages: vec![fill.with(&fields), Stage { files: files(second), ..Stage::run([]) }],
            chunked: true,
        }
    };
    // What is in is not loaded again; how much of the source is looked through depends on where it was broken off.
    let hours = |from, to| format!("{} --by 2h", range(from, to));
    vec![
        life(
            "upsert",
            "key: id\nwatermark: at",
            &[
                (first, hours(2, 6), Again::Reads),
                (second, "run".into(), Again::Reads),
                (second, format!("{} --by 3h --force --jobs 2", range(0, 6)), Again::Everything),
            ],
        ),
        life(
            "append",
            "load: append\nwatermark: { column: at, start: \"2024-01-01 09:00:00\" }",
            &[
                (first, "run".into(), Again::Reads),
                (first, hours(0, 5), Again::Reads),
                (second, format!("{} --force", range(0, 12)), Again::Everything),
            ],
        ),
        life(
            "append ahead",
            "load: append\nwatermark: at",
            &[(first, hours(0, 5), Again::Reads), (second, "run".into(), Again::Reads)],
        ),
        life(
            "delete_insert by window",
            "load: delete_insert\nwindow: at",
            &[(first, hours(0, 4), Again::Reads), (second, format!("{} --force", range(0, 12)), Again::Everything)],
        ),
        life(
            "scd2",
            "load: scd2\nkey: id\nwatermark: at",
            &[(second, hours(4, 12), Again::Reads), (first, hours(0, 4), Again::Nothing)],
        ),
        of_files("key: id\nwatermark: at"),
    ]
}

/// What somebody did to a loaded table by hand, put right.
fn repairs() -> Vec<Scenario> {
    let source = "1 apple 100 a @1; 2 pear 200 a @2; 3 plum 300 b @3; 4 fig 400 b @4; 5 kiwi 500 c @9";
    let spoil = "UPDATE t SET amount = 1 WHERE id = 2; DELETE FROM t WHERE id IN (3, 4);
                 INSERT INTO t (id, name, amount, part, at) VALUES (9, 'nut', 1, 'b', '2024-01-01 03:00:00')";
    let life = |name: &str, fields: &str| {
        let files = [("source.db".to_owned(), sqlite(&rows(source)))];
        let fields = format!("source: {{ url: \"sqlite:///source.db\", table: s }}\n{fields}");
        let command = "verify t --repair --delete-extra --yes";
        let load = Stage { again: Again::Reads, ..Stage::run(files) }.with(&fields);
        let repair = Stage { sql: spoil.into(), again: Again::Reads, ..Stage::command(command) };
        Scenario { name: format!("{name}, repaired"), stages: vec![load, repair], chunked: true }
    };
    vec![
        life("upsert", "key: id\nwatermark: at"),
        life("append", "load: append\nwatermark: at"),
        life("overwrite by key", "load: overwrite\nkey: id"),
        life("delete_insert by window", "load: delete_insert\nwindow: part"),
    ]
}

/// Each strategy over one kind of file, the kinds in turn, and everything special.
pub(crate) fn sample() -> Vec<Scenario> {
    let lives = lives();
    let lives = lives.iter().enumerate().map(|(n, life)| scenario(life, Kind::ALL[n % Kind::ALL.len()]));
    lives.chain(special()).chain(tables().into_iter().step_by(4)).chain(backfills()).chain(repairs()).collect()
}

/// Each strategy over every kind of file, and everything special.
pub(crate) fn whole() -> Vec<Scenario> {
    let mut out = Vec::new();
    for life in lives() {
        out.extend(Kind::ALL.iter().map(|kind| scenario(&life, *kind)));
    }
    out.extend(special());
    out.extend(tables());
    out.extend(backfills());
    out.extend(repairs());
    out
}
