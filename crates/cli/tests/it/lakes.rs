//! Lakes by the command line: what their files look like, tidying up, versions as the watermark.

use crate::support::{Scratch, files};
use std::fs;
use std::path::PathBuf;

pub(crate) const LAKE: &str = "delta:///lake";

/// The Parquet files of a table, below its folder.
pub(crate) fn parquet(scratch: &Scratch, table: &str) -> Vec<PathBuf> {
    let folder = scratch.path().join("lake").join(table);
    let all = files(&folder).into_keys().map(|path| path.strip_prefix(&folder).unwrap().to_owned());
    all.filter(|path| path.extension().is_some_and(|end| end == "parquet") && !path.starts_with("_delta_log")).collect()
}

pub(crate) fn load<'a>(file: &'a str, table: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["load", file, LAKE, "--table", table], more].concat()
}

/// The rows of a table of the lake, as an overwritten copy in SQLite has them.
fn rows(scratch: &Scratch, table: &str) -> String {
    let pipeline = format!(
        "version: 1\nconnections: {{ lake: \"{LAKE}\" }}\npipelines:\n  copy:\n    source: {{ connection: lake, table: {table} }}\n    \
         destination: {{ url: \"sqlite:///copy.db\" }}\n    load: overwrite\n"
    );
    scratch.write("copy.yaml", &pipeline);
    scratch.ok(&["run", "--file", "copy.yaml"]);
    scratch.fingerprint("sqlite:///copy.db", "copy")
}

#[test]
fn files_of_a_new_table_are_kept_apart_as_the_pipeline_says() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,day,v\n1,2026-01-01,a\n2,2026-01-02,b\n3,,c\n");
    let apart = ["--key", "id", "--partition-by", "day"];
    scratch.ok(&load("a.csv", "t", &apart));
    let folders = |scratch: &Scratch| -> Vec<String> {
        let folders = parquet(scratch, "t").into_iter().map(|path| path.parent().unwrap().display().to_string());
        folders.collect()
    };
    assert_eq!(folders(&scratch), ["day=2026-01-01", "day=2026-01-02", "day=__HIVE_DEFAULT_PARTITION__"]);
    // A row that moves into another partition is in that one alone.
    scratch.write("a.csv", "id,day,v\n1,2026-01-02,moved\n3,2026-01-01,c\n");
    let moved = scratch.one(&load("a.csv", "t", &apart));
    assert_eq!((&moved["rows"]["updated"], &moved["rows"]["inserted"]), (&2.into(), &0.into()), "{moved}");
    scratch.write("all.csv", "id,day,v\n1,2026-01-02,moved\n2,2026-01-02,b\n3,2026-01-01,c\n");
    scratch.ok(&["load", "all.csv", "sqlite:///one.db", "--table", "t", "--key", "id"]);
    assert_eq!(scratch.fingerprint(LAKE, "t"), scratch.fingerprint("sqlite:///one.db", "t"));
    // It stays so where the pipeline says nothing, and what it says otherwise is refused before anything is written.
    scratch.write("b.csv", "id,day,v\n4,2026-01-03,d\n");
    let ran = scratch.run(&load("b.csv", "t", &["--key", "id", "--partition-by", "v"]));
    assert!(ran.code != 0 && ran.stderr.contains("says v, and the table is partitioned by day"), "{ran:?}");
    assert_eq!(scratch.fingerprint(LAKE, "t"), scratch.fingerprint("sqlite:///one.db", "t"));
    scratch.ok(&load("b.csv", "t", &["--key", "id"]));
    assert!(folders(&scratch).contains(&"day=2026-01-03".to_owned()));
}

