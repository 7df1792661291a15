//! The part of the table that a chunk holds all rows of, as a condition.

use super::Job;
use crate::{
    codec,
    ddl::{self, Found},
    failure::to,
    link::Db,
};
use floodmark_connect::destination::Within;
use floodmark_core::{DataType, Error, Result, Value, interval::Interval};

/// The condition on `t`.
pub(super) fn condition(job: &Job<'_>) -> Result<String> {
    let within = job.plan.within.as_ref().ok_or_else(|| Error::internal("a load that is of no part of the table"))?;
    let Within { column, interval, .. } = within;
    let found = job.table.get(column).ok_or_else(|| Error::internal(format!("no column {column:?} in the table")))?;
    lies_in(job.db, found, interval)
}

/// The condition that a column of `t` lies in an interval. It compares as our values do, to the last digit and byte; rows
/// without a value there do not meet it.
fn lies_in(db: &Db, found: &Found, interval: &Interval) -> Result<String> {
    let wrong = || Error::internal(format!("{interval} is no part of column {:?}, a {}", found.name, found.data_type));
    let name = format!("t.{}", ddl::quote(&found.name));
    let mut parts = vec![format!("{name} IS NOT NULL")];
    for (end, compared) in [(&interval.from, ">="), (&interval.until, "<")] {
        let (name, end) = match (end, found.data_type) {
            (Value::Text(text), DataType::Text) => comparable(db, &format!("({})", found.read("t.")), text)?,
            (Value::Text(_), _) | (_, DataType::Text | DataType::Json) => return Err(wrong()),
            _ => (name.clone(), literal(end).ok_or_else(wrong)?),
        };
        match end {
            End::At(end) => parts.push(format!("{name} {compared} {end}")),
            // Before all that the server holds, or behind it.
            End::First if compared == ">=" => {}
            End::Last if compared == "<" => {}
            End::First | End::Last => parts.push("false".to_owned()),
        }
    }
    Ok(parts.join(" AND "))
}

/// Where an end lies among what the server holds.
#[derive(Debug, PartialEq, Eq)]
enum End {
    First,
    At(String),
    Last,
}

/// Text and the end of a range of it, to be compared byte by byte as UTF-8.
fn comparable(db: &Db, name: &str, text: &str) -> Result<(String, End)> {
    let utf8: bool = db
        .query_one("SELECT current_setting('server_encoding') = 'UTF8'", &[])
        .and_then(|row| row.try_get(0))
        .map_err(to("read the server's encoding"))?;
    // The server's texts never hold U+0000, which is before all other characters.
    let (text, cut) = text.split_once('\0').map_or((text, false), |(before, _)| (before, true));
    let (mut name, mut end) = match utf8 {
        true => (format!("{name} COLLATE \"C\""), ddl::literal(text)),
        false => (format!("convert_to({name}, 'UTF8')"), bytes(text.as_bytes())),
    };
    if cut {
        // Behind the text itself, and before all that go on from it.
        (name, end) = (format!("({name} > {end})"), "true".to_owned());
    }
    Ok((name, End::At(end)))
}

fn bytes(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("'\\x{digits}'::bytea")
}

/// An end that is no text as the server reads it. Moments are made of a number of days and a time, as not every one of them
/// has a text that the server would read.
fn literal(value: &Value) -> Option<End> {
    let typed = |text: String, of: &str| Some(End::At(format!("{}::{of}", ddl::literal(&text))));
    match value {
        Value::Bool(_) => typed(value.to_string(), "boolean"),
        Value::Int(_) => typed(value.to_string(), "bigint"),
        Value::Decimal(..) => typed(value.to_string(), "numeric"),
        Value::Double(_) => typed(value.to_string(), "double precision"),
        Value::Bytes(value) => Some(End::At(bytes(value))),
        Value::Date(days) => Some(place(*days, &codec::HOLDS.days).unwrap_or_else(|| End::At(day((*days).into())))),
        Value::Time(nanos) => typed(time(micros((*nanos).into())?), "time"),
        Value::Timestamp(nanos) => {
            let micros = micros(*nanos);
            let held =
                micros.map(|micros| place(micros, &codec::HOLDS.micros).unwrap_or_else(|| End::At(moment(micros))));
            Some(held.unwrap_or(if *nanos < 0 { End::First } else { End::Last }))
        }
        Value::TimestampTz(nanos) => {
            let micros = micros(*nanos);
            let held = micros.map(|micros| {
                place(micros, &codec::HOLDS.instants)
                    .unwrap_or_else(|| End::At(format!("({}) AT TIME ZONE 'UTC'", moment(micros))))
            });
            Some(held.unwrap_or(if *nanos < 0 { End::First } else { End::Last }))
        }
        Value::Null | Value::Text(_) => None,
    }
}

