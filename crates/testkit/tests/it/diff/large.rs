//! Tables of many rows: few of them leave their database.

use super::{Places, counts, told};

const ROWS: u64 = 200_000;

#[test]
fn one_row_among_many_is_found_with_few_that_are_moved() {
    let places = Places::new();
    places.postgres(&format!(
        "CREATE TABLE a (id bigint, line int, note text, PRIMARY KEY (id, line));
         INSERT INTO a SELECT n / 4, n % 4, 'note ' || n FROM generate_series(1, {ROWS}) n; CREATE TABLE b (LIKE a INCLUDING ALL);
         INSERT INTO b SELECT * FROM a ORDER BY note; UPDATE b SET note = 'x' WHERE id = 4711 AND line = 3; ANALYZE a; ANALYZE b"
    ));
    let [_, (_, postgres), (_, mysql)] = places.databases();
    let (a, b) = (format!("{postgres}#a"), format!("{postgres}#b"));
    let report = places.diff(4, &a, &b, &[]);
    assert_eq!(told(&report), ["different 4711,3 note note 18847→x"], "{report:#}");
    assert!(report["transferred"].as_u64().unwrap() < 2 * ROWS / 100, "{report:#}");
    // Rows that differ all over the table, some of them alone.
    places.postgres(
        "DELETE FROM b WHERE id % 1000 = 7; UPDATE b SET note = 'y' WHERE id BETWEEN 20000 AND 29999 AND line = 0",
    );
    let report = places.diff(4, &a, &b, &["--limit", "6"]);
    assert_eq!(counts(&report), [200, 0, 10_001 - 10], "{report:#}");
    assert_eq!(report["differences"].as_array().unwrap().len(), 6, "{report:#}");
    // A server that hashes in another way tells the same.
    places.load(&postgres, &mysql, "b", &["--source-table", "b", "--key", "id,line"]);
    let report = places.diff(4, &a, &format!("{mysql}#b"), &["--key", "id,line"]);
    assert_eq!((counts(&report), &report["hash"]), ([200, 0, 9_991], &"md5".into()), "{report:#}");
    places.diff(0, &b, &format!("{mysql}#b"), &["--key", "id,line"]);
}

/// All rows of one value of the axis: what no range parts is compared as well.
#[test]
fn a_value_that_all_rows_have_is_one_segment() {
    let places = Places::new();
    places.postgres(
        "CREATE TABLE a (shop int, id int, PRIMARY KEY (shop, id)); INSERT INTO a SELECT 1, n FROM generate_series(1, 30000) n;
         CREATE TABLE b AS SELECT * FROM a WHERE id <> 17; ANALYZE a; ANALYZE b",
    );
    let [_, (_, postgres), _] = places.databases();
    let report = places.diff(4, &format!("{postgres}#a"), &format!("{postgres}#b"), &[]);
    assert_eq!(told(&report), ["missing 1,17"], "{report:#}");
}
