//! `rejects replay`: rejected rows go through their pipeline once more, after the pipeline was corrected.
//!
//! The rows of each file are written to a file of their own, every row on its old line, and that file is loaded as any
//! new file would be. Rows that fail again are rejected again by that run; then the old rejects are dropped. A crash in
//! between is harmless: the file is named by what it holds, so the next replay finds it in the file ledger as loaded.

use super::{Context, Failure, rejects, run};
use crate::{project::Keepers, render::Told};
use floodmark_connect::{SurveyRequest, destination::KeptReject};
use floodmark_core::{
    Code, Error, Result,
    clock::SystemClock,
    error::Place,
    pipeline::{AbsentRows, CsvOptions, FileFormat, FileSource, LateRows, Load, OnBadRow, Pipeline, SourceSpec},
    state::REPLAY_MARK,
    wording,
};
use floodmark_engine::{RunOptions, Status, registry};
use std::{
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Replays the rejects of a pipeline; returns the exit code.
pub(super) fn replay(cx: &Context, keepers: &Keepers, name: &str) -> Result<u8, Failure> {
    let keeper = keepers.of(name)?;
    let pipeline = keepers.settings(name).ok_or_else(|| {
        Error::new(Code::BadArgument, "a replay needs the pipeline's settings")
            .state("nothing was changed")
            .help("name the pipeline file with -f FILE in place of --destination")
    })?;
    refuse_replacing(pipeline)?;
    let kept = rejects::of(keepers, name)?;
    // A row that was not UTF-8 is kept with its bad bytes replaced; loading that would be a silent change.
    let (lossy, kept): (Vec<_>, Vec<_>) =
        kept.into_iter().partition(|k| k.reject.raw.contains(char::REPLACEMENT_CHARACTER));
    if !lossy.is_empty() {
        let rows = wording::agree(lossy.len() as u64, "row", "was not UTF-8 and is", "were not UTF-8 and are");
        cx.printer.warning(&format!("{rows} left alone: correct the file and load it again"));
    }
    if kept.is_empty() {
        cx.printer.note("No rejected rows to replay.");
        return Ok(0);
    }
    let dir = tempfile::tempdir().map_err(|e| {
        Error::new(Code::Output, "a temporary directory cannot be made").state("nothing was changed").cause(e)
    })?;
    let mut groups: Vec<(String, Vec<KeptReject>)> = Vec::new();
    for reject in kept {
        let file = origin(&reject.reject.slice).to_owned();
        match groups.iter_mut().find(|(f, _)| *f == file) {
            Some((_, group)) => group.push(reject),
            None => groups.push((file, vec![reject])),
        }
    }
    let SourceSpec::Files(source) = &pipeline.source;
    let mut replays = Vec::new();
    for (file, rejects) in &groups {
        let source = one_off(source, file, rejects, dir.path(), cx)?;
        replays.push((adapted(pipeline, source), rejects));
    }
    let runner = run::Runner::start(cx, name.chars().count(), Told::AsWritten, Arc::new(SystemClock))?;
    let options = RunOptions { wait: Some(Duration::ZERO), full_refresh: false, batch_rows: None };
    let mut worst = 0;
    for (pipeline, rejects) in &replays {
        let outcome = runner.run(cx, pipeline, &options)?;
        if !matches!(outcome.status, Status::Ok | Status::NothingNew) {
            worst = run::worst([worst, run::exit_code(&outcome)]);
            continue;
        }
        let ids: Vec<i64> = rejects.iter().map(|r| r.id).collect();
        keeper.destination.ledger()?.drop_rejects(name, &ids)?;
    }
    Ok(worst)
}

/// Pipelines for which a few rows are not an addition but everything there is.
fn refuse_replacing(pipeline: &Pipeline) -> Result<()> {
    let replaces_window = pipeline.load == Load::DeleteInsert && !pipeline.window.is_empty();
    if !replaces_window && !pipeline.full_read() && pipeline.load != Load::Overwrite {
        return Ok(());
    }
    let (name, what) = (&pipeline.name, if replaces_window { "all rows of their window" } else { "the table" });
    Err(Error::new(Code::Unsafe, format!("pipeline {name:?} would replace {what} by the rejected rows"))
        .state("nothing was changed")
        .help(format!("read everything again: floodmark state reset {name}, then floodmark run {name}"))
        .help(format!("then drop the old rejects: floodmark rejects drop --all {name}")))
}

/// The pipeline with the rejects as its source: what is late is wanted, what is absent means nothing, and a row that
/// fails again must not hold up the others.
fn adapted(pipeline: &Pipeline, source: FileSource) -> Pipeline {
    let mut pipeline = pipeline.clone();
    pipeline.source = SourceSpec::Files(source);
    pipeline.absent_rows = AbsentRows::Keep;
    pipeline.on_bad_row = OnBadRow::Reject;
    pipeline.max_rejects = None;
    if let Some(watermark) = &mut pipeline.watermark {
        watermark.late_rows = Some(LateRows::Load);
    }
    pipeline
}

/// The file a reject first came from, were it replayed before or not.
fn origin(slice: &str) -> &str {
    slice.rsplit_once(REPLAY_MARK).map_or(slice, |(file, _)| file)
}

/// Writes the rejects of one file to a file of their own, and says how to read it.
fn one_off(source: &FileSource, file: &str, rejects: &[KeptReject], dir: &Path, cx: &Context) -> Result<FileSource> {
    let format = format_of(source, file, rejects);
    let csv = if format == FileFormat::Csv { dialect(source, file, rejects, cx)? } else { source.csv.clone() };
    let text = lines(rejects, format);
    let identity: String = rejects.iter().map(|r| format!("{} {} {}\n", r.run, r.reject.line, r.reject.raw)).collect();
    let hash = xxhash_rust::xxh3::xxh3_64(identity.as_bytes());
    // Below the temporary directory whatever the name says.
    let inside: PathBuf = Path::new(file).components().filter(|c| matches!(c, Component::Normal(_))).collect();
    let name = format!("{}{REPLAY_MARK}{hash:016x}", inside.display());
    let path = dir.join(&name);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
    written.map_err(|e| {
        Error::new(Code::Output, "a temporary file cannot be written").state("nothing was changed").cause(e)
    })?;
    Ok(FileSource {
        patterns: vec![literal(&name)],
        base: dir.to_owned(),
        format: Some(format),
        csv,
        max_row_bytes: source.max_row_bytes,
    })
}

/// Rejects of JSON and of columnar files are kept as JSON, so there are two formats only.
fn format_of(source: &FileSource, file: &str, rejects: &[KeptReject]) -> FileFormat {
    let json = rejects.iter().all(|r| r.reject.raw.trim_start().starts_with('{'));
    let extension = file.trim_end_matches(".gz").trim_end_matches(".zst").rsplit('.').next().unwrap_or_default();
    match (source.format, extension) {
        (Some(FileFormat::Csv), _) | (None, "csv" | "tsv") => FileFormat::Csv,
        (Some(_), _) | (None, "jsonl" | "ndjson" | "json" | "parquet" | "arrow" | "feather") => FileFormat::Jsonl,
        _ if json => FileFormat::Jsonl,
        _ => FileFormat::Csv,
    }
}

/// The rows, each on the line it had, as far as that is possible: blank lines are skipped when read.
fn lines(rejects: &[KeptReject], format: FileFormat) -> String {
    let mut rows: Vec<(u64, String)> = rejects
        .iter()
        .map(|r| {
            let raw = r.reject.raw.trim_end_matches(['\r', '\n']);
            // Within JSON a line break stands between tokens only, so a space is as good.
            let raw = if format == FileFormat::Csv { raw.to_owned() } else { raw.replace(['\r', '\n'], " ") };
            (r.reject.line, raw)
        })
        .collect();
    rows.sort();
    // A transform can make several bad rows of one.
    rows.dedup();
    let mut out = String::new();
    let mut next = 1;
    for (line, raw) in rows {
        while next < line {
            out.push('\n');
            next += 1;
        }
        next += 1 + raw.matches('\n').count() as u64;
        out.push_str(&raw);
        out.push('\n');
    }
    out
}

/// How the rows of a CSV file are written. They come without their header line, so its names are looked up.
fn dialect(source: &FileSource, file: &str, rejects: &[KeptReject], cx: &Context) -> Result<CsvOptions> {
    let names = if source.csv.names.is_empty() { header(source, file, cx)? } else { source.csv.names.clone() };
    let delimiter = source.csv.delimiter.unwrap_or_else(|| delimiter(rejects, names.len(), source.csv.quote));
    Ok(CsvOptions { delimiter: Some(delimiter), header: false, names, ..source.csv.clone() })
}

fn header(source: &FileSource, file: &str, cx: &Context) -> Result<Vec<String>> {
    let reader = registry::source(&SourceSpec::Files(source.clone()))?;
    let slice = reader.slices()?.into_iter().find(|s| s.name == file).ok_or_else(|| {
        Error::new(
            Code::SourceMissing,
            "the file that the rejected rows came from is gone, and with it their header line",
        )
        .at(Place { file: Some(file.into()), ..Place::default() })
        .state("nothing was changed")
        .help("put the file back, or give the column names in the pipeline file: `names: […]`")
    })?;
    let survey = reader.survey(&[slice], &SurveyRequest::default(), &cx.stop)?;
    Ok(survey.schema.names().into_iter().map(str::to_owned).collect())
}

/// The delimiter that gives most of the rows the right number of fields.
fn delimiter(rejects: &[KeptReject], fields: usize, quote: u8) -> u8 {
    let fits =
        |delimiter: u8| rejects.iter().filter(|r| count_fields(&r.reject.raw, delimiter, quote) == fields).count();
    let mut best = (b',', fits(b','));
    for candidate in [b';', b'\t', b'|'] {
        let count = fits(candidate);
        if count > best.1 {
            best = (candidate, count);
        }
    }
    best.0
}

fn count_fields(row: &str, delimiter: u8, quote: u8) -> usize {
    let mut quoted = false;
    let mut fields = 1;
    for byte in row.bytes() {
        if byte == quote {
            quoted = !quoted;
        } else if byte == delimiter && !quoted {
            fields += 1;
        }
    }
    fields
}

/// A name as a pattern that matches just it.
fn literal(name: &str) -> String {
    name.chars().map(|c| if "*?[".contains(c) { format!("[{c}]") } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::state::Reject;

    fn reject(line: u64, raw: &str) -> KeptReject {
        KeptReject {
            id: 1,
            pipeline: "orders".into(),
            run: "r".into(),
            reject: Reject { slice: "a.csv".into(), line, column: None, reason: "x".into(), raw: raw.into() },
        }
    }

    #[test]
    fn rows_keep_their_lines() {
        let rejects = [reject(5, "5,b"), reject(2, "2,\"a\nb\""), reject(5, "5,b")];
        assert_eq!(lines(&rejects, FileFormat::Csv), "\n2,\"a\nb\"\n\n5,b\n");
        assert_eq!(lines(&[reject(1, "{\"a\":\n1}")], FileFormat::Jsonl), "{\"a\": 1}\n");
    }

    #[test]
    fn the_delimiter_is_the_one_that_fits() {
        assert_eq!(delimiter(&[reject(2, "1;\"a;b\";2,5")], 3, b'"'), b';');
        assert_eq!(delimiter(&[reject(2, "1,\"a;b\",2")], 3, b'"'), b',');
        assert_eq!(delimiter(&[reject(2, "one")], 1, b'"'), b',');
    }

    #[test]
    fn a_replay_of_a_replay_is_one_of_the_first_file() {
        assert_eq!(origin("data/a.csv~replay-0123"), "data/a.csv");
        assert_eq!(origin("data/a.csv"), "data/a.csv");
        assert_eq!(literal("a[1]*.csv"), "a[[]1][*].csv");
    }
}
