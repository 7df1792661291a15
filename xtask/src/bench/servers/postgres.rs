//! Into and out of PostgreSQL.

use super::{
    Bench,
    sides::{Job, Side},
};
use crate::shell;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// TPC-H's tables as anyone would declare them.
pub(super) const ORDERS: Table = Table {
    name: "orders",
    key: &["o_orderkey"],
    cursor: "o_orderdate",
    columns: &[
        ("o_orderkey", "bigint"),
        ("o_custkey", "bigint"),
        ("o_orderstatus", "text"),
        ("o_totalprice", "numeric(12,2)"),
        ("o_orderdate", "date"),
        ("o_orderpriority", "text"),
        ("o_clerk", "text"),
        ("o_shippriority", "bigint"),
        ("o_comment", "text"),
    ],
    content: "count(*), sum(o_orderkey), sum(o_custkey), sum(o_totalprice::numeric)",
};

pub(super) const LINEITEM: Table = Table {
    name: "lineitem",
    key: &["l_orderkey", "l_linenumber"],
    cursor: "l_shipdate",
    columns: &[
        ("l_orderkey", "bigint"),
        ("l_partkey", "bigint"),
        ("l_suppkey", "bigint"),
        ("l_linenumber", "bigint"),
        ("l_quantity", "numeric(12,2)"),
        ("l_extendedprice", "numeric(12,2)"),
        ("l_discount", "numeric(12,2)"),
        ("l_tax", "numeric(12,2)"),
        ("l_returnflag", "text"),
        ("l_linestatus", "text"),
        ("l_shipdate", "date"),
        ("l_commitdate", "date"),
        ("l_receiptdate", "date"),
        ("l_shipinstruct", "text"),
        ("l_shipmode", "text"),
        ("l_comment", "text"),
    ],
    content: "count(*), sum(l_orderkey), sum(l_partkey), sum(l_extendedprice::numeric)",
};

pub(super) struct Table {
    pub(super) name: &'static str,
    key: &'static [&'static str],
    cursor: &'static str,
    columns: &'static [(&'static str, &'static str)],
    content: &'static str,
}

/// The database that is read from.
pub(super) const SOURCE: &str = "bench_source";

pub(super) fn jobs() -> Vec<Job> {
    vec![
        Job {
            name: "first",
            title: "CSV → PostgreSQL, first load, 1.5 million rows",
            prepare: |bench| bench.orders().map(drop),
            sides: |bench| from_file(bench, bench.orders()),
            before: |bench, side| {
                side.fresh(bench)?;
                side.give(bench, &bench.orders()?)?;
                make_database(bench, side, None)
            },
            content: |bench, side| holds(bench, side, &ORDERS),
            after: keep,
        },
        Job {
            name: "idle",
            title: "CSV → PostgreSQL, nothing new",
            prepare: kept,
            sides: |bench| from_file(bench, bench.orders()),
            before: |bench, side| make_database(bench, side, Some("first")),
            content: |bench, side| holds(bench, side, &ORDERS),
            after: |_, _| Ok(()),
        },
        Job {
            name: "delta",
            title: "CSV → PostgreSQL, 30,000 changed and new rows",
            prepare: kept,
            sides: |bench| from_file(bench, bench.delta()),
            before: |bench, side| {
                let delta = bench.delta()?;
                if !side.folder(bench).join("data/delta.csv").exists() {
                    side.give(bench, &delta)?;
                }
                make_database(bench, side, Some("first"))
            },
            content: |bench, side| holds(bench, side, &ORDERS),
            after: |_, _| Ok(()),
        },
        Job {
            name: "orders",
            title: "PostgreSQL → PostgreSQL, 1.5 million rows",
            prepare: |bench| make_source(bench, &ORDERS, &bench.orders()?),
            sides: |bench| from_table(bench, &ORDERS),
            before: |bench, side| {
                side.fresh(bench)?;
                make_database(bench, side, None)
            },
            content: |bench, side| holds(bench, side, &ORDERS),
            after: |_, _| Ok(()),
        },
        Job {
            name: "lineitem",
            title: "PostgreSQL → PostgreSQL, 6 million rows, key of two columns",
            prepare: |bench| make_source(bench, &LINEITEM, &bench.lineitem()?),
            sides: |bench| from_table(bench, &LINEITEM),
            before: |bench, side| {
                side.fresh(bench)?;
                make_database(bench, side, None)
            },
            content: |bench, side| holds(bench, side, &LINEITEM),
            after: |_, _| Ok(()),
        },
        Job {
            name: "sqlite",
            title: "PostgreSQL → SQLite, 1.5 million rows",
            prepare: |bench| make_source(bench, &ORDERS, &bench.orders()?),
            sides: into_sqlite,
            before: |bench, side| side.fresh(bench).map(drop),
            content: |bench, side| {
                let sql = "SELECT count(*), sum(o_orderkey), sum(o_custkey), sum(CAST(round(o_totalprice * 100) AS INTEGER)) FROM orders";
                let file = side.folder(bench).join("out.db");
                shell::read(Command::new("sqlite3").arg(file).arg(sql)).map(|text| text.trim().to_owned())
            },
            after: |_, _| Ok(()),
        },
    ]
}

