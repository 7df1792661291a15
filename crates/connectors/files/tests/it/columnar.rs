use crate::support::{files, load, show, spec};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, DurationSecondArray, Float32Array,
        Int32Array, Int32Builder, Int64Array, ListArray, MapBuilder, RecordBatch, StringArray, StringBuilder,
        StructArray, TimestampNanosecondArray, UInt64Array,
    },
    datatypes::{Field, Int8Type, Int32Type},
};
use floodmark_connect::{ReadPlan, Source, Stop};
use floodmark_core::{Code, DataType, Schema};
use floodmark_files::FileSourceReader;
use std::sync::Arc;

fn batch() -> RecordBatch {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let pair = StructArray::from(vec![(
        Arc::new(Field::new("x\"y", arrow::datatypes::DataType::Utf8, true)),
        Arc::new(StringArray::from(vec![Some("q\"\n"), None, Some("")])) as ArrayRef,
    )]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(5);
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    let dictionary: DictionaryArray<Int8Type> = [Some("red"), None, Some("red")].into_iter().collect();
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, false),
        ("small", Arc::new(Int32Array::from(vec![Some(-1), None, Some(7)])), true),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1])), true),
        ("f", Arc::new(Float32Array::from(vec![0.5, 0.25, -1.0])), true),
        ("d", Arc::new(Decimal128Array::from(vec![1230, -1, 0]).with_precision_and_scale(10, 2).unwrap()), true),
        ("t", Arc::new(StringArray::from(vec![Some("a"), None, Some("é")])), true),
        ("bin", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b"", b"x"])), true),
        ("ok", Arc::new(BooleanArray::from(vec![true, false, true])), true),
        ("at", Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_001, 3_000]).with_timezone("+02:00")), true),
        ("color", Arc::new(dictionary), true),
        ("list", Arc::new(list), true),
        ("pair", Arc::new(pair), true),
        ("map", Arc::new(map.finish()), true),
    ])
    .unwrap()
}

fn parquet(batches: &[RecordBatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batches[0].schema(), None).unwrap();
    batches.iter().for_each(|b| writer.write(b).unwrap());
    writer.close().unwrap();
    bytes
}

fn ipc(batches: &[RecordBatch], stream: bool) -> Vec<u8> {
    use arrow::ipc::{CompressionType, writer as w};
    let mut bytes = Vec::new();
    let schema = batches[0].schema();
    if stream {
        let mut writer = w::StreamWriter::try_new(&mut bytes, &schema).unwrap();
        batches.iter().for_each(|b| writer.write(b).unwrap());
        writer.finish().unwrap();
    } else {
        let options = w::IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
        let mut writer = w::FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
        batches.iter().for_each(|b| writer.write(b).unwrap());
        writer.finish().unwrap();
    }
    bytes
}