/// Where a value lies that the server does not hold.
fn place<T: PartialOrd>(value: T, held: &std::ops::RangeInclusive<T>) -> Option<End> {
    if value < *held.start() {
        Some(End::First)
    } else if value > *held.end() {
        Some(End::Last)
    } else {
        None
    }
}

/// The first whole microsecond that is not before: the server holds no others.
fn micros(nanos: i128) -> Option<i64> {
    i64::try_from(-(-nanos).div_euclid(1000)).ok()
}

fn day(days: i64) -> String {
    format!("('1970-01-01'::date + {days})")
}

fn moment(micros: i64) -> String {
    const DAY: i64 = 86_400_000_000;
    format!("{} + '{}'::time", day(micros.div_euclid(DAY)), time(micros.rem_euclid(DAY)))
}

fn time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::tests::{server, through},
        ddl::Name,
    };

    /// The server finds in every interval what lies in it.
    fn agrees(data_type: DataType, values: &[Value], more: &[Value]) {
        let db = server();
        through(&db, data_type, values);
        let schema = "SELECT nspname::text FROM pg_namespace WHERE oid = pg_my_temp_schema()";
        let schema = db.query_one(schema, &[]).unwrap().get(0);
        let table = ddl::table(&db, &Name { schema, table: "t".into() }).unwrap().unwrap();
        let ends: Vec<&Value> = values.iter().chain(more).collect();
        for (from, until) in ends.iter().flat_map(|from| ends.iter().map(move |until| (*from, *until))) {
            let Some(interval) = Interval::new(from.clone(), until.clone()) else { continue };
            let condition = lies_in(&db, table.get("v").unwrap(), &interval).unwrap();
            let rows = db.query(&format!("SELECT n FROM pg_temp.t WHERE {condition} ORDER BY n"), &[]).unwrap();
            let found: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            let expected = (0..).zip(values).filter(|(_, v)| interval.holds(v)).map(|(n, _)| n).collect::<Vec<i64>>();
            assert_eq!(found, expected, "{interval:?}: {condition}");
        }
    }

    #[test]
    fn the_server_compares_as_we_do() {
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
        let (first, last) = codec::HOLDS.days.clone().into_inner();
        let days = [first, first + 1, -800_000, -1, 0, 19_723, 3_000_000, last].map(Value::Date);
        agrees(DataType::Date, &days, &[i32::MIN, i32::MAX].map(Value::Date));
        let times = [0, 1000, 3_600_000_000_000, 86_399_999_999_000].map(Value::Time);
        agrees(DataType::Time, &times, &[Value::Time(1), Value::Time(999), Value::Time(86_399_999_999_999)]);
        let micros = [
            -210_866_803_200_000_000i64,
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

    #[test]
    fn an_end_is_a_literal_of_its_type() {
        let of = |value: Value| literal(&value);
        let is = |text: &str| Some(End::At(text.to_owned()));
        assert_eq!(of(Value::Int(-5)), is("'-5'::bigint"));
        assert_eq!(of(Value::Decimal(-1050, 2)), is("'-10.50'::numeric"));
        assert_eq!(of(Value::Bytes(vec![0, 255])), is("'\\x00ff'::bytea"));
        assert_eq!(of(Value::Date(-1)), is("('1970-01-01'::date + -1)"));
        assert_eq!(of(Value::Timestamp(-1000)), is("('1970-01-01'::date + -1) + '23:59:59.999999'::time"));
        assert_eq!(
            of(Value::TimestampTz(0)),
            is("(('1970-01-01'::date + 0) + '00:00:00.000000'::time) AT TIME ZONE 'UTC'")
        );
        assert_eq!(of(Value::Text("a".into())), None);
    }

    #[test]
    fn what_the_server_does_not_hold_lies_at_an_end() {
        assert_eq!(literal(&Value::Date(i32::MIN)), Some(End::First));
        assert_eq!(literal(&Value::Date(i32::MAX)), Some(End::Last));
        assert_eq!(literal(&Value::Timestamp(i128::MIN / 2)), Some(End::First));
        assert_eq!(literal(&Value::TimestampTz(i128::MAX / 2)), Some(End::Last));
        // Nothing whole lies between the two.
        assert_eq!(literal(&Value::Timestamp(1)), literal(&Value::Timestamp(1000)));
        assert_eq!(literal(&Value::Time(1)), Some(End::At("'00:00:00.000001'::time".into())));
    }
}
