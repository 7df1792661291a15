//! A text file, read through the public `Source` in several ways, and what must hold of every file.

use crate::{
    cells::{reads_back, says_the_same},
    scratch,
};
use floodmark_connect::{BadRow, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest};
use floodmark_core::{Code, DataType, Error, Schema, Value, pipeline::FileSource};
use floodmark_files::FileSourceReader;
use std::{fs, io::Write};

/// How a file is written and read.
pub struct Trial {
    /// Name in the scratch folder, which may tell the format.
    pub name: &'static str,
    /// All settings but the file itself.
    pub spec: FileSource,
    /// Bytes a block, for the reader with small blocks.
    pub block: usize,
    /// Threads of the reader with small blocks.
    pub workers: usize,
    /// Whether the file is packed as well, which must change nothing.
    pub gzip: bool,
    /// Rows left out at the beginning in one of the readings.
    pub skip: u64,
}

/// What a reading gave.
#[derive(Debug, PartialEq)]
struct Reading {
    /// Good rows: for each planned column its value, `None` where the slice lacks the column.
    rows: Vec<Vec<Option<Value>>>,
    /// The number of each good row in the file.
    numbers: Vec<u64>,
    bad: Vec<Bad>,
}

/// A bad row, as far as a user sees it.
#[derive(Debug, PartialEq)]
struct Bad {
    row: u64,
    line: Option<u64>,
    code: Code,
    error: String,
    raw: String,
}

impl From<BadRow> for Bad {
    fn from(bad: BadRow) -> Bad {
        Bad { row: bad.row, line: bad.line, code: bad.error.code(), error: format!("{:?}", bad.error), raw: bad.raw }
    }
}

/// Writes the bytes as a file and asks of it everything that must hold.
pub fn check(trial: &Trial, bytes: &[u8]) {
    let folder = scratch::folder();
    write(trial.name, bytes);
    let spec = FileSource { patterns: vec![trial.name.to_owned()], base: folder.to_owned(), ..trial.spec.clone() };
    let Ok(plain) = FileSourceReader::new(spec.clone()) else { return };
    let whole = plain.tuned(1, 1 << 20);
    let blocks =
        FileSourceReader::new(spec.clone()).expect("settings that were right").tuned(trial.workers, trial.block);
    let (slice, survey) = match (survey(&whole), survey(&blocks)) {
        (Ok(a), Ok(b)) => {
            assert_eq!(a.1, b.1, "blocks and threads change the survey");
            a
        }
        (Err(a), Err(b)) => {
            assert_eq!(a.code(), b.code(), "blocks and threads change the error:\n{a:?}\n{b:?}");
            assert_ne!(a.code(), Code::Internal, "{a:?}");
            return;
        }
        (a, b) => panic!("blocks and threads make an error of a file:\n{a:?}\n{b:?}"),
    };
    let stop = Stop::default();
    let glance = whole
        .glance(std::slice::from_ref(&slice), &SurveyRequest::default(), &stop)
        .expect("a glance at a file that was surveyed");
    for column in &glance.schema.columns {
        assert!(survey.schema.index(&column.name).is_some(), "a glance saw {:?}, the survey did not", column.name);
    }

    let typed = read(&whole, &slice, &survey.schema, 0).expect("a file that was surveyed");
    assert_eq!((typed.rows.len() + typed.bad.len()) as u64, survey.slices[0].0, "rows surveyed and rows read");
    for bad in &typed.bad {
        assert_ne!(bad.code, Code::BadValue, "a value does not fit the type its own survey gave: {bad:?}");
    }
    let plan = ReadPlan { schema: survey.schema.clone(), ..ReadPlan::default() };
    for bad in whole.first_bad(&slice, &plan, &stop).expect("a file that was read") {
        let bad = Bad::from(bad);
        assert!(typed.bad.contains(&bad), "a first look refuses a row that a reading does not: {bad:?}");
    }
    let mut again = read(&blocks, &slice, &survey.schema, 0).expect("a file that was read");
    assert_eq!(typed, again, "blocks and threads change the rows");
    again = read(&whole, &slice, &survey.schema, 0).expect("a file that was read");
    assert_eq!(typed, again, "a second reading differs");
    beyond(&typed, &read(&blocks, &slice, &survey.schema, trial.skip).expect("a file that was read"), trial.skip);

    let mut texts = survey.schema.clone();
    texts.columns.iter_mut().for_each(|c| c.data_type = DataType::Text);
    let texts = read(&whole, &slice, &texts, 0).expect("a file that was read");
    no_digit_lost(&survey.schema, &typed, &texts);

    let packed_already = matches!(bytes, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..]);
    if trial.gzip && !packed_already {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).expect("memory");
        write(trial.name, &packer.finish().expect("memory"));
        let (slice, packed) = self::survey(&whole).expect("the same file, packed");
        assert_eq!(
            (&packed.schema, packed.slices[0].0),
            (&survey.schema, survey.slices[0].0),
            "packing changes the survey"
        );
        let packed = read(&blocks, &slice, &survey.schema, 0).expect("the same file, packed");
        assert_eq!(typed, packed, "packing changes the rows");
    }
}

