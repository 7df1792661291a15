//! `cargo xtask soak`: random histories against the model, for as long as one likes; `--postgres`, `--mysql`, `--duckdb` or
//! `--delta`: into another database than SQLite. Sources are tables of all servers, so that these are started in any case.

use crate::{
    duckdb,
    services::{Services, Use},
    shell::{self, cargo, say},
    test::{binary, build},
};
use std::time::{SystemTime, UNIX_EPOCH};

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let usage = || "cargo xtask soak [--postgres|--mysql|--duckdb|--delta] [--seed S] [--minutes N]".to_owned();
    let (server, arguments) = match arguments {
        [first, rest @ ..] if ["--postgres", "--mysql", "--duckdb", "--delta"].contains(&first.as_str()) => {
            (first.strip_prefix("--"), rest)
        }
        all => (None, all),
    };
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mut minutes = 60;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().and_then(|text| text.parse().ok()).ok_or_else(usage)?;
        match word.as_str() {
            "--seed" => seed = value,
            "--minutes" => minutes = value,
            _ => return Err(usage()),
        }
    }
    build()?;
    say(&format!("seed {seed}, {minutes} minutes"));
    let mut test = cargo();
    test.args(["test", "--quiet", "--package", "floodmark-testkit", "--features", "duckdb,lake", "--test", "it"]);
    test.envs(duckdb::variables()?);
    test.args(["--", "--ignored", "--exact", "model::soak", "--nocapture"]);
    test.env("FLOODMARK_BIN", binary()).env("FLOODMARK_SEED", seed.to_string());
    test.env("FLOODMARK_SOAK_SECONDS", (minutes * 60).to_string());
    let services = Services::start(Use::Tests)?;
    test.envs(services.variables());
    if let Some(server) = server {
        test.env("FLOODMARK_SOAK_ON", server);
    }
    shell::run(&mut test)
}
