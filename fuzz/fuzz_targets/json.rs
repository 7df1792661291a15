//! Any bytes as JSON Lines or a JSON array.
//!
//! An input begins with a line of settings: a letter whose bits are switches, and a character that gives block size,
//! threads and rows left out. The rest is the file.
#![no_main]

use floodmark_core::pipeline::{CsvOptions, FileFormat, FileSource};
use floodmark_fuzz::reading::{Trial, check};
use libfuzzer_sys::fuzz_target;

/// Small enough that the limit is met.
const SHORT_ROW: usize = 48;

fuzz_target!(|data: &[u8]| {
    let [switches, shape, b'\n', bytes @ ..] = data else { return };
    let on = |bit: u8| switches & (1 << bit) != 0;
    let shape = usize::from(*shape);
    let format = match (on(2), on(3)) {
        (true, _) => None,
        (false, true) => Some(FileFormat::Json),
        (false, false) => Some(FileFormat::Jsonl),
    };
    let trial = Trial {
        name: "fuzz.json",
        spec: FileSource {
            store: None,
            patterns: Vec::new(),
            base: Default::default(),
            format,
            csv: CsvOptions::default(),
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
