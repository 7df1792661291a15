//! Prints `docs/reference/types.md`: which type becomes which, by the connectors' own tables. `cargo xtask gen-docs` keeps
//! the page equal to it.

use floodmark_core::DataType;
use std::io::{self, Write};

/// A database: its name, what is read from it, and what a column of ours is made as in it.
struct Database {
    name: &'static str,
    read: &'static [(&'static str, DataType)],
    written: fn(DataType) -> String,
}

const DATABASES: &[Database] = &[
    Database { name: "SQLite", read: floodmark_sqlite::types::READ, written: floodmark_sqlite::types::declared },
    #[cfg(feature = "duckdb")]
    Database { name: "DuckDB", read: floodmark_duckdb::types::READ, written: floodmark_duckdb::types::declared },
    Database {
        name: "PostgreSQL",
        read: floodmark_postgres::types::READ,
        written: floodmark_postgres::types::declared,
    },
    Database { name: "MySQL, MariaDB", read: floodmark_mysql::types::READ, written: floodmark_mysql::types::declared },
];

/// Ours, one of each.
const OURS: &[DataType] = &[
    DataType::Bool,
    DataType::BigInt,
    DataType::Decimal(12, 2),
    DataType::Double,
    DataType::Text,
    DataType::Bytes,
    DataType::Date,
    DataType::Time,
    DataType::Timestamp { nanos: false },
    DataType::Timestamp { nanos: true },
    DataType::TimestampTz { nanos: false },
    DataType::TimestampTz { nanos: true },
    DataType::Json,
];

const HEAD: &str = "# Types across databases

Made by `cargo xtask gen-docs` from the connectors themselves; a test on each database holds every line.

A value goes from its source's type to Floodmark's own, which is a type of Arrow, and from there to the destination's. Each of
these steps keeps it exactly or is an error that names the column, the value and what to do: nothing is rounded, cut or
wrapped. What a type's values need to be told of (NaN, infinities, numbers without limits, padding) stands on the pages of the
sources and destinations.

";

fn main() -> io::Result<()> {
    let mut out = HEAD.to_owned();
    let mut row = |cells: Vec<String>| out.push_str(&format!("| {} |\n", cells.join(" | ")));
    let code = |text: &str| format!("`{text}`");
    let names = || DATABASES.iter().map(|d| d.name.to_owned());
    row(["Floodmark".to_owned(), "Arrow".to_owned()].into_iter().chain(names()).collect());
    row(vec!["---".to_owned(); 2 + DATABASES.len()]);
    for ours in OURS {
        let written = DATABASES.iter().map(|d| code(&(d.written)(*ours)));
        row([code(&ours.to_string()), code(&ours.to_arrow().to_string())].into_iter().chain(written).collect());
    }
    for source in DATABASES {
        out.push_str(&format!("\n## From {}\n\n", source.name));
        let mut row = |cells: Vec<String>| out.push_str(&format!("| {} |\n", cells.join(" | ")));
        row([source.name.to_owned(), "Floodmark".to_owned()]
            .into_iter()
            .chain(names().map(|n| format!("in {n}")))
            .collect());
        row(vec!["---".to_owned(); 2 + DATABASES.len()]);
        for (declared, ours) in source.read {
            let written = DATABASES.iter().map(|d| code(&(d.written)(*ours)));
            row([code(declared), code(&ours.to_string())].into_iter().chain(written).collect());
        }
    }
    io::stdout().write_all(out.as_bytes())
}
