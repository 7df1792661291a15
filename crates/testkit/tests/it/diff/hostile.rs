//! Keys, names and values that mislead.

use super::{Places, counts, told};

const KEYS: &str = "CREATE TABLE t (k varchar(40), n integer, note varchar(40));";

/// A case of keys: what both tables hold, and what is told.
fn keys(places: &Places, first: &str, second: &str, more: &[&str], expected: &[&str]) {
    let databases = places.databases();
    let set = |at: usize, rows: &str| {
        let sql = format!("DROP TABLE IF EXISTS t; {KEYS}");
        let sql = if rows.is_empty() { sql } else { format!("{sql} INSERT INTO t VALUES {rows};") };
        match at {
            0 => places.sqlite(&sql),
            1 => places.postgres(&sql),
            _ => places.mysql(
                &sql.replace("note varchar(40))", "note varchar(40)) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
            ),
        }
    };
    for a in 0..3 {
        for b in 0..3 {
            if a == b {
                continue;
            }
            set(a, first);
            set(b, second);
            let code = if expected.is_empty() { 0 } else { 4 };
            let report = places.diff(code, &databases[a].1, &databases[b].1, &[&["--table", "t"], more].concat());
            assert_eq!(told(&report), expected, "{} and {}: {report:#}", databases[a].0, databases[b].0);
        }
    }
}

#[test]
fn keys_that_a_collation_takes_for_one_are_two() {
    let places = Places::new();
    keys(
        &places,
        "('A', 1, 'x'), ('b', 2, 'y')",
        "('a', 1, 'x'), ('b', 2, 'y')",
        &["--key", "k"],
        &["extra a", "missing A"],
    );
    keys(&places, "('a', 1, 'x')", "('a ', 1, 'x')", &["--key", "k"], &["extra a ", "missing a"]);
    keys(&places, "('é', 1, 'x')", "('e', 1, 'x')", &["--key", "k"], &["extra e", "missing é"]);
    keys(&places, "('a', 1, 'x')", "('a', 1, 'X')", &["--key", "k"], &["different a note x→X"]);
}

#[test]
fn keys_that_are_null_or_come_twice_are_told_apart() {
    let places = Places::new();
    keys(
        &places,
        "(NULL, 1, 'x'), ('a', 1, 'x')",
        "(NULL, 2, 'x'), ('a', 1, 'x')",
        &["--key", "k"],
        &["different NULL n 1→2"],
    );
    keys(&places, "('a', 1, 'x')", "('a', 1, 'x'), ('a', 1, 'x')", &["--key", "k"], &["extra a"]);
    keys(
        &places,
        "('a', 1, 'x'), ('a', 2, 'y')",
        "('a', 2, 'y'), ('a', 3, 'z')",
        &["--key", "k"],
        &["different a n 1→3 note x→z"],
    );
    keys(&places, "('a', NULL, 'x')", "('a', 1, 'x')", &["--key", "k,n"], &["extra a,1", "missing a,NULL"]);
    // A number with as many digits as the next one, and one text that another begins with.
    keys(
        &places,
        "('a', 1, 'x'), ('a1', 1, 'x')",
        "('a', 11, 'x'), ('a1', 1, 'x')",
        &["--key", "k,n"],
        &["extra a,11", "missing a,1"],
    );
}

#[test]
fn without_a_key_rows_are_counted_by_content() {
    let places = Places::new();
    keys(
        &places,
        "('a', 1, 'x'), ('a', 1, 'x')",
        "('a', 1, 'x'), ('b', 1, NULL)",
        &[],
        &["extra b,1,NULL", "missing a,1,x"],
    );
    keys(&places, "('a', 1, 'x'), (NULL, NULL, NULL)", "(NULL, NULL, NULL), ('a', 1, 'x')", &[], &[]);
}

#[test]
fn tables_without_rows() {
    let places = Places::new();
    keys(&places, "", "", &["--key", "k"], &[]);
    keys(&places, "", "", &[], &[]);
    keys(&places, "('a', 1, 'x')", "", &["--key", "n"], &["missing 1"]);
    keys(&places, "", "('a', 1, 'x')", &[], &["extra a,1,x"]);
}

/// Names that are words of SQL or hold quotes, in a table with a schema, and a condition that ends in a comment.
#[test]
fn names_stay_names() {
    let places = Places::new();
    places.postgres(
        "CREATE SCHEMA \"select\"; CREATE TABLE \"select\".\"from\" (\"order\" int PRIMARY KEY, \"a\"\"b\" text, \"where\" text);
         INSERT INTO \"select\".\"from\" VALUES (1, 'x', 'y'), (2, 'x', 'z')",
    );
    places.mysql("CREATE TABLE `group` (`order` int PRIMARY KEY, `a\"b` text, `where` text); INSERT INTO `group` VALUES (1, 'x', 'y'), (2, 'X', 'z')");
    let [_, (_, postgres), (_, mysql)] = places.databases();
    let (first, second) = (format!("{postgres}#select.from"), format!("{mysql}#group"));
    let report = places.diff(4, &first, &second, &[]);
    assert_eq!((&report["key"][0], told(&report)), (&"order".into(), vec!["different 2 a\"b x→X".to_owned()]));
    assert_eq!(report["first"]["hashed_by"], "database");
    places.diff(0, &first, &first, &["--where", "\"order\" = 1 -- the first"]);
    let report = places.diff(4, &first, &second, &["--columns", "a\"b"]);
    assert_eq!(report["columns"].as_array().unwrap().len(), 2, "{report:#}");
    places.diff(0, &first, &second, &["--columns", "where"]);
}

#[test]
fn what_postgres_has_beside_others_is_compared_exactly() {
    let places = Places::new();
    places.postgres(
        "CREATE TABLE a (id uuid PRIMARY KEY, d date, t timestamptz, n numeric, f float8, r float4, j jsonb, c char(5), i interval);
         INSERT INTO a SELECT gen_random_uuid(), d, t, n, f, 0.1, '{\"b\": 1, \"a\": 2}', 'x', '1 day'
           FROM (VALUES ('infinity'::date, '-infinity'::timestamptz, 'NaN'::numeric, 'NaN'::float8),
                        ('2024-01-01', '2024-01-01 10:00+02', 1.50, '-0'), (NULL, '0044-03-15 BC', 1e30, 'Infinity')) v(d, t, n, f);
         CREATE TABLE b AS SELECT id, d, t, n + 0.00 AS n, f + 0 AS f, r, j::text::jsonb AS j, c, i FROM a",
    );
    let [_, (_, url), _] = places.databases();
    let (a, b) = (format!("{url}#a"), format!("{url}#b"));
    let report = places.diff(0, &a, &b, &["--key", "id"]);
    assert_eq!((&report["hash"], report["first"]["rows"].as_u64()), (&"native".into(), Some(3)), "{report:#}");
    places.postgres("UPDATE b SET d = '-infinity' WHERE d = 'infinity'; UPDATE b SET n = 1.5000001 WHERE n = 1.5");
    let report = places.diff(4, &a, &b, &["--key", "id"]);
    assert_eq!(counts(&report), [0, 0, 2], "{report:#}");
    assert_eq!(
        report["as_text"].as_array().unwrap().len(),
        3,
        "what is no day, moment or number of ours is a text: {report:#}"
    );
    assert!(told(&report).iter().any(|row| row.contains("d infinity→-infinity")), "{report:#}");
}

/// Whole numbers whose two halves the server's own hash mixes up, and moments likewise.
#[test]
fn what_the_servers_own_hash_takes_for_one_is_two() {
    let places = Places::new();
    places.postgres(
        "CREATE TABLE a (id int PRIMARY KEY, n bigint, t timestamp);
         INSERT INTO a VALUES (1, 1, timestamp '2000-01-01' + interval '0.000001 s'), (2, -1, '2024-01-01');
         CREATE TABLE b AS SELECT * FROM a;
         UPDATE b SET n = 4294967296, t = timestamp '2000-01-01' + interval '4294.967296 s' WHERE id = 1",
    );
    let [_, (_, url), _] = places.databases();
    let report = places.diff(4, &format!("{url}#a"), &format!("{url}#b"), &["--key", "id", "--columns", "n"]);
    assert_eq!(told(&report), ["different 1 n 1→4294967296"], "{report:#}");
    let report = places.diff(4, &format!("{url}#a"), &format!("{url}#b"), &["--key", "id", "--columns", "t"]);
    assert_eq!((&report["hash"], counts(&report)), (&"native".into(), [0, 0, 1]), "{report:#}");
}

#[test]
fn columns_that_only_one_has_are_told_and_are_a_difference() {
    let places = Places::new();
    places.postgres(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, old text); INSERT INTO t VALUES (1, now(), 'x')",
    );
    places.sqlite("CREATE TABLE t (ID INTEGER PRIMARY KEY, at TIMESTAMP, new TEXT); INSERT INTO t VALUES (1, '2024-01-01 00:00:00', 'y')");
    let [(_, sqlite), (_, postgres), _] = places.databases();
    let report = places.diff(4, &sqlite, &postgres, &["--table", "t", "--key", "id"]);
    assert_eq!((&report["only_first"][0], &report["only_second"][0]), (&"new".into(), &"old".into()), "{report:#}");
    assert_eq!(report["incomparable"][0]["column"], "at", "a moment with a zone is none without: {report:#}");
    assert_eq!(counts(&report), [0; 3], "{report:#}");
    places.diff(0, &sqlite, &postgres, &["--table", "t", "--key", "id", "--columns", "id"]);
}
