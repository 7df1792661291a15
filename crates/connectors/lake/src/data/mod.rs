//! Data files: Parquet, and what is told of each.

mod columns;
mod encode;
mod file;
mod hive;
mod lasting;
mod object;
mod open;
mod patch;
mod read;
mod rows;
mod sink;
mod stats;
mod write;

pub use file::{Bounds, DataFile};
pub use write::{Layout, Writer};

pub(crate) use columns::{from_file, nulls};
pub(crate) use file::{join_numbers, parse_numbers, show_numbers};
pub(crate) use hive::text as partition_text;
pub(crate) use patch::{Left, patch};
pub(crate) use read::{Groups, Known, Opened, Which, count_rows};
pub(crate) use write::discard;