#[test]
fn what_cannot_keep_files_apart_is_refused_before_anything_is_written() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    for (given, said) in [
        ("nothing", "names column \"nothing\", which the table does not have"),
        ("id,v", "names every column of the table"),
        ("id,id", "stands twice"),
    ] {
        let ran = scratch.run(&load("a.csv", "t", &["--load", "append", "--partition-by", given]));
        assert!(ran.code != 0 && ran.stderr.contains(said), "{given}: {ran:?}");
        assert!(!scratch.path().join("lake/t").exists(), "{given}");
    }
    let nowhere = ["load", "a.csv", "delt:///lake", "--table", "t", "--load", "append", "--partition-by", "v"];
    let ran = scratch.run(&nowhere);
    assert!(ran.code == 2 && ran.stderr.contains("FM0105") && !ran.stderr.contains("is about lakes"), "{ran:?}");
    let ran = scratch.run(&["load", LAKE, "sqlite:///a.db"]);
    assert!(ran.code == 2 && ran.stderr.contains("--source-table NAME"), "{ran:?}");
    let elsewhere = ["load", "a.csv", "sqlite:///a.db", "--table", "t", "--load", "append", "--partition-by", "v"];
    let ran = scratch.run(&elsewhere);
    assert!(ran.code == 2 && ran.stderr.contains("is about lakes"), "{ran:?}");
    assert!(!scratch.path().join("a.db").exists());
}

#[test]
fn files_become_as_large_as_the_pipeline_says() {
    let scratch = Scratch::new();
    let mut text = String::from("id,v\n");
    for id in 0..60_000u64 {
        // Nothing that packs well.
        text.push_str(&format!("{id},{:016x}{:016x}\n", id.wrapping_mul(0x9e37_79b9_7f4a_7c15), id.wrapping_pow(7)));
    }
    scratch.write("a.csv", &text);
    scratch.ok(&load("a.csv", "one", &["--load", "append"]));
    scratch.ok(&load("a.csv", "many", &["--load", "append", "--file-size", "256KiB"]));
    assert_eq!(parquet(&scratch, "one").len(), 1);
    assert!(parquet(&scratch, "many").len() >= 3, "{:?}", parquet(&scratch, "many"));
    assert_eq!(scratch.fingerprint(LAKE, "one"), scratch.fingerprint(LAKE, "many"));
}

#[test]
fn small_files_are_written_together_and_the_rows_stay() {
    let scratch = Scratch::new();
    for id in 0..5 {
        scratch.write(&format!("{id}.csv"), &format!("id,v\n{id},a\n"));
        scratch.ok(&load(&format!("{id}.csv"), "t", &["--load", "append"]));
    }
    let before = scratch.fingerprint(LAKE, "t");
    assert_eq!(parquet(&scratch, "t").len(), 5);
    let told = scratch.one(&["optimize", LAKE, "t"]);
    let counts = ["files_compacted", "files_written", "files_deleted"].map(|name| told[name].as_u64().unwrap());
    assert_eq!(counts, [5, 1, 0], "who reads an older version still finds its files");
    assert_eq!(parquet(&scratch, "t").len(), 6);
    let ran = scratch.run(&["optimize", LAKE, "t", "--keep", "0s"]);
    assert!(ran.code == 2 && ran.stderr.contains("kept for an hour at least"), "{ran:?}");
    assert!(ran.stderr.contains("write 1h or more"), "{ran:?}");
    assert_eq!(scratch.ok(&["optimize", LAKE, "t"]), "t: nothing to do\n");
    // What somebody else keeps below the table is theirs, however old it is.
    let theirs = ["t/theirs/_delta_log/00000000000000000000.json", "t/theirs/x.parquet"].map(|name| {
        let path = scratch.path().join("lake").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(90 * 86_400);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        path
    });
    assert_eq!(scratch.one(&["optimize", LAKE, "t"])["files_deleted"], 0);
    assert!(theirs.iter().all(|path| path.exists()));
    assert_eq!(scratch.fingerprint(LAKE, "t"), before);
    // The pipeline goes on, and its files are known as before.
    let again = scratch.one(&load("3.csv", "t", &["--load", "append"]));
    assert_eq!(again["rows"]["inserted"], 0, "{again}");
    let ran = scratch.run(&["optimize", LAKE, "nothing"]);
    assert!(ran.code != 0 && ran.stderr.contains("nothing"), "{ran:?}");
}

