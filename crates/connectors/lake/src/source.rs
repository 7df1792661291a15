//! A table of a lake as a source: one version of it, read file by file.
//!
//! Files whose statistics say that they hold no row of the wanted range are not opened, and of the others row groups are left
//! out whose statistics say so. With `watermark: delta_version` the
//! number of the version that brought a row is a column of its own, and only files that came later than the watermark are
//! read.

use crate::{
    data::{Bounds, DataFile, Which, from_file},
    lake::{Lake, Table},
    log::Snapshot,
};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions},
    datatypes::{Field, Schema as ArrowSchema},
};
use floodmark_connect::{
    BadRow, Batch, Batches, Files, Range, ReadPlan, Slice, Source, Stop, Survey, SurveyRequest,
    source::{Extent, Glance, Glimpse},
};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema, Value,
    catalog::{Catalog, Listed},
    pipeline::Relation,
    url::ConnectionUrl,
};
use object_store::path::Path;
use std::{
    cmp::Ordering,
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// The column that says which version of the table brought a row.
pub const VERSION: &str = "delta_version";

/// A table of a lake.
pub struct LakeSource {
    table: Table,
    name: String,
    /// Of the last survey.
    seen: Mutex<Option<Seen>>,
}

#[derive(Clone)]
struct Seen {
    snapshot: Arc<Snapshot>,
    /// Rows have the number of their version.
    versions: bool,
}

/// The tables of a lake, also those in folders of its folders.
///
/// # Errors
/// Where it cannot be listed.
pub fn catalog(url: &ConnectionUrl) -> Result<Catalog> {
    let lake = Lake::open(url)?;
    let (mut tables, mut folders) = (Vec::new(), lake.folders(&Path::default())?);
    while let Some(name) = folders.pop() {
        let Ok(table) = lake.table(&name) else { continue };
        // One that cannot be read is a table as well: whoever reads it is told why not.
        if lake.is_table(&table.folder)? {
            tables.push(Listed { schema: None, name, bare: true, own: true, key: Vec::new() });
        } else if !name.contains('/') {
            folders.extend(lake.folders(&table.folder)?.iter().map(|folder| format!("{name}/{folder}")));
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Catalog { tables, case_sensitive: true })
}

impl LakeSource {
    /// Nothing is asked of it yet.
    ///
    /// # Errors
    /// For a query: a lake speaks no SQL.
    pub fn new(url: &ConnectionUrl, relation: Relation) -> Result<LakeSource> {
        let Relation::Table(name) = relation else {
            return Err(Error::new(Code::BadArgument, "a lake answers no queries")
                .state("nothing was read or written")
                .help("name a table, and say what is to become of its rows with `transform:`"));
        };
        LakeSource::of(&Lake::open(url)?, name)
    }

    /// The same of a lake that is open already.
    ///
    /// # Errors
    /// For a name that no table can have.
    pub fn of(lake: &Lake, name: String) -> Result<LakeSource> {
        Ok(LakeSource { table: lake.table(&name)?, name, seen: Mutex::default() })
    }

    fn look(&self, request: &SurveyRequest) -> Result<(Seen, Schema)> {
        let snapshot = self.table.snapshot()?.ok_or_else(|| {
            Error::new(Code::SourceMissing, format!("there is no table at {}", self.table.name()))
                .state("nothing was written")
                .help("check the lake's URL and the table's name")
        })?;
        let mut schema = snapshot.schema.clone();
        let versions = request.cursor.as_deref() == Some(VERSION) && schema.get(VERSION).is_none();
        if versions && self.table.is_folder() {
            return Err(Error::new(Code::BadArgument, "a folder of Parquet files has no versions to follow")
                .in_file(self.table.name())
                .state("nothing was written")
                .help("`watermark: delta_version` is for Delta tables: name a column that says what is new, or none"));
        }
        if versions {
            schema.columns.push(Column::new(VERSION, DataType::BigInt));
        }
        Ok((Seen { snapshot: Arc::new(snapshot), versions }, schema))
    }

    fn seen(&self) -> Result<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.map_or_else(|| self.look(&SurveyRequest::default()).map(|(seen, _)| seen), Ok)
    }
}

impl Source for LakeSource {
    fn slices(&self, _stop: &Stop) -> Result<Vec<Slice>> {
        let path = PathBuf::from(self.table.name());
        Ok(vec![Slice { name: self.name.clone(), path, size: 0, modified: 0, tag: None }])
    }

    fn sorts(&self) -> bool {
        false
    }

    fn divides(&self, _column: &str, _data_type: DataType, _stop: &Stop) -> Result<bool> {
        Ok(false)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }

    fn glance(&self, slices: &[Slice], request: &SurveyRequest, _stop: &Stop) -> Result<Glance> {
        let (seen, schema) = self.look(request)?;
        let rows = seen.snapshot.files()?.iter().any(|file| file.rows > 0);
        let own = Arc::new(schema.clone());
        let glimpse = |_| Glimpse { schema: Arc::clone(&own), whole: true, rows };
        Ok(Glance { schema, whole: true, slices: slices.iter().map(glimpse).collect() })
    }

    fn first_bad(&self, _slice: &Slice, _plan: &ReadPlan, _stop: &Stop) -> Result<Vec<BadRow>> {
        Ok(Vec::new())
    }

    fn extent(&self, column: &str, _data_type: DataType, _stop: &Stop) -> Result<Option<Extent>> {
        let seen = self.seen()?;
        let mut extent: Extent = None;
        for file in seen.snapshot.files()?.iter().filter(|file| file.rows > 0) {
            let Some(Bounds { min: Some(min), max: Some(max), .. }) = file.columns.get(column) else { return Ok(None) };
            // A bound need not be a value of the file where it is of text, which may be cut.
            if matches!(min, Value::Text(_)) || leaves_values_out(min) {
                return Ok(None);
            }
            extent = match extent {
                None => Some((min.clone(), max.clone())),
                Some((low, high)) => {
                    let low = if min.compare(&low) == Some(Ordering::Less) { min.clone() } else { low };
                    let high = if max.compare(&high) == Some(Ordering::Greater) { max.clone() } else { high };
                    Some((low, high))
                }
            };
        }
        Ok(Some(extent))
    }

    fn survey(&self, slices: &[Slice], request: &SurveyRequest, _stop: &Stop) -> Result<Survey> {
        let (seen, schema) = self.look(request)?;
        let rows = seen.snapshot.files()?.iter().map(|file| file.rows).sum();
        let table = seen.snapshot.id().filter(|_| seen.versions).map(str::to_owned);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(Survey {
            columns: slices.iter().map(|_| Arc::new(schema.clone())).collect(),
            slices: slices.iter().map(|_| (rows, 0)).collect(),
            schema,
            table,
            horizon: None,
            held: None,
        })
    }

    fn read(&self, _slice: &Slice, plan: &ReadPlan, stop: &Stop) -> Result<Box<dyn Batches>> {
        let seen = self.seen()?;
        let range = plan.range.as_ref();
        let by_version = seen.versions && range.is_some_and(|range| range.column == VERSION);
        let files: VecDeque<(u64, DataFile)> = match range.filter(|_| by_version) {
            Some(range) => versions(&seen.snapshot, range)?.into(),
            None => {
                let wanted =
                    seen.snapshot.files()?.iter().filter(|file| range.is_none_or(|range| may_hold(file, range)));
                wanted.map(|file| (seen.snapshot.version, file.clone())).collect()
            }
        };
        Ok(Box::new(Reader {
            table: self.table.clone(),
            snapshot: seen.snapshot,
            schema: plan.schema.clone(),
            files,
            range: range.filter(|_| !by_version).cloned(),
            open: None,
            skip: plan.skip_rows,
            row: 1,
            stop: stop.clone(),
        }))
    }
}

/// The files of the versions in a range. All that was there at the first load counts as of the version it was loaded at.
fn versions(snapshot: &Snapshot, range: &Range) -> Result<Vec<(u64, DataFile)>> {
    let until = |version: u64| {
        let version = Value::Int(version as i64);
        let before = |bound: &Option<Value>, last: Ordering| {
            bound.as_ref().is_none_or(|bound| version.compare(bound).is_some_and(|order| order <= last))
        };
        before(&range.bounds.until, Ordering::Equal) && before(&range.bounds.before, Ordering::Less)
    };
    let files = match range.bounds.from {
        // A version is whole when it is there: none of its rows comes later.
        Some(Value::Int(loaded)) if loaded >= 0 => snapshot.added_since(loaded as u64)?,
        _ => snapshot.files()?.iter().map(|file| (snapshot.version, file.clone())).collect(),
    };
    Ok(files.into_iter().filter(|(version, _)| until(*version)).collect())
}

/// Whether a file may hold a row of the range, as far as its statistics tell.
fn may_hold(file: &DataFile, range: &Range) -> bool {
    if let Some((_, value)) = file.partition.iter().find(|(name, _)| *name == range.column) {
        return if value.is_null() { range.nulls } else { within(value, value, range) };
    }
    let Some(known) = file.columns.get(&range.column) else { return true };
    if range.nulls && known.nulls != Some(0) {
        return true;
    }
    match (&known.min, &known.max) {
        (Some(min), Some(max)) if !leaves_values_out(min) => within(min, max, range),
        _ => true,
    }
}

/// Most writers know nothing of NaN in their bounds of doubles, and a NaN lies behind every other value.
fn leaves_values_out(bound: &Value) -> bool {
    matches!(bound, Value::Double(_))
}

fn within(min: &Value, max: &Value, range: &Range) -> bool {
    let less = |a: &Value, b: &Value| a.compare(b) == Some(Ordering::Less);
    let (from, before) = (&range.bounds.from, &range.bounds.before);
    !from.as_ref().is_some_and(|from| less(max, from))
        && !before
            .as_ref()
            .is_some_and(|before| matches!(min.compare(before), Some(Ordering::Greater | Ordering::Equal)))
        && !range.bounds.until.as_ref().is_some_and(|until| less(until, min))
}

type Rows = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

struct Reader {
    table: Table,
    snapshot: Arc<Snapshot>,
    schema: Schema,
    files: VecDeque<(u64, DataFile)>,
    range: Option<Range>,
    open: Option<(u64, Rows)>,
    skip: u64,
    row: u64,
    stop: Stop,
}

impl Reader {
    fn next_batch(&mut self) -> Result<Option<Batch>> {
        loop {
            self.stop.check()?;
            if let Some((version, rows)) = &mut self.open {
                let version = *version;
                match rows.next() {
                    None => self.open = None,
                    Some(rows) => {
                        let rows = rows?;
                        let skipped = self.skip.min(rows.num_rows() as u64);
                        self.skip -= skipped;
                        let first_row = self.row + skipped;
                        self.row += rows.num_rows() as u64;
                        let rows = rows.slice(skipped as usize, rows.num_rows() - skipped as usize);
                        if rows.num_rows() > 0 {
                            let covered = rows.num_rows() as u64;
                            let rows = self.planned(&rows, version)?;
                            return Ok(Some(Batch { rows, bad: Vec::new(), first_row, covered, left_out: 0 }));
                        }
                    }
                }
                continue;
            }
            let Some((version, file)) = self.files.pop_front() else { return Ok(None) };
            let there: Vec<&str> = self.there().collect();
            let which = self.range.as_ref().map_or(Which::All, Which::Range);
            let rows = self.table.open_file(&self.snapshot, &file).and_then(|opened| opened.read(&there, which));
            self.open = Some((version, rows.map_err(|error| self.opened(version, &file, error))?));
        }
    }

    /// What is said of a file that cannot be opened: one of an earlier version may be gone for good.
    fn opened(&self, version: u64, file: &DataFile, error: Error) -> Error {
        if version == self.snapshot.version || !matches!(self.table.place.has(&file.location), Ok(false)) {
            return error;
        }
        let what = format!("the files that version {version} of the table brought are gone");
        Error::new(Code::SourceRead, what)
            .in_file(format!("{}/{}", self.table.name(), file.location))
            .help(
                "they were written into others, and a vacuum has deleted them since: what that version brought cannot be \
                 told any more",
            )
            .help(
                "load the whole table again: `floodmark run NAME --full-refresh`; and run more often than its files are deleted",
            )
    }

    /// The planned columns that the table has.
    fn there(&self) -> impl Iterator<Item = &str> {
        let has = |name: &&str| self.snapshot.schema.get(name).is_some();
        self.schema.columns.iter().map(|column| column.name.as_str()).filter(has)
    }

    fn planned(&self, rows: &RecordBatch, version: u64) -> Result<RecordBatch> {
        let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for column in &self.schema.columns {
            let array = match rows.column_by_name(&column.name) {
                Some(array) => from_file(array, &column.name, column.data_type)?,
                None if column.name == VERSION => Arc::new(Int64Array::from(vec![version as i64; rows.num_rows()])),
                None => continue,
            };
            fields.push(Field::new(&column.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), arrays, &options)?)
    }
}

impl Iterator for Reader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().map_err(|error| error.or_state("nothing was written")).transpose()
    }
}
