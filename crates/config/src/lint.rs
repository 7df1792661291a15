//! What can be loaded but deserves a thought; told by `floodmark check`.

use floodmark_core::pipeline::{AbsentRows, CursorNulls, Deletes, LateRows, Load, Pipeline, Relation, SourceSpec};

/// A warning about a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// A stable name for the kind of warning, such as `at-least-once`.
    pub name: &'static str,
    /// The field it is about, from the pipeline on: `watermark.nulls`. It need not be written.
    pub field: &'static str,
    /// What is so, in one sentence without a full stop.
    pub message: String,
    /// Why it may hurt.
    pub reason: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// The warnings about a pipeline.
pub fn lint(pipeline: &Pipeline) -> Vec<Lint> {
    let mut out = Vec::new();
    strategy(pipeline, &mut out);
    watermark(pipeline, &mut out);
    destination(pipeline, &mut out);
    out
}

fn add(
    out: &mut Vec<Lint>,
    (name, field): (&'static str, &'static str),
    message: String,
    reason: &'static str,
    remedy: &'static str,
) {
    out.push(Lint { name, field, message, reason, remedy });
}

fn strategy(p: &Pipeline, out: &mut Vec<Lint>) {
    if p.at_least_once {
        add(
            out,
            ("at-least-once", "append"),
            "every run adds every row again".to_owned(),
            "a second run doubles the table, and so does a retry after a crash",
            "take out `append: at_least_once`; files and watermarks are then recognised and each row is added once",
        );
    }
    // A table that every run reads as it is at one moment, whole or what changed in it, has no old copies to bring back.
    let whole = p.cursor().is_none()
        && matches!(&p.source, SourceSpec::Database(of) if matches!(of.relation, Relation::Table(_)));
    if p.load == Load::Upsert && p.version.is_none() && !whole {
        add(
            out,
            ("no-version", "version"),
            "nothing says which of two copies of a row is newer".to_owned(),
            "the copy that arrives last wins, so a replay or an old file puts old values back",
            "name the column that grows with every change in `version:`, or give a watermark",
        );
    }
    let nothing_deletes = p.delete_when.is_none() && p.absent_rows != AbsentRows::Delete;
    if p.deletes == Deletes::Soft && nothing_deletes {
        add(
            out,
            ("soft-nothing", "deletes"),
            "nothing deletes rows, softly or otherwise".to_owned(),
            "`deletes: soft` has no effect without `delete_when` or `absent_rows: delete`",
            "say what deletes, or take `deletes` out",
        );
    }
    if p.allow_empty && (p.load == Load::Overwrite || p.absent_rows != AbsentRows::Keep) {
        add(
            out,
            ("allow-empty", "allow_empty"),
            "an empty source empties the table".to_owned(),
            "an export that failed often leaves an empty file behind",
            "take out `allow_empty` unless an empty table is a normal day",
        );
    }
}

fn watermark(p: &Pipeline, out: &mut Vec<Lint>) {
    let Some(w) = &p.watermark else { return };
    if w.exclusive {
        add(
            out,
            ("exclusive-boundary", "watermark.boundary"),
            "rows with the same cursor as the last one loaded are never read".to_owned(),
            "two rows written in the same instant may arrive in different runs; the second is lost",
            "take out `boundary: exclusive`; rows at the boundary are recognised and not loaded twice",
        );
    }
    if w.nulls == CursorNulls::Include {
        add(
            out,
            ("cursor-nulls", "watermark.nulls"),
            "rows whose cursor is NULL are loaded on every run".to_owned(),
            "the watermark cannot tell whether they were loaded before",
            "fill the column in a `transform`, or write `nulls: exclude` or `fail`",
        );
    }
    if w.late_rows == Some(LateRows::Skip) {
        add(
            out,
            ("late-rows-skipped", "watermark.late_rows"),
            "rows behind the watermark in new files are left out".to_owned(),
            "a file that is delivered late is lost except for its newest rows",
            "write `late_rows: load` where there is a key, or `fail` to be told",
        );
    }
    if p.load == Load::Append && w.late_rows == Some(LateRows::Load) {
        add(
            out,
            ("late-rows-append", "watermark.late_rows"),
            "rows behind the watermark in new files are added".to_owned(),
            "a snapshot that repeats old rows under a new name doubles them",
            "write `late_rows: fail`, or load with a key",
        );
    }
}

fn destination(p: &Pipeline, out: &mut Vec<Lint>) {
    let url = &p.destination.url;
    if url.in_memory() {
        add(
            out,
            ("in-memory", "destination.url"),
            format!("{url} is gone when the run ends"),
            "state is kept in the destination: the next run begins at nothing",
            "write a path: sqlite:///warehouse.db",
        );
    }
    if p.load == Load::Append && p.watermark.is_none() && p.source.reads_stdin() {
        add(
            out,
            ("standard-input", "source.files"),
            "standard input cannot be recognised when it comes again".to_owned(),
            "a re-run adds its rows twice",
            "give a watermark or a key, or read from a file",
        );
    }
}
