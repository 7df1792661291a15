//! Rows on their way: typed exactly, bad ones set aside, known ones left out, deletes marked.

use crate::{backfill::Tally, cast, names, reach};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array},
    buffer::BooleanBuffer,
    compute::{filter_record_batch, kernels::cmp},
    datatypes::{Field, Float64Type, Schema as ArrowSchema, Time64NanosecondType, TimestampNanosecondType},
    error::ArrowError,
};
use floodmark_connect::{Capabilities, destination::Transaction};
use floodmark_core::{
    Code, DataType, Error, Result, Schema, Value,
    error::{Place, shorten},
    fingerprint::RowHasher,
    pipeline::{CursorNulls, Deletes, LateRows, Load, Pipeline, SourceSpec},
    state::{BoundaryChange, Mark},
    watermark::Bounds,
    wording,
};
use floodmark_sql::Condition;
use std::sync::Arc;

/// A row set aside after it was read: its index in the batch, what is wrong, and the row as JSON.
pub(crate) struct Misfit {
    pub(crate) row: usize,
    pub(crate) error: Error,
    pub(crate) raw: String,
}

/// Where a batch comes from, as far as the watermark is concerned.
pub(crate) struct Origin<'a> {
    pub(crate) slice: &'a str,
    /// Seen before: rows at or behind the watermark are known.
    pub(crate) known: bool,
    /// Rows behind the watermark are wanted all the same.
    pub(crate) heals: bool,
    /// The number in the file of a row of the batch; 0 where rows belong to no file.
    pub(crate) row_of: &'a dyn Fn(usize) -> u64,
}

/// A batch after shaping.
pub(crate) struct Shaped {
    pub(crate) rows: RecordBatch,
    pub(crate) delete: Option<BooleanArray>,
    pub(crate) skipped: u64,
    pub(crate) misfits: Vec<Misfit>,
}

/// Cursor, bounds and what was met so far.
struct Cursor {
    column: String,
    data_type: DataType,
    bounds: Bounds,
    start: Option<Value>,
    stored: Option<Value>,
    nulls: CursorNulls,
    late: LateRows,
    /// How far the watermark may move.
    horizon: Option<Value>,
    /// Rows beyond it were left out.
    waiting: bool,
    highest: Option<Value>,
    null_rows: u64,
    /// Where the first of them is.
    first_null: Option<Place>,
    late_rows: u64,
    late_slice: Option<String>,
    settled: bool,
    /// `append`: what has become of the rows at the highest cursor since they were last written.
    boundary: Option<BoundaryChange>,
}

/// A watermark that no row carries: it moves once rows were read, to where the source was then.
struct Beside {
    stored: Option<Mark>,
    reached: Option<Mark>,
    read: bool,
}

/// Rows at the highest cursor that are held before they are written.
const BOUNDARY_AT_ONCE: usize = 1 << 16;

/// Shapes batches of one run.
pub(crate) struct Shaper<'a> {
    pipeline: &'a Pipeline,
    target: &'a Schema,
    can: Capabilities,
    condition: Option<Condition>,
    cursor: Option<Cursor>,
    beside: Option<Beside>,
    /// Only rows in these are wanted.
    units: Option<Tally>,
    /// `boundary: exclusive`: rows at `start` are left out too.
    exclusive: bool,
    hasher: RowHasher,
}

impl<'a> Shaper<'a> {
    pub(crate) fn new(
        pipeline: &'a Pipeline,
        target: &'a Schema,
        can: Capabilities,
        bounds: Option<(Bounds, DataType)>,
        stored: Option<&Mark>,
        pending: Option<&Mark>,
        horizon: Option<Value>,
    ) -> Result<Self> {
        let condition = pipeline.delete_when.as_deref().map(|sql| Condition::new(sql, target)).transpose()?;
        let beside = pipeline.watermark.as_ref().filter(|w| w.hidden).map(|spec| {
            let mark = |value| Mark { column: spec.column.clone(), data_type: DataType::BigInt, value };
            let reached = later(stored.map(|m| m.value.clone()), horizon.clone().filter(|h| *h != Value::Null));
            Beside { stored: stored.cloned(), reached: reached.map(mark), read: false }
        });
        let cursor = match (pipeline.cursor(), bounds) {
            (Some(spec), Some((bounds, data_type))) => {
                let stored = stored.map(|m| m.value.clone());
                Some(Cursor {
                    column: spec.column.clone(),
                    data_type,
                    start: spec.start.as_ref().and_then(|s| Value::parse(s, data_type)),
                    bounds,
                    nulls: spec.nulls,
                    late: pipeline.late_rows(),
                    highest: later(stored.clone(), pending.map(|m| m.value.clone())),
                    horizon,
                    waiting: false,
                    stored,
                    null_rows: 0,
                    first_null: None,
                    late_rows: 0,
                    late_slice: None,
                    settled: false,
                    boundary: (pipeline.load == Load::Append).then(BoundaryChange::default),
                })
            }
            _ => None,
        };
        let exclusive = pipeline.watermark.as_ref().is_some_and(|w| w.exclusive);
        let hasher = RowHasher::default();
        Ok(Shaper { pipeline, target, can, condition, cursor, beside, units: None, exclusive, hasher })
    }

