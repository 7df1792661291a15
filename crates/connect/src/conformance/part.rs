//! Loads that speak for a part of the table.

use super::sheet::{Line, Sheet, line};
use crate::Destination;
use floodmark_core::{
    Counts, DataType,
    pipeline::{AbsentRows, Deletes, Load},
};

/// `id`, `name`, and the column along which parts lie.
const COLUMNS: &[(&str, DataType)] = &[("id", DataType::BigInt), ("name", DataType::Text), ("at", DataType::BigInt)];

fn lines<'a>(rows: &[[&'a str; 3]]) -> Vec<Line<'a>> {
    rows.iter().map(|row| line(row)).collect()
}

/// Of a load: read, unchanged, inserted, updated, removed.
fn told(counts: &Counts) -> [u64; 5] {
    [counts.read, counts.unchanged, counts.inserted, counts.updated, counts.removed]
}

pub(super) fn append(destination: &dyn Destination) {
    for beside in [false, true] {
        let mut sheet = Sheet::new(Load::Append, &format!("append {beside}"), COLUMNS);
        let before = [
            ["1", "a", "4"],
            ["2", "b", "5"],
            ["3", "-", "7"],
            ["3", "-", "7"],
            ["4", "d", "9"],
            ["5", "e", "10"],
            ["6", "f", "-"],
        ];
        sheet.load(sheet.open(destination, false).as_mut(), &lines(&before)).unwrap();
        sheet.within("at", "5", "10");
        let mut session = sheet.open(destination, beside);
        // One more copy of 3, none of 4, and a new one whose content stands outside the part, but for its place.
        let part =
            [["3", "-", "7"], ["3", "-", "7"], ["1", "a", "6"], ["2", "b", "5"], ["3", "-", "7"], ["2", "b", "6"]];
        let counts = sheet.load(session.as_mut(), &lines(&part)).unwrap();
        assert_eq!(told(&counts), [6, 3, 3, 0, 0]);
        let again = sheet.load(session.as_mut(), &lines(&part)).unwrap();
        assert_eq!(told(&again), [6, 6, 0, 0, 0], "a second time it adds nothing");
        assert_eq!(told(&sheet.load(session.as_mut(), &[]).unwrap()), [0; 5]);
        // Where the table holds nothing there is nothing to know again: two equal rows are two.
        sheet.within("at", "100", "200");
        let counts = sheet.load(session.as_mut(), &lines(&[["7", "g", "100"], ["7", "g", "100"]])).unwrap();
        assert_eq!(told(&counts), [2, 0, 2, 0, 0]);
        drop(session);
        let mut after = lines(&before);
        after.extend(lines(&[["3", "-", "7"], ["1", "a", "6"], ["2", "b", "6"], ["7", "g", "100"], ["7", "g", "100"]]));
        sheet.expect(destination, &after, &sheet.scene.pipeline.name);
    }
}

