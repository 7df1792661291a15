//! The decoder against the encoder, and against what the server writes.

use super::*;
use crate::{
    codec::tests::server,
    source::block::Rows,
    tuples::{SIGNATURE, put},
};
use arrow::array::Array;
use floodmark_core::Value;
use proptest::prelude::*;
use std::io::Cursor;

/// A block of one column whose cells `write` puts.
fn block(rows: usize, mut write: impl FnMut(usize, &mut Vec<u8>)) -> Block {
    let mut stream = SIGNATURE.to_vec();
    for row in 0..rows {
        stream.extend_from_slice(&1i16.to_be_bytes());
        write(row, &mut stream);
    }
    stream.extend_from_slice(&(-1i16).to_be_bytes());
    Rows::new(Cursor::new(stream), &mut Block::new(1)).next().unwrap().unwrap().clone()
}

fn encoded(values: &[Value], data_type: DataType) -> Block {
    block(values.len(), |row, out| floodmark_merge::cell::encode(&values[row], data_type, out).unwrap())
}

/// What the column becomes: its values, and the rows that do not fit.
fn decoded(block: &Block, kind: Kind, data_type: DataType) -> (Vec<Value>, Vec<usize>) {
    let mut lost = Vec::new();
    let array = column(block, 0, &Wanted { name: "v".into(), kind, data_type }, &mut lost).unwrap();
    assert_eq!(*array.data_type(), data_type.to_arrow());
    ((0..array.len()).map(|row| Value::from_array(&array, row, data_type).unwrap()).collect(), lost)
}

fn some(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(prop_oneof![9 => values, 1 => Just(Value::Null)], 1..60)
}

fn micros() -> impl Strategy<Value = i128> {
    prop_oneof![
        -62_000_000_000_000_000i64..250_000_000_000_000_000,
        -210_000_000_000_000_000i64..9_000_000_000_000_000_000
    ]
    .prop_map(|micros| i128::from(micros) * 1000)
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(
        flags in some(any::<bool>().prop_map(Value::Bool)),
        numbers in some(any::<i64>().prop_map(Value::Int)),
        doubles in some(any::<f64>().prop_filter("one NaN", |v| !v.is_nan()).prop_map(|v| Value::Double(v + 0.0))),
        texts in some(any::<String>().prop_map(Value::Text)),
        bytes in some(any::<Vec<u8>>().prop_map(Value::Bytes)),
        days in some((-2_400_000i32..2_145_000_000).prop_map(Value::Date)),
        times in some((0i64..86_400_000_000).prop_map(|v| Value::Time(v * 1000))),
        moments in some(micros().prop_map(Value::Timestamp)),
        instants in some(micros().prop_map(Value::TimestampTz)),
    ) {
        for (values, kind, data_type) in [
            (flags, Kind::Bool, DataType::Bool),
            (numbers, Kind::Int8, DataType::BigInt),
            (doubles, Kind::Float8, DataType::Double),
            (texts.clone(), Kind::Text, DataType::Text),
            (texts, Kind::Json, DataType::Json),
            (bytes, Kind::Bytes, DataType::Bytes),
            (days, Kind::Date, DataType::Date),
            (times, Kind::Time, DataType::Time),
            (moments, Kind::Timestamp, DataType::Timestamp { nanos: false }),
            (instants, Kind::TimestampTz, DataType::TimestampTz { nanos: false }),
        ] {
            prop_assert_eq!(decoded(&encoded(&values, data_type), kind, data_type), (values, vec![]));
        }
    }

    #[test]
    fn decimals_come_back_in_every_scale_that_holds_them(
        digits in some(any::<i64>().prop_map(|v| Value::Decimal(v.into(), 0))),
        scale in 0u8..=18,
        more in 0u8..=1,
    ) {
        let scaled = |v: &Value| match v {
            Value::Decimal(v, _) => Value::Decimal(*v, scale),
            other => other.clone(),
        };
        let values: Vec<Value> = digits.iter().map(scaled).collect();
        let block = encoded(&values, DataType::Decimal(38, scale));
        let wider = |v: &Value| match v {
            Value::Decimal(v, s) => Value::Decimal(v * 10i128.pow(u32::from(more)), s + more),
            other => other.clone(),
        };
        let expected: Vec<Value> = values.iter().map(wider).collect();
        prop_assert_eq!(decoded(&block, Kind::Numeric, DataType::Decimal(38, scale + more)), (expected, vec![]));
        // With one digit less after the point, those fit that end in a zero.
        if scale > 0 {
            let (back, lost) = decoded(&block, Kind::Numeric, DataType::Decimal(38, scale - 1));
            for (row, value) in values.iter().enumerate() {
                match value {
                    Value::Decimal(v, s) if v % 10 == 0 => prop_assert_eq!(&back[row], &Value::Decimal(v / 10, s - 1)),
                    Value::Decimal(..) => prop_assert!(lost.contains(&row)),
                    _ => prop_assert!(back[row].is_null() && !lost.contains(&row)),
                }
            }
        }
    }

    #[test]
    fn whole_numbers_become_decimals(values in prop::collection::vec(any::<i32>(), 1..40), scale in 0u8..=9) {
        let block = block(values.len(), |row, out| put(out, Some(&values[row].to_be_bytes())));
        let expected = values.iter().map(|v| Value::Decimal(i128::from(*v) * 10i128.pow(scale.into()), scale)).collect();
        prop_assert_eq!(decoded(&block, Kind::Int4, DataType::Decimal(38, scale)), (expected, vec![]));
        let small = |v: &i32| v.unsigned_abs() < 1000;
        let (_, lost) = decoded(&block, Kind::Int4, DataType::Decimal(3, 0));
        let large: Vec<usize> = (0..values.len()).filter(|row| !small(&values[*row])).collect();
        prop_assert_eq!(lost, large);
    }
}