    /// Of the rows that lie in units of an axis, wherever the pipeline's watermark is. `reaches`: rows at and behind that
    /// value are remembered as an `append` does those at its watermark, which moves there.
    pub(crate) fn of_units(
        pipeline: &'a Pipeline,
        target: &'a Schema,
        can: Capabilities,
        units: Tally,
        reaches: Option<Option<Value>>,
    ) -> Result<Self> {
        let mut shaper = Shaper::new(pipeline, target, can, None, None, None, None)?;
        shaper.beside = None;
        shaper.cursor = pipeline.cursor().filter(|spec| spec.column == units.column()).map(|spec| Cursor {
            column: spec.column.clone(),
            data_type: units.data_type(),
            bounds: Bounds { from: None, exclusive: false, until: None, before: None },
            start: None,
            stored: None,
            // A row without a value lies in no unit, and may still be one too many.
            nulls: if spec.nulls == CursorNulls::Include { CursorNulls::Exclude } else { spec.nulls },
            late: LateRows::Load,
            horizon: None,
            waiting: false,
            highest: reaches.clone().flatten(),
            null_rows: 0,
            first_null: None,
            late_rows: 0,
            late_slice: None,
            settled: false,
            boundary: reaches.map(|_| BoundaryChange { anew: true, added: Vec::new() }),
        });
        shaper.units = Some(units);
        Ok(shaper)
    }

    /// What was met of each unit.
    pub(crate) fn units(&self) -> Option<&Tally> {
        self.units.as_ref()
    }

    /// The highest cursor of all rows let through, earlier runs included, as far as the watermark may move.
    pub(crate) fn highest(&self) -> Option<Mark> {
        if let Some(Beside { stored, reached, read }) = &self.beside {
            return stored.clone().filter(|_| !read).or_else(|| reached.clone());
        }
        let cursor = self.cursor.as_ref()?;
        let value = match self.held_back() {
            None => cursor.highest.clone()?,
            Some(Value::Null) => cursor.stored.clone()?,
            Some(horizon) => later(cursor.stored.clone(), Some(horizon.clone()))?,
        };
        Some(Mark { column: cursor.column.clone(), data_type: cursor.data_type, value })
    }

    /// The horizon, where rows beyond it were met.
    pub(crate) fn held_back(&self) -> Option<&Value> {
        let cursor = self.cursor.as_ref()?;
        let horizon = cursor.horizon.as_ref()?;
        let beyond = match (horizon, &cursor.highest) {
            (Value::Null, highest) => *highest != cursor.stored,
            (horizon, Some(highest)) => highest.compare(horizon) == Some(std::cmp::Ordering::Greater),
            (_, None) => false,
        };
        (beyond || cursor.waiting).then_some(horizon)
    }

    /// What became of the rows at the highest cursor since this was last asked, for `append`.
    pub(crate) fn take_boundary(&mut self) -> BoundaryChange {
        let change = self.cursor.as_mut().and_then(|cursor| cursor.boundary.as_mut());
        change.map(std::mem::take).unwrap_or_default()
    }

    /// The same, where it is too much to hold on to.
    pub(crate) fn overdue_boundary(&mut self) -> Option<BoundaryChange> {
        let held = self.cursor.as_ref()?.boundary.as_ref()?.added.len();
        (held >= BOUNDARY_AT_ONCE).then(|| self.take_boundary())
    }

    /// Whether `settle` left rows of the slices since the last call for a later run.
    pub(crate) fn take_settled(&mut self) -> bool {
        self.cursor.as_mut().is_some_and(|c| std::mem::take(&mut c.settled))
    }

