//! Into MariaDB.

use super::{
    Bench,
    sides::{Job, Side},
};
use crate::shell;
use std::process::Command;

/// TPC-H's `orders` as anyone would declare it.
const COLUMNS: &str = "o_orderkey bigint PRIMARY KEY, o_custkey bigint, o_orderstatus varchar(1), o_totalprice decimal(12,2), \
                       o_orderdate date, o_orderpriority varchar(20), o_clerk varchar(20), o_shippriority bigint, \
                       o_comment varchar(100)";

/// Its columns beside the key.
const REST: [&str; 8] = [
    "o_custkey",
    "o_orderstatus",
    "o_totalprice",
    "o_orderpriority",
    "o_clerk",
    "o_shippriority",
    "o_comment",
    // Last: the others are compared with what it was.
    "o_orderdate",
];

pub(super) fn jobs() -> Vec<Job> {
    vec![
        Job {
            name: "mariadb-first",
            title: "CSV → MariaDB, first load, 1.5 million rows",
            prepare: |bench| bench.orders().map(drop),
            sides: |bench| sides(bench, "orders.csv"),
            before: |bench, side| {
                side.fresh(bench)?;
                side.give(bench, &bench.orders()?)?;
                make_database(bench, side, false)
            },
            content: holds,
            after: keep,
        },
        Job {
            name: "mariadb-idle",
            title: "CSV → MariaDB, nothing new",
            prepare: |_| Ok(()),
            sides: |bench| sides(bench, "orders.csv"),
            before: |bench, side| make_database(bench, side, true),
            content: holds,
            after: |_, _| Ok(()),
        },
        Job {
            name: "mariadb-delta",
            title: "CSV → MariaDB, 30,000 changed and new rows",
            prepare: |_| Ok(()),
            sides: |bench| sides(bench, "delta.csv"),
            before: |bench, side| {
                let delta = bench.delta()?;
                if !side.folder(bench).join("data/delta.csv").exists() {
                    side.give(bench, &delta)?;
                }
                make_database(bench, side, true)
            },
            content: holds,
            after: |_, _| Ok(()),
        },
    ]
}

fn database(side: &Side) -> String {
    format!("bench_{}", side.name)
}

/// The command line of the server's own client, as words of a shell.
fn client(bench: &Bench, database: &str) -> String {
    let (user, password, port) = (&bench.mariadb.user, &bench.mariadb.password, &bench.mariadb.port);
    format!(
        "MYSQL_PWD={password} mariadb --no-defaults -h 127.0.0.1 -P {port} -u {user} --local-infile=1 --batch --skip-column-names {database}"
    )
}

fn ask(bench: &Bench, database: &str, sql: &str) -> Result<String, String> {
    let script = format!("{} -e \"$0\"", client(bench, database));
    shell::read(Command::new("sh").args(["-c", &script, sql])).map(|text| text.trim().to_owned())
}

/// A database anew: empty, or as it was kept.
fn make_database(bench: &Bench, side: &Side, kept: bool) -> Result<(), String> {
    let name = database(side);
    ask(bench, "", &format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}"))?;
    if kept { copy(bench, &format!("{name}_first"), &name) } else { Ok(()) }
}

/// Keeps a side's database for jobs that begin with it.
fn keep(bench: &Bench, side: &Side) -> Result<(), String> {
    let name = database(side);
    ask(bench, "", &format!("DROP DATABASE IF EXISTS {name}_first; CREATE DATABASE {name}_first"))?;
    copy(bench, &name, &format!("{name}_first"))
}

fn copy(bench: &Bench, from: &str, to: &str) -> Result<(), String> {
    for table in ask(bench, from, "SHOW TABLES")?.lines() {
        ask(
            bench,
            to,
            &format!("CREATE TABLE {table} LIKE {from}.{table}; INSERT INTO {table} SELECT * FROM {from}.{table}"),
        )?;
    }
    Ok(())
}

fn holds(bench: &Bench, side: &Side) -> Result<String, String> {
    let sums = "count(*), sum(o_orderkey), sum(o_custkey), sum(CAST(o_totalprice AS decimal(12,2)))";
    ask(bench, &database(side), &format!("SELECT {sums} FROM orders"))
}

fn sides(bench: &Bench, file: &str) -> Vec<Side> {
    let (user, password, port) = (&bench.mariadb.user, &bench.mariadb.password, &bench.mariadb.port);
    let pipeline = format!(
        "version: 1\npipelines:\n  orders:\n    source: {{ files: \"data/*.csv\" }}\n    \
         destination: {{ url: \"mysql://{user}:{password}@127.0.0.1:{port}/bench_floodmark\", table: orders }}\n    \
         load: upsert\n    key: o_orderkey\n    watermark: o_orderdate\n"
    );
    let newer = |c: &str| format!("{c} = IF(VALUES(o_orderdate) >= orders.o_orderdate, VALUES({c}), orders.{c})");
    // As anyone would write it by hand: staged, then merged by the key, in one transaction.
    let merge = format!(
        "CREATE TABLE IF NOT EXISTS orders ({COLUMNS}); CREATE TEMPORARY TABLE staging LIKE orders; START TRANSACTION;\n\
         LOAD DATA LOCAL INFILE 'data/{file}' INTO TABLE staging FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\\\"' \
         IGNORE 1 LINES;\nINSERT INTO orders SELECT * FROM staging ON DUPLICATE KEY UPDATE {}; COMMIT;",
        REST.map(newer).join(", ")
    );
    let floodmark = format!("exec '{}' --format json run", bench.program.display());
    let own = format!("{} -e \"{merge}\"", client(bench, "bench_mariadb"));
    vec![
        Side { name: "floodmark", peer: false, script: floodmark, pipeline: Some(pipeline) },
        Side { name: "mariadb", peer: false, script: own, pipeline: None },
    ]
}

/// The server's name and version.
pub(super) fn version(bench: &Bench) -> String {
    let said = ask(bench, "", "SELECT version()").unwrap_or_default();
    format!("MariaDB {}", said.split('-').next().unwrap_or("of unknown version"))
}