/// One cell as `send` makes it of the SQL expression, with what the server writes for it.
fn sent(expressions: &[String]) -> Vec<(Vec<u8>, String)> {
    let db = server();
    expressions
        .iter()
        .map(|expression| {
            let text: String = db.query_one(&format!("SELECT ({expression})::text"), &[]).unwrap().get(0);
            let mut bytes = Vec::new();
            db.copy_out(&format!("COPY (SELECT {expression}) TO STDOUT (FORMAT binary)"), |row| {
                bytes = row.cell(0).unwrap().to_vec();
                Ok(())
            })
            .unwrap();
            (bytes, text)
        })
        .collect()
}

#[test]
fn numbers_of_any_size_are_shown_as_the_server_writes_them() {
    let mut written: Vec<String> = ["0", "0.000", "-0.0001", "10000", "100000000", "NaN", "Infinity", "-Infinity"]
        .into_iter()
        .chain(["0.00001234", "1e400", "-123456789012345678901234567890.123456789012345678901234567890", "9999.9999"])
        .map(|n| format!("'{n}'::numeric"))
        .collect();
    for digits in 1..30 {
        written.push(format!("('{}7' || '.' || '{}3')::numeric", "10203".repeat(digits), "00405".repeat(digits % 7)));
        written.push(format!("10::numeric ^ {digits}"));
        written.push(format!("10::numeric ^ -{digits}"));
    }
    for (bytes, text) in sent(&written) {
        assert_eq!(shown(Kind::Numeric, &bytes), text);
        // What is no finite number, or has more digits than there is room for, does not fit; all else is the same number.
        let fits = Value::parse(&text, DataType::Decimal(38, 9));
        let one = block(1, |_, out| put(out, Some(&bytes)));
        let (back, lost) = decoded(&one, Kind::Numeric, DataType::Decimal(38, 9));
        match fits {
            Some(value) => assert_eq!((&back[0], lost.len()), (&value, 0), "{text}"),
            None => assert_eq!(lost, [0], "{text}"),
        }
    }
}