#[test]
fn a_table_lies_in_no_other_tables_folder() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    for lake in [LAKE, "parquet:///dataset"] {
        scratch.ok(&["load", "a.csv", lake, "--table", "t", "--key", "id", "--partition-by", "v"]);
        for (url, table) in [(lake, "t/inner"), (lake, "t/v=a"), (&*format!("{lake}/t"), "x")] {
            let ran = scratch.run(&["load", "a.csv", url, "--table", table, "--key", "id"]);
            assert!(ran.code != 0 && ran.stderr.contains("in the folder of another table"), "{url} {table}: {ran:?}");
        }
        let folder = scratch.path().join(lake.split_once(":///").unwrap().1).join("t");
        for made in ["_floodmark/locks", "_floodmark/pipelines"] {
            assert!(!folder.join(made).exists(), "a load that is refused leaves {made} in the table");
        }
        scratch.ok(&["load", "a.csv", lake, "--table", "other/t", "--key", "id"]);
    }
}

#[test]
fn what_has_no_log_is_no_table_of_a_lake() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    for (lake, inner) in [(LAKE, "delta:///lake/inner"), ("parquet:///dataset", "parquet:///dataset/inner")] {
        for (url, table) in [(lake, "t"), (inner, "u")] {
            scratch.ok(&["load", "a.csv", url, "--table", table, "--key", "id"]);
        }
        std::fs::create_dir_all(scratch.path().join(lake.split_once(":///").unwrap().1).join("left/_floodmark/locks"))
            .unwrap();
        let ran = scratch.json(&["load", lake, "sqlite:///all.db", "--source-tables", "*", "--load", "overwrite"], 0);
        let loaded: Vec<&str> = ran.iter().map(|run| run["pipeline"].as_str().unwrap()).collect();
        assert_eq!(loaded, ["inner/u", "t"], "{ran:?}");
    }
}

#[test]
fn a_table_of_the_other_kind_is_told_with_its_url() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    for (url, other, is) in [
        ("delta:///lake", "parquet:///lake", "this is a Delta table"),
        ("parquet:///dataset", "delta:///dataset", "this is a Parquet dataset of Floodmark"),
    ] {
        scratch.ok(&["load", "a.csv", url, "--table", "sales/t", "--key", "id"]);
        for args in [
            ["load", other, "sqlite:///a.db", "--source-table", "sales/t"],
            ["load", "a.csv", other, "--table", "sales/t"],
        ] {
            let ran = scratch.run(&[&args[..], &["--load", "overwrite"]].concat());
            assert!(ran.code != 0 && ran.stderr.contains(is), "{args:?}: {ran:?}");
            assert!(ran.stderr.contains(&format!("write {url}\n")), "{args:?}: {ran:?}");
        }
    }
}

#[test]
fn a_number_that_two_pipelines_of_a_lake_have_is_said_with_the_pipeline() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,x\n2,1\n");
    let pipeline = |name| {
        let settings = "key: id, on_bad_row: reject, columns: { v: { type: bigint } }";
        format!(
            "  {name}: {{ source: {{ files: a.csv }}, destination: {{ url: \"{LAKE}\", table: {name} }}, {settings} }}\n"
        )
    };
    let file = format!("version: 1\npipelines:\n{}{}", pipeline("a"), pipeline("b"));
    scratch.write("floodmark.yaml", &file);
    scratch.ok(&["run"]);
    let ran = scratch.run(&["rejects", "show", "1"]);
    assert!(ran.code == 2 && ran.stderr.contains("say which: floodmark rejects show 1 --pipeline a"), "{ran:?}");
    assert_eq!(scratch.one(&["rejects", "show", "1", "--pipeline", "b"])["pipeline"], "b");
    let ran = scratch.run(&["rejects", "drop", "1", "--yes"]);
    assert!(ran.code == 2 && ran.stderr.contains("floodmark rejects drop 1 --pipeline a"), "{ran:?}");
    let ran = scratch.run(&["rejects", "drop", "1", "--yes", "--destination", LAKE]);
    assert!(ran.stderr.contains("floodmark rejects drop 1 --pipeline a --destination URL"), "{ran:?}");
    assert_eq!(scratch.one(&["rejects", "drop", "1", "--pipeline", "a", "--yes"])["dropped"], 1);
    assert_eq!(scratch.one(&["rejects", "show", "1"])["pipeline"], "b", "it is the only one left");
    let ran = scratch.run(&["rejects", "show", "1", "--pipeline", "a"]);
    assert!(ran.code == 2 && ran.stderr.contains("pipeline \"a\" has no rejected row 1"), "{ran:?}");
}

