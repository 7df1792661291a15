//! How Floodmark's values live in DuckDB. Their bytes, on the way, are those of [`floodmark_merge::cell`].

use crate::{failure::to, link::Db};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType as ArrowType, Date32Type, Decimal128Type, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
        TimestampNanosecondType,
    },
};
use floodmark_core::{DataType, Error, Result};
pub(crate) use floodmark_merge::cell::shown;
use floodmark_merge::cell::{Cells, Holds};
use serde::de::IgnoredAny;

/// What DuckDB takes: its own infinities are the last day and moment at either end. Cells count from another epoch, so that the
/// first days and moments of all are not reached.
pub(crate) static HOLDS: Holds = Holds {
    server: "DuckDB",
    zero_character: true,
    nan: true,
    days: -2_147_472_000..=2_147_483_646,
    micros: -9_222_425_000_000_000_000..=9_223_372_036_854_775_806,
    instants: -9_222_425_000_000_000_000..=9_223_372_036_854_775_806,
};

/// The type a column is made with. It keeps every value exactly.
pub fn declared(data_type: DataType) -> String {
    match data_type {
        DataType::Bool => "BOOLEAN".into(),
        DataType::BigInt => "BIGINT".into(),
        DataType::Decimal(p, s) => format!("DECIMAL({p},{s})"),
        DataType::Double => "DOUBLE".into(),
        DataType::Text => "VARCHAR".into(),
        DataType::Bytes => "BLOB".into(),
        DataType::Date => "DATE".into(),
        DataType::Time => "TIME".into(),
        // Nanoseconds are taken where they are whole microseconds, and refused where not: none is lost. DuckDB's own type for
        // them holds no more than 584 years.
        DataType::Timestamp { .. } => "TIMESTAMP".into(),
        DataType::TimestampTz { .. } => "TIMESTAMP WITH TIME ZONE".into(),
        DataType::Json => "JSON".into(),
    }
}

/// The type in which a value waits in a temporary table.
pub(crate) fn staged(data_type: DataType) -> String {
    match data_type {
        // Its very text, which is looked at when it goes into the table.
        DataType::Json => "VARCHAR".into(),
        other => declared(other),
    }
}

/// Refuses what cannot be held, of rows that are sent as they are: DuckDB would cut it, or end the load without saying where
/// it stands. What is JSON is asked of DuckDB where we would not take it for that.
pub(crate) fn refuse(db: &Db, rows: &RecordBatch, types: &[DataType]) -> Result<()> {
    let fields = rows.schema_ref().fields();
    for ((field, array), data_type) in fields.iter().zip(rows.columns()).zip(types) {
        let first = |wrong: &dyn Fn(usize) -> bool| (0..array.len()).find(|row| array.is_valid(*row) && wrong(*row));
        let wrong = match data_type {
            DataType::Date => {
                let days = array.as_primitive::<Date32Type>();
                first(&|row| !HOLDS.days.contains(&days.value(row)))
            }
            DataType::Time => {
                let times = array.as_primitive::<Time64NanosecondType>();
                first(&|row| times.value(row) % 1000 != 0)
            }
            DataType::Timestamp { nanos: true } | DataType::TimestampTz { nanos: true } => {
                let moments = array.as_primitive::<TimestampNanosecondType>();
                first(&|row| moments.value(row) % 1000 != 0)
            }
            DataType::Timestamp { .. } | DataType::TimestampTz { .. } => {
                let moments = array.as_primitive::<TimestampMicrosecondType>();
                first(&|row| !HOLDS.micros.contains(&moments.value(row)))
            }
            DataType::Decimal(precision, _) => {
                let (numbers, end) = (array.as_primitive::<Decimal128Type>(), 10u128.pow(u32::from(*precision)));
                first(&|row| numbers.value(row).unsigned_abs() >= end)
            }
            DataType::Json => {
                let texts = array.as_string::<i32>();
                let strange = |row: &usize| serde_json::from_str::<IgnoredAny>(texts.value(*row)).is_err();
                let strange = (0..array.len()).filter(|row| array.is_valid(*row)).filter(strange);
                let mut wrong = None;
                for row in strange {
                    if !is_json(db, texts.value(row))? {
                        wrong = Some(row);
                        break;
                    }
                }
                wrong
            }
            _ => None,
        };
        let Some(row) = wrong else { continue };
        let cells = Cells::new(field.name(), array, *data_type, &HOLDS)?;
        // Of moments it says itself what they are.
        cells.put(row, &mut Vec::new())?;
        let what = match data_type {
            DataType::Json => "a text that is no JSON",
            _ => "a number of more digits",
        };
        return Err(cells.refused(what, cells.value(row).to_string()));
    }
    Ok(())
}

fn is_json(db: &Db, text: &str) -> Result<bool> {
    db.aside("SELECT json_valid($1)", &[&text]).and_then(|row| row.try_get(0)).map_err(to("look at a JSON value"))
}

/// The type that a value is cast to before it is read.
pub(crate) fn read_type(data_type: DataType) -> String {
    match data_type {
        DataType::Timestamp { nanos: true } => "TIMESTAMP_NS".into(),
        DataType::Json => "VARCHAR".into(),
        other => declared(other),
    }
}

