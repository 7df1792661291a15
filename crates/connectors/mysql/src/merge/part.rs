//! The part of the table that a chunk holds all rows of, as a condition.

use super::Job;
use crate::{codec, ddl::Found, link::Db, literal};
use floodmark_connect::destination::Within;
use floodmark_core::{DataType, Error, Result, Value, interval::Interval};
use std::ops::RangeInclusive;

/// The condition on `t`.
pub(super) fn condition(job: &Job<'_>) -> Result<String> {
    let within = job.plan.within.as_ref().ok_or_else(|| Error::internal("a load that is of no part of the table"))?;
    let Within { column, interval, .. } = within;
    lies_in(job.db, job.table.find(column)?, interval)
}

/// The condition that a column of `t` lies in an interval. It compares as our values do, to the last digit and byte; rows
/// without a value there do not meet it, nor do those whose value is none (a date of zeros).
fn lies_in(db: &Db, found: &Found, interval: &Interval) -> Result<String> {
    let wrong = || Error::internal(format!("{interval} is no part of column {:?}, a {}", found.name, found.data_type));
    let name = format!("t.{}", literal::name(&found.name));
    let mut parts = vec![format!("{name} IS NOT NULL")];
    for (end, compared) in [(&interval.from, ">="), (&interval.until, "<")] {
        let (name, end) = match (end, found.data_type) {
            (Value::Text(text), DataType::Text) => {
                let (name, text) = comparable(db, found, &name, text);
                (name, End::At(text))
            }
            (Value::Text(_), _) | (_, DataType::Text | DataType::Json) => return Err(wrong()),
            (end, data_type) => (name.clone(), literal_of(end, data_type).ok_or_else(wrong)?),
        };
        match (end, compared) {
            (End::At(end), _) => parts.push(format!("{name} {compared} {end}")),
            // Before all that the server holds, or behind it.
            (End::First(lowest), ">=") => parts.extend(lowest.map(|lowest| format!("{name} >= {lowest}"))),
            (End::Last, "<") => {}
            _ => parts.push("FALSE".to_owned()),
        }
    }
    Ok(parts.join(" AND "))
}

/// Where an end lies among what the server holds.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Before all of it. With the lowest of it, where the server sorts before that what is no value.
    First(Option<String>),
    At(String),
    Last,
}

/// Text and the end of a range of it, to be compared byte by byte as UTF-8. An index serves where it is sorted so, too.
fn comparable(db: &Db, found: &Found, name: &str, text: &str) -> (String, String) {
    match found.sorts_by_bytes(db) {
        true => (name.to_owned(), literal::text(text)),
        false => (format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)"), literal::bytes(text.as_bytes())),
    }
}

/// An end that is no text as the server reads it.
fn literal_of(value: &Value, data_type: DataType) -> Option<End> {
    Some(match value {
        Value::Bool(value) => End::At(u8::from(*value).to_string()),
        Value::Int(_) | Value::Decimal(..) => End::At(value.to_string()),
        // With an exponent it is a double, and no decimal. There is no value beyond the finite ones.
        Value::Double(number) if number.is_finite() => End::At(format!("{number:e}")),
        Value::Double(number) if number.is_sign_negative() => End::First(None),
        Value::Double(_) => End::Last,
        Value::Bytes(value) => End::At(literal::bytes(value)),
        Value::Date(days) => place(*days, &codec::HOLDS.days, |days| format!("DATE'{}'", Value::Date(days))),
        Value::Time(nanos) => End::At(time(micros((*nanos).into())?)),
        Value::Timestamp(nanos) if matches!(data_type, DataType::Timestamp { .. }) => {
            moment(*nanos, &codec::HOLDS.micros)
        }
        Value::TimestampTz(nanos) if matches!(data_type, DataType::TimestampTz { .. }) => {
            moment(*nanos, &codec::HOLDS.instants)
        }
        Value::Null | Value::Text(_) | Value::Timestamp(_) | Value::TimestampTz(_) => return None,
    })
}