#[test]
fn a_pipeline_says_how_large_the_files_of_its_table_become() {
    let scratch = Scratch::new();
    let project = |size: &str| {
        let file = format!(
            "version: 1\npipelines:\n  t:\n    source: {{ files: \"*.csv\" }}\n    destination: {{ url: \"{LAKE}\"{size} }}\n    \
             load: append\n"
        );
        scratch.write("floodmark.yaml", &file);
    };
    for part in 0..4u64 {
        let mut text = String::from("id,v\n");
        for id in 0..20_000u64 {
            // Nothing that packs well.
            text.push_str(&format!("{id},{:016x}\n", (id + part).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
        scratch.write(&format!("{part}.csv"), &text);
        project("");
        scratch.ok(&["run"]);
    }
    project(", file_size: 64KiB");
    assert_eq!(scratch.ok(&["optimize", "t"]), "t: nothing to do\n", "each is larger than that");
    assert_eq!(scratch.ok(&["optimize", "t", "--file-size", "64MiB"]), "t: 4 files written into 1 file\n");
    let ran = scratch.run(&["optimize", "other"]);
    assert!(ran.code == 2 && ran.stderr.contains("there is no pipeline \"other\""), "{ran:?}");
    let ran = scratch.run(&["optimize", LAKE]);
    assert!(ran.code == 2 && ran.stderr.contains("floodmark optimize delta:///lake TABLE"), "{ran:?}");
}

#[test]
fn a_partition_that_no_column_is_is_found_by_check() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,day\n1,2026-01-01\n");
    let project = |more: &str| {
        let destination = format!("{{ url: \"{LAKE}\", partition_by: typo }}");
        let file = format!(
            "version: 1\npipelines:\n  t:\n    source: {{ files: a.csv }}\n    destination: {destination}\n    key: id\n{more}"
        );
        scratch.write("floodmark.yaml", &file);
    };
    project("");
    let ran = scratch.run(&["check"]);
    assert!(ran.code == 2 && ran.stdout.contains("`partition_by` names column \"typo\""), "{ran:?}");
    project("    transform: SELECT *, day AS typo FROM source\n");
    scratch.ok(&["check"]);
}

#[test]
fn files_of_a_table_are_loaded_by_its_log_alone() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    scratch.ok(&load("a.csv", "t", &["--key", "id"]));
    scratch.write("a.csv", "id,v\n1,b\n");
    scratch.ok(&load("a.csv", "t", &["--key", "id"]));
    let ran = scratch.run(&["load", "lake/t/*.parquet", "sqlite:///a.db", "--table", "t", "--key", "id"]);
    assert!(ran.code != 0 && ran.stderr.contains("delta:///lake with --source-table t"), "{ran:?}");
}

/// A pipeline in news.yaml that follows a table by its versions.
pub(crate) fn follows_versions(scratch: &Scratch) {
    let pipeline = format!(
        "version: 1\nconnections: {{ lake: \"{LAKE}\" }}\npipelines:\n  copy:\n    source: {{ connection: lake, table: t }}\n    \
         destination: {{ url: \"sqlite:///news.db\" }}\n    watermark: delta_version\n    load: append\n"
    );
    scratch.write("news.yaml", &pipeline);
}

#[test]
fn versions_of_a_table_are_a_watermark_until_one_takes_rows_away() {
    let scratch = Scratch::new();
    follows_versions(&scratch);
    let run = |inserted: u64| {
        let ran = scratch.one(&["run", "--file", "news.yaml"]);
        assert_eq!(ran["rows"]["inserted"], inserted, "{ran}");
    };
    scratch.write("1.csv", "id,v\n1,a\n2,b\n");
    scratch.ok(&load("1.csv", "t", &["--load", "append"]));
    run(2);
    run(0);
    scratch.write("2.csv", "id,v\n3,c\n");
    scratch.ok(&load("2.csv", "t", &["--load", "append"]));
    scratch.ok(&["optimize", LAKE, "t"]);
    run(1);
    run(0);
    // What takes rows away cannot be told by adding some.
    scratch.write("1.csv", "id,v\n1,other\n");
    scratch.ok(&load("1.csv", "t", &["--load", "append"]));
    let ran = scratch.run(&["run", "--file", "news.yaml"]);
    assert!(ran.code != 0 && ran.stderr.contains("FM0202"), "{ran:?}");
    assert!(ran.stderr.contains("floodmark run NAME --full-refresh"), "{ran:?}");
    // Nor are rows that are read again those of a version.
    let ran = scratch.run(&["verify", "--file", "news.yaml"]);
    assert!(ran.code != 0 && ran.stderr.contains("which version brought them"), "{ran:?}");
}

/// Its versions begin anew: those that were loaded say nothing of them.
#[test]
fn a_table_that_was_made_anew_has_other_versions() {
    let scratch = Scratch::new();
    follows_versions(&scratch);
    let append = |files: &[&str]| {
        for file in files {
            scratch.write(file, &format!("id,v\n{file},a\n"));
            scratch.ok(&load(file, "t", &["--load", "append"]));
        }
    };
    append(&["1.csv", "2.csv"]);
    assert_eq!(scratch.one(&["run", "--file", "news.yaml"])["rows"]["inserted"], 2);
    for later in [&["3.csv"][..], &["4.csv", "5.csv", "6.csv"]] {
        fs::remove_dir_all(scratch.path().join("lake")).unwrap();
        append(later);
        let ran = scratch.run(&["run", "--file", "news.yaml"]);
        assert!(ran.code != 0 && ran.stderr.contains("FM0202") && ran.stderr.contains("made anew"), "{ran:?}");
        assert!(ran.stderr.contains("--full-refresh"), "{ran:?}");
    }
    let whole = scratch.one(&["run", "--file", "news.yaml", "--full-refresh", "--yes"]);
    assert_eq!(whole["rows"]["inserted"], 3, "{whole}");
    append(&["7.csv"]);
    assert_eq!(scratch.one(&["run", "--file", "news.yaml"])["rows"]["inserted"], 1);
}

#[test]
fn a_folder_of_files_has_no_versions_to_follow() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    scratch.ok(&["load", "a.csv", "parquet:///folder", "--table", "t", "--load", "append"]);
    let copy = ["load", "parquet:///folder", "sqlite:///a.db", "--source-table", "t", "--table", "t"];
    let ran = scratch.run(&[&copy[..], &["--load", "append", "--watermark", "delta_version"]].concat());
    assert!(ran.code == 2 && ran.stderr.contains("no versions to follow"), "{ran:?}");
    scratch.ok(&[&copy[..], &["--load", "overwrite"]].concat());
}

