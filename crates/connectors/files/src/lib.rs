//! Files as a source: CSV, JSON Lines, JSON arrays, Parquet and Arrow IPC; plain, gzip or zstd.
//!
//! Text takes one way, whatever the format: `blocks` cuts a file into whole rows in file order, `parallel` hands
//! the blocks to threads, `csv` and `json` turn each into `cells`, and `survey` or `convert` makes types
//! or Arrow columns of those. Columnar files go through `columnar`.

mod bad;
mod blocks;
mod bytes;
mod cells;
mod columnar;
mod convert;
mod csv;
mod exact;
mod find;
mod handed;
mod json;
mod nested;
mod open;
mod panics;
mod parallel;
mod partitions;
mod pruned;
mod row_groups;
mod source;
mod survey;
mod text;

pub use handed::{ArrowStream, Handed, HandedSource, json_text};
pub use pruned::Footer;
pub use source::FileSourceReader;