fn write(name: &str, bytes: &[u8]) {
    fs::write(scratch::folder().join(name), bytes).expect("room for a scratch file");
}

fn survey(source: &FileSourceReader) -> Result<(Slice, Survey), Error> {
    let slices = source.slices(&Stop::default())?;
    let survey = source.survey(&slices, &SurveyRequest::default(), &Stop::default())?;
    let [slice] = slices.try_into().expect("one file");
    Ok((slice, survey))
}

fn read(source: &FileSourceReader, slice: &Slice, schema: &Schema, skip: u64) -> Result<Reading, Error> {
    let plan = ReadPlan { schema: schema.clone(), skip_rows: skip, ..ReadPlan::default() };
    let mut reading = Reading { rows: Vec::new(), numbers: Vec::new(), bad: Vec::new() };
    let mut next = skip + 1;
    for batch in source.read(slice, &plan, &Stop::default())? {
        let batch = batch?;
        assert_eq!(batch.first_row, next, "batches leave no gap");
        assert_eq!(batch.covered, (batch.rows.num_rows() + batch.bad.len()) as u64, "a batch is its rows");
        let bad: Vec<u64> = batch.bad.iter().map(|b| b.row).collect();
        reading.numbers.extend((next..next + batch.covered).filter(|n| !bad.contains(n)));
        next += batch.covered;
        let columns: Vec<_> =
            schema.columns.iter().map(|c| (batch.rows.column_by_name(&c.name), c.data_type)).collect();
        for row in 0..batch.rows.num_rows() {
            let cell = |(array, data_type): &(Option<&arrow::array::ArrayRef>, DataType)| {
                array.map(|array| Value::from_array(array, row, *data_type).expect("a value of the planned type"))
            };
            reading.rows.push(columns.iter().map(cell).collect());
        }
        reading.bad.extend(batch.bad.into_iter().map(Bad::from));
    }
    Ok(reading)
}

/// Leaving out the first rows leaves the rest as it was.
fn beyond(all: &Reading, rest: &Reading, skip: u64) {
    let first = all.numbers.partition_point(|n| *n <= skip);
    assert_eq!(all.rows[first..], rest.rows, "rows behind those left out");
    assert_eq!(all.numbers[first..], rest.numbers, "numbers behind rows left out");
    let first = all.bad.partition_point(|b| b.row <= skip);
    assert_eq!(all.bad[first..], rest.bad, "bad rows behind those left out");
}

/// The typed values against the same cells read as text.
fn no_digit_lost(schema: &Schema, typed: &Reading, texts: &Reading) {
    assert_eq!(typed.numbers, texts.numbers, "types change which rows are good");
    for (row, (values, texts)) in typed.rows.iter().zip(&texts.rows).enumerate() {
        for ((value, text), column) in values.iter().zip(texts).zip(&schema.columns) {
            let place = || format!("row {}, column {:?} {}", typed.numbers[row], column.name, column.data_type);
            match (value, text) {
                (None, None) | (Some(Value::Null), Some(Value::Null)) => {}
                (Some(value), Some(Value::Text(text))) => {
                    assert!(
                        says_the_same(text, value, column.data_type),
                        "{text:?} was read as {value:?}, which is another value: {}",
                        place()
                    );
                    assert!(reads_back(value, column.data_type), "{value:?} does not read back: {}", place());
                }
                _ => panic!("{text:?} was read as {value:?}: {}", place()),
            }
        }
    }
}
