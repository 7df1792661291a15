use crate::support::{files, load, load_text, load_with, spec};
use floodmark_core::{Code, DataType};
use floodmark_files::FileSourceReader;
use proptest::prelude::*;

#[test]
fn nothing_is_null_and_quoted_nothing_is_text() {
    let got = load_with("a.csv", "a,b,c\n,\"\",NA\n1,\"NA\",x\n", |s| s.csv.null = Some("NA".into())).unwrap();
    assert_eq!(got.lines(), ["NULL||NULL", "1|NA|x"]);
    assert_eq!(got.types(), ["a bigint", "b text", "c text"]);
}

#[test]
fn line_ends_byte_order_marks_and_blank_lines() {
    for text in
        ["\u{feff}a,b\r\n1,x\r\n\r\n2,\"y\r\nz\"\r\n", "a,b\n1,x\n\n\n2,\"y\r\nz\"", "\n\na,b\n1,x\r\n2,\"y\r\nz\"\r"]
    {
        let got = load_text("a.csv", text).unwrap();
        assert_eq!(got.lines(), ["1|x", "2|y\r\nz"], "{text:?}");
        assert_eq!(got.types(), ["a bigint", "b text"]);
    }
}

#[test]
fn the_delimiter_goes_by_the_header() {
    for d in [",", ";", "\t", "|"] {
        let text = format!("\"a{}x\"{d}b{d}c\n1{d}2{d}3\n", if d == "," { ";" } else { "," });
        assert_eq!(load_text("a.csv", text).unwrap().lines(), ["1|2|3"], "{d}");
    }
    assert_eq!(load_text("a.csv", "one\n1\n2\n").unwrap().lines(), ["1", "2"]);
}

#[test]
fn a_header_alone_is_no_row() {
    let got = load_text("a.csv", "a,b").unwrap();
    assert_eq!((got.rows.len(), got.types()), (0, vec!["a text".into(), "b text".to_owned()]));
}

#[test]
fn names_in_place_of_a_header() {
    let names = |s: &mut floodmark_core::pipeline::FileSource| s.csv.names = vec!["x".into(), "y".into()];
    assert_eq!(load_with("a.csv", "a,a\n1,2\n", names).unwrap().types(), ["x bigint", "y bigint"]);
    let got = load_with("a.csv", "1,2\n3,4\n", |s| {
        names(s);
        s.csv.header = false;
    });
    assert_eq!(got.unwrap().lines(), ["1|2", "3|4"]);
    let got = load_with("a.csv", "1,2\n3,4\n", |s| s.csv.header = false).unwrap();
    assert_eq!((got.types(), got.rows.len()), (vec!["column_1 bigint".into(), "column_2 bigint".to_owned()], 2));
    let error = load_with("a.csv", "1,2,3\n", names).err().unwrap();
    assert_eq!(error.code(), Code::BadHeader);
}

#[test]
fn hostile_names_are_kept() {
    let text = "\"a\"\"b\",\"x; drop table y\",A,a,select,\" \",\"l\nf\"\n1,2,3,4,5,6,7\n";
    let got = load_text("a.csv", text).unwrap();
    assert_eq!(got.schema.names(), ["a\"b", "x; drop table y", "A", "a", "select", " ", "l\nf"]);
    assert_eq!(got.lines(), ["1|2|3|4|5|6|7"]);
}

#[test]
fn files_of_one_pattern_may_differ_in_columns() {
    let dir = files(&[("1.csv", b"a,b\n1,x\n"), ("2.csv", b"c;a\n2.5;2\n"), ("3.csv", b"b\n\"\"\n")]);
    let got = load(&FileSourceReader::new(spec(dir.path(), &["*.csv"])).unwrap(), &[]).unwrap();
    assert_eq!(got.types(), ["a bigint", "b text", "c double"]);
    assert_eq!(got.lines(), ["1|x|-", "2|-|2.5", "-||-"]);
    assert_eq!(got.surveyed, [1, 1, 1]);
}