/// The server's name and version.
pub(super) fn version(bench: &Bench) -> String {
    let said = ask(bench, "postgres", "SHOW server_version").unwrap_or_default();
    format!("PostgreSQL {}", said.split(' ').next().unwrap_or("of unknown version"))
}

pub(super) fn database(side: &Side) -> String {
    format!("bench_{}", side.name.to_lowercase())
}

pub(super) fn url(bench: &Bench, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{}/{database}", bench.port)
}

/// For those who ask for a password where the server does not, and for TLS that it has not.
fn peer_url(bench: &Bench, database: &str) -> String {
    format!("postgresql://postgres:none@127.0.0.1:{}/{database}?sslmode=disable", bench.port)
}

fn psql(bench: &Bench, database: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.args([
        "-qAtX",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        "127.0.0.1",
        "-p",
        &bench.port,
        "-U",
        "postgres",
        "-d",
        database,
    ]);
    psql
}

fn ask(bench: &Bench, database: &str, sql: &str) -> Result<String, String> {
    shell::read(psql(bench, database).args(["-c", sql])).map(|text| text.trim().to_owned())
}

/// A database anew: empty, or as it was kept.
pub(super) fn make_database(bench: &Bench, side: &Side, from: Option<&str>) -> Result<(), String> {
    let name = database(side);
    let template = from.map_or_else(|| "template0".to_owned(), |from| format!("{name}_{from}"));
    ask(bench, "postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
    ask(bench, "postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"))?;
    ask(bench, "postgres", "CHECKPOINT").map(drop)
}

/// Keeps a side's database for jobs that begin with it.
fn keep(bench: &Bench, side: &Side) -> Result<(), String> {
    let name = database(side);
    ask(bench, "postgres", &format!("DROP DATABASE IF EXISTS {name}_first WITH (FORCE)"))?;
    ask(bench, "postgres", &format!("CREATE DATABASE {name}_first TEMPLATE {name}")).map(drop)
}

/// Something was kept.
fn kept(bench: &Bench) -> Result<(), String> {
    match ask(bench, "postgres", "SELECT count(*) FROM pg_database WHERE datname = 'bench_floodmark_first'")?.as_str() {
        "0" => Err("`idle` and `delta` go on from what `first` leaves: run them together, without --only".to_owned()),
        _ => Ok(()),
    }
}

pub(super) fn holds(bench: &Bench, side: &Side, table: &Table) -> Result<String, String> {
    ask(bench, &database(side), &format!("SELECT {} FROM public.{}", table.content, table.name))
}

