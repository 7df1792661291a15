//! Whole numbers: what a statement gives is what arithmetic without bounds gives, or an error.

use arrow::{
    array::{Array, BooleanArray, Int64Array, RecordBatch},
    util::display::array_value_to_string,
};
use floodmark_core::{DataType, Error, Schema};
use floodmark_sql::{Condition, Transform, output_schema};
use proptest::prelude::*;
use std::{collections::BTreeSet, fmt, sync::Arc};

const MIN: i64 = i64::MIN;
const MAX: i64 = i64::MAX;

type Row = (Option<i64>, Option<i64>);

fn source(rows: &[Row]) -> (Schema, RecordBatch) {
    let schema = Schema::new([("id", DataType::BigInt), ("a", DataType::BigInt), ("b", DataType::BigInt)]);
    let ids = (1..).take(rows.len()).collect::<Int64Array>();
    let a = rows.iter().map(|r| r.0).collect::<Int64Array>();
    let b = rows.iter().map(|r| r.1).collect::<Int64Array>();
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![Arc::new(ids), Arc::new(a), Arc::new(b)]).unwrap();
    (schema, batch)
}

/// The cells of the only column that `sql` gives over rows of (id, a, b); `None` is NULL.
fn give(sql: &str, rows: &[Row]) -> Result<Vec<Option<String>>, Error> {
    let (schema, batch) = source(rows);
    output_schema(sql, &schema)?;
    let (input, mut transform) = Transform::start(sql, &schema.to_arrow())?;
    let feeder = std::thread::spawn(move || {
        for at in 0..batch.num_rows() {
            // A statement that has failed stops listening.
            let _ = input.send(batch.slice(at, 1));
        }
    });
    let mut cells = Vec::new();
    while let Some(rows) = transform.next_batch()? {
        let column = rows.column(0);
        cells.extend(
            (0..rows.num_rows()).map(|row| column.is_valid(row).then(|| array_value_to_string(column, row).unwrap())),
        );
    }
    feeder.join().unwrap();
    Ok(cells)
}

fn gives(sql: &str, rows: &[Row], expected: &[&str]) {
    let cells = give(sql, rows).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    assert_eq!(cells.into_iter().map(|c| c.unwrap_or("-".into())).collect::<Vec<_>>(), expected, "{sql}");
}

fn overflows(sql: &str, rows: &[Row], says: &str) {
    let error = format!("{:?}", give(sql, rows).expect_err(sql));
    assert!(error.contains(says), "{sql}: {error}");
}

#[derive(Debug, Clone)]
enum Whole {
    Constant(i64),
    A,
    B,
    Of(Box<Whole>, char, Box<Whole>),
    Minus(Box<Whole>),
    Abs(Box<Whole>),
    /// CASE WHEN of the first is below zero THEN the second ELSE the third.
    Case(Box<[Whole; 3]>),
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whole::Constant(n) => write!(f, "({n})"),
            Whole::A => f.write_str("a"),
            Whole::B => f.write_str("b"),
            Whole::Of(left, sign, right) => write!(f, "({left} {sign} {right})"),
            Whole::Minus(of) => write!(f, "(- {of})"),
            Whole::Abs(of) => write!(f, "abs({of})"),
            Whole::Case(of) => write!(f, "(CASE WHEN {} < 0 THEN {} ELSE {} END)", of[0], of[1], of[2]),
        }
    }
}

/// A number, or NULL.
type Exact = Option<i128>;

