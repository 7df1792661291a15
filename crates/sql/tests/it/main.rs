//! Statements over five rows, and what they give: each kind of operator, with its rows in the order that is promised.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that panics is a test that fails")]

mod whole;

use arrow::{
    array::{Array, Float64Array, Int64Array, RecordBatch, StringArray},
    util::display::array_value_to_string,
};
use floodmark_core::{DataType, Error, Schema};
use floodmark_sql::{Transform, output_schema};
use std::sync::Arc;

fn source() -> (Schema, RecordBatch) {
    let schema = Schema::new([("id", DataType::BigInt), ("grp", DataType::Text), ("amount", DataType::Double)]);
    let rows = RecordBatch::try_new(
        schema.to_arrow(),
        vec![
            Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])),
            Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("b"), Some("a")])),
            Arc::new(Float64Array::from(vec![Some(10.0), Some(2.5), Some(7.0), None, Some(4.5)])),
        ],
    )
    .unwrap();
    (schema, rows)
}

/// The rows a statement gives: cells joined by blanks, `-` for NULL. The source comes in batches of two rows.
fn give(sql: &str) -> Result<Vec<String>, Error> {
    let (schema, rows) = source();
    let columns = output_schema(sql, &schema)?.columns.len();
    let (input, mut transform) = Transform::start(sql, &schema.to_arrow())?;
    let feeder = std::thread::spawn(move || {
        for from in (0..rows.num_rows()).step_by(2) {
            // A statement with a LIMIT stops listening.
            let _ = input.send(rows.slice(from, 2.min(rows.num_rows() - from)));
        }
    });
    let mut lines = Vec::new();
    while let Some(rows) = transform.next_batch()? {
        assert_eq!(rows.num_columns(), columns, "{sql}");
        for row in 0..rows.num_rows() {
            let cell = |c: &Arc<dyn Array>| {
                if c.is_null(row) { "-".to_owned() } else { array_value_to_string(c, row).unwrap() }
            };
            lines.push(rows.columns().iter().map(cell).collect::<Vec<_>>().join(" "));
        }
    }
    feeder.join().unwrap();
    Ok(lines)
}

