//! Columns that a pipeline needs or does not let pass, and the files that lack them or have them.

use crate::{
    names::{no_column, rename_all, source_name},
    plan::Reading,
};
use floodmark_connect::Survey;
use floodmark_core::{
    Code, Error, Result, Schema,
    pipeline::{Load, OnBadRow, Pipeline},
    schema::{Difference, differences},
};
use std::mem::discriminant;

/// A file that is read, and its own columns by their names in the source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileColumns<'a> {
    pub(crate) name: &'a str,
    pub(crate) schema: &'a Schema,
    /// Whether it has a row: one without rows lacks nothing.
    pub(crate) rows: bool,
}

/// The files of a run.
pub(crate) fn of<'a>(readings: &'a [Reading], survey: &'a Survey) -> Vec<FileColumns<'a>> {
    (readings.iter().zip(&survey.columns).zip(&survey.slices))
        .map(|((r, schema), (rows, _))| FileColumns { name: &r.slice.name, schema, rows: *rows > r.skip_rows })
        .collect()
}

/// Columns named as `from:` that no file has.
pub(crate) fn unknown_sources(pipeline: &Pipeline, surveyed: &Schema, files: &[FileColumns<'_>]) -> Vec<Error> {
    let sources = pipeline.columns.iter().filter_map(|c| c.from.as_deref());
    let unknown = sources.filter(|from| surveyed.get(from).is_none());
    unknown.map(|from| no_file_has(pipeline, from, "from", surveyed, files)).collect()
}

/// Columns that a pipeline cannot do without, and that do not arrive: no file has them, or the transform makes none.
pub(crate) fn missing(pipeline: &Pipeline, arriving: &Schema, files: &[FileColumns<'_>]) -> Vec<Error> {
    let key = pipeline.key.iter().map(|name| (name, "key"));
    let window = pipeline.window.iter().map(|name| (name, "window"));
    let watermark = pipeline.cursor().into_iter().map(|w| (&w.column, "watermark"));
    // By default the version is the watermark, which is told of already.
    let watermarked = pipeline.cursor().map(|w| &w.column);
    let version = pipeline.version.iter().filter(|v| pipeline.load != Load::Append && watermarked != Some(*v));
    let not_null = pipeline.columns.iter().filter(|c| c.not_null).map(|c| (&c.name, "columns"));
    key.chain(window)
        .chain(watermark)
        .chain(version.map(|name| (name, "version")))
        .chain(not_null)
        .filter(|(name, _)| arriving.get(name).is_none())
        .map(|(name, field)| does_not_arrive(pipeline, name, field, arriving, files))
        .collect()
}

/// Columns by which a destination's files are to be kept apart, and that its table would not have.
pub(crate) fn unpartitioned(pipeline: &Pipeline, target: &Schema, files: &[FileColumns<'_>]) -> Vec<Error> {
    let unknown = pipeline.destination.partition_by.iter().filter(|name| target.get(name).is_none());
    unknown.map(|name| does_not_arrive(pipeline, name, "partition_by", target, files)).collect()
}

fn does_not_arrive(pipeline: &Pipeline, name: &str, field: &str, there: &Schema, files: &[FileColumns<'_>]) -> Error {
    match pipeline.transform {
        Some(_) => behind_transform(no_column(name, field, there, "which the transform does not make"), files),
        None => no_file_has(pipeline, name, field, there, files),
    }
}

fn no_file_has(pipeline: &Pipeline, name: &str, field: &str, there: &Schema, files: &[FileColumns<'_>]) -> Error {
    let lack = match files {
        _ if pipeline.source.files().is_none() => "which the source does not have".to_owned(),
        [_] => "which the file does not have".to_owned(),
        many => format!("which none of the {} files read has", many.len()),
    };
    let error = no_column(name, field, there, &lack);
    match files.first() {
        Some(file) => error.in_file(file.name),
        None => error,
    }
}

/// Of which file the transform's rows are cannot be told, unless there is but one.
fn behind_transform(error: Error, files: &[FileColumns<'_>]) -> Error {
    match files {
        [file] => error.in_file(file.name),
        _ => error,
    }
}

/// The first file that lacks a part of the key or the watermark, which others have, and its place among `files`.
pub(crate) fn lacking(pipeline: &Pipeline, files: &[FileColumns<'_>]) -> Option<(usize, Error)> {
    // In a row that says all of what it replaces, a column that is absent is NULL, and so the row is a bad one.
    let replaces = matches!(pipeline.load, Load::Overwrite | Load::DeleteInsert);
    if pipeline.transform.is_some() || (replaces && pipeline.on_bad_row == OnBadRow::Reject) {
        return None;
    }
    let key = pipeline.key.iter().map(|name| (name, Code::BadHeader, "which is part of the key"));
    let needed: Vec<_> =
        key.chain(pipeline.cursor().into_iter().map(|w| (&w.column, Code::NullCursor, "the watermark"))).collect();
    let lacks = |file: &FileColumns<'_>| {
        needed.iter().find(|(name, ..)| file.rows && file.schema.get(source_name(pipeline, name)).is_none()).copied()
    };
    let (at, (name, code, what)) = files.iter().enumerate().find_map(|(at, file)| Some((at, lacks(file)?)))?;
    let error = Error::new(code, format!("a file has no column {name:?}, {what}"))
        .in_file(files[at].name)
        .state("nothing was written")
        .help("correct the file, or narrow the pattern of the source so that it leaves it out");
    Some((at, error))
}

/// What `schema: freeze` does not let pass, and in which files it is.
pub(crate) fn frozen(
    pipeline: &Pipeline,
    pinned: &Schema,
    arriving: &Schema,
    files: &[FileColumns<'_>],
) -> Result<(), Error> {
    let found = differences(pinned, arriving);
    if found.is_empty() {
        return Ok(());
    }
    let mut own = Vec::with_capacity(files.len());
    for file in files.iter().filter(|_| pipeline.transform.is_none()) {
        own.push((file.name, differences(pinned, &rename_all(pipeline, file.schema)?)));
    }
    let alike = |a: &Difference, b: &Difference| a.column() == b.column() && discriminant(a) == discriminant(b);
    let told = |d: &Difference| own.iter().find(|(_, own)| own.iter().any(|o| alike(o, d))).map(|(name, _)| *name);
    let places: Vec<Option<&str>> = found.iter().map(told).collect();
    let one = places.iter().all(|place| *place == places[0]);
    let lines: Vec<String> = (found.iter().zip(&places))
        .map(|(d, place)| match place {
            // What is missing is missing everywhere.
            Some(file) if !one && !matches!(d, Difference::Missing(_)) => format!("{d} in {file}"),
            _ => d.to_string(),
        })
        .collect();
    let error = Error::new(Code::SchemaFrozen, format!("the source differs: {}", lines.join("; ")))
        .state("nothing was written")
        .help("set `schema: evolve` to take the new columns, or correct the source");
    Err(match places.into_iter().flatten().next() {
        Some(file) => error.in_file(file),
        None => behind_transform(error, files),
    })
}