impl Table {
    fn create(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, t)| format!("{name} {t}")).collect();
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))",
            self.name,
            columns.join(", "),
            self.key.join(", ")
        )
    }

    /// As anyone would write it by hand: staged, then merged by the key, in one transaction.
    fn merge(&self, copy: &str) -> String {
        let (name, key, cursor) = (self.name, self.key.join(", "), self.cursor);
        let rest = self.columns.iter().map(|(c, _)| *c).filter(|c| !self.key.contains(c));
        let set: Vec<String> = rest.map(|c| format!("{c} = excluded.{c}")).collect();
        format!(
            "BEGIN;\n{};\nCREATE TEMP TABLE staging (LIKE {name});\n{copy}\n\
             INSERT INTO {name} SELECT * FROM staging ON CONFLICT ({key}) DO UPDATE SET {} \
             WHERE excluded.{cursor} >= {name}.{cursor};\nCOMMIT;\n",
            self.create(),
            set.join(", ")
        )
    }
}

/// The table that is read, made once.
pub(super) fn make_source(bench: &Bench, table: &Table, file: &Path) -> Result<(), String> {
    if ask(bench, "postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{SOURCE}'"))? == "0" {
        ask(bench, "postgres", &format!("CREATE DATABASE {SOURCE}"))?;
    }
    if ask(bench, SOURCE, &format!("SELECT to_regclass('{}') IS NULL", table.name))? == "f" {
        return Ok(());
    }
    ask(bench, SOURCE, &table.create())?;
    ask(bench, SOURCE, &format!("\\copy {} FROM '{}' WITH (FORMAT csv, HEADER)", table.name, file.display()))?;
    ask(bench, SOURCE, "VACUUM ANALYZE").map(drop)
}

/// The command that floodmark's sides run.
pub(super) fn floodmark(bench: &Bench, source: &str, destination: &str, table: &Table) -> Side {
    let pipeline = format!(
        "version: 1\npipelines:\n  {0}:\n    source: {source}\n    destination: {{ url: \"{destination}\", table: {0} }}\n    \
         load: upsert\n    key: [{1}]\n    watermark: {2}\n",
        table.name,
        table.key.join(", "),
        table.cursor
    );
    let script = format!("exec '{}' --format json run", bench.program.display());
    Side { name: "floodmark", peer: false, script, pipeline: Some(pipeline) }
}

pub(super) fn shell_psql(bench: &Bench, database: &str) -> String {
    format!("psql -qX -v ON_ERROR_STOP=1 -h 127.0.0.1 -p {} -U postgres -d {database}", bench.port)
}

fn from_file(bench: &Bench, file: Result<PathBuf, String>) -> Vec<Side> {
    let name = file.ok().and_then(|f| f.file_name().map(|n| n.to_string_lossy().into_owned())).unwrap_or_default();
    let copy = format!("\\copy staging FROM 'data/{name}' WITH (FORMAT csv, HEADER)");
    let merge = format!("{} <<'SQL'\n{}SQL\n", shell_psql(bench, "bench_psql"), ORDERS.merge(&copy));
    let destination = url(bench, "bench_floodmark");
    let mut sides = vec![
        floodmark(bench, "{ files: \"data/*.csv\" }", &destination, &ORDERS),
        Side { name: "psql", peer: false, script: merge, pipeline: None },
    ];
    sides.extend(peers(bench, &ORDERS, &format!("data/{name}"), None));
    sides
}

fn from_table(bench: &Bench, table: &'static Table) -> Vec<Side> {
    let source = url(bench, SOURCE);
    let reading = format!("{{ url: \"{source}\", table: public.{} }}", table.name);
    let destination = url(bench, "bench_floodmark");
    // What is sent by one psql is read by the other, between its statements.
    let (before, after) = {
        let whole = table.merge("\\copy staging FROM pstdin");
        let (before, after) = whole.split_once("\\copy").unwrap_or_default();
        (before.to_owned(), after.split_once('\n').unwrap_or_default().1.to_owned())
    };
    let script = format!(
        "{} -c 'COPY {} TO STDOUT' | {} -c \"{}\" -c 'COPY staging FROM STDIN' -c \"{}\"",
        shell_psql(bench, SOURCE),
        table.name,
        shell_psql(bench, "bench_psql"),
        before.replace('\n', " "),
        after.replace('\n', " ")
    );
    let mut sides = vec![
        floodmark(bench, &reading, &destination, table),
        Side { name: "psql", peer: false, script, pipeline: None },
    ];
    sides.extend(peers(bench, table, &peer_url(bench, SOURCE), None));
    sides
}