impl Whole {
    /// What it is without bounds, and whether every number on the way there was a bigint. `None` where there is none, or it is
    /// out of the reach of this test.
    fn exact(&self, (a, b): Row) -> Option<(Exact, bool)> {
        let (value, on_the_way) = match self {
            Whole::Constant(n) => (Some((*n).into()), true),
            Whole::A => (a.map(Into::into), true),
            Whole::B => (b.map(Into::into), true),
            Whole::Of(left, sign, right) => {
                let ((l, l_fits), (r, r_fits)) = (left.exact((a, b))?, right.exact((a, b))?);
                let value = match (l, r) {
                    (Some(l), Some(r)) => Some(match sign {
                        '+' => l.checked_add(r)?,
                        '-' => l.checked_sub(r)?,
                        '*' => l.checked_mul(r)?,
                        '/' => l.checked_div(r)?,
                        _ => l.checked_rem(r)?,
                    }),
                    _ => None,
                };
                (value, l_fits && r_fits)
            }
            Whole::Minus(of) => {
                let (value, fits) = of.exact((a, b))?;
                (value.map(|v| -v), fits)
            }
            Whole::Abs(of) => {
                let (value, fits) = of.exact((a, b))?;
                (value.map(i128::abs), fits)
            }
            Whole::Case(of) => {
                let (when, fits) = of[0].exact((a, b))?;
                let (value, branch_fits) = of[if when.is_some_and(|w| w < 0) { 1 } else { 2 }].exact((a, b))?;
                (value, fits && branch_fits)
            }
        };
        Some((value, on_the_way && value.is_none_or(|v| i64::try_from(v).is_ok())))
    }
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        -3..4i64,
        prop::sample::select(vec![MIN, MIN + 1, MAX, MAX - 1, MIN / 2, MAX / 2 + 1, 1 << 31, 1 << 32, 3_037_000_500]),
        any::<i64>(),
        -100_000..100_000i64,
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let cell = || prop::option::weighted(0.9, number());
    prop::collection::vec((cell(), cell()), 1..5)
}