/// Who reads the folder alone reads each row once.
#[test]
fn small_files_of_a_folder_are_gone_when_they_are_written_together() {
    let scratch = Scratch::new();
    for n in 0..3 {
        scratch.write("a.csv", &format!("id,v\n{n},a\n"));
        scratch.ok(&["load", "a.csv", "parquet:///lake", "--table", "t", "--key", "id"]);
    }
    assert_eq!(parquet(&scratch, "t").len(), 3);
    scratch.ok(&["optimize", "parquet:///lake", "t"]);
    assert_eq!(parquet(&scratch, "t").len(), 1);
    scratch.write("a.csv", "id,v\n2,other\n");
    scratch.ok(&["load", "a.csv", "parquet:///lake", "--table", "t", "--key", "id"]);
}

#[test]
fn all_tables_of_a_lake_are_found_by_their_names() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n2,b\n");
    for table in ["orders", "sales/lines", "other"] {
        scratch.ok(&load("a.csv", table, &["--key", "id"]));
    }
    let family = format!(
        "version: 1\nconnections: {{ lake: \"{LAKE}\" }}\npipelines:\n  all:\n    source: {{ connection: lake, tables: \"*\", exclude: other }}\n    \
         destination: {{ url: \"sqlite:///all.db\" }}\n    load: overwrite\n"
    );
    scratch.write("all.yaml", &family);
    let ran = scratch.json(&["run", "--file", "all.yaml"], 0);
    let loaded: Vec<_> = ran.iter().map(|run| (run["pipeline"].as_str().unwrap(), &run["rows"]["inserted"])).collect();
    assert_eq!(loaded, [("all.orders", &2.into()), ("all.sales/lines", &2.into())]);
    assert_eq!(scratch.fingerprint("sqlite:///all.db", "sales/lines"), scratch.fingerprint(LAKE, "sales/lines"));
    assert_eq!(rows(&scratch, "orders"), scratch.fingerprint(LAKE, "orders"));
}

