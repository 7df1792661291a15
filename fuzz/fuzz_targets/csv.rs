//! Any bytes as a CSV file.
//!
//! An input begins with a line of settings: the delimiter (`?` finds it), the quote, a letter whose bits are switches,
//! and a character that gives block size, threads and rows left out. The rest is the file.
#![no_main]

use floodmark_core::pipeline::{CsvOptions, FileFormat, FileSource};
use floodmark_fuzz::reading::{Trial, check};
use libfuzzer_sys::fuzz_target;

/// Small enough that the limit is met.
const SHORT_ROW: usize = 48;

fuzz_target!(|data: &[u8]| {
    let [delimiter, quote, switches, shape, b'\n', bytes @ ..] = data else { return };
    let on = |bit: u8| switches & (1 << bit) != 0;
    let shape = usize::from(*shape);
    let csv = CsvOptions {
        delimiter: (*delimiter != b'?').then_some(*delimiter),
        quote: *quote,
        header: !on(0),
        names: if on(2) { vec!["first".to_owned(), "second".to_owned()] } else { Vec::new() },
        null: on(3).then(|| "NA".to_owned()),
    };
    let trial = Trial {
        name: "fuzz.csv",
        spec: FileSource {
            store: None,
            patterns: Vec::new(),
            base: Default::default(),
            format: Some(FileFormat::Csv),
            csv,
            max_row_bytes: if on(4) { SHORT_ROW } else { 1 << 20 },
            hive_partitions: false,
        },
        block: 1 + shape % 61,
        workers: 1 + shape % 3,
        gzip: on(1),
        skip: (shape % 7) as u64,
    };
    check(&trial, bytes);
});