fn whole() -> impl Strategy<Value = Whole> {
    let leaf = prop_oneof![number().prop_map(Whole::Constant), Just(Whole::A), Just(Whole::B)];
    leaf.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            6 => (inner.clone(), prop::sample::select(vec!['+', '-', '*', '/', '%']), inner.clone())
                .prop_map(|(l, sign, r)| Whole::Of(l.into(), sign, r.into())),
            1 => inner.clone().prop_map(|of| Whole::Minus(of.into())),
            1 => inner.clone().prop_map(|of| Whole::Abs(of.into())),
            1 => [inner.clone(), inner.clone(), inner].prop_map(|of| Whole::Case(of.into())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_expression_is_exact_or_an_error(whole in whole(), rows in rows()) {
        let exact = rows.iter().map(|row| whole.exact(*row)).collect::<Option<Vec<_>>>();
        let given = give(&format!("SELECT {whole} AS x FROM source"), &rows);
        match (&exact, &given) {
            (Some(exact), Ok(given)) => {
                let exact = exact.iter().map(|(v, _)| v.map(|v| v.to_string())).collect::<Vec<_>>();
                prop_assert_eq!(given, &exact, "{}", whole);
            }
            // Nothing on the way overflows, so nothing fails.
            (Some(exact), Err(e)) => prop_assert!(!exact.iter().all(|(_, fits)| *fits), "{}: {:?}", whole, e),
            // 0 * (1 / 0), say, of which the optimiser may leave 0.
            (None, _) => {}
        }
        // `delete_when` has no optimiser, and so has an error where any row has.
        let (schema, batch) = source(&rows);
        let holds = Condition::new(&format!("{whole} < 0"), &schema).and_then(|c| Ok(c.holds(&batch)?));
        match (exact.filter(|e| e.iter().all(|(_, fits)| *fits)), holds) {
            (Some(exact), Ok(holds)) => {
                let below = exact.iter().map(|(v, _)| Some(v.is_some_and(|v| v < 0))).collect::<BooleanArray>();
                prop_assert_eq!(holds, below, "{}", whole);
            }
            (Some(_), Err(e)) => prop_assert!(false, "{}: {:?}", whole, e.error),
            (None, Ok(_)) => prop_assert!(false, "{} < 0 over {:?} does not fail", whole, rows),
            (None, Err(_)) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sum_is_exact_or_an_error(rows in rows()) {
        let values = rows.iter().filter_map(|r| r.0).collect::<Vec<_>>();
        let sum = |values: &[i64]| (!values.is_empty()).then(|| values.iter().map(|v| i128::from(*v)).sum::<i128>());
        let distinct = values.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        // Of a row and the one before.
        let sliding = (0..rows.len())
            .map(|at| sum(&rows[at.saturating_sub(1)..=at].iter().filter_map(|r| r.0).collect::<Vec<_>>()));
        let so_far = (0..rows.len()).map(|at| sum(&rows[..=at].iter().filter_map(|r| r.0).collect::<Vec<_>>()));
        for (sql, exact) in [
            ("SELECT sum(a) FROM source", vec![sum(&values)]),
            ("SELECT sum(DISTINCT a) FROM source", vec![sum(&distinct)]),
            ("SELECT x FROM (SELECT sum(DISTINCT a) AS x, count(DISTINCT b) FROM source)", vec![sum(&distinct)]),
            ("SELECT x FROM (SELECT id > 0 AS g, sum(a) AS x FROM source GROUP BY id > 0)", vec![sum(&values)]),
            ("SELECT sum(a) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM source", sliding.collect()),
            ("SELECT sum(a) OVER (ORDER BY id) FROM source", so_far.collect()),
        ] {
            let fits = exact.iter().flatten().all(|v| i64::try_from(*v).is_ok());
            let exact = exact.iter().map(|v| v.map(|v| v.to_string())).collect::<Vec<_>>();
            match give(sql, &rows) {
                Ok(given) => prop_assert_eq!(given, exact, "{} over {:?}", sql, rows),
                Err(e) => prop_assert!(!fits, "{} over {:?}: {:?}", sql, rows, e),
            }
        }
    }
}

#[test]
fn overflow_is_an_error_wherever_it_happens() {
    let rows = &[(Some(MAX), Some(2)), (Some(1), Some(1))];
    let values = "(VALUES (4, 9223372036854775807)) AS v(k, m)";
    for sql in [
        "SELECT a * b FROM source".to_owned(),
        "SELECT a + 1 FROM source".to_owned(),
        "SELECT -2 - a FROM source".to_owned(),
        "SELECT - (-a - 1) FROM source".to_owned(),
        "SELECT 9223372036854775807 + 1".to_owned(),
        "SELECT 9223372036854775807 + 1 + a FROM source".to_owned(),
        "SELECT * FROM (VALUES (4000000000 * 4000000000)) AS v(x)".to_owned(),
        "SELECT sum(a + 1) FROM source".to_owned(),
        "SELECT sum(a) + 1 FROM source".to_owned(),
        "SELECT max(a * b) FROM source".to_owned(),
        "SELECT count(*) FROM source GROUP BY a * b".to_owned(),
        "SELECT count(*) FROM source GROUP BY ROLLUP (a * b)".to_owned(),
        "SELECT count(*) FILTER (WHERE a * b < 0) FROM source".to_owned(),
        "SELECT id FROM source GROUP BY id HAVING sum(a) + sum(b) < 0".to_owned(),
        "SELECT lag(a * b) OVER (ORDER BY id) FROM source".to_owned(),
        "SELECT row_number() OVER (PARTITION BY a * b ORDER BY id) FROM source".to_owned(),
        "SELECT row_number() OVER (ORDER BY a * b) FROM source".to_owned(),
        "SELECT id FROM source ORDER BY a * b".to_owned(),
        "SELECT id FROM source WHERE a * b < 0".to_owned(),
        "SELECT CASE WHEN b = 2 THEN a * b ELSE 0 END FROM source".to_owned(),
        "SELECT coalesce(NULL, a * b) FROM source".to_owned(),
        "SELECT id FROM source WHERE a + 1 IN (1, 2)".to_owned(),
        "SELECT id FROM source WHERE a + b BETWEEN -5 AND 5".to_owned(),
        "SELECT CAST(id AS int) * CAST(2147483647 AS int) FROM source".to_owned(),
        "SELECT CAST(a % 100 AS tinyint) + CAST(127 AS tinyint) FROM source".to_owned(),
        "SELECT abs(-a - 1) FROM source".to_owned(),
        "SELECT (-a - 1) / (b - 3) FROM source".to_owned(),
        format!("SELECT id FROM source JOIN {values} ON a * b = m"),
        format!("SELECT id FROM source JOIN {values} ON a > m + k"),
        format!("SELECT id FROM source LEFT JOIN {values} ON k = 4 AND a * k < m"),
        format!("SELECT id FROM source WHERE a + 1 IN (SELECT m FROM {values})"),
        format!("SELECT id FROM source WHERE a > (SELECT sum(m + k) FROM {values})"),
        format!("SELECT (SELECT max(m + k) FROM {values} WHERE k = b + 2) FROM source"),
    ] {
        let error = format!("{:?}", give(&sql, rows).expect_err(&sql));
        assert!(["Overflow", "overflow", "does not fit"].iter().any(|w| error.contains(w)), "{sql}: {error}");
    }
}

#[test]
fn the_error_has_the_values_and_a_way_out() {
    let rows = &[(Some(4_000_000_000), Some(4_000_000_000)), (Some(MAX), Some(1))];
    overflows("SELECT a * b FROM source", rows, "4000000000 * 4000000000 does not fit bigint");
    overflows("SELECT a * b FROM source", rows, "CAST(a AS decimal(38,0)) * b");
    overflows("SELECT sum(a) FROM source", rows, "sum(…) is 9223372040854775807, which does not fit bigint");
    overflows("SELECT sum(a) FROM source", rows, "sum(CAST(a AS decimal(38,0)))");
    gives("SELECT CAST(a AS decimal(38,0)) * b FROM source", rows, &["16000000000000000000", "9223372036854775807"]);
    gives("SELECT sum(CAST(a AS decimal(38,0))) FROM source", rows, &["9223372040854775807"]);

    let (schema, batch) = source(rows);
    let error = Condition::new("a + 1 < 0", &schema).unwrap().holds(&batch).unwrap_err();
    let error = format!("{error:?}");
    assert!(error.contains("`delete_when: a + 1 < 0`") && error.contains("9223372036854775807 + 1"), "{error}");
}

#[test]
fn a_branch_that_is_not_taken_fails_nothing() {
    let rows = &[(Some(MAX), Some(2)), (Some(1), Some(1))];
    gives("SELECT CASE WHEN b = 1 THEN a * b ELSE 0 END FROM source", rows, &["0", "1"]);
    gives("SELECT CASE WHEN false THEN 9223372036854775807 + 1 ELSE 0 END FROM source", rows, &["0", "0"]);
    gives("SELECT a * b FROM source WHERE b = 1", rows, &["1"]);
}

#[test]
fn sums_pass_the_bound_and_come_back() {
    let rows = &[(Some(MAX), None), (Some(1), None), (Some(-1), None), (None, None)];
    gives("SELECT sum(a) FROM source", rows, &["9223372036854775807"]);
    gives("SELECT sum(b) FROM source", rows, &["-"]);
    gives("SELECT avg(a) FROM source WHERE id > 1", rows, &["0.0"]);
    gives("SELECT avg(a) = 3074457345618258602 FROM source", rows, &["true"]);
    gives("SELECT sum(a) FILTER (WHERE id > 1) FROM source GROUP BY b", rows, &["0"]);
    gives("SELECT sum(CAST(a AS smallint)) FROM source WHERE id > 1", rows, &["0"]);
    gives("SELECT sum(CAST(a AS double)) FROM source WHERE id > 1", rows, &["0.0"]);
}

#[test]
fn sums_of_decimals_are_exact_too() {
    let nines = "99999999999999999999999999999999999999";
    let rows = &[(Some(1), None), (Some(1), None), (Some(-1), None)];
    let signed = format!("CAST('{nines}' AS decimal(38,0)) * a");
    gives(&format!("SELECT sum({signed}) FROM source"), rows, &[nines]);
    let sum = |of: &str, over: &str| format!("SELECT sum(CAST('{of}' AS decimal(38,0))) {over} FROM source");
    overflows(&sum(nines, ""), rows, "sum(…) does not fit decimal(38,0)");
    // A number of 39 digits is told with all of them.
    let four = &nines.replace('9', "4");
    overflows(
        &sum(four, ""),
        rows,
        "sum(…) is 133333333333333333333333333333333333332, which does not fit decimal(38,0)",
    );
    overflows(&sum(four, "OVER (ORDER BY id)"), rows, "133333333333333333333333333333333333332");
    gives("SELECT sum(CAST('1.10' AS decimal(5,2))) FROM source", rows, &["3.30"]);
    gives("SELECT sum(arrow_cast('1.10', 'Decimal32(9, 2)')) FROM source", rows, &["3.30"]);
    overflows("SELECT sum(arrow_cast('9999999.99', 'Decimal32(9, 2)')) FROM source", rows, "29999999.97");
}

#[test]
fn columns_keep_their_names() {
    let (schema, _) = source(&[]);
    for (sql, name) in [
        ("SELECT a * b + 1 FROM source", "source.a * source.b + Int64(1)"),
        ("SELECT -a FROM source", "(- source.a)"),
        ("SELECT sum(a - 1) FROM source", "sum(source.a - Int64(1))"),
        ("SELECT a * b FROM source GROUP BY ROLLUP (a * b)", "source.a * source.b"),
    ] {
        assert_eq!(output_schema(sql, &schema).unwrap().names(), [name], "{sql}");
    }
}
