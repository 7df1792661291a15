//! P8: the same rows whatever the threads and blocks.

use crate::support::{files, load, show, spec};
use floodmark_connect::{ReadPlan, Source, Stop};
use floodmark_files::FileSourceReader;
use proptest::prelude::*;

/// Good, bad and odd rows.
fn csv_row() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[0-9]{1,3},[a-z]{0,5}",
        1 => "[0-9]{1,3},\"[a-z\n]{0,5}(\"\")?\"",
        1 => Just("1,2,3".to_owned()),
        1 => Just("7".to_owned()),
        1 => Just(String::new()),
        1 => Just("x,\"y\"z".to_owned()),
        1 => Just("5\",\u{e9}".to_owned()),
    ]
}

fn json_row() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\\{\"a\":[1-9][0-9]?,\"b\":\"[a-z,\\]]{0,4}\"\\}",
        1 => "\\{\"[a-d]\": null , \"[e-h]\":[1-9]\\}",
        1 => Just("{\"a\":1,\"a\":2}".to_owned()),
        1 => Just("17".to_owned()),
        1 => Just("{\"a\":tru}".to_owned()),
    ]
}

fn check(name: &str, bytes: &[u8], workers: usize, block: usize, skip: u64) -> Result<(), TestCaseError> {
    let dir = files(&[(name, bytes)]);
    let source = |workers, block| FileSourceReader::new(spec(dir.path(), &[name])).unwrap().tuned(workers, block);
    let (one, many) = (source(1, 1 << 20), source(workers, block));
    let (a, b) = (load(&one, &[]).unwrap(), load(&many, &[]).unwrap());
    let bad = |bad: &[floodmark_connect::BadRow]| -> Vec<_> {
        bad.iter().map(|b| (b.row, b.line, format!("{:?}", b.error), b.raw.clone())).collect()
    };
    prop_assert_eq!(&a.schema, &b.schema);
    prop_assert_eq!(&a.rows, &b.rows);
    prop_assert_eq!(bad(&a.bad), bad(&b.bad));

    // Leaving out the first rows leaves the rest as it was.
    let slice = &many.slices(&Stop::default()).unwrap()[0];
    let plan = ReadPlan { schema: a.schema.clone(), skip_rows: skip, ..ReadPlan::default() };
    let (mut rows, mut rest, mut next) = (Vec::new(), Vec::new(), skip + 1);
    for batch in many.read(slice, &plan, &Stop::default()).unwrap() {
        let batch = batch.unwrap();
        prop_assert_eq!(batch.first_row, next);
        next += batch.covered;
        rows.extend(show(&batch.rows, &a.schema));
        rest.extend(batch.bad);
    }
    let kept_bad = a.bad.iter().filter(|b| b.row > skip).count();
    let good_skipped = (skip as usize).min(a.surveyed[0] as usize) - (a.bad.len() - kept_bad);
    prop_assert_eq!(&rows[..], &a.rows[good_skipped..]);
    prop_assert_eq!(bad(&rest), bad(&a.bad[a.bad.len() - kept_bad..]));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn of_csv(rows in prop::collection::vec(csv_row(), 0..60), end in prop::sample::select(vec!["\n", "\r\n"]), workers in 2usize..5, block in 1usize..300, skip in 0u64..70) {
        let text = format!("a,b{end}{}", rows.iter().map(|r| format!("{r}{end}")).collect::<String>());
        check("a.csv", text.as_bytes(), workers, block, skip)?;
    }

    #[test]
    fn of_csv_with_broken_encoding(rows in prop::collection::vec(csv_row(), 1..60), at in 0usize..400, workers in 2usize..5, block in 1usize..300) {
        let mut bytes = format!("a,b\n{}", rows.iter().map(|r| format!("{r}\n")).collect::<String>()).into_bytes();
        let at = 4 + at % (bytes.len() - 4);
        if bytes[at].is_ascii_lowercase() {
            bytes[at] = 0xe9;
        }
        check("a.csv", &bytes, workers, block, 3)?;
    }

    #[test]
    fn of_json(rows in prop::collection::vec(json_row(), 0..60), lines: bool, workers in 2usize..5, block in 1usize..300, skip in 0u64..70) {
        if lines {
            check("a.jsonl", format!("{}\n\n", rows.join("\n")).as_bytes(), workers, block, skip)?;
        } else {
            check("a.json", format!("[\n{}\n]", rows.join(",\n ")).as_bytes(), workers, block, skip)?;
        }
    }
}

#[test]
fn a_reader_that_stops_early_stops_the_threads() {
    let text = format!("a\n{}", "12345\n".repeat(200_000));
    let dir = files(&[("a.csv", text.as_bytes())]);
    let source = FileSourceReader::new(spec(dir.path(), &["a.csv"])).unwrap().tuned(4, 4096);
    let schema = floodmark_core::Schema::new([("a", floodmark_core::DataType::BigInt)]);
    let slice = &source.slices(&Stop::default()).unwrap()[0];
    let mut batches =
        source.read(slice, &ReadPlan { schema, skip_rows: 0, ..ReadPlan::default() }, &Stop::default()).unwrap();
    assert!(batches.next().unwrap().unwrap().covered > 0);
    drop(batches);
}