/// Our type for one that DuckDB writes so, and how it lives there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) data_type: DataType,
    pub(crate) way: Way,
}

/// How a column's values get in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As they are.
    Ours,
    /// By a cast to ours, which loses nothing; and one back, which fails where the column is too narrow.
    Cast,
    /// By a cast to text; and one back, after which a value may be written in another way.
    Foreign,
    /// A cast into it would round or cut without a word.
    Lossy,
}

/// Our type for a declared one.
pub(crate) fn read_as(declared: &str) -> Read {
    let of = |data_type, way| Read { data_type, way };
    match declared {
        "BOOLEAN" => of(DataType::Bool, Way::Ours),
        "BIGINT" => of(DataType::BigInt, Way::Ours),
        "TINYINT" | "SMALLINT" | "INTEGER" | "UTINYINT" | "USMALLINT" | "UINTEGER" => of(DataType::BigInt, Way::Cast),
        "UBIGINT" => of(DataType::Decimal(20, 0), Way::Cast),
        // 39 digits do not fit: a cast fails there, and says so.
        "HUGEINT" | "UHUGEINT" => of(DataType::Decimal(38, 0), Way::Cast),
        "DOUBLE" => of(DataType::Double, Way::Ours),
        "FLOAT" => of(DataType::Double, Way::Lossy),
        "VARCHAR" => of(DataType::Text, Way::Ours),
        "JSON" => of(DataType::Json, Way::Ours),
        "BLOB" => of(DataType::Bytes, Way::Ours),
        "DATE" => of(DataType::Date, Way::Ours),
        "TIME" => of(DataType::Time, Way::Ours),
        "TIMESTAMP" => of(DataType::Timestamp { nanos: false }, Way::Ours),
        "TIMESTAMP_S" | "TIMESTAMP_MS" => of(DataType::Timestamp { nanos: false }, Way::Lossy),
        "TIMESTAMP_NS" => of(DataType::Timestamp { nanos: true }, Way::Lossy),
        "TIMESTAMP WITH TIME ZONE" => of(DataType::TimestampTz { nanos: false }, Way::Ours),
        other => match decimal(other) {
            Some(data_type) => of(data_type, Way::Ours),
            None => of(DataType::Text, Way::Foreign),
        },
    }
}

fn decimal(declared: &str) -> Option<DataType> {
    let (precision, scale) = declared.strip_prefix("DECIMAL(")?.strip_suffix(')')?.split_once(',')?;
    Some(DataType::Decimal(precision.parse().ok()?, scale.parse().ok()?))
}

