//! The API of `floodmark serve`, held against the document it gives of itself: by schemathesis, which makes requests from it,
//! right ones and wrong ones, and looks at every answer.

use crate::{
    python,
    served::Served,
    shell::{self, target},
    test,
};

use std::{
    env, fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Requests are the same each time.
const SEED: &str = "20261128";
/// Requests of each operation, beside those for every edge of its parameters.
const EXAMPLES: &str = "15";
/// As long as each of the two may take: some twenty seconds where nothing else goes on.
const MOST: Duration = Duration::from_secs(150);
const TOKEN: &str = "a-token-that-is-for-tests-alone";

/// The project that is asked about: with rejects, a gap in its history, and columns that changed.
const PROJECT: &str = r#"version: 1
connections: { shop: "sqlite:///shop.db" }
pipelines:
  orders:
    source: { files: "data/*.csv" }
    destination: { connection: shop, table: orders }
    key: id
    watermark: { column: updated_at, start: 2026-01-01 }
    columns: { amount: bigint }
    on_bad_row: reject
  report:
    source: { connection: shop, table: orders }
    destination: { url: "sqlite:///report.db", table: report }
    key: id
    after: orders
  away:
    source: { url: "postgres://app@127.0.0.1:1/shop", table: a }
    destination: { connection: shop, table: away }
    key: id
"#;
const FIRST: &str = "id,amount,updated_at\n1,100,2026-01-01\n2,many,2026-01-02\n3,5,2026-01-03\n";
const SECOND: &str = "id,amount,updated_at,note\n7,100,2026-02-01,x\n8,none,2026-02-01,y\n";

/// The command.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("cargo xtask api".to_owned());
    }
    let schemathesis = python::schemathesis()?.join("bin/schemathesis");
    let program = match env::var_os("FLOODMARK_BIN") {
        Some(path) => fs::canonicalize(&path).map_err(|e| format!("FLOODMARK_BIN: {e}"))?,
        None => {
            test::build()?;
            test::binary()
        }
    };
    let folder = target().join("api");
    // Whatever is asked of a server for everybody on this machine; and of one with a token, about what is there.
    for (config, token, phases) in
        [("anything.toml", None, "fuzzing,stateful"), ("known.toml", Some(TOKEN), "coverage,fuzzing,stateful")]
    {
        project(&folder, &program)?;
        let served = Served::start(&program, &folder, token)?;
        let run = served.newest_run(token)?;
        let mut command = Command::new(&schemathesis);
        command
            .args(["--no-color", "--config-file"])
            .arg(shell::root().join("xtask/src/api").join(config))
            .arg("run")
            .arg(served.url("/api/v1/openapi.json"))
            .args(["--checks", "all", "--continue-on-failure", "--request-timeout", "20"])
            .args(["--phases", phases, "--max-examples", EXAMPLES, "--seed", SEED, "--generation-database", "none"])
            .env("FLOODMARK_RUN", run)
            .current_dir(&folder);
        if let Some(token) = token {
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        in_time(&mut command)?;
        served.end()?;
    }
    Ok(())
}

/// Runs to the end, or to that of its time.
fn in_time(command: &mut Command) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("schemathesis: {e}");
    let began = Instant::now();
    let mut child = command.spawn().map_err(fail)?;
    loop {
        match child.try_wait().map_err(fail)? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => return Err("the API does not keep what its document says, as said above".to_owned()),
            None if began.elapsed() > MOST => {
                child.kill().and_then(|()| child.wait()).map_err(fail)?;
                return Err(format!("it takes longer than {} s: ask for fewer examples", MOST.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A project of which there is something to tell.
fn project(folder: &Path, program: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&path, text)).map_err(|e| format!("{}: {e}", path.display()))
    };
    let floodmark = |arguments: &[&str]| shell::run(Command::new(program).args(arguments).current_dir(folder));
    write("floodmark.yaml", PROJECT)?;
    write("data/1.csv", FIRST)?;
    floodmark(&["run", "orders", "--quiet"])?;
    write("data/2.csv", SECOND)?;
    floodmark(&["run", "orders", "report", "--quiet"])?;
    for (from, to) in [("2025-11-01", "2025-11-03"), ("2025-12-01", "2025-12-03")] {
        floodmark(&["backfill", "orders", "--from", from, "--to", to, "--quiet"])?;
    }
    Ok(())
}