fn gives(sql: &str, expected: &[&str]) {
    assert_eq!(give(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}")), expected, "{sql}");
}

fn gives_in_any_order(sql: &str, expected: &[&str]) {
    let mut rows = give(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    rows.sort();
    assert_eq!(rows, expected, "{sql}");
}

fn refused(sql: &str, why: &str) {
    let error = format!("{:?}", give(sql).expect_err(sql));
    assert!(error.contains(why), "{sql}: {error}");
}

#[test]
fn rows_keep_their_order() {
    gives("SELECT id FROM source", &["1", "2", "3", "4", "5"]);
    gives("SELECT id, upper(grp) FROM source WHERE amount > 3", &["1 B", "3 -", "5 A"]);
    gives("SELECT id FROM source LIMIT 2 OFFSET 1", &["2", "3"]);
    gives("WITH x AS (SELECT id, coalesce(amount, 0) AS a FROM source) SELECT id FROM x WHERE a < 5", &["2", "4", "5"]);
}

#[test]
fn sorting() {
    gives("SELECT id FROM source ORDER BY amount DESC NULLS LAST", &["1", "3", "5", "2", "4"]);
    gives("SELECT id FROM source ORDER BY amount DESC NULLS LAST LIMIT 2", &["1", "3"]);
    gives("SELECT DISTINCT ON (grp) grp, id FROM source ORDER BY grp, id DESC", &["a 5", "b 4", "- 3"]);
}

#[test]
fn windows_sort_what_they_need() {
    gives(
        "SELECT id, row_number() OVER (PARTITION BY grp ORDER BY id DESC) AS n FROM source ORDER BY id",
        &["1 2", "2 2", "3 1", "4 1", "5 1"],
    );
    gives(
        "SELECT id, sum(amount) OVER (PARTITION BY grp) AS s, lag(id) OVER (ORDER BY id) AS p FROM source ORDER BY id",
        &["1 10.0 -", "2 7.0 1", "3 7.0 2", "4 10.0 3", "5 7.0 4"],
    );
    refused("SELECT sum(id) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND 1 PRECEDING) AS s FROM source", "frame");
}

#[test]
fn groups() {
    gives_in_any_order(
        "SELECT grp, count(*) AS n, sum(amount) AS s FROM source GROUP BY grp",
        &["- 1 7.0", "a 2 7.0", "b 2 10.0"],
    );
    gives("SELECT count(*) AS n, max(id) AS m FROM source WHERE id > 9", &["0 -"]);
    gives_in_any_order("SELECT grp, count(*) AS n FROM source GROUP BY ROLLUP (grp)", &["- 1", "- 5", "a 2", "b 2"]);
    gives_in_any_order(
        "SELECT grp, string_agg(id::varchar, '+' ORDER BY id DESC) AS ids FROM source GROUP BY grp",
        &["- 3", "a 5+2", "b 4+1"],
    );
}

#[test]
fn joins_stream_the_source() {
    let names = "(VALUES ('b', 'Beta'), ('c', 'Gamma')) AS n(code, name)";
    gives(&format!("SELECT id, name FROM source JOIN {names} ON grp = code"), &["1 Beta", "4 Beta"]);
    // Rows without a match may come behind those with one.
    gives_in_any_order(
        &format!("SELECT id, name FROM source LEFT JOIN {names} ON upper(grp) = upper(code)"),
        &["1 Beta", "2 -", "3 -", "4 Beta", "5 -"],
    );
    gives_in_any_order(
        &format!("SELECT id, name FROM source FULL JOIN {names} ON grp = code AND id > 1"),
        &["- Gamma", "1 -", "2 -", "3 -", "4 Beta", "5 -"],
    );
    gives(
        "SELECT id, k FROM source JOIN (VALUES (3, 6), (9, 20)) AS r(lo, k) ON amount > lo AND amount < k",
        &["1 20", "5 6"],
    );
    gives("SELECT id FROM source WHERE grp IN (SELECT c FROM (VALUES ('a')) AS v(c))", &["2", "5"]);
    // NULL in the list would leave no row: that asks for the whole source first, and its order is lost.
    gives_in_any_order("SELECT id FROM source WHERE grp NOT IN (SELECT c FROM (VALUES ('a')) AS v(c))", &["1", "4"]);
    gives("SELECT id, (SELECT max(x) FROM (VALUES (6), (8)) AS v(x)) AS m FROM source LIMIT 1", &["1 8"]);
}

#[test]
fn a_union_takes_its_inputs_in_turn() {
    gives(
        "SELECT id, amount FROM source WHERE id < 3 UNION ALL VALUES (9, 1.5), (8, NULL)",
        &["1 10.0", "2 2.5", "9 1.5", "8 -"],
    );
}

#[test]
fn lists_become_rows() {
    gives(
        "SELECT id, unnest(string_to_array(grp || ',x', ',')) AS part FROM source WHERE id < 3",
        &["1 b", "1 x", "2 a", "2 x"],
    );
}

#[test]
fn the_source_is_read_once() {
    refused("SELECT a.id FROM source a JOIN source b ON a.id = b.id", "window function");
    refused("WITH s AS (SELECT id FROM source) SELECT id FROM s UNION ALL SELECT id FROM s", "window function");
}

#[test]
fn only_reading_statements() {
    for sql in [
        "DELETE FROM source",
        "INSERT INTO source SELECT * FROM source",
        "COPY source TO 'x.csv'",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION 'x.csv'",
        "SELECT id INTO x FROM source",
        "SET a.b = 1",
        "EXPLAIN SELECT id FROM source",
        "SELECT 1; SELECT 2",
        "SELECT * FROM 'x.csv'",
        "SELECT * FROM other",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT n FROM t",
        "",
    ] {
        assert!(give(sql).is_err(), "{sql}");
    }
}