    /// Late rows that were left out, with the first file that held some.
    pub(crate) fn late_skipped(&self) -> Option<(u64, &str)> {
        let cursor = self.cursor.as_ref().filter(|c| c.late == LateRows::Skip && c.late_rows > 0)?;
        Some((cursor.late_rows, cursor.late_slice.as_deref().unwrap_or_default()))
    }

    /// Takes into account rows that were not read, as all of them lie before where the slice's are wanted from.
    pub(crate) fn left_out(&mut self, rows: u64, origin: &Origin<'_>) {
        let Some(cursor) = self.cursor.as_mut().filter(|_| rows > 0) else { return };
        if reach::late(cursor.late, cursor.stored.as_ref(), cursor.start.as_ref(), origin.known, origin.heals) {
            cursor.late_rows += rows;
            cursor.late_slice.get_or_insert_with(|| origin.slice.to_owned());
        }
    }

    /// What can only be told when all rows are seen: NULL cursors and late rows, with their counts.
    pub(crate) fn verdict(&self) -> Result<()> {
        let Some(cursor) = &self.cursor else { return Ok(()) };
        if cursor.nulls == CursorNulls::Fail && cursor.null_rows > 0 {
            return Err(Error::new(
                Code::NullCursor,
                format!(
                    "{} no value in the watermark column {:?}",
                    wording::agree(cursor.null_rows, "row", "has", "have"),
                    cursor.column
                ),
            )
            .at(cursor.first_null.clone().unwrap_or_default())
            .help("load them too with `nulls: include`, or leave them out with `nulls: exclude`, under `watermark:`"));
        }
        if cursor.late == LateRows::Fail && cursor.late_rows > 0 {
            let mut error = Error::new(
                Code::LateRows,
                format!(
                    "{} of files never seen before {} behind the watermark {}",
                    wording::count(cursor.late_rows, "row"),
                    wording::verb(cursor.late_rows, "lies", "lie"),
                    cursor.stored.as_ref().unwrap_or(&Value::Null)
                ),
            )
            .help("if they are a late delivery, load them: `late_rows: load` under `watermark:`")
            .help("if the file repeats rows that are loaded already, leave them out: `late_rows: skip`")
            .help("with a key and `load: upsert` neither is needed: a row is loaded once, however often it comes");
            if let Some(slice) = &cursor.late_slice {
                error = error.in_file(slice);
            }
            return Err(error);
        }
        Ok(())
    }

    /// Shapes one batch. `rows` are columns of the target by name, not yet of its types where a transform made them.
    pub(crate) fn shape(
        &mut self,
        rows: RecordBatch,
        origin: &Origin<'_>,
        transaction: &mut dyn Transaction,
    ) -> Result<Shaped> {
        if let Some(beside) = &mut self.beside {
            beside.read |= rows.num_rows() > 0;
        }
        let mut misfits = Vec::new();
        let rows = self.to_target(&rows, &mut misfits)?;
        let deletes = match &self.condition {
            Some(condition)
                if self.pipeline.deletes == Deletes::Hard && self.pipeline.columns.iter().any(|c| c.not_null) =>
            {
                Some(condition.holds(&self.widened(&rows)?)?)
            }
            _ => None,
        };
        self.check_nulls(&rows, deletes.as_ref(), &mut misfits)?;
        misfits.sort_by_key(|m| m.row);
        misfits.dedup_by_key(|m| m.row);
        if let Some(cursor) = &mut self.cursor {
            cursor.note_null(&rows, &misfits, origin);
        }
        let rows = if misfits.is_empty() {
            rows
        } else {
            let mut keep = vec![true; rows.num_rows()];
            misfits.iter().for_each(|m| keep[m.row] = false);
            filter_record_batch(&rows, &BooleanArray::from(keep))?
        };
        let before = rows.num_rows();
        let rows = self.apply_cursor(rows, origin, transaction)?;
        let skipped = (before - rows.num_rows()) as u64;
        let delete = match &self.condition {
            None => None,
            Some(condition) => Some(condition.holds(&self.widened(&rows)?)?),
        };
        Ok(Shaped { rows, delete, skipped, misfits })
    }

