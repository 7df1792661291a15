use crate::support::{error_of, files, load, load_text, load_with, spec};
use floodmark_connect::{Files as _, Source, Stop};
use floodmark_core::{Code, Error};
use floodmark_files::FileSourceReader;

fn line(error: &Error) -> Option<u64> {
    error.place().and_then(|p| p.line)
}

#[test]
fn empty_files_are_errors_even_beside_others() {
    assert_eq!(error_of("a.csv", "").code(), Code::SourceEmpty);
    assert_eq!(error_of("a.csv", "\n\r\n").code(), Code::SourceEmpty);
    let dir = files(&[("1.csv", b"a\n1\n"), ("2.csv", b"")]);
    let error = load(&FileSourceReader::new(spec(dir.path(), &["*.csv"])).unwrap(), &[]).err().unwrap();
    assert_eq!(error.code(), Code::SourceEmpty);
    assert_eq!(error.place().unwrap().file.as_deref(), Some("2.csv".as_ref()));
}

#[test]
fn other_encodings_are_named() {
    for (bytes, name) in
        [(&b"\xff\xfea\0,\0b\0"[..], "UTF-16"), (b"\xfe\xff\0a\0,", "UTF-16"), (b"\xff\xfe\0\0a\0\0\0", "UTF-32")]
    {
        let error = error_of("a.csv", bytes);
        assert_eq!(error.code(), Code::BadEncoding);
        assert!(error.message().contains(name) && error.advice()[0].contains("iconv"), "{error:?}");
    }
    assert_eq!(error_of("a.csv", b"n\xe9,b\n1,2\n").code(), Code::BadEncoding);
}

#[test]
fn invalid_utf8_in_a_row_is_a_bad_row() {
    let got = load_text("a.csv", b"a,b\n1,x\n2,\"caf\n\xe9\"\n3,\xc3\xa9\n").unwrap();
    assert_eq!(got.lines(), ["1|x", "3|é"]);
    let [bad] = got.bad.as_slice() else { panic!("{:?}", got.bad) };
    assert_eq!((bad.row, bad.line, bad.error.code()), (2, Some(3), Code::BadEncoding));
    let place = bad.error.place().unwrap();
    assert_eq!((place.line, place.column.as_deref()), (Some(4), Some("b")));
    assert!(place.value.as_deref().unwrap().contains('\u{fffd}'));
    let got = load_text("a.jsonl", b"{\"a\":1}\n{\"a\":\"\xff\"}\n").unwrap();
    assert_eq!((got.rows.len(), got.bad[0].error.code()), (1, Code::BadEncoding));
}

#[test]
fn ragged_rows_say_how_many_fields() {
    let got = load_text("a.csv", "a,b\n1\n1,2,3\n\n1,2\n\"x\",\"\ny\",1\n").unwrap();
    assert_eq!(got.lines(), ["1|2"]);
    let bad: Vec<_> = got.bad.iter().map(|b| (b.row, b.line.unwrap(), b.error.message().to_owned())).collect();
    assert_eq!(bad[0], (1, 2, "the row has 1 field, the header 2".to_owned()));
    assert_eq!((bad[1].0, bad[1].1, bad[2].0, bad[2].1), (2, 3, 4, 6));
    assert!(got.bad.iter().all(|b| b.error.code() == Code::RaggedRow));
    assert_eq!(got.types(), ["a bigint", "b bigint"]);
}

#[test]
fn the_wrong_delimiter_is_hinted_at() {
    let got = load_with("a.csv", "a;b\n1,5;2\n", |s| s.csv.delimiter = Some(b',')).unwrap();
    assert!(got.bad[0].error.advice().iter().any(|h| h.contains("';'")), "{:?}", got.bad);
}

#[test]
fn text_behind_a_closing_quote_is_a_bad_row() {
    let got = load_text("a.csv", "a,b\n\"x\"y,2\n5\" disk,\"ok\"\n").unwrap();
    assert_eq!(got.lines(), ["5\" disk|ok"]);
    assert_eq!((got.bad[0].error.code(), got.bad[0].line), (Code::BadFormat, Some(2)));
    assert_eq!(got.bad[0].error.place().unwrap().column.as_deref(), Some("a"));
}

