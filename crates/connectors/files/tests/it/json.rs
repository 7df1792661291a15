use crate::support::{error_of, files, load, load_text, load_with, spec};
use floodmark_core::{Code, DataType};
use floodmark_files::FileSourceReader;

#[test]
fn lines_keep_digits_kinds_and_order_of_columns() {
    let text = "{\"id\": 1, \"n\": 1.10, \"s\": \"007\", \"o\": {\"a\": [1, 2.50]}}\n\n\
        {\"s\": \"\\u00e9\\\"\", \"id\": 2, \"n\": 12345678901234567890.5, \"at\": \"2024-01-01T00:00:00Z\", \"b\": true}\n";
    let got = load_text("a.jsonl", text).unwrap();
    assert_eq!(got.types(), ["id bigint", "n decimal(22,2)", "s text", "o json", "at timestamptz", "b boolean"]);
    assert_eq!(
        got.lines(),
        [
            "1|1.10|007|{\"a\": [1, 2.50]}|NULL|NULL",
            "2|12345678901234567890.50|é\"|NULL|2024-01-01 00:00:00+00:00|true"
        ]
    );
}

#[test]
fn mixed_kinds_become_text_as_printed() {
    let got = load_text("a.jsonl", "{\"x\":1.50}\n{\"x\":\"a\"}\n{\"x\":null}\n{\"x\":[1]}\n{\"x\":true}\n").unwrap();
    assert_eq!(got.types(), ["x text"]);
    assert_eq!(got.lines(), ["1.50", "a", "NULL", "[1]", "true"]);
}

#[test]
fn a_pinned_json_column_keeps_every_value_as_json() {
    let dir = files(&[("a.jsonl", b"{\"x\":\"a\"}\n{\"x\":{}}\n{\"x\":1.0}\n")]);
    let source = FileSourceReader::new(spec(dir.path(), &["a.jsonl"])).unwrap();
    assert_eq!(load(&source, &[("x", DataType::Json)]).unwrap().lines(), ["\"a\"", "{}", "1.0"]);
}

#[test]
fn a_key_no_row_has_is_an_absent_column() {
    let dir = files(&[("1.jsonl", b"{\"a\":1,\"b\":2}\n"), ("2.jsonl", b"{\"a\":3}\n{\"a\":4}\n")]);
    let source = FileSourceReader::new(spec(dir.path(), &["*.jsonl"])).unwrap();
    assert_eq!(load(&source, &[]).unwrap().lines(), ["1|2", "3|-", "4|-"]);
}

#[test]
fn broken_lines_are_bad_rows() {
    let text = "{\"a\":1}\n{\"a\":}\n[1]\n{\"a\":1,\"a\":2}\n{\"a\":2} x\n{\"z\":\"\\ud800\"}\n{\"a\":3}\n";
    let got = load_text("a.jsonl", text).unwrap();
    assert_eq!(got.lines(), ["1", "3"]);
    assert_eq!(got.types(), ["a bigint"]);
    let bad: Vec<_> = got.bad.iter().map(|b| (b.row, b.line.unwrap(), b.error.code())).collect();
    assert_eq!(bad, (2..=6).map(|n| (n, n, Code::BadFormat)).collect::<Vec<_>>());
    assert!(got.bad[2].error.message().contains("\"a\" occurs twice"), "{:?}", got.bad[2]);
    assert_eq!(got.bad[0].raw, "{\"a\":}");
}

#[test]
fn arrays_have_rows_and_lines() {
    let text = "[\n  {\"a\": 1,\n   \"b\": \"],{\"},\n  {\"a\": 2}, 7,\n  {\"a\": x}\n]\n";
    let got = load_text("a.json", text).unwrap();
    assert_eq!(got.lines(), ["1|],{", "2|NULL"]);
    let bad: Vec<_> = got.bad.iter().map(|b| (b.row, b.line.unwrap(), b.raw.as_str())).collect();
    assert_eq!(bad, [(3, 4, "7"), (4, 5, "{\"a\": x}")]);
    assert_eq!(load_text("a.json", "[]").unwrap().rows.len(), 0);
    assert_eq!(load_text("a.json", "{\"a\":1}\n{\"a\":2}").unwrap().rows.len(), 2);
}

#[test]
fn arrays_that_do_not_end_or_begin_are_errors() {
    for (text, line) in [("[{\"a\":1},\n{\"a\":2}", 2), ("[{\"a\":1}]\n x", 2)] {
        let error = error_of("a.json", text);
        assert_eq!((error.code(), error.place().unwrap().line), (Code::BadFormat, Some(line)), "{text}");
    }
    let json = Some(floodmark_core::pipeline::FileFormat::Json);
    let error = load_with("a.txt", "a,b\n", |s| s.format = json).err().unwrap();
    assert_eq!(error.code(), Code::BadFormat);
}
