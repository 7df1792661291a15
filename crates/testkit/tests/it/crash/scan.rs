//! No statement that changes what lasts is without its crash point: told from the source itself.

use crate::cases::root;
use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

/// Calls that change a database or a disk.
const CALLS: &[&str] = &[
    ".execute(",
    ".execute_batch(",
    ".batch_execute(",
    ".raw_execute(",
    ".copy_in(",
    ".with_values(",
    ".commit()",
    ".pragma_update(",
    ".pragma_update_and_check(",
    "open_with_flags(",
    "fs::write(",
    "fs::rename(",
    "fs::copy(",
    "fs::remove_file(",
    "fs::remove_dir_all(",
    "fs::create_dir",
    "File::create",
    "OpenOptions::new",
    "NamedTempFile::",
    "tempfile(",
    ".set_len(",
    ".write_all(",
    "Write::write_all(",
];

/// Texts of statements that change something although they are run as queries.
const TEXTS: &[&str] = &[" RETURNING ", "wal_checkpoint"];

/// Calls that need no point: file, call, how many of them, and why.
const ALLOWED: &[(&str, &str, usize, &str)] = &[
    ("connectors/duckdb/src/aside.rs", "fs::create_dir", 1, "a folder of the user's own to put aside into"),
    ("connectors/duckdb/src/copy.rs", ".execute_batch(", 4, COPY),
    ("connectors/duckdb/src/copy.rs", ".commit()", 1, COPY),
    ("connectors/duckdb/src/copy.rs", "fs::remove_file(", 1, COPY),
    ("connectors/duckdb/src/differences.rs", ".execute_batch(", 1, "a temporary table"),
    ("connectors/duckdb/src/differences.rs", ".copy_in(", 1, "into that table"),
    (
        "connectors/duckdb/src/file.rs",
        "fs::remove_file(",
        2,
        "what `open-database` makes a new file of, and an old log",
    ),
    ("connectors/duckdb/src/file.rs", "fs::create_dir", 1, "where it is made"),
    ("connectors/duckdb/src/link.rs", ".execute(", 4, LINK),
    ("connectors/duckdb/src/link.rs", ".execute_batch(", 4, "settings of a connection; a transaction's begin and end"),
    ("connectors/duckdb/src/outside.rs", ".execute_batch(", 1, "what tests do by hand"),
    ("connectors/duckdb/src/rehearsal.rs", ".execute_batch(", 3, "the begin and end of what is never committed"),
    ("connectors/duckdb/src/source/mod.rs", ".execute_batch(", 1, READS),
    ("connectors/duckdb/src/state.rs", " RETURNING ", 2, "called at `raise-token`"),
    ("connectors/files/src/open.rs", "tempfile(", 1, "a temporary file without a name: it goes with the process"),
    ("connectors/files/src/open.rs", "Write::write_all(", 1, "into that file"),
    ("connectors/files/src/source.rs", "NamedTempFile::", 1, "a copy of standard input, which no later run looks for"),
    ("connectors/lake/src/copy.rs", "fs::create_dir", 1, COPY),
    ("connectors/lake/src/destination.rs", "fs::create_dir", 1, "the folder of the locks, which nobody misses"),
    ("connectors/lake/src/store.rs", "fs::create_dir", 1, PUT),
    ("connectors/lake/src/store.rs", "File::create", 1, PUT),
    ("connectors/lake/src/store.rs", ".write_all(", 1, PUT),
    ("connectors/lake/src/store.rs", "fs::remove_file(", 1, PUT),
    ("connectors/lake/src/store.rs", "fs::rename(", 1, PUT),
    ("connectors/mysql/src/copy.rs", ".execute(", 10, COPY),
    ("connectors/mysql/src/copy.rs", ".copy_in(", 1, COPY),
    ("connectors/mysql/src/copy.rs", "OpenOptions::new", 1, "a password file in the copy's folder"),
    ("connectors/mysql/src/copy.rs", ".write_all(", 1, "into that file"),
    ("connectors/mysql/src/differences.rs", ".execute(", 2, "a temporary table"),
    ("connectors/mysql/src/differences.rs", ".copy_in(", 1, "into that table"),
    ("connectors/mysql/src/link.rs", ".execute(", 6, "settings of a connection; a transaction's begin and end"),
    ("connectors/mysql/src/lock.rs", ".execute(", 1, "ends a session that this run lost"),
    ("connectors/mysql/src/merge/write.rs", ".copy_in(", 1, "called at `insert` and `temporary`"),
    ("connectors/mysql/src/packets.rs", ".write_all(", 3, LINK),
    ("connectors/mysql/src/rehearsal.rs", ".execute(", 1, "begins a transaction that is never committed"),
    ("connectors/mysql/src/rows.rs", ".execute(", 2, LINK),
    ("connectors/mysql/src/source/read.rs", ".execute(", 2, READS),
    ("connectors/mysql/src/source/sessions.rs", ".execute(", 1, READS),
    ("connectors/mysql/src/source/snapshot.rs", ".execute(", 2, READS),
    ("connectors/postgres/src/copy.rs", ".execute_batch(", 8, COPY),
    ("connectors/postgres/src/copy.rs", ".copy_in(", 2, COPY),
    ("connectors/postgres/src/copy.rs", ".commit()", 1, COPY),
    ("connectors/postgres/src/copy.rs", "OpenOptions::new", 1, "a password file in the copy's folder"),
    ("connectors/postgres/src/copy.rs", ".write_all(", 1, "into that file"),
    (
        "connectors/postgres/src/differences.rs",
        ".execute_batch(",
        2,
        "temporary, in a transaction that is never committed",
    ),
    ("connectors/postgres/src/differences.rs", ".copy_in(", 1, "into that table"),
    ("connectors/postgres/src/link.rs", ".execute(", 1, LINK),
    ("connectors/postgres/src/link.rs", ".batch_execute(", 1, LINK),
    (
        "connectors/postgres/src/link.rs",
        ".execute_batch(",
        4,
        "settings of a connection; a transaction's begin and end",
    ),
    ("connectors/postgres/src/merge/write.rs", ".copy_in(", 1, "called at `insert` and `temporary`"),
    ("connectors/postgres/src/rehearsal.rs", ".execute_batch(", 1, "begins a transaction that is never committed"),
    ("connectors/postgres/src/source/horizon.rs", ".execute_batch(", 2, READS),
    ("connectors/postgres/src/source/snapshot.rs", ".execute_batch(", 3, READS),
    ("connectors/postgres/src/touched.rs", ".execute_batch(", 1, "made in a transaction that is never committed"),
    ("connectors/sqlite/src/bench.rs", ".execute_batch(", 1, "settings of a scratch database"),
    ("connectors/sqlite/src/bench/spool.rs", "tempfile(", 2, "a temporary file without a name, at `temporary`"),
    ("connectors/sqlite/src/copy.rs", ".execute_batch(", 3, COPY),
    ("connectors/sqlite/src/copy.rs", ".pragma_update(", 2, COPY),
    ("connectors/sqlite/src/copy.rs", ".commit()", 1, COPY),
    ("connectors/sqlite/src/differences.rs", ".execute(", 1, "attaches a database to a connection that only reads"),
    ("connectors/sqlite/src/differences.rs", ".execute_batch(", 1, "and lets go of it"),
    (
        "connectors/sqlite/src/destination.rs",
        "open_with_flags(",
        1,
        "a closure that `open-database` calls, and readers",
    ),
    ("connectors/sqlite/src/destination.rs", ".pragma_update(", 3, "settings that last as long as the connection"),
    ("connectors/sqlite/src/rehearsal.rs", ".execute_batch(", 1, "begins a transaction that is never committed"),
    ("connectors/sqlite/src/rehearsal.rs", ".commit()", 2, "what the commit at `load-commit` consists of"),
    ("connectors/sqlite/src/source/mod.rs", ".execute_batch(", 1, READS),
    ("connectors/sqlite/src/touched.rs", ".execute_batch(", 2, "temporary, in a transaction that is never committed"),
    ("engine/src/prove/bench.rs", "fs::create_dir", 1, "a folder in a temporary one, for a copy"),
    ("engine/src/prove/child.rs", "File::create", 1, "what a child process says, beside its copy"),
];

