//! Object stores that misbehave: the real program, with its files and its lake in a bucket behind a network that fails.

mod commits;
mod credentials;
mod kills;
mod lists;
mod project;
mod read;
mod requests;

/// Rows that come and rows that change.
const UPSERT: &str = "    load: upsert\n    key: id\n    watermark: at\n";

const FIRST: &[u8] = b"id,at,name\n1,2024-01-01,one\n2,2024-01-02,two\n";
const SECOND: &[u8] = b"id,at,name\n2,2024-02-01,changed\n3,2024-02-02,three\n";

/// The table after both.
const BOTH: [(&str, &str); 3] = [("1", "one"), ("2", "changed"), ("3", "three")];