fn all(batches: &[RecordBatch]) -> [(&'static str, Vec<u8>); 3] {
    [("a.parquet", parquet(batches)), ("a.arrow", ipc(batches, false)), ("a.arrows", ipc(batches, true))]
}

fn source(dir: &tempfile::TempDir, name: &str) -> FileSourceReader {
    FileSourceReader::new(spec(dir.path(), &[name])).unwrap()
}

#[test]
fn every_type_comes_over_exactly() {
    for (name, bytes) in all(&[batch()]) {
        for packed in [bytes.clone(), zstd::encode_all(bytes.as_slice(), 1).unwrap()] {
            let dir = files(&[(name, &packed)]);
            let got = load(&source(&dir, name), &[]).unwrap();
            assert_eq!(
                got.types(),
                [
                    "id bigint",
                    "small bigint",
                    "u decimal(20,0)",
                    "f double",
                    "d decimal(10,2)",
                    "t text",
                    "bin bytes",
                    "ok boolean",
                    "at timestamptz_ns",
                    "color text",
                    "list json",
                    "pair json",
                    "map json"
                ],
                "{name}"
            );
            assert_eq!(
                got.lines(),
                [
                    "1|-1|18446744073709551615|0.5|12.30|a|00ff|true|1970-01-01 00:00:00.000001+00:00|red|[1,null]|{\"x\\\"y\":\"q\\\"\\n\"}|{\"k\":5}",
                    "2|NULL|0|0.25|-0.01|NULL||false|1970-01-01 00:00:00.000002001+00:00|NULL|NULL|{\"x\\\"y\":null}|NULL",
                    "3|7|1|-1.0|0.00|é|78|true|1970-01-01 00:00:00.000003+00:00|red|[]|{\"x\\\"y\":\"\"}|{}",
                ],
                "{name}"
            );
        }
    }
}

#[test]
fn values_finer_than_the_pinned_type_are_bad_rows_with_their_number() {
    for (name, bytes) in all(&[batch(), batch()]) {
        let dir = files(&[(name, &bytes)]);
        let got = load(&source(&dir, name), &[("at", DataType::TimestampTz { nanos: false })]).unwrap();
        assert_eq!(got.rows.len(), 4);
        let rows: Vec<_> = got.bad.iter().map(|b| (b.row, b.error.place().unwrap().row)).collect();
        assert_eq!(rows, [(2, Some(2)), (5, Some(5))], "{name}");
        assert!(got.bad[0].raw.starts_with("{\"id\":2,\"small\":null"), "{}", got.bad[0].raw);
        assert!(got.bad[0].error.place().unwrap().column.as_deref() == Some("at"));
    }
}

#[test]
fn columns_come_in_the_order_of_the_plan_and_rows_can_be_left_out() {
    for (name, bytes) in all(&[batch(), batch()]) {
        let dir = files(&[(name, &bytes)]);
        let source = source(&dir, name);
        let slice = &source.slices(&Stop::default()).unwrap()[0];
        let schema = Schema::new([("t", DataType::Text), ("missing", DataType::Bool), ("id", DataType::Text)]);
        for skip in 0..7 {
            let plan = ReadPlan { schema: schema.clone(), skip_rows: skip, ..ReadPlan::default() };
            let (mut rows, mut next) = (Vec::new(), skip + 1);
            for batch in source.read(slice, &plan, &Stop::default()).unwrap() {
                let batch = batch.unwrap();
                assert_eq!(batch.first_row, next);
                next += batch.covered;
                rows.extend(show(&batch.rows, &schema));
            }
            let expected = [["a", "-", "1"], ["NULL", "-", "2"], ["é", "-", "3"]].repeat(2);
            assert_eq!(rows, expected[skip as usize..], "{name} {skip}");
        }
    }
}

#[test]
fn an_unsupported_type_names_its_column() {
    let batch =
        RecordBatch::try_from_iter([("took", Arc::new(DurationSecondArray::from(vec![1])) as ArrayRef)]).unwrap();
    let dir = files(&[("a.arrow", &ipc(&[batch], false))]);
    let error = load(&source(&dir, "a.arrow"), &[]).err().unwrap();
    assert_eq!(error.code(), Code::BadFormat);
    assert_eq!(error.place().unwrap().column.as_deref(), Some("took"));
}

#[test]
fn damaged_files_are_errors_and_nothing_worse() {
    for (name, bytes) in all(&[batch(), batch()]) {
        for cut in (4..bytes.len()).step_by(bytes.len() / 12) {
            let dir = files(&[(name, &bytes[..cut])]);
            let got = load(&source(&dir, name), &[]);
            // A stream cut between two messages cannot be told from a shorter one.
            assert!(name == "a.arrows" || got.is_err(), "{name} {cut}");
        }
        for at in (4..bytes.len()).step_by(bytes.len() / 25) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            let dir = files(&[(name, &damaged)]);
            // Flipped data bytes may be data again; what matters is that it ends in an answer.
            let _ = load(&source(&dir, name), &[]);
        }
    }
}

#[test]
fn text_under_an_arrow_name_is_no_arrow_stream() {
    // Its first bytes taken for a length would be a gigabyte to allocate.
    for text in ["id,name\n1,x\n", "\u{7f}\u{7f}"] {
        let dir = files(&[("a.arrow", text.as_bytes())]);
        assert_eq!(load(&source(&dir, "a.arrow"), &[]).err().unwrap().code(), Code::BadFormat);
    }
    let dir = files(&[("a.arrow", b"\xff\xff\xff\xff\x00\x00\x00\x40abc")]);
    assert_eq!(load(&source(&dir, "a.arrow"), &[]).err().unwrap().code(), Code::BadFormat);
}

#[test]
fn files_of_one_pattern_may_type_a_column_differently() {
    let of = |array: ArrayRef| parquet(&[RecordBatch::try_from_iter([("n", array)]).unwrap()]);
    let ints = of(Arc::new(Int64Array::from(vec![1])));
    let doubles = of(Arc::new(arrow::array::Float64Array::from(vec![Some(2.0), None])));
    let dir = files(&[("1.parquet", &ints), ("2.parquet", &doubles)]);
    let got = load(&source(&dir, "*.parquet"), &[]).unwrap();
    assert_eq!(
        (got.types(), got.lines()),
        (vec!["n double".to_owned()], vec!["1.0".into(), "2.0".into(), "NULL".to_owned()])
    );
    let got = load(&source(&dir, "*.parquet"), &[("n", DataType::BigInt)]).unwrap();
    assert_eq!(got.lines(), ["1", "2", "NULL"]);
}
