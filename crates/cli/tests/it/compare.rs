//! `diff` and `verify`: what they print, and how they exit.

use crate::support::{Ran, Scratch, files, keys, shown};

/// Compares, and nothing in the folder may be different after it.
fn compared(scratch: &Scratch, args: &[&str]) -> Ran {
    let before = files(scratch.path());
    let ran = scratch.run(args);
    let after = files(scratch.path());
    let changed: Vec<_> = before.keys().filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{changed:?} changed: {ran:?}");
    ran
}

/// A loaded project, and edits of somebody else in its table.
fn edited() -> Scratch {
    let scratch = Scratch::project();
    scratch.ok(&["run"]);
    let db = rusqlite::Connection::open(scratch.path().join("shop.db")).unwrap();
    db.execute_batch(
        "UPDATE orders SET status = 'lost', amount = NULL WHERE order_id = 1003; DELETE FROM orders WHERE order_id = 1001;
         INSERT INTO orders (order_id, customer) VALUES (7, 'Nobody''s <b>row</b>')",
    )
    .unwrap();
    scratch
}

#[test]
fn a_table_that_was_edited() {
    let scratch = edited();
    insta::assert_snapshot!("verify_edited", shown(&compared(&scratch, &["verify", "--late"])));
    let found = &scratch.json(&["verify", "orders", "--limit", "1"], 4)[0];
    assert_eq!((&found["rows"]["missing"], &found["rows"]["extra"]), (&1.into(), &1.into()), "{found:#}");
    assert_eq!(found["differences"].as_array().unwrap().len(), 1);
    assert_eq!(keys(found)[..4], ["pipeline", "status", "source", "table"]);
    scratch.ok(&["run", "--full-refresh", "--yes"]);
    insta::assert_snapshot!("verify_equal", shown(&compared(&scratch, &["verify"])));
}

#[test]
fn files_and_tables() {
    let scratch = edited();
    let ran = compared(&scratch, &["diff", "data/orders-*.csv", "sqlite:///shop.db#orders", "--key", "order_id"]);
    insta::assert_snapshot!("diff_file_and_table", shown(&ran));
    let same = ["diff", "data/orders-2024-01.csv", "data/orders-2024-01.csv"];
    insta::assert_snapshot!("diff_equal", shown(&compared(&scratch, &same)));
    scratch.write("wider.csv", "order_id,customer,more\n1001,Aiko,1\n");
    scratch.write("other.csv", "order_id,customer,else\n1001,Aiko,1\n");
    insta::assert_snapshot!(
        "diff_columns",
        shown(&compared(&scratch, &["diff", "wider.csv", "other.csv", "--key", "order_id"]))
    );
    let some = ["diff", "data/orders-*.csv", "sqlite:///shop.db#orders", "--where", "order_id > 1003"];
    assert_eq!(compared(&scratch, &some).code, 0);
}

#[test]
fn a_page_escapes_what_is_on_it() {
    let scratch = edited();
    assert_eq!(scratch.run(&["verify", "--html", "report.html"]).code, 4);
    let page = scratch.read("report.html");
    assert!(
        page.contains("<svg") && page.contains("order_id <code>1001</code>") && !page.contains("<script"),
        "{page}"
    );
    assert!(page.contains("<title>orders: 3 rows differ, 20") && page.contains("<code>orders</code>, 20"), "{page}");
    // By content whole rows are shown, and what looks like markup in one of them.
    let content =
        ["diff", "data/orders-*.csv", "sqlite:///shop.db#orders", "--columns", "customer", "--html", "content.html"];
    assert_eq!(scratch.run(&content).code, 4);
    assert!(!scratch.read("content.html").contains("<b>row"));
}

#[test]
fn a_repair() {
    let scratch = edited();
    insta::assert_snapshot!("repair_planned", shown(&compared(&scratch, &["verify", "--repair", "--dry-run"])));
    insta::assert_snapshot!("repaired", shown(&scratch.run(&["verify", "--repair"])));
    insta::assert_snapshot!("repair_asks", shown(&compared(&scratch, &["verify", "--repair", "--delete-extra"])));
    let found = &scratch.json(&["verify", "orders", "--repair", "--delete-extra", "--yes"], 0)[0];
    assert_eq!((&found["status"], &found["repair"]["rows"]["deleted"]), (&"equal".into(), &1.into()), "{found:#}");
    assert_eq!(found["repair"]["before"]["extra"], 1, "{found:#}");
    let runs = scratch.json(&["runs", "orders"], 0);
    assert_eq!(runs.iter().filter(|run| run["load"] == "repair").count(), 2, "{runs:#?}");
}

