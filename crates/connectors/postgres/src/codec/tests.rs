//! The encoder against the server: what it sends is what the server understands, and what comes back is what was sent.

use super::{HOLDS, declared};
use crate::{PostgresDestination, link::Db, tuples};
use arrow::array::{Array, ArrayRef, RecordBatch};
use floodmark_core::{Code, DataType, Schema, Value, url::ConnectionUrl};
use floodmark_merge::cell::{self, Cells, decode, encode};
use proptest::{prelude::*, test_runner::Config};

/// A connection to the tests' server.
pub(crate) fn server() -> Db {
    let url = std::env::var("FLOODMARK_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("FLOODMARK_TEST_POSTGRES is not set: `cargo xtask services up` starts a PostgreSQL and says what to set")
    });
    PostgresDestination::new(&ConnectionUrl::parse(&url).unwrap()).unwrap().connect().unwrap()
}

/// Sends the values as a column of Arrow, and returns what the server says they are, and what it sends back.
pub(crate) fn through(db: &Db, data_type: DataType, values: &[Value]) -> (Vec<Option<String>>, Vec<Value>) {
    let arrays: Vec<ArrayRef> =
        values.iter().map(|v| arrow::array::Datum::get(&v.to_scalar(data_type).unwrap()).0.slice(0, 1)).collect();
    let arrays: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
    let column = arrow::compute::concat(&arrays).unwrap();
    let schema = Schema::new([("v", data_type)]).to_arrow();
    let batch = RecordBatch::try_new(schema, vec![column]).unwrap();
    let cells = cell::columns(&batch, &[data_type], &HOLDS).unwrap();
    let declared = declared(data_type);
    db.execute_batch(&format!("DROP TABLE IF EXISTS pg_temp.t; CREATE TEMPORARY TABLE t (n bigint, v {declared})"))
        .unwrap();
    let sent = db.copy_in("COPY pg_temp.t FROM STDIN (FORMAT binary)", |writer| {
        for row in 0..values.len() {
            let out = writer.row(2)?;
            tuples::put(out, Some(&(row as i64).to_be_bytes()));
            cells[0].put(row, out)?;
        }
        Ok(())
    });
    assert_eq!(sent.unwrap(), values.len() as u64);
    let text = if data_type == DataType::Bytes { "encode(v, 'hex')" } else { "v::text" };
    let rows = db.query(&format!("SELECT {text} FROM pg_temp.t ORDER BY n"), &[]).unwrap();
    let mut back = Vec::new();
    db.copy_out("COPY (SELECT v FROM pg_temp.t ORDER BY n) TO STDOUT (FORMAT binary)", |row| {
        back.push(decode(row.cell(0), data_type).unwrap());
        let mut encoded = Vec::new();
        encode(back.last().unwrap(), data_type, &mut encoded).unwrap();
        let mut stored = Vec::new();
        tuples::put(&mut stored, row.cell(0));
        assert_eq!(encoded, stored, "{:?}", back.last());
        Ok(())
    })
    .unwrap();
    (rows.iter().map(|r| r.get(0)).collect(), back)
}

fn check(db: &Db, data_type: DataType, values: &[Value], same: impl Fn(&Value, &str) -> bool) {
    let (said, back) = through(db, data_type, values);
    assert_eq!(back, values);
    for (value, said) in values.iter().zip(said) {
        match said {
            None => assert_eq!(*value, Value::Null),
            Some(said) => assert!(same(value, &said), "{value:?} is {said:?} to the server"),
        }
    }
}

fn text(value: &Value, said: &str) -> bool {
    value.to_string() == said
}

/// Values with NULLs among them.
fn some<S: Strategy<Value = Value> + 'static>(values: S) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(prop_oneof![9 => values, 1 => Just(Value::Null)], 1..60)
}

fn property(data_type: DataType, values: impl Strategy<Value = Value> + 'static, same: impl Fn(&Value, &str) -> bool) {
    let db = server();
    let config = Config { cases: 25, failure_persistence: None, ..Config::default() };
    let run = |values: Vec<Value>| {
        check(&db, data_type, &values, &same);
        Ok(())
    };
    proptest::test_runner::TestRunner::new(config).run(&some(values), run).unwrap();
}

#[test]
fn booleans_and_integers() {
    property(DataType::Bool, any::<bool>().prop_map(Value::Bool), text);
    property(DataType::BigInt, any::<i64>().prop_map(Value::Int), text);
}