    /// Columns in the target's order and types; what does not convert exactly is a misfit.
    fn to_target(&self, rows: &RecordBatch, misfits: &mut Vec<Misfit>) -> Result<RecordBatch> {
        let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for column in &self.target.columns {
            let to = column.data_type.to_arrow();
            let Some(array) = rows.column_by_name(&column.name) else {
                // What replaces says all of a row; what merges leaves alone what it does not speak of.
                if matches!(self.pipeline.load, Load::Overwrite | Load::DeleteInsert) {
                    arrays.push(new_null_array(&to, rows.num_rows()));
                    fields.push(Field::new(&column.name, to, true));
                }
                continue;
            };
            let cast = cast::exact(array, &to)?;
            for row in cast.bad.iter().flat_map(BooleanBuffer::set_indices) {
                let value = cell_text(array, row);
                misfits.push(Misfit {
                    row,
                    error: Error::new(Code::BadValue, format!("a value is not a {}", column.data_type))
                        .at(Place {
                            column: Some(column.name.clone()),
                            value: Some(shorten(&value)),
                            ..Place::default()
                        })
                        .help(format!(
                            "give the column a type that holds it: `columns: {{{}: {{type: text}}}}`",
                            column.name
                        ))
                        .help("or keep such rows aside: `on_bad_row: reject`"),
                    raw: self.raw(rows, row),
                });
            }
            fields.push(Field::new(&column.name, to, true));
            arrays.push(cast.array);
        }
        rebuild(fields, arrays, rows.num_rows())
    }