#[test]
fn a_comparison_judges_what_a_lake_does_not() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n2,b\n");
    scratch.ok(&load("a.csv", "t", &["--key", "id"]));
    scratch.write("b.csv", "id,v\n1,a\n2,other\n");
    let diff = |more: &[&str]| {
        let table = format!("{LAKE}#t");
        scratch.run(&[&["diff", "b.csv", &table, "--key", "id"], more].concat()).code
    };
    assert_eq!((diff(&[]), diff(&["--where", "id = 1"]), diff(&["--where", "id = 2"])), (4, 0, 4));
    // Of a history only what is in force is compared.
    let pipeline = format!(
        "version: 1\npipelines:\n  h:\n    source: {{ url: \"sqlite:///s.db\", table: s }}\n    \
         destination: {{ url: \"{LAKE}\" }}\n    load: scd2\n    key: id\n"
    );
    scratch.write("h.yaml", &pipeline);
    for file in ["a.csv", "b.csv"] {
        scratch.ok(&["load", file, "sqlite:///s.db", "--table", "s", "--key", "id"]);
        scratch.ok(&["run", "--file", "h.yaml"]);
        scratch.ok(&["verify", "--file", "h.yaml"]);
    }
    scratch.write("c.csv", "id,v\n1,c\n");
    scratch.ok(&["load", "c.csv", "sqlite:///s.db", "--table", "s", "--key", "id"]);
    assert_eq!(scratch.run(&["verify", "--file", "h.yaml"]).code, 4);
}

/// Changes an entry of a table's log, as if another program had written it.
fn rewrite(scratch: &Scratch, entry: &str, from: &str, to: &str) {
    let text = scratch.read(entry);
    assert!(text.contains(from), "{text}");
    scratch.write(entry, &text.replace(from, to));
}