/// The connection's own calls.
const LINK: &str = "what the calls with a point are made of";

/// A source's transaction.
const READS: &str = "a transaction that only reads";

/// What is done to a copy of a database.
const PUT: &str = "a put of one file, called at the point of what it puts";
const COPY: &str = "a copy that no later run looks for";

#[test]
fn every_statement_that_changes_something_stands_at_a_crash_point() {
    let crates = root().join("crates");
    let mut files = Vec::new();
    for folder in ["connectors", "engine"] {
        rust_files(&crates.join(folder), &mut files);
    }
    assert!(files.len() > 30, "the sources are not where they were");
    let (mut bare, mut allowed, mut covered) = (Vec::new(), vec![0; ALLOWED.len()], 0);
    for file in files {
        let name = file.strip_prefix(&crates).unwrap().display().to_string();
        let source = fs::read_to_string(&file).unwrap();
        for found in changes(&source) {
            if found.covered {
                covered += 1;
            } else if let Some(n) = ALLOWED.iter().position(|(f, call, ..)| *f == name && *call == found.what) {
                allowed[n] += 1;
            } else {
                bare.push(format!("crates/{name}:{}: {}", found.line, found.what));
            }
        }
    }
    assert!(bare.is_empty(), "put these inside `crash::at(Point::…, || …)`:\n{}", bare.join("\n"));
    assert!(covered > 40, "only {covered} statements were found: the scan no longer sees them");
    for ((file, call, times, why), found) in ALLOWED.iter().zip(allowed) {
        assert_eq!(found, *times, "{file}: {call} without a point, allowed as {why:?}");
    }
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "tests" {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") && name != "tests.rs" {
            out.push(path);
        }
    }
}