/// Each type with contents that are near to each other and not the same.
const CONTENTS: &[(DataType, &[&str])] = &[
    (DataType::Bool, &["true", "false", "-"]),
    (DataType::BigInt, &["-9223372036854775808", "0", "9223372036854775807", "9223372036854775806", "-"]),
    (DataType::Decimal(20, 4), &["1.1000", "1.1001", "-1.1000", "0.0000", "1234567890123456.7891", "-"]),
    (DataType::Decimal(38, 0), &["99999999999999999999999999999999999999", "99999999999999999999999999999999999998"]),
    (DataType::Double, &["0.1", "0.30000000000000004", "0.3", "1e300", "-1e-300", "2", "-"]),
    (DataType::Text, &["a", "A", "a ", "ä", "", "it's \"x\" \\n", "1", "01", "-"]),
    (DataType::Bytes, &["00", "0000", "", "ff", "61", "-"]),
    (DataType::Date, &["2024-02-29", "0001-01-01", "9999-12-31", "-"]),
    (DataType::Time, &["00:00:00", "00:00:00.000001", "23:59:59.999999", "-"]),
    (
        DataType::Timestamp { nanos: false },
        &[
            "2024-01-01 00:00:00",
            "2024-01-01 00:00:00.000001",
            "1000-01-01 00:00:00",
            "9999-12-31 23:59:59.999999",
            "-",
        ],
    ),
    (
        DataType::TimestampTz { nanos: false },
        &["2024-03-31 00:59:59+00:00", "2024-03-31 01:00:00+00:00", "2024-03-31 01:00:00.000001+00:00", "-"],
    ),
    (DataType::Json, &[r#"{"a": 1}"#, r#"{"a": 2}"#, "[]", "null", "-"]),
];

pub(super) fn contents(destination: &dyn Destination) {
    for (n, (data_type, texts)) in CONTENTS.iter().enumerate() {
        let columns = [("at", DataType::BigInt), ("content", *data_type)];
        let rows: Vec<Line<'_>> = texts.iter().map(|text| line(&["1", text])).collect();
        let (mut appended, mut replaced) = (
            Sheet::new(Load::Append, &format!("append {n}"), &columns),
            Sheet::new(Load::DeleteInsert, &format!("replace {n}"), &columns),
        );
        replaced.scene.pipeline.window = vec!["at".into()];
        for sheet in [&mut appended, &mut replaced] {
            let why = format!("{data_type} {:?}", sheet.scene.pipeline.load);
            // The first half is there; all comes; and again.
            sheet.load(sheet.open(destination, false).as_mut(), &rows[..rows.len() / 2]).unwrap();
            sheet.within("at", "0", "2");
            let mut session = sheet.open(destination, true);
            let (known, all) = ((rows.len() / 2) as u64, rows.len() as u64);
            let counts = sheet.load(session.as_mut(), &rows).unwrap();
            assert_eq!(told(&counts), [all, known, all - known, 0, 0], "{why}");
            let counts = sheet.load(session.as_mut(), &rows).unwrap();
            assert_eq!(told(&counts), [all, all, 0, 0, 0], "{why}: again");
            drop(session);
            sheet.expect(destination, &rows, &why);
        }
    }
}

/// What stands in the table before a part of it, from 5 to before 10, is replaced.
const BEFORE: &[[&str; 3]] =
    &[["1", "a", "0"], ["2", "b", "5"], ["3", "c", "5"], ["4", "d", "9"], ["5", "e", "10"], ["6", "f", "-"]];

pub(super) fn replace(destination: &dyn Destination) {
    let loads =
        [(Load::Overwrite, false), (Load::DeleteInsert, false), (Load::DeleteInsert, true), (Load::Append, false)];
    for (load, beside) in loads {
        let mut sheet = Sheet::new(load, &format!("{load:?} {beside}"), COLUMNS);
        if load == Load::DeleteInsert {
            sheet.scene.pipeline.window = vec!["at".into()];
        }
        let why = sheet.scene.pipeline.name.clone();
        let mut before = lines(BEFORE);
        before.extend(lines(&[["4", "d", "9"], ["4", "d", "9"]]));
        sheet.load(sheet.open(destination, false).as_mut(), &before).unwrap();
        sheet.within("at", "5", "10");
        // An append is told that its rows are all there are to be.
        sheet.scene.within.iter_mut().for_each(|within| within.whole = load == Load::Append);
        let mut session = sheet.open(destination, beside);
        // 2 is as it was, 3 is another, of 4 there are three and one comes, and 7 comes in.
        let part = [["7", "g", "7"], ["2", "b", "5"], ["3", "C", "5"], ["4", "d", "9"]];
        let counts = sheet.load(session.as_mut(), &lines(&part)).unwrap();
        assert_eq!(told(&counts), [4, 2, 2, 0, 3], "{why}");
        let rest = [["1", "a", "0"], ["5", "e", "10"], ["6", "f", "-"]];
        sheet.expect(destination, &lines(&[&part[..], &rest].concat()), &why);
        assert_eq!(told(&sheet.load(session.as_mut(), &lines(&part)).unwrap()), [4, 4, 0, 0, 0], "{why}: again");
        // Nothing comes any more; and nothing is left to go.
        assert_eq!(told(&sheet.load(session.as_mut(), &[]).unwrap()), [0, 0, 0, 0, 4], "{why}");
        assert_eq!(told(&sheet.load(session.as_mut(), &[]).unwrap()), [0; 5], "{why}");
        drop(session);
        sheet.expect(destination, &lines(&rest), &why);
    }
}

pub(super) fn replace_keyed(destination: &dyn Destination) {
    let kinds = [
        (Load::Overwrite, false, Deletes::Hard),
        (Load::DeleteInsert, false, Deletes::Hard),
        (Load::DeleteInsert, true, Deletes::Hard),
        (Load::Upsert, false, Deletes::Hard),
        (Load::Upsert, true, Deletes::Soft),
    ];
    for (load, beside, deletes) in kinds {
        let mut sheet = Sheet::new(load, &format!("{load:?} {beside}"), COLUMNS);
        let pipeline = &mut sheet.scene.pipeline;
        pipeline.key = vec!["id".into()];
        pipeline.deletes = deletes;
        match load {
            Load::DeleteInsert => pipeline.window = vec!["at".into()],
            _ => pipeline.absent_rows = AbsentRows::Delete,
        }
        let why = sheet.scene.pipeline.name.clone();
        sheet.load(sheet.open(destination, false).as_mut(), &lines(BEFORE)).unwrap();
        sheet.within("at", "5", "10");
        let mut session = sheet.open(destination, beside);
        // Where a row was set aside, the one that did not come may be it.
        sheet.scene.complete = false;
        let counts = sheet.load(session.as_mut(), &lines(&[["2", "b", "5"], ["3", "c", "5"]])).unwrap();
        assert_eq!(told(&counts), [2, 2, 0, 0, 0], "{why}");
        sheet.scene.complete = true;
        // 2 is as it was, 3 is another, 4 is gone; 5 and 6 stood elsewhere and have moved in; 7 is new.
        let part = [["7", "g", "7"], ["6", "f", "8"], ["2", "b", "5"], ["5", "e", "9"], ["3", "C", "5"]];
        let counts = sheet.load(session.as_mut(), &lines(&part)).unwrap();
        assert_eq!(told(&counts), [5, 1, 1, 3, 1], "{why}");
        assert_eq!(told(&sheet.load(session.as_mut(), &lines(&part)).unwrap()), [5, 5, 0, 0, 0], "{why}: again");
        if deletes == Deletes::Soft {
            // What is marked is marked, and stays so.
            continue;
        }
        sheet.expect(destination, &lines(&[&part[..], &[["1", "a", "0"]]].concat()), &why);
        // 7 has moved out, to where another part speaks of it.
        sheet.within("at", "20", "30");
        let counts = sheet.load(session.as_mut(), &lines(&[["7", "g", "21"]])).unwrap();
        assert_eq!(told(&counts), [1, 0, 0, 1, 0], "{why}");
        sheet.within("at", "5", "10");
        assert_eq!(told(&sheet.load(session.as_mut(), &[]).unwrap()), [0, 0, 0, 0, 4], "{why}");
        drop(session);
        sheet.expect(destination, &lines(&[["1", "a", "0"], ["7", "g", "21"]]), &why);
    }
}

/// Values of each type in order: four before which, and at which, a part may begin and end.
const AXES: &[(DataType, [&str; 5])] = &[
    (DataType::BigInt, ["-10", "-9", "0", "9", "10"]),
    (DataType::Decimal(20, 2), ["-10.50", "-9.00", "0.00", "9.00", "10.00"]),
    (DataType::Double, ["-1e300", "-1.5", "0.25", "9", "10.5"]),
    (DataType::Text, ["", "B", "a", "a ", "ä"]),
    (DataType::Text, ["10", "9", "99", "A", "b"]),
    (DataType::Date, ["0001-01-01", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"]),
    (DataType::Time, ["00:00:00", "09:59:59.999999", "10:00:00", "10:00:00.5", "23:59:59"]),
    (
        DataType::Timestamp { nanos: false },
        [
            "1000-01-01 00:00:00",
            "2024-01-01 00:00:00",
            "2024-01-01 00:00:00.000001",
            "2024-01-01 00:00:01",
            "9999-12-31 23:59:59",
        ],
    ),
    (
        DataType::TimestampTz { nanos: false },
        [
            "1970-01-01 00:00:01+00:00",
            "2024-03-31 00:59:59.999999+00:00",
            "2024-03-31 01:00:00+00:00",
            "2024-10-27 00:30:00+00:00",
            "2024-10-27 01:30:00+00:00",
        ],
    ),
];

pub(super) fn axes(destination: &dyn Destination) {
    for (n, (data_type, values)) in AXES.iter().enumerate() {
        for keyed in [false, true] {
            let mut sheet = Sheet::new(
                if keyed { Load::Upsert } else { Load::Append },
                &format!("{n} {keyed}"),
                &[("id", DataType::BigInt), ("at", *data_type)],
            );
            if keyed {
                sheet.scene.pipeline.key = vec!["id".into()];
                sheet.scene.pipeline.absent_rows = AbsentRows::Delete;
            }
            let ids = ["0", "1", "2", "3", "4"];
            let mut all: Vec<Line<'_>> = ids.iter().zip(values).map(|(id, at)| line(&[id, at])).collect();
            all.push(line(&["5", "-"]));
            sheet.load(sheet.open(destination, false).as_mut(), &all).unwrap();
            let mut session = sheet.open(destination, true);
            for (from, until) in [(0, 1), (0, 4), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)] {
                let why = format!("{data_type} [{}, {}) {keyed}", values[from], values[until]);
                sheet.within("at", values[from], values[until]);
                let part = (until - from) as u64;
                let mut load = |lines| told(&sheet.load(session.as_mut(), lines).unwrap());
                // With a key all in the part are absent, and they alone: then they come back.
                if keyed {
                    assert_eq!(load(&[]), [0, 0, 0, 0, part], "{why}");
                    assert_eq!(load(&all[from..until]), [part, 0, part, 0, 0], "{why}: back");
                } else {
                    assert_eq!(load(&all[from..until]), [part, part, 0, 0, 0], "{why}");
                }
            }
            drop(session);
            sheet.expect(destination, &all, "all of it");
        }
    }
}

/// From where to where, the rows there, and what is told of them.
type Part<'a> = (&'a str, &'a str, &'a [[&'a str; 3]], [u64; 5]);

pub(super) fn as_ever(destination: &dyn Destination) {
    for load in [Load::Upsert, Load::InsertOnly, Load::DeleteInsert] {
        let mut sheet = Sheet::new(load, &format!("{load:?}"), COLUMNS);
        sheet.scene.pipeline.key = vec!["id".into()];
        sheet.load(sheet.open(destination, false).as_mut(), &lines(BEFORE)).unwrap();
        sheet.within("at", "5", "10");
        let mut session = sheet.open(destination, true);
        let counts =
            sheet.load(session.as_mut(), &lines(&[["2", "b", "5"], ["3", "C", "5"], ["7", "g", "7"]])).unwrap();
        let kept = load == Load::InsertOnly;
        assert_eq!(told(&counts), if kept { [3, 2, 1, 0, 0] } else { [3, 1, 1, 1, 0] }, "{load:?}");
        drop(session);
        let mut after = lines(BEFORE);
        if !kept {
            after[2] = line(&["3", "C", "5"]);
        }
        after.push(line(&["7", "g", "7"]));
        sheet.expect(destination, &after, load.name());
    }
    // Parts of one session, from an empty table on: each is counted against what the others left.
    let mut sheet = Sheet::new(Load::Upsert, "parts", COLUMNS);
    sheet.scene.pipeline.key = vec!["id".into()];
    let mut session = sheet.open(destination, false);
    let parts: [Part<'_>; 3] = [
        ("0", "5", &[["1", "a", "0"], ["2", "b", "4"]], [2, 0, 2, 0, 0]),
        ("5", "9", &[["1", "a", "7"], ["3", "c", "8"]], [2, 0, 1, 1, 0]),
        ("0", "5", &[["2", "b", "4"]], [1, 1, 0, 0, 0]),
    ];
    for (from, until, rows, expected) in parts {
        sheet.within("at", from, until);
        assert_eq!(told(&sheet.load(session.as_mut(), &lines(rows)).unwrap()), expected, "[{from}, {until})");
    }
}
