//! The pipeline file from outside: what a person writes, what they are told.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test")]

mod alerts;
mod families;
mod flags;
mod mistakes;
mod schema;
mod strange;
mod valid;

use floodmark_config::{Diagnostics, Project};
use std::path::Path;

/// The example of the documentation.
const EXAMPLE: &str = include_str!("example.yaml");

fn env(name: &str) -> Option<String> {
    match name {
        "SHOP_PASSWORD" => Some("hunter2".to_owned()),
        "WAREHOUSE" => Some("sqlite:///secret-place.db".to_owned()),
        "BROKEN_URL" => Some("hunter2 no url".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Project, Diagnostics> {
    Project::parse(Path::new("shop/floodmark.yaml"), text, &env)
}

/// A file with one pipeline that has these lines besides its source and destination.
fn pipeline(lines: &str) -> String {
    let lines: String = lines.lines().map(|l| format!("    {}\n", l.trim_end())).collect();
    format!(
        "version: 1\npipelines:\n  orders:\n    source: {{ files: orders.csv }}\n    destination: {{ url: \"sqlite:///w.db\", table: orders }}\n{lines}"
    )
}
