//! The pipeline file: YAML with positions in, pipelines with every default filled in out.
//!
//! What may be written is said once, in [`FIELDS`]. Unknown-field detection, wrong-type messages, the JSON Schema, the
//! reference page and the flags of `floodmark load` are all made from that table. Mistakes are collected, never
//! returned one at a time: a person fixes a file in one go.
//!
//! The way of a file: `yaml` (text → tree with positions) → `read` (tree → typed values, by the table) → `resolve`
//! (values → [`Pipeline`](floodmark_core::pipeline::Pipeline)) → `rules` (what cannot be loaded safely) and, for
//! `check`, [`lint`](fn@lint) (what can be, but deserves a thought). The one-liner's flags enter at `read`. A pipeline over
//! several tables waits between `read` and `resolve` for the tables there are: [`Family`], `members`.

mod alerts;
mod blot;
mod diagnostics;
mod family;
mod fields;
mod flags;
mod interpolate;
mod lineage;
mod lint;
mod members;
mod order;
mod page;
mod project;
mod read;
mod record;
mod render;
mod resolve;
mod rules;
mod schema;
mod template;
mod values;
mod words;
mod written;
mod yaml;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use family::Family;
pub use fields::{FIELDS, Field, Kind, load_flags};
pub use flags::{
    PIPELINE_FLAG, SOURCE_FLAG, SOURCE_TABLE_FLAG, SOURCE_TABLES_FLAG, SOURCE_URL_FLAG, TABLE_FLAG, URL_FLAG,
    family_from_flags, from_flags, from_handed,
};
pub use lint::{Lint, lint};
pub use members::{Member, Members};
pub use page::reference;
pub use project::Project;
pub use schema::json_schema;
pub use values::{bytes as sized, duration as lasting, step};
pub use words::as_flags;
pub use written::{Note, Sheet, Written};