/// Our type for what a batch that was read holds.
pub(crate) fn of_arrow(of: &ArrowType) -> Result<DataType> {
    Ok(match of {
        ArrowType::Boolean => DataType::Bool,
        ArrowType::Int64 => DataType::BigInt,
        ArrowType::Decimal128(p, s) => DataType::Decimal(*p, s.unsigned_abs()),
        ArrowType::Float64 => DataType::Double,
        ArrowType::Utf8 => DataType::Text,
        ArrowType::Binary => DataType::Bytes,
        ArrowType::Date32 => DataType::Date,
        ArrowType::Time64(_) => DataType::Time,
        ArrowType::Timestamp(unit, zone) => {
            let nanos = *unit == TimeUnit::Nanosecond;
            if zone.is_some() { DataType::TimestampTz { nanos } } else { DataType::Timestamp { nanos } }
        }
        other => return Err(Error::internal(format!("no column is read as {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ddl::{self, Name},
        instance::Instance,
        link::{Db, Into},
        types,
    };
    use arrow::{
        array::{ArrayRef, Decimal128Array, StringArray, TimestampNanosecondArray},
        datatypes::{Field, Schema},
    };
    use floodmark_core::Value;
    use floodmark_merge::cell;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn database() -> Db {
        Db::connect(&Instance::in_memory(&[]).unwrap()).unwrap()
    }

    /// The values as they come back from a column of the type.
    fn through(db: &Db, data_type: DataType, values: &[Value]) -> Vec<Value> {
        db.execute_batch(&format!("CREATE OR REPLACE TABLE t (n BIGINT, v {})", declared(data_type))).unwrap();
        let into = Into::Table { catalog: "memory", schema: "main", table: "t" };
        let columns = [("n", DataType::BigInt), ("v", data_type)];
        let sent = db.copy_in(&into, &columns, |writer| {
            for (n, value) in values.iter().enumerate() {
                let out = writer.row(2)?;
                cell::put(out, Some(&(n as i64).to_be_bytes()));
                cell::encode(value, data_type, out).unwrap();
            }
            Ok(())
        });
        assert_eq!(sent.unwrap(), values.len() as u64);
        let table = ddl::table(db, &Name::resolve(db, "t").unwrap()).unwrap().unwrap();
        let mut out = Vec::new();
        db.copy_out(&format!("SELECT {} FROM t ORDER BY n", table.get("v").unwrap().read("")), |row| {
            out.push(shown(row.cell(0), data_type));
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn values_come_back_as_they_went() {
        let db = database();
        let texts = ["", " ", "it's", "a\0b", "\u{1d11e}", "twelve bytes", "more than twelve bytes", "\\x00"];
        let cases: [(DataType, Vec<Value>); 9] = [
            (DataType::Bool, vec![Value::Bool(true), Value::Null, Value::Bool(false)]),
            (DataType::BigInt, [i64::MIN, -1, 0, i64::MAX].map(Value::Int).to_vec()),
            (DataType::Text, texts.map(|text| Value::Text(text.into())).to_vec()),
            (DataType::Json, vec![Value::Text("{\"b\": 1,  \"a\": [1.50]}".into()), Value::Null]),
            (DataType::Bytes, vec![Value::Bytes(vec![]), Value::Bytes((0..=255).collect()), Value::Null]),
            (DataType::Date, [*HOLDS.days.start(), -1, 0, *HOLDS.days.end()].map(Value::Date).to_vec()),
            (DataType::Time, [0, 1000, 86_399_999_999_000].map(Value::Time).to_vec()),
            (
                DataType::TimestampTz { nanos: false },
                [*HOLDS.instants.start(), -1, 0, *HOLDS.instants.end()]
                    .map(|v| Value::TimestampTz(i128::from(v) * 1000))
                    .to_vec(),
            ),
            (DataType::Double, [f64::MIN, -0.1, 0.0, 5e-324, f64::INFINITY].map(Value::Double).to_vec()),
        ];
        for (data_type, values) in cases {
            assert_eq!(through(&db, data_type, &values), values, "{data_type}");
        }
        let most = 10i128.pow(38) - 1;
        for (precision, scale) in [(4, 2), (9, 0), (18, 18), (38, 0), (38, 38)] {
            let most = if precision == 38 { most } else { 10i128.pow(u32::from(precision)) - 1 };
            let values = [most, -most, 0, 1].map(|v| Value::Decimal(v, scale));
            assert_eq!(through(&db, DataType::Decimal(precision, scale), &values), values, "{precision}, {scale}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn texts_and_numbers_come_back(texts in prop::collection::vec(any::<Option<String>>(), 1..40), numbers in prop::collection::vec(any::<f64>(), 1..40)) {
            let db = database();
            let texts: Vec<Value> = texts.into_iter().map(|text| text.map_or(Value::Null, Value::Text)).collect();
            prop_assert_eq!(through(&db, DataType::Text, &texts), texts);
            let numbers: Vec<Value> = numbers.into_iter().map(|v| Value::Double(if v.is_nan() { f64::NAN } else { v + 0.0 })).collect();
            let back = through(&db, DataType::Double, &numbers);
            let bits = |values: &[Value]| values.iter().map(|v| if let Value::Double(v) = v { v.to_bits() } else { 1 }).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&numbers));
        }
    }

    /// DuckDB would cut the number to what fits, and end the load at a text that is no JSON without saying where it stands.
    #[test]
    fn what_a_column_cannot_hold_is_told_with_its_value() {
        let db = database();
        let told = |array: ArrayRef, data_type: DataType| {
            let field = Field::new("c", array.data_type().clone(), true);
            let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
            refuse(&db, &rows, &[data_type]).map_err(|error| {
                let place = error.place().cloned().unwrap();
                (error.code(), place.column.unwrap(), place.value.unwrap())
            })
        };
        let refused = |value: &str| Err((floodmark_core::Code::Unstorable, "c".to_owned(), value.to_owned()));
        let number = |digits: Vec<i128>| -> ArrayRef {
            Arc::new(Decimal128Array::from(digits).with_data_type(ArrowType::Decimal128(4, 1)))
        };
        assert_eq!(told(number(vec![9999, -9999]), DataType::Decimal(4, 1)), Ok(()));
        assert_eq!(told(number(vec![0, 70_000]), DataType::Decimal(4, 1)), refused("7000.0"));
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        let texts = |texts: &[&str]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        // Some of it is JSON to DuckDB alone.
        assert_eq!(told(texts(&["{}", "[NaN]", deep.as_str()]), DataType::Json), Ok(()));
        assert_eq!(told(texts(&["{}", "[1, 2"]), DataType::Json), refused("[1, 2"));
        let moment = DataType::Timestamp { nanos: true };
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(1000), None, Some(1001)]));
        assert_eq!(told(nanos, moment), refused("1970-01-01 00:00:00.000001001"));
    }

    #[test]
    fn types_are_read_as_the_page_says() {
        let db = database();
        for (written, ours) in types::READ {
            db.execute_batch(&format!("CREATE OR REPLACE TABLE t (v {written})")).unwrap();
            let table = ddl::table(&db, &Name::resolve(&db, "t").unwrap()).unwrap().unwrap();
            assert_eq!(table.get("v").unwrap().data_type, *ours, "{written}");
            db.copy_out(&format!("SELECT {} FROM t", table.get("v").unwrap().read("")), |_| Ok(())).unwrap();
        }
    }
}
