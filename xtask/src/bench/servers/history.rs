//! What is filled in afterwards and what is checked: `backfill` beside one full load, `verify` beside reading both tables.

use super::{
    Bench,
    postgres::{self, LINEITEM, ORDERS, SOURCE, Table},
    sides::{Job, Side},
};

pub(super) fn jobs() -> Vec<Job> {
    vec![
        Job {
            name: "backfill",
            title: "PostgreSQL → PostgreSQL, 1.5 million rows in 2,406 intervals of a day",
            prepare: |bench| postgres::make_source(bench, &ORDERS, &bench.orders()?),
            sides: |bench| {
                let days = "backfill orders --from 1992-01-01 --to 1998-08-03 --by 1d --jobs 4";
                vec![side(bench, "backfill", &ORDERS, days), side(bench, "run", &ORDERS, "run")]
            },
            before: |bench, side| {
                side.fresh(bench)?;
                postgres::make_database(bench, side, None)
            },
            content: |bench, side| postgres::holds(bench, side, &ORDERS),
            after: |_, _| Ok(()),
        },
        Job {
            name: "verify",
            title: "Two equal tables of 6 million rows, compared",
            prepare: |bench| {
                postgres::make_source(bench, &LINEITEM, &bench.lineitem()?)?;
                let load = side(bench, "verify", &LINEITEM, "run");
                load.fresh(bench)?;
                postgres::make_database(bench, &load, None)?;
                load.load(bench).map(drop)
            },
            sides: |bench| {
                let copies = [SOURCE, "bench_verify"].map(|database| {
                    let psql = postgres::shell_psql(bench, database);
                    format!("{psql} -c 'COPY lineitem TO STDOUT' > /dev/null & ")
                });
                let read = format!("{}wait\n", copies.concat());
                vec![
                    side(bench, "verify", &LINEITEM, "verify lineitem"),
                    Side { name: "two COPYs", peer: false, script: read, pipeline: None },
                ]
            },
            before: |bench, side| std::fs::create_dir_all(side.folder(bench)).map_err(|e| e.to_string()),
            content: |_, _| Ok(String::new()),
            after: |_, _| Ok(()),
        },
    ]
}

/// A command of floodmark's, into a database that is named like the side.
fn side(bench: &Bench, name: &'static str, table: &Table, command: &str) -> Side {
    let source = format!("{{ url: \"{}\", table: public.{} }}", postgres::url(bench, SOURCE), table.name);
    let destination = postgres::url(bench, &format!("bench_{name}"));
    let script = format!("exec '{}' --format json {command}", bench.program.display());
    Side { name, script, ..postgres::floodmark(bench, &source, &destination, table) }
}