fn into_sqlite(bench: &Bench) -> Vec<Side> {
    let source = url(bench, SOURCE);
    let reading = format!("{{ url: \"{source}\", table: public.orders }}");
    let columns = ORDERS.columns.iter().map(|(name, t)| match *t {
        "bigint" if ORDERS.key == [*name] => format!("{name} INTEGER PRIMARY KEY"),
        "bigint" => format!("{name} INTEGER"),
        "numeric(12,2)" => format!("{name} REAL"),
        _ => format!("{name} TEXT"),
    });
    let columns: Vec<String> = columns.collect();
    let script = format!(
        "{} -c 'COPY orders TO STDOUT (FORMAT csv)' | sqlite3 -batch out.db 'CREATE TABLE orders ({})' '.import --csv /dev/stdin orders'",
        shell_psql(bench, SOURCE),
        columns.join(", ")
    );
    let mut sides = vec![
        floodmark(bench, &reading, "sqlite:///out.db", &ORDERS),
        Side { name: "psql, sqlite3", peer: false, script, pipeline: None },
    ];
    sides.extend(peers(bench, &ORDERS, &peer_url(bench, SOURCE), Some("out.db")));
    sides
}

/// Other loaders doing the same, each the fastest way its documentation shows. `file`: into a file of SQLite, not into the
/// server.
fn peers(bench: &Bench, table: &Table, source: &str, file: Option<&str>) -> Vec<Side> {
    let Some(bin) = bench.peers() else { return Vec::new() };
    let is_file = !source.contains("://");
    let (name, key, cursor, bin) = (table.name, table.key.join(","), table.cursor, bin.display());
    let into = |side: &str| match file {
        Some(file) => format!("sqlite:///{file}"),
        None => peer_url(bench, &format!("bench_{side}")),
    };
    let home = "export HOME=\"$PWD\" DLT_DATA_DIR=\"$PWD/dlt\" SLING_HOME_DIR=\"$PWD/sling\" SLING_LOGGING=NONE \
                RUNTIME__DLTHUB_TELEMETRY=false INGESTR_DISABLE_TELEMETRY=true";
    let script = crate::shell::root().join("bench/peers/load_dlt.py");
    let dlt = format!("{home}\n{bin}/python '{}' '{source}' '{}' {name} {key} {cursor}", script.display(), into("dlt"));
    let stream = if is_file {
        format!("--src-stream \"file://$PWD/{source}\"")
    } else {
        format!("--src-conn '{source}' --src-stream public.{name}")
    };
    let object = if file.is_some() { format!("main.{name}") } else { format!("public.{name}") };
    let target = file.map_or_else(|| into("sling"), |file| format!("sqlite://$PWD/{file}"));
    let sling = format!(
        "{home}\n{bin}/../lib/python3*/site-packages/sling_linux_amd64/bin/sling-linux-amd64 run {stream} --tgt-conn \"{target}\" --tgt-object {object} --mode incremental \
         --primary-key {key} --update-key {cursor}"
    );
    let from = if is_file { format!("csv://$PWD/{source}") } else { source.to_owned() };
    let keys: Vec<String> = table.key.iter().map(|k| format!("--primary-key {k}")).collect();
    let ingestr = format!(
        "{home}\n{bin}/ingestr ingest --yes --progress log --source-uri \"{from}\" --source-table public.{name} \
         --dest-uri '{}' --dest-table {object} --incremental-strategy merge {} --incremental-key {cursor}",
        into("ingestr"),
        keys.join(" ")
    );
    let side = |name, script| Side { name, peer: true, script, pipeline: None };
    vec![side("dlt", dlt), side("sling", sling), side("ingestr", ingestr)]
}