    /// `deletes`: rows that only say what goes, and so need their key alone.
    fn check_nulls(&self, rows: &RecordBatch, deletes: Option<&BooleanArray>, misfits: &mut Vec<Misfit>) -> Result<()> {
        let mut refuse = |array: &ArrayRef, name: &str, code: Code, message: String, help: &str| {
            let Some(nulls) = array.nulls().filter(|n| n.null_count() > 0) else { return };
            let spared = |row: usize| code == Code::NullValue && deletes.is_some_and(|d| d.value(row));
            for row in (0..array.len()).filter(|row| nulls.is_null(*row) && !spared(*row)) {
                misfits.push(Misfit {
                    row,
                    error: Error::new(code, message.clone())
                        .at(Place { column: Some(name.to_owned()), ..Place::default() })
                        .help(help),
                    raw: self.raw(rows, row),
                });
            }
        };
        for key in &self.pipeline.key {
            let array = or_nulls(rows, key, &arrow::datatypes::DataType::Int64);
            let message = format!("key column {key:?} is NULL");
            refuse(
                &array,
                key,
                Code::NullKey,
                message,
                "a row without its key cannot be told from others: correct the source, or keep such rows aside with `on_bad_row: reject`",
            );
        }
        for column in self.pipeline.columns.iter().filter(|c| c.not_null) {
            let message = format!("column {:?} is NULL and is set to `not_null`", column.name);
            let help = "correct the source, or keep such rows aside with `on_bad_row: reject`";
            let array = or_nulls(rows, &column.name, &arrow::datatypes::DataType::Int64);
            refuse(&array, &column.name, Code::NullValue, message, help);
        }
        for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
            self.refuse_unstorable(rows, field.name(), array, misfits);
        }
        Ok(())
    }

    /// A row as a JSON object of texts, for the reject table: under the names of the source, or of the transform's result.
    fn raw(&self, rows: &RecordBatch, row: usize) -> String {
        let mut object = serde_json::Map::new();
        for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
            let name = match &self.pipeline.transform {
                None => names::source_name(self.pipeline, field.name()),
                Some(_) => field.name(),
            };
            let value = if array.is_null(row) { serde_json::Value::Null } else { cell_text(array, row).into() };
            object.insert(name.to_owned(), value);
        }
        serde_json::Value::Object(object).to_string()
    }

    /// Values that the destination would lose or change.
    fn refuse_unstorable(&self, rows: &RecordBatch, name: &str, array: &ArrayRef, misfits: &mut Vec<Misfit>) {
        let mut refuse = |row: usize, value: String, message: &str, help: String| {
            misfits.push(Misfit {
                row,
                error: Error::new(Code::Unstorable, message)
                    .at(Place { column: Some(name.to_owned()), value: Some(shorten(&value)), ..Place::default() })
                    .help(help)
                    .help("or keep such rows aside: `on_bad_row: reject`"),
                raw: self.raw(rows, row),
            });
        };
        // No number is newer than it: behind it nothing would ever be read or written again.
        let orders = self.pipeline.watermark.as_ref().is_some_and(|w| w.column == name)
            || self.pipeline.version.as_deref() == Some(name);
        if orders && let Some(doubles) = array.as_primitive_opt::<Float64Type>() {
            for row in (0..doubles.len()).filter(|row| doubles.is_valid(*row) && doubles.value(*row).is_nan()) {
                let help = format!("decide with `transform`, for example: nullif({name}, 'NaN'::double) AS {name}");
                refuse(row, "NaN".into(), "NaN cannot say what is newer", help);
            }
        } else if !self.can.nan
            && let Some(doubles) = array.as_primitive_opt::<Float64Type>()
        {
            for row in (0..doubles.len()).filter(|row| doubles.is_valid(*row) && doubles.value(*row).is_nan()) {
                let help = format!("decide with `transform`, for example: nullif({name}, 'NaN'::double) AS {name}");
                refuse(row, "NaN".into(), "the destination cannot hold NaN: it would become NULL", help);
            }
        }
        if !self.can.nanoseconds {
            let times = array.as_primitive_opt::<Time64NanosecondType>().map(|a| a.values());
            let instants = array.as_primitive_opt::<TimestampNanosecondType>().map(|a| a.values());
            let fine =
                times.or(instants).into_iter().flat_map(|v| v.iter().enumerate().filter(|(_, v)| **v % 1000 != 0));
            for row in fine.map(|(row, _)| row).filter(|row| array.is_valid(*row)) {
                let help = format!(
                    "keep the column as text (`columns: {{{name}: {{type: text}}}}`), or round it with `transform`"
                );
                refuse(row, cell_text(array, row), "the destination cannot hold parts of a microsecond", help);
            }
        }
        if !self.can.zero_character
            && let Some(texts) = array.as_string_opt::<i32>()
        {
            // One search through all bytes says for most batches that there is none.
            let none = memchr::memchr(0, texts.values()).is_none();
            let with = (0..if none { 0 } else { texts.len() }).filter(|row| texts.is_valid(*row));
            for row in with.filter(|row| texts.value(*row).contains('\0')).collect::<Vec<_>>() {
                let help = format!("take it out with `transform`, for example: replace({name}, chr(0), '') AS {name}");
                refuse(row, texts.value(row).to_owned(), "the destination cannot hold the character U+0000", help);
            }
        }
    }

    /// All of the target's columns, NULL where the batch has none.
    fn widened(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let arrays = self
            .target
            .columns
            .iter()
            .map(|c| {
                rows.column_by_name(&c.name)
                    .cloned()
                    .unwrap_or_else(|| new_null_array(&c.data_type.to_arrow(), rows.num_rows()))
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.target.to_arrow(), arrays, &options)?)
    }

    fn apply_cursor(
        &mut self,
        rows: RecordBatch,
        origin: &Origin<'_>,
        transaction: &mut dyn Transaction,
    ) -> Result<RecordBatch> {
        if self.units.is_some() {
            return self.apply_units(rows, origin);
        }
        let Some(cursor) = &mut self.cursor else { return Ok(rows) };
        let array = or_nulls(&rows, &cursor.column, &cursor.data_type.to_arrow());
        let mut keep = vec![true; rows.num_rows()];
        if array.null_count() > 0 {
            for (_, keep) in keep.iter_mut().enumerate().filter(|(row, _)| array.is_null(*row)) {
                cursor.null_rows += 1;
                *keep = cursor.nulls == CursorNulls::Include;
            }
        }
        let compare =
            |op: fn(&dyn arrow::array::Datum, &dyn arrow::array::Datum) -> Result<BooleanArray, ArrowError>,
             value: &Value| { op(&array, &value.to_scalar(cursor.data_type)?).map_err(Error::from) };
        // NULL compares as NULL, which `true_rows` leaves alone: those rows are settled above.
        if let Some(start) = &cursor.start {
            let before = if self.exclusive { cmp::lt_eq } else { cmp::lt };
            drop_rows(&mut keep, &compare(before, start)?);
        }
        if let Some(until) = &cursor.bounds.until {
            let young = compare(cmp::gt, until)?;
            cursor.settled |= drop_rows(&mut keep, &young) > 0;
        }
        let append = cursor.boundary.is_some();
        // An append knows the rows at the watermark again, and none beyond it: these wait.
        if let Some(horizon) = cursor.horizon.as_ref().filter(|_| append) {
            cursor.waiting |= match horizon {
                Value::Null => {
                    let wanted = keep.contains(&true);
                    keep.fill(false);
                    wanted
                }
                at => drop_rows(&mut keep, &compare(cmp::gt, at)?) > 0,
            };
        }
        if let Some(stored) = &cursor.stored {
            if origin.heals {
                // The version rule leaves alone what is loaded.
            } else if origin.known {
                let from = if append { stored } else { cursor.bounds.from.as_ref().unwrap_or(stored) };
                drop_rows(&mut keep, &compare(cmp::lt, from)?);
                if cursor.bounds.exclusive {
                    drop_rows(&mut keep, &compare(cmp::eq, from)?);
                }
            } else if cursor.late != LateRows::Load {
                let late = drop_rows(&mut keep, &compare(cmp::lt, stored)?);
                if late > 0 {
                    cursor.late_rows += late;
                    cursor.late_slice.get_or_insert_with(|| origin.slice.to_owned());
                }
            }
            if append && (cursor.late != LateRows::Load || origin.known) {
                // A known file knows its own rows, a new one those of any. What a program hands over is called by its kind,
                // which may be another the next time.
                let named = !matches!(self.pipeline.source, SourceSpec::Handed(_));
                let file = (origin.known && named).then_some(origin.slice);
                let at = compare(cmp::eq, stored)?;
                let asked: Vec<usize> = true_rows(&at).filter(|row| keep[*row]).collect();
                let hashes = asked.iter().map(|row| row_hash(&mut self.hasher, &rows, self.target, *row));
                let hashes = hashes.collect::<Result<Vec<_>>>()?;
                let loaded = transaction.loaded(file, &hashes)?;
                for (row, _) in asked.into_iter().zip(loaded).filter(|(_, loaded)| *loaded) {
                    keep[row] = false;
                    if !origin.known {
                        cursor.late_rows += 1;
                        cursor.late_slice.get_or_insert_with(|| origin.slice.to_owned());
                    }
                }
            }
        }
        let rows = if keep.iter().all(|k| *k) { rows } else { filter_record_batch(&rows, &BooleanArray::from(keep))? };
        let array = rows.column_by_name(&cursor.column).cloned();
        if let Some(array) = array {
            cursor.advance(&array, &rows, self.target, origin.slice, &mut self.hasher)?;
        }
        Ok(rows)
    }

    /// Rows of the units, counted.
    fn apply_units(&mut self, rows: RecordBatch, origin: &Origin<'_>) -> Result<RecordBatch> {
        let Some(units) = &mut self.units else { return Ok(rows) };
        let array = or_nulls(&rows, units.column(), &units.data_type().to_arrow());
        if let Some(cursor) = &mut self.cursor {
            cursor.null_rows += array.null_count() as u64;
        }
        let keep = units.take(&array)?;
        let rows = if keep.true_count() == keep.len() { rows } else { filter_record_batch(&rows, &keep)? };
        if let Some(cursor) = self.cursor.as_mut().filter(|cursor| cursor.boundary.is_some())
            && let Some(array) = rows.column_by_name(&cursor.column).cloned()
        {
            cursor.advance(&array, &rows, self.target, origin.slice, &mut self.hasher)?;
        }
        Ok(rows)
    }
}

