//! The part of the table that a chunk holds all rows of, as a condition.

use super::Job;
use crate::{
    ddl::Found,
    literal::{End, place},
};
use floodmark_connect::destination::Within;
use floodmark_core::{DataType, Error, Result, Value, interval::Interval};

/// The condition on `t`.
pub(super) fn condition(job: &Job<'_>) -> Result<String> {
    let within = job.plan.within.as_ref().ok_or_else(|| Error::internal("a load that is of no part of the table"))?;
    let Within { column, interval, .. } = within;
    let found = job.table.get(column).ok_or_else(|| Error::internal(format!("no column {column:?} in the table")))?;
    lies_in(found, interval)
}

/// The condition that a column of `t` lies in an interval. It compares as our values do, to the last digit and byte; rows
/// without a value there do not meet it.
fn lies_in(found: &Found, interval: &Interval) -> Result<String> {
    let wrong = || Error::internal(format!("{interval} is no part of column {:?}, a {}", found.name, found.data_type));
    let name = found.read("t.");
    let mut parts = vec![format!("{name} IS NOT NULL")];
    for (end, compared) in [(&interval.from, ">="), (&interval.until, "<")] {
        let of_text = matches!(found.data_type, DataType::Text);
        if matches!(end, Value::Text(_)) != of_text || found.data_type == DataType::Json {
            return Err(wrong());
        }
        match place(end).ok_or_else(wrong)? {
            End::At(end) => parts.push(format!("{name} {compared} {end}")),
            // Before all that DuckDB holds, or behind it.
            End::First if compared == ">=" => {}
            End::Last if compared == "<" => {}
            End::First | End::Last => parts.push("false".to_owned()),
        }
    }
    Ok(parts.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{self, HOLDS},
        ddl::{self, Name},
        instance::Instance,
        link::{Db, Into},
        tuples,
    };
    use floodmark_merge::cell;

    /// DuckDB finds in every interval what lies in it.
    fn agrees(data_type: DataType, values: &[Value], more: &[Value]) {
        let db = Db::connect(&Instance::in_memory(&[]).unwrap()).unwrap();
        db.execute_batch(&format!("CREATE TABLE t (n BIGINT, v {})", codec::declared(data_type))).unwrap();
        let into = Into::Table { catalog: "memory", schema: "main", table: "t" };
        db.copy_in(&into, &[("n", DataType::BigInt), ("v", data_type)], |writer| {
            for (n, value) in values.iter().enumerate() {
                let out = writer.row(2)?;
                tuples::put(out, Some(&(n as i64).to_be_bytes()));
                cell::encode(value, data_type, out).unwrap();
            }
            Ok(())
        })
        .unwrap();
        let table = ddl::table(&db, &Name::resolve(&db, "t").unwrap()).unwrap().unwrap();
        let ends: Vec<&Value> = values.iter().chain(more).collect();
        for (from, until) in ends.iter().flat_map(|from| ends.iter().map(move |until| (*from, *until))) {
            let Some(interval) = Interval::new(from.clone(), until.clone()) else { continue };
            let condition = lies_in(table.get("v").unwrap(), &interval).unwrap();
            let rows = db.query(&format!("SELECT n FROM t WHERE {condition} ORDER BY n"), &[]).unwrap();
            let found: Vec<i64> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
            let expected = (0..).zip(values).filter(|(_, v)| interval.holds(v)).map(|(n, _)| n).collect::<Vec<i64>>();
            assert_eq!(found, expected, "{interval:?}: {condition}");
        }
    }

    #[test]
    fn duckdb_compares_as_we_do() {
        let texts = |texts: &[&str]| texts.iter().map(|text| Value::Text((*text).into())).collect::<Vec<_>>();
        let ints = [i64::MIN, -1, 0, 7, i64::MAX].map(Value::Int);
        agrees(DataType::BigInt, &ints, &[Value::Decimal(-5, 1), Value::Decimal(i128::from(i64::MAX) * 100 + 1, 2)]);
        let decimals = [-99_999, -1, 0, 1, 1050, 99_999].map(|v| Value::Decimal(v, 2));
        agrees(DataType::Decimal(9, 2), &decimals, &[Value::Decimal(105_001, 4), Value::Int(0)]);
        let doubles = [f64::NEG_INFINITY, -1.5, 0.0, f64::MIN_POSITIVE, 0.1, f64::INFINITY].map(Value::Double);
        agrees(DataType::Double, &doubles, &[Value::Double(0.1 + f64::EPSILON)]);
        agrees(DataType::Bool, &[Value::Bool(false), Value::Bool(true)], &[]);
        let written = ["", " ", "A", "B", "a", "a ", "a\u{1}", "ab", "it's", "z", "\u{e4}", "\u{ffff}", "\u{1d11e}"];
        agrees(DataType::Text, &texts(&written), &texts(&["a\0", "a\0b", "\0", "\\"]));
        let bytes = [&[][..], &[0], &[0, 0], &[1], &[127], &[128], &[255, 0]].map(|bytes| Value::Bytes(bytes.to_vec()));
        agrees(DataType::Bytes, &bytes, &[]);
        let (first, last) = HOLDS.days.clone().into_inner();
        let days = [first, first + 1, -800_000, -1, 0, 19_723, 3_000_000, last].map(Value::Date);
        agrees(DataType::Date, &days, &[i32::MIN, i32::MAX].map(Value::Date));
        let times = [0, 1000, 3_600_000_000_000, 86_399_999_999_000].map(Value::Time);
        agrees(DataType::Time, &times, &[Value::Time(1), Value::Time(999), Value::Time(86_399_999_999_999)]);
        let micros = [
            -9_222_425_000_000_000_000i64,
            -1,
            0,
            1,
            1_704_067_200_000_000,
            253_402_300_800_000_000,
            9_000_000_000_000_000_000,
        ];
        let nanos = micros.map(|micros| i128::from(micros) * 1000);
        let more = [i128::MIN / 4, -999, 1, 1001, i128::from(i64::MAX) * 1000, i128::MAX / 4];
        let zoneless = DataType::Timestamp { nanos: false };
        agrees(zoneless, &nanos.map(Value::Timestamp), &more.map(Value::Timestamp));
        agrees(zoneless, &nanos.map(Value::Timestamp), &[Value::Date(0), Value::Date(19_723)]);
        let zoned = DataType::TimestampTz { nanos: false };
        agrees(zoned, &nanos.map(Value::TimestampTz), &more.map(Value::TimestampTz));
    }
}