/// A key that several rows have, and a database that is named as a file.
#[test]
fn what_was_named_wrongly_is_told() {
    let scratch = Scratch::project();
    scratch.write("a.csv", "id,name\n1,a\n1,b\n2,c\n");
    scratch.write("b.csv", "id,name\n1,a\n2,c\n2,d\n2,e\n");
    let ran = compared(&scratch, &["diff", "a.csv", "b.csv", "--key", "id"]);
    assert!(ran.stdout.contains("not unique: 1 key of the first and 1 key of the second have several\n"), "{ran:?}");
    let found = &scratch.json(&["diff", "a.csv", "b.csv", "--key", "id"], 4)[0];
    assert_eq!(found["repeated_keys"], serde_json::json!({"first": 1, "second": 1}), "{found:#}");
    scratch.ok(&["run"]);
    let ran = compared(&scratch, &["diff", "shop.db", "a.csv"]);
    assert!(ran.stderr.contains("sqlite:///shop.db#TABLE"), "{ran:?}");
}

#[test]
fn exit_codes() {
    let scratch = edited();
    for (code, args) in [
        (0, &["diff", "data/orders-2024-01.csv", "data/orders-2024-01.csv"][..]),
        (4, &["diff", "data/orders-2024-01.csv", "data/orders-2024-02.csv"]),
        (1, &["diff", "nothing.csv", "data/orders-2024-02.csv"]),
        (2, &["diff", "data/orders-2024-01.csv", "sqlite:///shop.db"]),
        (2, &["diff", "data/orders-2024-01.csv", "-"]),
        (2, &["diff", "data/orders-2024-01.csv", "data/orders-2024-01.csv", "--key", "nothing"]),
        (2, &["diff", "data/orders-2024-01.csv", "data/orders-2024-01.csv", "--where", "nothing ="]),
        (2, &["diff", "data/orders-2024-01.csv", "data/orders-2024-01.csv", "--sample", "0"]),
        (2, &["diff", "shop.db", "data/orders-2024-01.csv"]),
        (2, &["verify", "nobody"]),
        (2, &["verify", "orders", "--where", "nothing = 1"]),
        (2, &["verify", "orders", "--columns", "nothing"]),
        (2, &["verify", "orders", "--by", "nothing"]),
        (2, &["verify", "orders", "--by", "order_id:1mo"]),
        (2, &["diff", "sqlite:///shop.db#orders", "sqlite:///shop.db#orders", "--where", "nothing = 1"]),
        (1, &["diff", "sqlite:///shop.db#nothing", "sqlite:///shop.db#orders", "--where", "nothing = 1"]),
        (2, &["diff", "sqlite:///shop.db#orders", "sqlite:///shop.db#orders", "--key", "nothing"]),
    ] {
        let ran = scratch.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
    }
}

/// Of several pipelines each has its part of one page, also one that could not be compared, and text is no markup there.
#[test]
fn several_are_on_one_page() {
    let scratch = Scratch::new();
    scratch.write("a.csv", "id,name\n1,a\n2,b\n");
    scratch.write("b.csv", "id,name\n1,a\n");
    let pipeline = |name: &str, file: &str| {
        format!("  {name}: {{ source: {{ files: {file} }}, destination: {{ url: 'sqlite:///out.db' }}, key: id }}\n")
    };
    let file = format!("version: 1\npipelines:\n{}{}", pipeline("first", "a.csv"), pipeline("second", "b.csv"));
    scratch.write("floodmark.yaml", &file);
    scratch.ok(&["run"]);
    rusqlite::Connection::open(scratch.path().join("out.db")).unwrap().execute("DELETE FROM first", []).unwrap();
    scratch.write("floodmark.yaml", &format!("{file}{}", pipeline("third", "c.csv")));
    let ran = scratch.run(&["verify", "--html", "all.html"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    insta::assert_snapshot!("verify_several", shown(&ran));
    let page = scratch.read("all.html");
    assert!(page.contains("<h1>3 pipelines: 1 equal, 1 differs, 1 failed</h1>"), "{page}");
    for told in ["<h1 class=\"differs\">2 rows differ</h1>", "<h1 class=\"equal\">Equal</h1>", ">Not compared</h1>"] {
        assert_eq!(page.matches(told).count(), 1, "{told}: {page}");
    }
    assert_eq!((page.matches("<section id=").count(), page.matches("<html").count()), (3, 1), "{page}");
    // Of one that fails there is no page.
    assert_eq!(scratch.run(&["verify", "third", "--html", "one.html"]).code, 1);
    assert!(!scratch.path().join("one.html").exists());
}
