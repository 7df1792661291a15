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
    // By content whole rows are shown, and what looks like markup in one of them.
    let content =
        ["diff", "data/orders-*.csv", "sqlite:///shop.db#orders", "--columns", "customer", "--html", "content.html"];
    assert_eq!(scratch.run(&content).code, 4);
    assert!(!scratch.read("content.html").contains("<b>row"));
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
        (2, &["verify", "nobody"]),
    ] {
        let ran = scratch.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
    }
}