#[test]
fn every_type_is_read_as_it_is_written() {
    let text = "i,d,x,t,day,ts,tz,b,ns\n\
        -9223372036854775808,12345678901234567.25,1.10,007,2024-02-29,2024-01-01 10:00,2024-01-01T10:00:00+02:00,true,2024-01-01T00:00:00.123456789\n\
        9223372036854775807,-0.01,1e5,x,1969-12-31,2024-01-01,2024-01-01T10:00:00Z,FALSE,2024-01-01\n";
    let got = load_text("a.csv", text).unwrap();
    assert_eq!(
        got.types(),
        [
            "i bigint",
            "d decimal(19,2)",
            "x double",
            "t text",
            "day date",
            "ts timestamp",
            "tz timestamptz",
            "b boolean",
            "ns timestamp_ns"
        ]
    );
    assert_eq!(
        got.lines(),
        [
            "-9223372036854775808|12345678901234567.25|1.1|007|2024-02-29|2024-01-01 10:00:00|2024-01-01 08:00:00+00:00|true|2024-01-01 00:00:00.123456789",
            "9223372036854775807|-0.01|100000.0|x|1969-12-31|2024-01-01 00:00:00|2024-01-01 10:00:00+00:00|false|2024-01-01 00:00:00"
        ]
    );
    assert!(got.bad.is_empty());
}

#[test]
fn pinned_types_are_checked_value_by_value() {
    let dir = files(&[("a.csv", b"n,t,j,b\n1,10:30,{\"a\": 1},x\n1.5,25:00,{a},y\n")]);
    let pinned = [("n", DataType::BigInt), ("t", DataType::Time), ("j", DataType::Json), ("b", DataType::Bytes)];
    let got = load(&FileSourceReader::new(spec(dir.path(), &["a.csv"])).unwrap(), &pinned).unwrap();
    assert_eq!(got.lines(), ["1|10:30:00|{\"a\": 1}|78"]);
    assert_eq!(got.types()[0], "n decimal(2,1)");
    let [bad] = got.bad.as_slice() else { panic!("{:?}", got.bad) };
    let place = bad.error.place().unwrap();
    assert_eq!((bad.row, bad.line, bad.error.code()), (2, Some(3), Code::BadValue));
    assert_eq!((place.column.as_deref(), place.value.as_deref()), (Some("n"), Some("1.5")));
    assert_eq!(bad.raw, "1.5,25:00,{a},y");
}

#[test]
fn two_thousand_columns() {
    let row = |f: &dyn Fn(usize) -> String| (0..2000).map(f).collect::<Vec<_>>().join(",");
    let text = [row(&|i| format!("c{i}")), row(&|i| i.to_string()), row(&|_| String::new())].join("\n");
    let got = load_text("a.csv", text).unwrap();
    assert_eq!(got.rows.len(), 2);
    assert_eq!(got.rows[0][1999], "1999");
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z0-9 .é]{0,6}",
        2 => "[a-z\",\n\r]{0,8}",
        1 => Just("\"".to_owned()),
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// On well-formed input the rows are those that the `csv` crate reads, however the writer quotes and ends lines.
    #[test]
    fn equal_to_the_csv_crate(
        rows in prop::collection::vec(prop::collection::vec(field(), 3), 1..30),
        always: bool, crlf: bool, workers in 1usize..4, block in 1usize..200,
    ) {
        let mut writer = csv::WriterBuilder::new()
            .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .from_writer(Vec::new());
        writer.write_record(["a", "b", "c"]).unwrap();
        rows.iter().for_each(|r| writer.write_record(r).unwrap());
        let bytes = writer.into_inner().unwrap();
        let expected: Vec<Vec<String>> = csv::Reader::from_reader(bytes.as_slice())
            .records()
            .map(|r| r.unwrap().iter().map(str::to_owned).collect())
            .collect();
        prop_assert_eq!(&expected, &rows);

        let dir = files(&[("a.csv", &bytes)]);
        let source = FileSourceReader::new(spec(dir.path(), &["a.csv"])).unwrap().tuned(workers, block);
        let text = [("a", DataType::Text), ("b", DataType::Text), ("c", DataType::Text)];
        let got = load(&source, &text).unwrap();
        prop_assert!(got.bad.is_empty());
        let got: Vec<Vec<String>> =
            got.rows.into_iter().map(|r| r.into_iter().map(|v| if v == "NULL" { String::new() } else { v }).collect()).collect();
        prop_assert_eq!(got, rows);
    }
}