impl Cursor {
    /// Remembers where the first row without a value is.
    fn note_null(&mut self, rows: &RecordBatch, misfits: &[Misfit], origin: &Origin<'_>) {
        let Some(array) = rows.column_by_name(&self.column).filter(|a| a.null_count() > 0) else { return };
        if self.first_null.is_some() {
            return;
        }
        let misfit = |row: usize| misfits.binary_search_by_key(&row, |m| m.row).is_ok();
        let first = (0..array.len()).find(|row| array.is_null(*row) && !misfit(*row));
        let Some(row) = first.map(origin.row_of) else { return };
        let file = (row > 0).then(|| origin.slice.into());
        let row = file.is_some().then_some(row);
        self.first_null = Some(Place { file, row, column: Some(self.column.clone()), ..Place::default() });
    }

    /// Takes the batch's highest cursor into account.
    fn advance(
        &mut self,
        array: &ArrayRef,
        rows: &RecordBatch,
        target: &Schema,
        slice: &str,
        hasher: &mut RowHasher,
    ) -> Result<()> {
        let Some(highest) = maximum(array, self.data_type)? else { return Ok(()) };
        let order = self.highest.as_ref().and_then(|h| highest.compare(h));
        if self.highest.is_none() || order == Some(std::cmp::Ordering::Greater) {
            self.highest = Some(highest.clone());
            if let Some(boundary) = &mut self.boundary {
                *boundary = BoundaryChange { anew: true, ..BoundaryChange::default() };
            }
        } else if order != Some(std::cmp::Ordering::Equal) {
            return Ok(());
        }
        let Some(boundary) = &mut self.boundary else { return Ok(()) };
        let at = cmp::eq(array, &highest.to_scalar(self.data_type)?)?;
        let slice: Arc<str> = slice.into();
        for row in true_rows(&at) {
            boundary.added.push((Arc::clone(&slice), row_hash(hasher, rows, target, row)?));
        }
        Ok(())
    }
}