#[test]
fn what_does_not_fit_a_narrower_column_of_anothers_table_is_refused() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v,f\n1,5,0.5\n");
    let keyed = ["--key", "id", "--column", "f=double"];
    scratch.ok(&load("a.csv", "t", &keyed));
    let entry = "lake/t/_delta_log/00000000000000000000.json";
    rewrite(&scratch, entry, r#"\"v\",\"type\":\"long\""#, r#"\"v\",\"type\":\"short\""#);
    rewrite(&scratch, entry, r#"\"f\",\"type\":\"double\""#, r#"\"f\",\"type\":\"float\""#);
    let before = scratch.fingerprint(LAKE, "t");
    for row in ["2,40000,0.5", "2,7,0.1", "2,7,1e300"] {
        scratch.write("b.csv", &format!("id,v,f\n{row}\n"));
        let ran = scratch.run(&load("b.csv", "t", &keyed));
        assert!(ran.code != 0 && ran.stderr.contains("does not fit the table's column"), "{row}: {ran:?}");
        let declared = if row.contains("40000") { "short" } else { "float" };
        assert!(ran.stderr.contains(&format!("which is {declared}")), "{row}: {ran:?}");
        assert_eq!(scratch.fingerprint(LAKE, "t"), before, "{row}");
    }
    scratch.write("b.csv", "id,v,f\n2,-32768,0.25\n3,,\n");
    let ran = scratch.one(&load("b.csv", "t", &keyed));
    assert_eq!(ran["rows"]["inserted"], 2, "{ran}");
    scratch.write("all.csv", "id,v,f\n1,5,0.5\n2,-32768,0.25\n3,,\n");
    scratch.ok(&[&["load", "all.csv", "sqlite:///one.db", "--table", "t"], &keyed[..]].concat());
    assert_eq!(scratch.fingerprint(LAKE, "t"), scratch.fingerprint("sqlite:///one.db", "t"));
}

#[test]
fn bounds_that_another_program_rounded_hide_no_key() {
    let scratch = Scratch::new();
    let keyed = ["--key", "k", "--column", "k=decimal(20,0)"];
    scratch.write("a.csv", "k,v\n9007199254740995,old\n");
    scratch.ok(&load("a.csv", "t", &keyed));
    rewrite(&scratch, "lake/t/_delta_log/00000000000000000000.json", "9007199254740995", "9007199254740996");
    scratch.write("b.csv", "k,v\n9007199254740995,new\n");
    let ran = scratch.one(&load("b.csv", "t", &keyed));
    assert_eq!((&ran["rows"]["updated"], &ran["rows"]["inserted"]), (&1.into(), &0.into()), "{ran}");
}

#[test]
fn a_key_that_another_program_doubled_is_told() {
    let scratch = Scratch::new();
    let append = ["--load", "append"];
    scratch.write("a.csv", "id,v\n1,a\n1,b\n");
    scratch.ok(&load("a.csv", "t", &append));
    std::fs::remove_dir_all(scratch.path().join("lake/_floodmark")).unwrap();
    let entry = "lake/t/_delta_log/00000000000000000000.json";
    let kept: Vec<String> =
        scratch.read(entry).lines().filter(|line| !line.contains("\"txn\"")).map(str::to_owned).collect();
    scratch.write(entry, &format!("{}\n", kept.join("\n")));
    let before = scratch.fingerprint(LAKE, "t");
    scratch.write("b.csv", "id,v\n1,c\n");
    let ran = scratch.run(&load("b.csv", "t", &["--key", "id", "--adopt"]));
    assert!(ran.code != 0 && ran.stderr.contains("holds the key id 1 twice"), "{ran:?}");
    assert!(!ran.stderr.contains("UNIQUE"), "the scratch database is nobody's business: {ran:?}");
    assert_eq!(scratch.fingerprint(LAKE, "t"), before);
}

#[test]
fn the_type_of_a_partition_column_stays() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,1\n");
    scratch.ok(&load("a.csv", "t", &["--key", "id", "--partition-by", "v"]));
    let before = scratch.fingerprint(LAKE, "t");
    scratch.write("b.csv", "id,v\n2,2.5\n");
    let ran = scratch.run(&load("b.csv", "t", &["--key", "id"]));
    assert!(ran.code != 0 && ran.stderr.contains("which the table is partitioned by"), "{ran:?}");
    assert_eq!(scratch.fingerprint(LAKE, "t"), before);
}

#[test]
fn a_state_that_was_emptied_is_damaged_and_not_a_beginning() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    let append = ["--load", "append"];
    scratch.ok(&load("a.csv", "t", &append));
    let states = files(&scratch.path().join("lake/_floodmark/pipelines/t/state"));
    for state in states.keys() {
        std::fs::write(state, "").unwrap();
    }
    let before = scratch.fingerprint(LAKE, "t");
    let ran = scratch.run(&load("a.csv", "t", &append));
    assert!(ran.code != 0 && ran.stderr.contains("FM0504"), "{ran:?}");
    assert_eq!(scratch.fingerprint(LAKE, "t"), before);
}

#[test]
fn what_to_delete_for_a_state_that_is_gone_is_said_by_its_path() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,v\n1,a\n");
    let append = ["--load", "append"];
    scratch.ok(&load("a.csv", "t", &append));
    let path = |below: &str| scratch.path().canonicalize().unwrap().join("lake").join(below).display().to_string();
    std::fs::remove_dir_all(path("_floodmark/pipelines/t/state")).unwrap();
    let error = scratch.json(&load("a.csv", "t", &append), 1).pop().unwrap()["error"].take();
    let help = error["help"].to_string();
    assert_eq!(error["code"], "FM0504", "{error}");
    for folder in [path("t"), path("_floodmark/pipelines/t")] {
        assert!(help.contains(&folder), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
    assert_eq!(scratch.one(&load("a.csv", "t", &append))["rows"]["inserted"], 1);
}