#[test]
fn an_open_quote_names_the_line_it_was_opened_in() {
    let error = error_of("a.csv", "a,b\n1,\"x\ny\"\n2,\"open\n3,z\n4,z\n");
    assert_eq!((error.code(), line(&error)), (Code::OpenQuote, Some(4)));
    let error = error_of("a.csv", "a,\"b\n1,2\n");
    assert_eq!((error.code(), line(&error)), (Code::OpenQuote, Some(1)));
}

#[test]
fn headers_must_name_every_column_once() {
    let error = error_of("a.csv", "a,,c\n");
    assert_eq!(error.code(), Code::BadHeader);
    assert!(error.message().contains("column 2 of 3") && error.advice()[0].contains("names"), "{error:?}");
    let error = error_of("a.csv", "a,b,a\n");
    assert!(error.code() == Code::BadHeader && error.message().contains("columns 1 and 3"), "{error:?}");
    assert_eq!(error_of("a.csv", "a,b\r1,2\r3,4\r").code(), Code::BadHeader);
}

#[test]
fn a_row_beyond_the_limit_is_an_error_and_loads_when_it_is_raised() {
    let (huge, big) = ("x".repeat(50 << 20), "x".repeat(17 << 20));
    for (name, text, len) in [
        ("a.csv", format!("a,b\n1,2\n3,{huge}\n4,5\n"), huge.len()),
        ("a.jsonl", format!("{{\"a\":1}}\n\n{{\"a\":\"{big}\"}}\n"), big.len()),
    ] {
        let error = error_of(name, &text);
        assert_eq!((error.code(), line(&error)), (Code::RowTooLarge, Some(3)), "{error:?}");
        let got = load_with(name, &text, |s| s.max_row_bytes = 64 << 20).unwrap();
        assert_eq!(got.rows[1].iter().map(String::len).max(), Some(len));
    }
    let error = error_of("a.csv", format!("{big},b\n1,2\n"));
    assert_eq!((error.code(), line(&error)), (Code::RowTooLarge, Some(1)));
    // A quote that is never closed does not make the rest of the file one row in memory.
    let error = error_of("a.csv", format!("a,b\n1,2\n3,\"{big}"));
    assert_eq!((error.code(), line(&error)), (Code::RowTooLarge, Some(3)));
    assert!(error.advice().iter().any(|h| h.contains("quote that is opened in line 3")), "{error:?}");
}

#[test]
fn the_limit_holds_for_rows_within_a_block_too() {
    let text = format!("a,b\n1,2\n3,{}\n4,5\n", "x".repeat(100));
    let error = load_with("a.csv", &text, |s| s.max_row_bytes = 50).err().unwrap();
    assert_eq!((error.code(), line(&error)), (Code::RowTooLarge, Some(3)));
    assert_eq!(load_with("a.csv", &text, |s| s.max_row_bytes = 102).unwrap().rows.len(), 3);
}

#[test]
fn values_that_do_not_exist_stay_text() {
    let got = load_text("a.csv", "d,n,i,big\n2023-02-29,NaN,inf,99999999999999999999999999999999999999999\n").unwrap();
    assert_eq!(got.types(), ["d text", "n text", "i text", "big text"]);
    assert_eq!(got.lines(), ["2023-02-29|NaN|inf|99999999999999999999999999999999999999999"]);
}

#[test]
fn a_stop_request_ends_survey_and_read() {
    let dir = files(&[("a.csv", b"a\n1\n")]);
    let source = FileSourceReader::new(spec(dir.path(), &["a.csv"])).unwrap();
    let stop = Stop::default();
    stop.flag().store(15, std::sync::atomic::Ordering::Relaxed);
    let slices = source.slices(&Stop::default()).unwrap();
    assert_eq!(source.survey(&slices, &Default::default(), &stop).unwrap_err().code(), Code::Interrupted);
    assert_eq!(source.hash(&slices[0], &stop).unwrap_err().code(), Code::Interrupted);
}

#[test]
fn content_that_contradicts_the_format_is_an_error() {
    assert_eq!(error_of("a.parquet", "a,b\n1,2\n").code(), Code::BadFormat);
    assert_eq!(error_of("a.csv", "PAR1aaaaaaaaaaaa").code(), Code::BadFormat);
    assert_eq!(error_of("a", "PAR1aaaaaaaaPAR1").code(), Code::BadFormat);
}