fn moment(nanos: i128, held: &RangeInclusive<i64>) -> End {
    let clamped = micros(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX });
    place(clamped, held, |micros| format!("TIMESTAMP'{}'", Value::Timestamp(i128::from(micros) * 1000)))
}

fn place<T: PartialOrd + Copy>(value: T, held: &RangeInclusive<T>, written: impl Fn(T) -> String) -> End {
    if value <= *held.start() {
        End::First(Some(written(*held.start())))
    } else if value > *held.end() {
        End::Last
    } else {
        End::At(written(value))
    }
}

/// The first whole microsecond that is not before: the server holds no others.
fn micros(nanos: i128) -> Option<i64> {
    i64::try_from(-(-nanos).div_euclid(1000)).ok()
}

fn time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    format!("TIME'{:02}:{:02}:{:02}.{:06}'", seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::Taken,
        ddl::{self, Name},
        link::tests::connect,
        rows::Inlet,
    };
    use floodmark_merge::cell;

    /// The server finds in every interval what lies in it.
    fn agrees(data_type: DataType, declared: &str, values: &[Value], more: &[Value]) {
        let db = connect();
        db.execute(&format!("CREATE TEMPORARY TABLE t (n bigint, v {declared} NULL DEFAULT NULL)")).unwrap();
        let columns = vec![Taken::new("n", DataType::BigInt), Taken::new("v", data_type)];
        db.copy_in(&Inlet { table: "t".into(), columns }, |writer| {
            for (n, value) in (0..).zip(values) {
                writer.number(n)?;
                let mut bytes = Vec::new();
                cell::encode(value, data_type, &mut bytes).unwrap();
                writer.cell(Some(&bytes[4..]))?;
                writer.end()?;
            }
            writer.number(-1)?;
            writer.cell(None)?;
            writer.end()
        })
        .unwrap();
        let name = Name { database: db.server.database.clone(), table: "t".into() };
        let table = ddl::table(&db, &name).unwrap().unwrap();
        let ends: Vec<&Value> = values.iter().chain(more).collect();
        for (from, until) in ends.iter().flat_map(|from| ends.iter().map(move |until| (*from, *until))) {
            let Some(interval) = Interval::new(from.clone(), until.clone()) else { continue };
            let condition = lies_in(&db, table.find("v").unwrap(), &interval).unwrap();
            let rows = db.query(&format!("SELECT n FROM t WHERE {condition} ORDER BY n")).unwrap();
            let found: Vec<i64> = rows.iter().map(|row| row.number(0).unwrap()).collect();
            let expected = (0..).zip(values).filter(|(_, v)| interval.holds(v)).map(|(n, _)| n).collect::<Vec<i64>>();
            assert_eq!(found, expected, "{declared}: {interval:?}: {condition}");
        }
    }

    fn texts(texts: &[&str]) -> Vec<Value> {
        texts.iter().map(|text| Value::Text((*text).into())).collect()
    }

    #[test]
    fn the_server_compares_as_we_do() {
        let exact = connect().server.exact();
        let ints = [i64::MIN, -1, 0, 7, i64::MAX].map(Value::Int);
        let more = [Value::Decimal(-5, 1), Value::Decimal(i128::from(i64::MAX) * 100 + 1, 2)];
        agrees(DataType::BigInt, "bigint", &ints, &more);
        let decimals = [-99_999, -1, 0, 1, 1050, 99_999].map(|v| Value::Decimal(v, 2));
        agrees(DataType::Decimal(9, 2), "decimal(9,2)", &decimals, &[Value::Decimal(105_001, 4), Value::Int(0)]);
        let doubles = [f64::MIN, -1.5, 0.0, f64::MIN_POSITIVE, 0.1, f64::MAX].map(Value::Double);
        let more = [f64::NEG_INFINITY, 0.1 + f64::EPSILON, f64::INFINITY].map(Value::Double);
        agrees(DataType::Double, "double", &doubles, &more);
        agrees(DataType::Bool, "tinyint(1)", &[Value::Bool(false), Value::Bool(true)], &[]);
        let written =
            ["", " ", "A", "B", "a", "a ", "a\0", "a\u{1}", "ab", "it's", "z", "\u{e4}", "\u{ffff}", "\u{1d11e}"];
        let more = texts(&["a\0b", "\0", "\\", "\u{fffe}"]);
        for collation in [exact, "utf8mb4_general_ci", "utf8mb4_bin"] {
            for kind in ["longtext", "varchar(20)"] {
                let declared = format!("{kind} CHARACTER SET utf8mb4 COLLATE {collation}");
                agrees(DataType::Text, &declared, &texts(&written), &more);
            }
        }
        agrees(DataType::Text, "varchar(20) CHARACTER SET latin1", &texts(&["a", "z", "\u{e4}", "\u{fc}"]), &more);
        let bytes = [&[][..], &[0], &[0, 0], &[1], &[127], &[128], &[255, 0]].map(|bytes| Value::Bytes(bytes.to_vec()));
        agrees(DataType::Bytes, "longblob", &bytes, &[]);
    }

    #[test]
    fn so_it_does_with_days_and_moments() {
        let (first, last) = codec::HOLDS.days.clone().into_inner();
        let days = [first, first + 1, -1, 0, 19_723, last].map(Value::Date);
        agrees(DataType::Date, "date", &days, &[i32::MIN, i32::MAX].map(Value::Date));
        let times = [0, 1000, 3_600_000_000_000, 86_399_999_999_000].map(Value::Time);
        agrees(DataType::Time, "time(6)", &times, &[1, 999, 86_399_999_999_999].map(Value::Time));
        let more = [i128::MIN / 4, -999, 1, 1001, i128::from(i64::MAX) * 1000, i128::MAX / 4];
        let nanos = |held: &RangeInclusive<i64>, micros: &[i64]| -> Vec<i128> {
            let all = [*held.start()].into_iter().chain(micros.iter().copied()).chain([*held.end()]);
            all.map(|micros| i128::from(micros) * 1000).collect()
        };
        let zoneless = DataType::Timestamp { nanos: false };
        let local: Vec<Value> =
            nanos(&codec::HOLDS.micros, &[-1, 0, 1, 1_704_067_200_000_000]).into_iter().map(Value::Timestamp).collect();
        agrees(zoneless, "datetime(6)", &local, &more.map(Value::Timestamp));
        agrees(zoneless, "datetime(6)", &local, &[Value::Date(0), Value::Date(i32::MAX), Value::Date(i32::MIN)]);
        let zoned = DataType::TimestampTz { nanos: false };
        let moments: Vec<Value> =
            nanos(&codec::HOLDS.instants, &[1_704_067_200_000_000]).into_iter().map(Value::TimestampTz).collect();
        agrees(zoned, "timestamp(6)", &moments, &more.map(Value::TimestampTz));
    }

    #[test]
    fn a_date_of_zeros_is_in_no_interval() {
        let db = connect();
        db.execute("SET SESSION sql_mode = ''").unwrap();
        db.execute("CREATE TEMPORARY TABLE t (v date)").unwrap();
        db.execute("INSERT INTO t VALUES ('0000-00-00'), ('2024-01-01')").unwrap();
        let name = Name { database: db.server.database.clone(), table: "t".into() };
        let table = ddl::table(&db, &name).unwrap().unwrap();
        let interval = Interval::new(Value::Date(i32::MIN), Value::Date(i32::MAX)).unwrap();
        let condition = lies_in(&db, table.find("v").unwrap(), &interval).unwrap();
        let row = db.query_one(&format!("SELECT COUNT(*) FROM t WHERE {condition}")).unwrap();
        assert_eq!(row.number(0), Some(1), "{condition}");
    }
}