#[test]
fn decimals_of_every_scale() {
    for (precision, scale) in [(38, 0), (38, 1), (38, 4), (38, 19), (38, 37), (38, 38), (1, 1), (18, 2), (19, 3)] {
        let most = 10i128.pow(u32::from(precision)) - 1;
        let values = prop_oneof![-most..=most, -10_000i128..10_000, Just(0), Just(most), Just(-most)];
        let within = values.prop_map(move |v| Value::Decimal(v.clamp(-most, most), scale));
        property(DataType::Decimal(precision, scale), within, text);
    }
}

#[test]
fn doubles_to_the_last_bit() {
    let values = prop_oneof![
        any::<f64>().prop_filter("one NaN", |v| !v.is_nan()),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MIN_POSITIVE),
        Just(5e-324)
    ];
    let values = values.prop_map(|v| Value::Double(v + 0.0));
    property(DataType::Double, values, |value, said| match value {
        Value::Double(v) => said.parse::<f64>() == Ok(*v),
        _ => false,
    });
    let (said, back) = through(&server(), DataType::Double, &[Value::Double(-f64::NAN), Value::Double(-0.0)]);
    assert_eq!(said, [Some("NaN".to_owned()), Some("0".to_owned())]);
    assert!(matches!(back[..], [Value::Double(nan), Value::Double(zero)] if nan.is_nan() && zero.is_sign_positive()));
}

#[test]
fn text_json_and_bytes() {
    let any_text = any::<String>().prop_map(|s| Value::Text(s.replace('\0', "")));
    property(DataType::Text, any_text, text);
    let json = any::<(i64, String)>().prop_map(|(n, s)| {
        Value::Text(format!("{{\"b\" : {n}, \"a\":{}}}", serde_json::Value::from(s.replace('\0', ""))))
    });
    property(DataType::Json, json, text);
    property(DataType::Bytes, any::<Vec<u8>>().prop_map(Value::Bytes), text);
}

/// The server writes years past 9999 and before Christ in words of its own.
fn plain(value: &Value, said: &str) -> bool {
    let (value, said) = (value.to_string(), said.to_owned());
    let plain = |t: &str| t.len() > 4 && t.as_bytes()[4] == b'-' && !t.starts_with('0') && !t.ends_with("BC");
    !plain(&value) || value.strip_suffix(":00").filter(|v| v.contains('+')).unwrap_or(&value) == said
}

#[test]
fn days_and_moments() {
    property(DataType::Date, (-2_400_000i32..2_000_000).prop_map(Value::Date), plain);
    property(DataType::Time, (0i64..86_400_000_000).prop_map(|v| Value::Time(v * 1000)), text);
    let near = -62_000_000_000_000_000i64..250_000_000_000_000_000;
    let far = -210_000_000_000_000_000i64..9_000_000_000_000_000_000;
    for nanos in [false, true] {
        let micros = if nanos {
            (-9_000_000_000_000_000i64..9_000_000_000_000_000).boxed()
        } else {
            prop_oneof![near.clone(), far.clone()].boxed()
        };
        let zoneless = micros.clone().prop_map(|v| Value::Timestamp(i128::from(v) * 1000));
        property(DataType::Timestamp { nanos }, zoneless, plain);
        let instants = micros.prop_map(|v| Value::TimestampTz(i128::from(v) * 1000));
        property(DataType::TimestampTz { nanos }, instants, plain);
    }
}

#[test]
fn what_the_server_cannot_hold_is_refused_by_column_and_value() {
    for (data_type, value) in [
        (DataType::Text, Value::Text("a\0b".into())),
        (DataType::Date, Value::Date(i32::MIN)),
        (DataType::Timestamp { nanos: false }, Value::Timestamp(i128::from(i64::MIN) * 1000)),
        (DataType::Timestamp { nanos: true }, Value::Timestamp(1)),
        (DataType::Time, Value::Time(1)),
    ] {
        let scalar = value.to_scalar(data_type).unwrap();
        let (array, _) = arrow::array::Datum::get(&scalar);
        let error =
            Cells::new("v", &array.slice(0, 1), data_type, &HOLDS).unwrap().put(0, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), Code::Unstorable);
        assert_eq!(error.place().and_then(|p| p.column.as_deref()), Some("v"));
    }
}