struct Found {
    what: &'static str,
    line: usize,
    covered: bool,
}

/// Every change in a source, but for those in its tests.
fn changes(source: &str) -> Vec<Found> {
    let (code, strings) = split(source);
    let end = code.find("#[cfg(test)]").unwrap_or(code.len());
    let points = points(&code);
    let found = |what, at: usize| Found {
        what,
        line: 1 + source[..at].matches('\n').count(),
        covered: points.iter().any(|span| span.contains(&at)),
    };
    let mut out = Vec::new();
    for call in CALLS {
        // A name that only ends like the call is another call.
        let whole =
            |at: &usize| call.starts_with('.') || !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        out.extend(code[..end].match_indices(call).map(|(at, _)| at).filter(whole).map(|at| found(call, at)));
    }
    for text in TEXTS {
        let holds = |span: &&Range<usize>| span.start < end && source[(*span).clone()].contains(text);
        out.extend(strings.iter().filter(holds).map(|span| found(text, span.start)));
    }
    out
}

/// What stands between the brackets of each `crash::at(…)`.
fn points(code: &str) -> Vec<Range<usize>> {
    const AT: &str = "crash::at(";
    code.match_indices(AT)
        .map(|(at, _)| {
            let start = at + AT.len();
            let mut depth = 1;
            let length = code[start..].find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0
            });
            start..start + length.unwrap_or(0)
        })
        .collect()
}

/// The source with comments and literals blanked out, byte for byte, and where its strings stand.
fn split(source: &str) -> (String, Vec<Range<usize>>) {
    let bytes = source.as_bytes();
    let mut code = bytes.to_vec();
    let mut strings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |n| n + 2)
        } else if let Some(length) = raw_string(rest).or_else(|| rest.starts_with('"').then(|| string(rest))) {
            strings.push(at..at + length);
            length
        } else if let Some(length) = character(rest) {
            length
        } else {
            // A name that ends in `r` before a quote is no raw string: names are skipped whole.
            let name = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            at += name.max(rest.chars().next().map_or(1, char::len_utf8));
            continue;
        };
        code[at..at + length].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        at += length;
    }
    (String::from_utf8(code).unwrap(), strings)
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let marks = rest.strip_prefix('r')?;
    let hashes = marks.find('"').filter(|n| marks[..*n].bytes().all(|b| b == b'#'))?;
    let close = format!("\"{}", "#".repeat(hashes));
    let open = 2 + hashes;
    Some(rest[open..].find(&close).map_or(rest.len(), |n| open + n + close.len()))
}

/// A character, told from a lifetime by its closing quote.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if let Some(escaped) = inner.strip_prefix('\\') {
        return escaped.find('\'').map(|n| n + 3 + usize::from(n == 0));
    }
    let c = inner.chars().next()?;
    inner[c.len_utf8()..].starts_with('\'').then(|| c.len_utf8() + 2)
}

/// The scan sees what it must, and is not fooled by what only looks like a statement.
#[test]
fn the_scan_tells_covered_from_bare() {
    let source = r###"
        fn a(db: &Db) { crash::at(Point::X, || db.execute("(", [])).map(|_| ()); }
        fn b<'a>(db: &'a Db) { db.execute("x", []); let c = '"'; tx.commit() }
        // db.execute("in a comment")
        fn c() { "tx.commit()"; r#"".execute_batch("#; execute_all(); query("INSERT … RETURNING id") }
        #[cfg(test)] mod tests { fn d() { db.execute("x") } }
    "###;
    let mut seen: Vec<(usize, &str, bool)> = changes(source).iter().map(|f| (f.line, f.what, f.covered)).collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [(2, ".execute(", true), (3, ".commit()", false), (3, ".execute(", false), (5, " RETURNING ", false)]
    );
}
