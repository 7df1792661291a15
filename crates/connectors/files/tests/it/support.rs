use arrow::array::RecordBatch;
use floodmark_connect::{BadRow, Files as _, ReadPlan, Source, Stop, SurveyRequest};
use floodmark_core::{
    DataType, Error, Schema, Value,
    pipeline::{CsvOptions, FileSource, MAX_ROW_BYTES},
};
use floodmark_files::FileSourceReader;
use std::{collections::HashMap, path::Path};
use tempfile::TempDir;

/// What a source gives.
pub(crate) struct Loaded {
    pub(crate) schema: Schema,
    /// Rows as shown; `-` is an absent column, `NULL` a NULL.
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) bad: Vec<BadRow>,
    /// Rows by slice, of the survey.
    pub(crate) surveyed: Vec<u64>,
}

impl Loaded {
    pub(crate) fn types(&self) -> Vec<String> {
        self.schema.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.rows.iter().map(|r| r.join("|")).collect()
    }
}

pub(crate) fn spec(base: &Path, patterns: &[&str]) -> FileSource {
    FileSource {
        store: None,
        patterns: patterns.iter().map(|p| (*p).to_owned()).collect(),
        base: base.to_owned(),
        format: None,
        csv: CsvOptions::default(),
        max_row_bytes: MAX_ROW_BYTES,
        hive_partitions: false,
    }
}

/// A directory with these files.
pub(crate) fn files(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

pub(crate) fn load(source: &FileSourceReader, pinned: &[(&str, DataType)]) -> Result<Loaded, Error> {
    let stop = Stop::default();
    let slices = source.slices(&Stop::default())?;
    let pinned: HashMap<String, DataType> = pinned.iter().map(|(n, t)| ((*n).to_owned(), *t)).collect();
    let survey =
        source.survey(&slices, &SurveyRequest { pinned: pinned.clone(), ..SurveyRequest::default() }, &stop)?;
    // As an engine does: what is pinned stays.
    let mut schema = survey.schema.clone();
    for column in &mut schema.columns {
        if let Some(t) = pinned.get(&column.name) {
            column.data_type = *t;
        }
    }
    let mut loaded = Loaded { schema: survey.schema, rows: vec![], bad: vec![], surveyed: vec![] };
    for (slice, (rows, hash)) in slices.iter().zip(&survey.slices) {
        assert_eq!(*hash, source.hash(slice, &stop)?);
        assert_eq!(*hash, source.hash_prefix(slice, slice.size, &stop)?);
        loaded.surveyed.push(*rows);
        let mut next = 1;
        for batch in
            source.read(slice, &ReadPlan { schema: schema.clone(), skip_rows: 0, ..ReadPlan::default() }, &stop)?
        {
            let batch = batch?;
            assert_eq!(batch.first_row, next);
            assert_eq!(batch.covered as usize, batch.rows.num_rows() + batch.bad.len());
            next += batch.covered;
            loaded.rows.extend(show(&batch.rows, &schema));
            loaded.bad.extend(batch.bad);
        }
        assert_eq!(next - 1, *rows);
    }
    Ok(loaded)
}

pub(crate) fn show(batch: &RecordBatch, schema: &Schema) -> Vec<Vec<String>> {
    let cell = |row, name: &str, t| match batch.column_by_name(name) {
        None => "-".to_owned(),
        Some(array) => Value::from_array(array, row, t).unwrap().to_string(),
    };
    let row = |row| schema.columns.iter().map(|c| cell(row, &c.name, c.data_type)).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// One file of text by the default settings.
pub(crate) fn load_text(name: &str, text: impl AsRef<[u8]>) -> Result<Loaded, Error> {
    load_with(name, text, |_| {})
}

/// One file of text by changed settings.
pub(crate) fn load_with(
    name: &str,
    text: impl AsRef<[u8]>,
    change: impl FnOnce(&mut FileSource),
) -> Result<Loaded, Error> {
    let dir = files(&[(name, text.as_ref())]);
    let mut spec = spec(dir.path(), &[name]);
    change(&mut spec);
    load(&FileSourceReader::new(spec)?, &[])
}

/// The error of loading one file of text.
pub(crate) fn error_of(name: &str, text: impl AsRef<[u8]>) -> Error {
    load_text(name, text).err().expect("an error")
}
