//! `floodmark serve` over many pipelines with long ledgers: how soon its overview is there, what those who watch cost, and what it
//! costs to have nothing to do.

use super::report;
use crate::{
    served::Served,
    shell::{self, say},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PIPELINES: usize = 200;
/// Of each of them.
const RUNS: usize = 500;
const VIEWERS: usize = 100;
/// How long each state is looked at.
const LOOKED: Duration = Duration::from_secs(30);
/// How often something is run while they watch.
const EVERY: Duration = Duration::from_millis(500);
/// Everything is read by then.
const READY: Duration = Duration::from_secs(60);

/// `requests`: tens of requests for each page.
pub(super) fn run(program: &Path, work: &Path, requests: usize) -> Result<(), String> {
    let folder = work.join("serve");
    project(program, &folder)?;
    let began = Instant::now();
    let served = Served::start(program, &folder, None)?;
    while !served.get("/readyz", None)?.starts_with("HTTP/1.1 200") {
        if began.elapsed() > READY {
            return Err("its ledgers are not read within a minute".to_owned());
        }
        thread::sleep(Duration::from_millis(20));
    }
    say(&format!(
        "ledgers of {PIPELINES} pipelines with {RUNS} runs each read: {:.2} s",
        began.elapsed().as_secs_f64()
    ));
    for path in ["/", "/pipelines/p000", "/runs", "/api/v1/pipelines", "/api/v1/runs?limit=1000", "/metrics"] {
        page(&served, path, 10 * requests)?;
    }
    let quiet = looked(&served, "nothing to do", || thread::sleep(LOOKED))?;
    let watching = viewers(&served)?;
    let watched = looked(&served, &format!("{VIEWERS} watch, nothing to do"), || thread::sleep(LOOKED))?;
    let runs = AtomicU64::new(0);
    let busy = looked(&served, &format!("{VIEWERS} watch, a run every {EVERY:?}"), || {
        let since = Instant::now();
        while since.elapsed() < LOOKED {
            let at = runs.fetch_add(1, Ordering::Relaxed) as usize % PIPELINES;
            // One that is not taken shows in the number of events.
            let _ = ask(&served, at);
            thread::sleep(EVERY);
        }
    })?;
    let told = watching.load(Ordering::Relaxed);
    say(&format!("{} runs were asked for; {told} bytes were told to those who watch", runs.into_inner()));
    if told == 0 {
        return Err("nobody was told anything".to_owned());
    }
    say(&format!(
        "of one core: {:.2} % idle (goal 1), {:.2} % watched, {:.2} % watched while it works (goal 5)",
        quiet * 100.0,
        watched * 100.0,
        busy * 100.0
    ));
    served.end()
}

/// A project whose pipelines have run once, and whose ledgers say that they have run many times.
fn project(program: &Path, folder: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(fail)?;
    }
    fs::create_dir_all(folder.join("data")).map_err(fail)?;
    fs::write(folder.join("data/1.csv"), "id,amount,updated_at\n1,100,2026-01-01\n2,200,2026-01-02\n").map_err(fail)?;
    let mut file = String::from("version: 1\nconnections: { w: \"sqlite:///w.db\" }\npipelines:\n");
    for n in 0..PIPELINES {
        file.push_str(&format!(
            "  p{n:03}:\n    source: {{ files: \"data/*.csv\" }}\n    destination: {{ connection: w, table: t{n:03} }}\n    \
             key: id\n    watermark: updated_at\n    schedule: \"{} 3 1 1 *\"\n    freshness: 2h\n",
            n % 60
        ));
    }
    fs::write(folder.join("floodmark.yaml"), file).map_err(fail)?;
    shell::read(Command::new(program).args(["run", "--quiet"]).current_dir(folder))?;
    // Each run once more, a minute before the other: with ids that tell the time, as all have.
    let id = "substr(run, 1, 14) || printf('%04x', n) || substr(run, 19)";
    let columns = "status, load, strftime('%Y-%m-%dT%H:%M:%fZ', started_at, -n || ' minutes'),
        strftime('%Y-%m-%dT%H:%M:%fZ', finished_at, -n || ' minutes'), read, transformed, skipped, rejected, superseded, stale,
        unchanged, inserted, updated, deleted, delete_noop, removed, watermark_column, watermark_before, watermark_after, error";
    let all =
        format!("WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {})", RUNS - 1);
    let sql = format!(
        "BEGIN;
         INSERT INTO _floodmark_commits {all} SELECT {id}, pipeline, commits FROM _floodmark_commits, numbers;
         INSERT INTO _floodmark_runs {all} SELECT {id}, pipeline, {columns} FROM _floodmark_runs, numbers;
         COMMIT; SELECT count(*) FROM _floodmark_runs;"
    );
    let count = shell::read(Command::new("sqlite3").arg(folder.join("w.db")).arg(sql))?;
    if count.trim() == (PIPELINES * RUNS).to_string() { Ok(()) } else { Err(format!("the ledger has {count} runs")) }
}

/// How long a page takes, over connections of their own.
fn page(served: &Served, path: &str, requests: usize) -> Result<(), String> {
    let mut took = Vec::new();
    let mut bytes = 0;
    for _ in 0..requests {
        let began = Instant::now();
        let answer = served.get(path, None)?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        bytes = answer.len();
        if !answer.starts_with("HTTP/1.1 200") {
            return Err(format!("{path}: {}", answer.lines().next().unwrap_or_default()));
        }
    }
    let worst = took.iter().fold(0.0f64, |a, b| a.max(*b));
    say(&format!(
        "{path}: {:.1} ms, at most {worst:.1} ms ({requests} requests of {bytes} bytes)",
        report::median(took)
    ));
    Ok(())
}

/// What share of a core the server takes meanwhile.
fn looked(served: &Served, what: &str, meanwhile: impl FnOnce()) -> Result<f64, String> {
    let (began, before) = (Instant::now(), seconds(served.process())?);
    meanwhile();
    let share = (seconds(served.process())? - before) / began.elapsed().as_secs_f64();
    let status = fs::read_to_string(format!("/proc/{}/status", served.process())).map_err(|e| e.to_string())?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
    };
    say(&format!("{what}: {:.2} % of a core, {:.0} MiB (at most {:.0})", share * 100.0, of("VmRSS"), of("VmHWM")));
    Ok(share)
}

/// Processor time of a process, without that of those it started.
fn seconds(process: u32) -> Result<f64, String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).map_err(|e| e.to_string())?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    // In the hundredths of a second that the kernel tells all programs.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// Those who watch, each over a connection; how many bytes they have heard.
fn viewers(served: &Served) -> Result<Arc<AtomicU64>, String> {
    let heard = Arc::new(AtomicU64::new(0));
    for _ in 0..VIEWERS {
        let mut stream = TcpStream::connect(served.address()).map_err(|e| e.to_string())?;
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", served.address())
            .map_err(|e| e.to_string())?;
        let heard = Arc::clone(&heard);
        thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || {
                let mut part = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut part) {
                    heard.fetch_add(n as u64, Ordering::Relaxed);
                }
            })
            .map_err(|e| e.to_string())?;
    }
    Ok(heard)
}

/// Has a pipeline run.
fn ask(served: &Served, at: usize) -> Result<(), String> {
    let body = format!("{{\"pipeline\": \"p{at:03}\"}}");
    let mut stream = TcpStream::connect(served.address()).map_err(|e| e.to_string())?;
    write!(
        stream,
        "POST /api/v1/jobs HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        served.address(),
        body.len()
    )
    .and_then(|()| stream.read_to_string(&mut String::new()))
    .map(drop)
    .map_err(|e| e.to_string())
}