/// The hash of a row by its names and values; NULLs are left out, so that a column added later changes nothing.
pub(crate) fn row_hash(hasher: &mut RowHasher, rows: &RecordBatch, target: &Schema, row: usize) -> Result<u128> {
    hasher.start();
    for column in &target.columns {
        let Some(array) = rows.column_by_name(&column.name).filter(|a| a.is_valid(row)) else { continue };
        hasher.cell(&Value::Text(column.name.clone()));
        hasher.cell(&Value::from_array(array, row, column.data_type)?);
    }
    Ok(hasher.finish())
}

/// The highest value of a column, `None` where all are NULL.
fn maximum(array: &ArrayRef, data_type: DataType) -> Result<Option<Value>> {
    use arrow::{compute::max, datatypes as dt};
    macro_rules! of {
        ($t:ty) => {{
            let array = array.as_primitive::<$t>();
            let Some(highest) = max(array) else { return Ok(None) };
            arrow::array::PrimitiveArray::<$t>::from_value(highest, 1).with_data_type(array.data_type().clone())
        }};
    }
    let one: ArrayRef = match data_type {
        DataType::BigInt => Arc::new(of!(dt::Int64Type)),
        DataType::Decimal(..) => Arc::new(of!(dt::Decimal128Type)),
        DataType::Double => Arc::new(of!(dt::Float64Type)),
        DataType::Date => Arc::new(of!(dt::Date32Type)),
        DataType::Time => Arc::new(of!(dt::Time64NanosecondType)),
        DataType::Timestamp { nanos: false } | DataType::TimestampTz { nanos: false } => {
            Arc::new(of!(dt::TimestampMicrosecondType))
        }
        DataType::Timestamp { nanos: true } | DataType::TimestampTz { nanos: true } => {
            Arc::new(of!(dt::TimestampNanosecondType))
        }
        DataType::Text => {
            return Ok(arrow::compute::max_string(array.as_string::<i32>()).map(|s| Value::Text(s.to_owned())));
        }
        DataType::Bool | DataType::Bytes | DataType::Json => {
            return Err(Error::internal(format!("the highest value of a {data_type} column")));
        }
    };
    Value::from_array(&one, 0, data_type).map(Some)
}

/// A column, all NULL where the rows lack it: a run refuses such files before it reads them, rejected rows may come so.
fn or_nulls(rows: &RecordBatch, column: &str, data_type: &arrow::datatypes::DataType) -> ArrayRef {
    rows.column_by_name(column).cloned().unwrap_or_else(|| new_null_array(data_type, rows.num_rows()))
}

/// The later of two values.
fn later(a: Option<Value>, b: Option<Value>) -> Option<Value> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.compare(&a) == Some(std::cmp::Ordering::Greater) { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn true_rows(array: &BooleanArray) -> impl Iterator<Item = usize> + '_ {
    array.values().set_indices().filter(|row| array.is_valid(*row))
}

/// Unmarks the rows where `mask` is true; returns how many were still marked.
fn drop_rows(keep: &mut [bool], mask: &BooleanArray) -> u64 {
    let mut dropped = 0;
    for row in true_rows(mask) {
        dropped += u64::from(std::mem::take(&mut keep[row]));
    }
    dropped
}

pub(crate) fn rebuild(fields: Vec<Field>, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), arrays, &options)?)
}

fn cell_text(array: &ArrayRef, row: usize) -> String {
    arrow::util::display::array_value_to_string(array, row).unwrap_or_default()
}