#[test]
fn other_values_are_shown_as_the_server_writes_them() {
    for (kind, expression) in [
        (Kind::Bool, "true"),
        (Kind::Int2, "'-7'::int2"),
        (Kind::Oid, "4000000000::oid"),
        (Kind::Float4, "'0.1'::float4"),
        (Kind::Float8, "'-1.5'::float8"),
        (Kind::Uuid, "'6f1b3c1e-0000-4000-8000-00000000000f'::uuid"),
        (Kind::Date, "'infinity'::date"),
        (Kind::Date, "'2024-02-29'::date"),
        (Kind::Time, "'24:00:00'::time"),
        (Kind::Timestamp, "'-infinity'::timestamp"),
        (Kind::Timestamp, "'2024-02-29 01:02:03.4'::timestamp"),
        (Kind::Bytes, r"'\x00ff'::bytea"),
        (Kind::Jsonb, r#"'{"a": [1]}'::jsonb"#),
    ] {
        let (bytes, text) = sent(&[expression.to_owned()]).remove(0);
        assert_eq!(shown(kind, &bytes), text, "{expression}");
    }
}

#[test]
fn what_lies_beside_the_axis_does_not_fit() {
    for (kind, data_type, expression) in [
        (Kind::Date, DataType::Date, "'infinity'::date"),
        (Kind::Date, DataType::Timestamp { nanos: false }, "'-infinity'::date"),
        (Kind::Timestamp, DataType::Timestamp { nanos: false }, "'infinity'::timestamp"),
        (Kind::Timestamp, DataType::Timestamp { nanos: true }, "'3000-01-01'::timestamp"),
        (Kind::Timestamp, DataType::Date, "'2024-01-01 00:00:00.000001'::timestamp"),
        (Kind::TimestampTz, DataType::TimestampTz { nanos: false }, "'-infinity'::timestamptz"),
        (Kind::Time, DataType::Time, "'24:00'::time"),
        (Kind::Numeric, DataType::BigInt, "'1.5'::numeric"),
        (Kind::Numeric, DataType::BigInt, "'9223372036854775808'::numeric"),
        (Kind::Int8, DataType::Decimal(38, 38), "'-9223372036854775808'::int8"),
    ] {
        let (bytes, _) = sent(&[expression.to_owned()]).remove(0);
        let one = block(2, |row, out| put(out, (row == 0).then_some(&bytes)));
        assert_eq!(decoded(&one, kind, data_type), (vec![Value::Null, Value::Null], vec![0]), "{expression}");
    }
}

/// A database without an encoding holds any bytes as text.
#[test]
fn bytes_that_are_no_text_are_told_alone() {
    let cells: [&[u8]; 4] = [b"a", b"\xff\xfe", "\u{e9}".as_bytes(), b"\xc3"];
    let four = block(4, |row, out| put(out, Some(cells[row])));
    let text = |t: &str| Value::Text(t.into());
    assert_eq!(
        decoded(&four, Kind::Text, DataType::Text),
        (vec![text("a"), Value::Null, text("\u{e9}"), Value::Null], vec![1, 3])
    );
}

#[test]
fn texts_are_read_for_types_that_have_another_form() {
    let read = |texts: &[&str], data_type| {
        let cells = block(texts.len(), |row, out| put(out, Some(texts[row].as_bytes())));
        let (values, lost) = decoded(&cells, Kind::Other, data_type);
        (values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), lost)
    };
    assert_eq!(read(&["7", "007", "x"], DataType::BigInt), ("7 NULL NULL".into(), vec![1, 2]));
    assert_eq!(read(&["true", "1"], DataType::Bool), ("true NULL".into(), vec![1]));
    assert_eq!(read(&["1.50", "1.555", "1e2"], DataType::Decimal(5, 2)), ("1.50 NULL NULL".into(), vec![1, 2]));
    assert_eq!(read(&["{\"a\":1}", "{"], DataType::Json), ("{\"a\":1} NULL".into(), vec![1]));
    let tz = DataType::TimestampTz { nanos: false };
    let (values, lost) = read(&["2024-01-01 10:00:00+02", "2024-01-01 10:00:00", "infinity"], tz);
    assert_eq!((values.as_str(), lost), ("2024-01-01 08:00:00+00:00 NULL NULL", vec![1, 2]));
    let (values, lost) = read(&["2024-01-01", "2024-01-01 10:00:00.0000001"], DataType::Timestamp { nanos: false });
    assert_eq!((values.as_str(), lost), ("2024-01-01 00:00:00 NULL", vec![1]));
}
