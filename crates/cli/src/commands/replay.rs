//! `rejects replay`: rejected rows go through their pipeline once more, after the pipeline was corrected.
//!
//! The rows of each file are written to a file of their own, every row on its old line, and a run loads that file as part
//! of the one the rows came from. Rows that fail again are rejected again, and the old rejects are dropped, in the
//! transaction that loads the others.

use super::{Context, Failure, rejects, run};
use crate::{keepers::Keepers, render::Told, work::Work};
use floodmark_connect::{SurveyRequest, destination::KeptReject};
use floodmark_core::{
    Code, DataType, Error, Result,
    clock::SystemClock,
    error::Place,
    pipeline::{
        AbsentRows, ColumnSpec, CsvOptions, CursorNulls, FileFormat, FileSource, LateRows, Load, OnBadRow, Pipeline,
        SourceSpec,
    },
    state::{Reject, TRANSFORMED},
    wording,
};
use floodmark_engine::{Replay, RunOptions, registry};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

/// Replays the rejects of a pipeline; returns the exit code.
pub(super) fn replay(cx: &Context, keepers: &Keepers, name: &str) -> Result<u8, Failure> {
    let keeper = keepers.of_one(name)?;
    let settings = keepers.settings(name, &cx.printer)?;
    let pipeline = settings.as_ref().ok_or_else(|| {
        Error::new(Code::BadArgument, "a replay needs the pipeline's settings")
            .state("nothing was changed")
            .help("name the pipeline file with -f FILE in place of --destination")
    })?;
    refuse_replacing(pipeline)?;
    let kept = rejects::of(keepers, name)?;
    let state = keeper.destination.ledger()?.state(name)?;
    let bytes: Vec<String> = (state.and_then(|s| s.schema).into_iter().flat_map(|s| s.columns))
        .filter(|c| c.data_type == DataType::Bytes)
        .map(|c| c.name)
        .collect();
    // A row that was not UTF-8 is kept with its bad bytes replaced, bytes of a columnar file as their digits; loading
    // that would be a silent change.
    let lossy = |k: &KeptReject| k.reject.raw.contains(char::REPLACEMENT_CHARACTER) || holds(&k.reject.raw, &bytes);
    let (lossy, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(lossy);
    if !lossy.is_empty() {
        let rows = wording::agree(lossy.len() as u64, "row", "holds bytes and is", "hold bytes and are");
        cx.printer.warning(&format!("{rows} left alone: correct the file and load it again"));
    }
    // What is loaded already may come again only where it is recognised.
    let (doubtful, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|k| k.doubtful && !pipeline.recognises());
    if !doubtful.is_empty() {
        let rows = wording::agree(doubtful.len() as u64, "row", "is", "are");
        cx.printer.warning(&format!(
            "{rows} left alone: the file was read again since, and may have brought it. Look for it in the table; then load \
             it as a file of its own, and drop the reject"
        ));
    }
    if kept.is_empty() {
        cx.printer.note("No rejected rows to replay.");
        return Ok(0);
    }
    let dir = tempfile::tempdir().map_err(|e| {
        Error::new(Code::Output, "a temporary directory cannot be made").state("nothing was changed").cause(e)
    })?;
    // What a table gave is kept as JSON.
    let of_table = FileSource { format: Some(FileFormat::Jsonl), ..FileSource::default() };
    let source = pipeline.source.files().unwrap_or(&of_table);
    let mut groups: BTreeMap<(String, bool), Vec<KeptReject>> = BTreeMap::new();
    for reject in kept {
        let csv = format_of(source, &reject.reject) == FileFormat::Csv;
        groups.entry((reject.reject.slice.clone(), csv)).or_default().push(reject);
    }
    let mut replays = Vec::new();
    for (number, ((slice, csv), rejects)) in groups.into_iter().enumerate() {
        let format = if csv { FileFormat::Csv } else { FileFormat::Jsonl };
        let file = dir.path().join(number.to_string());
        let source = one_off(source, &slice, format, &rejects, &file, cx)?;
        let pipeline = adapted(pipeline, source, slice == TRANSFORMED);
        replays.push((pipeline, Replay { slice, rejects: rejects.iter().map(|r| r.id).collect() }));
    }
    let runner = run::Runner::start(cx, &[name], Told::AsWritten, Arc::new(SystemClock), run::Hearers::TRACED)?;
    let mut worst = 0;
    for (pipeline, replay) in replays {
        let options = RunOptions { wait: Some(Duration::ZERO), replay: Some(replay), ..RunOptions::default() };
        let outcome = runner.run(cx, Work::of(pipeline), &options)?;
        worst = run::worst([worst, run::exit_code(&outcome)]);
    }
    Ok(worst)
}

/// Whether a row kept as JSON has a value in one of the columns.
fn holds(raw: &str, columns: &[String]) -> bool {
    let row: Option<serde_json::Map<String, serde_json::Value>> =
        (!columns.is_empty()).then(|| serde_json::from_str(raw).ok()).flatten();
    row.is_some_and(|row| columns.iter().any(|c| row.get(c).is_some_and(|v| !v.is_null())))
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
/// fails again must not hold up the others. What a `transform` made does not go through it once more.
fn adapted(pipeline: &Pipeline, source: FileSource, transformed: bool) -> Pipeline {
    let mut pipeline = pipeline.clone();
    pipeline.transform = pipeline.transform.filter(|_| !transformed);
    pipeline.source = SourceSpec::Files(source);
    pipeline.absent_rows = AbsentRows::Keep;
    pipeline.on_bad_row = OnBadRow::Reject;
    pipeline.max_rejects = None;
    if let Some(watermark) = &mut pipeline.watermark {
        watermark.late_rows = Some(LateRows::Load);
        // Nobody would come back for a row that is left for later.
        watermark.settle = None;
        if watermark.nulls == CursorNulls::Fail && !watermark.hidden {
            let name = watermark.column.clone();
            match pipeline.columns.iter_mut().find(|c| c.name == name) {
                Some(column) => column.not_null = true,
                None => pipeline.columns.push(ColumnSpec { name, not_null: true, ..ColumnSpec::default() }),
            }
        }
    }
    pipeline
}

/// Writes the rejects of one slice to `file`, and says how to read it.
fn one_off(
    source: &FileSource,
    slice: &str,
    format: FileFormat,
    rejects: &[KeptReject],
    file: &Path,
    cx: &Context,
) -> Result<FileSource> {
    let csv = if format == FileFormat::Csv { dialect(source, slice, rejects, cx)? } else { source.csv.clone() };
    // Names in the first line, as in the file they came from: a row with other fields is a bad row, and no other header.
    let header = (format == FileFormat::Csv && csv.header).then(|| header_line(&csv));
    let csv = CsvOptions { names: if header.is_some() { Vec::new() } else { csv.names.clone() }, ..csv };
    fs::write(file, lines(rejects, format, header.as_deref())).map_err(|e| {
        Error::new(Code::Output, "a temporary file cannot be written").state("nothing was changed").cause(e)
    })?;
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(FileSource {
        patterns: vec![name],
        store: None,
        base: file.parent().map(Path::to_owned).unwrap_or_default(),
        format: Some(format),
        csv,
        max_row_bytes: source.max_row_bytes,
        hive_partitions: source.hive_partitions,
    })
}

/// How a row was kept: as it stood in a text file, or, from columnar files and where it was refused after it was read, as a
/// JSON object of texts.
fn format_of(source: &FileSource, reject: &Reject) -> FileFormat {
    let object: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&reject.raw).ok();
    let texts = |row: &serde_json::Map<_, serde_json::Value>| row.values().all(|v| v.is_string() || v.is_null());
    let extension = reject.slice.trim_end_matches(".gz").trim_end_matches(".zst").rsplit('.').next();
    match (source.format, extension.unwrap_or_default()) {
        (Some(FileFormat::Csv), _) | (None, "csv" | "tsv") if !object.as_ref().is_some_and(texts) => FileFormat::Csv,
        (Some(_), _) | (None, "csv" | "tsv" | "jsonl" | "ndjson" | "json" | "parquet" | "arrow" | "feather") => {
            FileFormat::Jsonl
        }
        _ if object.is_some() => FileFormat::Jsonl,
        _ => FileFormat::Csv,
    }
}

/// The rows, each on the line it had, as far as that is possible: blank lines are skipped when read.
fn lines(rejects: &[KeptReject], format: FileFormat, header: Option<&str>) -> String {
    let mut rows: Vec<(u64, String)> = rejects
        .iter()
        .map(|r| {
            let raw = r.reject.raw.trim_end_matches(['\r', '\n']);
            // Within JSON a line break stands between tokens only, so a space is as good.
            let raw = if format == FileFormat::Csv { raw.to_owned() } else { raw.replace(['\r', '\n'], " ") };
            (r.reject.line, raw)
        })
        .collect();
    // Rows of one line stay in their order.
    rows.sort_by_key(|(line, _)| *line);
    let mut out = String::new();
    let mut next = 1;
    if let Some(header) = header {
        out.push_str(header);
        out.push('\n');
        next = 2;
    }
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
    let header = source.csv.names.is_empty() && !names.iter().any(|name| name.contains(['\n', '\r']));
    Ok(CsvOptions { delimiter: Some(delimiter), header, names, ..source.csv.clone() })
}

/// The names as a line of their file.
fn header_line(csv: &CsvOptions) -> String {
    let quote = csv.quote as char;
    let names: Vec<String> = csv
        .names
        .iter()
        .map(|name| format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}"))))
        .collect();
    names.join(&(csv.delimiter.unwrap_or(b',') as char).to_string())
}

fn header(source: &FileSource, file: &str, cx: &Context) -> Result<Vec<String>> {
    // Its first line, without the columns of its path.
    let own = FileSource { hive_partitions: false, ..source.clone() };
    let reader = registry::source(&SourceSpec::Files(own))?;
    let slice = reader.slices(&cx.stop)?.into_iter().find(|s| s.name == file).ok_or_else(|| {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(line: u64, raw: &str) -> KeptReject {
        KeptReject {
            id: 1,
            pipeline: "orders".into(),
            run: "r".into(),
            doubtful: false,
            reject: Reject { slice: "a.csv".into(), line, column: None, reason: "x".into(), raw: raw.into() },
        }
    }

    #[test]
    fn rows_keep_their_lines() {
        let rejects = [reject(5, "5,b"), reject(2, "2,\"a\nb\""), reject(5, "5,a")];
        assert_eq!(lines(&rejects, FileFormat::Csv, None), "\n2,\"a\nb\"\n\n5,b\n5,a\n");
        assert_eq!(lines(&[reject(1, "{\"a\":\n1}")], FileFormat::Jsonl, None), "{\"a\": 1}\n");
    }

    #[test]
    fn the_delimiter_is_the_one_that_fits() {
        assert_eq!(delimiter(&[reject(2, "1;\"a;b\";2,5")], 3, b'"'), b';');
        assert_eq!(delimiter(&[reject(2, "1,\"a;b\",2")], 3, b'"'), b',');
        assert_eq!(delimiter(&[reject(2, "one")], 1, b'"'), b',');
    }
}
