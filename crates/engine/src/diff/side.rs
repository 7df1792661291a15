//! One of the two tables: what of it is compared, and how its rows are hashed or read.

use super::columns::Pair;
use crate::{registry, verify::decoded};
use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::filter_record_batch,
};
use floodmark_connect::{
    Batches, Range, ReadPlan, Slice, Source, Stop, SurveyRequest,
    digests::{Ask, Digests, Split},
};
use floodmark_core::{
    Code, Column, DataType, Error, Result, Schema, Value,
    encoding::{self, Digest, Form, Hash},
    pipeline::SourceSpec,
};
use floodmark_sql::Condition;
use std::{
    cmp::Ordering,
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// What is compared.
pub struct SideSpec {
    /// What it is called in what is told.
    pub name: String,
    /// The source.
    pub source: Box<dyn Source>,
    /// A condition in SQL that is judged here, because the source knows none.
    pub condition: Option<String>,
    /// A condition that the source judges, and the source without it: which of the two is wrong where that does not work.
    pub told: Option<(String, Box<dyn Source>)>,
    /// Only these rows.
    pub range: Option<Range>,
    /// Types to read columns as, in place of their own.
    pub types: HashMap<String, floodmark_core::DataType>,
}

impl SideSpec {
    /// All of it, or the rows for which a condition holds. `told`: what of the condition somebody wrote, to be told where it
    /// does not work.
    ///
    /// # Errors
    /// Where there is no such source.
    pub fn of(name: String, spec: &SourceSpec, condition: Option<String>, told: Option<&str>) -> Result<SideSpec> {
        let (theirs, condition) = if registry::judges(spec) { (condition, None) } else { (None, condition) };
        let told = match told.filter(|_| condition.is_none()) {
            Some(told) => Some((told.to_owned(), registry::compared(spec, None)?)),
            None => None,
        };
        let source = registry::compared(spec, theirs.as_deref())?;
        Ok(SideSpec { name, source, condition, told, range: None, types: HashMap::new() })
    }
}

/// A side that was looked at.
pub(crate) struct Side<'a> {
    pub(crate) left: bool,
    pub(crate) name: &'a str,
    source: &'a dyn Source,
    slices: Vec<Slice>,
    /// All its columns.
    pub(crate) schema: Schema,
    condition: Option<Condition>,
    pub(crate) range: Option<&'a Range>,
    transferred: AtomicU64,
    /// The column of the last value that was none of its type, and its row.
    misfit: Mutex<Option<(String, String)>>,
    stop: &'a Stop,
}

impl<'a> Side<'a> {
    pub(crate) fn open(spec: &'a SideSpec, left: bool, stop: &'a Stop) -> Result<Side<'a>> {
        let source = spec.source.as_ref();
        let request = SurveyRequest { pinned: spec.types.clone(), ..SurveyRequest::default() };
        let survey = |source: &dyn Source| {
            let slices = source.slices(stop)?;
            Ok::<_, Error>((source.survey(&slices, &request, stop)?, slices))
        };
        let (survey, slices) = survey(source).map_err(|error| match &spec.told {
            Some((sql, whole)) if !error.is_transient() && survey(whole.as_ref()).is_ok() => {
                no_condition(sql).cause(error)
            }
            _ => error,
        })?;
        let mut schema = survey.schema;
        for column in &mut schema.columns {
            column.data_type = spec.types.get(&column.name).copied().unwrap_or(column.data_type);
        }
        let condition = spec.condition.as_deref().map(|sql| condition(sql, &schema)).transpose()?;
        let (name, range) = (spec.name.as_str(), spec.range.as_ref());
        let (transferred, misfit) = (AtomicU64::new(0), Mutex::new(None));
        Ok(Side { left, name, source, slices, schema, condition, range, transferred, misfit, stop })
    }

    pub(crate) fn transferred(&self) -> u64 {
        self.transferred.load(Relaxed)
    }

    /// The column in which a value was met that is none of its type, and its row; told once.
    pub(crate) fn misfit(&self) -> Option<(String, String)> {
        self.misfit.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Values of a column were given, which are a part of a row each.
    pub(crate) fn sampled(&self, values: usize) {
        self.transferred.fetch_add(values as u64, Relaxed);
    }

    pub(crate) fn digests(&self) -> Option<&dyn Digests> {
        self.source.digests()
    }

    /// All rows, batch by batch, with these columns at least; those that are not to be compared are left out.
    pub(crate) fn read(&self, columns: &Schema, take: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.read_range(columns, self.range, take)
    }

    /// The same with a range in the place of its own.
    pub(crate) fn read_range(
        &self,
        columns: &Schema,
        range: Option<&Range>,
        mut take: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let mut schema = columns.clone();
        let beside = range.map(|r| r.column.as_str()).into_iter();
        let judged = self.condition.iter().flat_map(|_| self.schema.names());
        for name in beside.chain(judged) {
            if schema.get(name).is_none() {
                schema.columns.extend(self.schema.get(name).cloned());
            }
        }
        let plan = ReadPlan { schema, range: range.cloned(), ..ReadPlan::default() };
        for slice in &self.slices {
            self.taken(self.source.read(slice, &plan, self.stop)?, &mut |rows| {
                take(self.wanted(whole(rows, &plan.schema)?, range)?)
            })?;
        }
        Ok(())
    }

    /// The rows of some segments, with these columns at least, in whatever order.
    pub(crate) fn fetch(
        &self,
        ask: &Ask,
        segments: &[u32],
        columns: &Schema,
        mut take: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let Some(digests) = self.digests() else { return self.read(columns, take) };
        self.taken(digests.rows(ask, segments, columns, self.stop)?, &mut |rows| take(whole(rows, columns)?))
    }

    /// Takes all rows there are. After one that does not fit the others are passed over, and not left where they are: a
    /// statement that is broken off takes the state of the database with it that all others are to see, too.
    fn taken(&self, batches: Box<dyn Batches>, take: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let mut misfit = None;
        for batch in batches {
            self.stop.check()?;
            let batch = batch?;
            self.transferred.fetch_add(batch.covered - batch.left_out, Relaxed);
            if let (None, Some(bad)) = (&misfit, batch.bad.into_iter().next()) {
                let column = bad.error.place().and_then(|place| place.column.clone());
                *self.misfit.lock().unwrap_or_else(PoisonError::into_inner) = column.map(|column| (column, bad.raw));
                misfit = Some(bad.error.state("nothing was changed"));
            }
            if misfit.is_none() {
                take(batch.rows)?;
            }
        }
        misfit.map_or(Ok(()), Err)
    }

    /// Number of rows and sum of hashes by segment, worked out from the rows themselves.
    pub(crate) fn hash_here(&self, pairs: &[Pair], split: &Split, hash: Hash) -> Result<HashMap<u32, Digest>> {
        let mut sums: HashMap<u32, Digest> = HashMap::new();
        let columns = columns(pairs, self.left, split);
        let mut encoder = Encoder::new(pairs, self.left, split);
        self.read(&columns, |rows| {
            let mut at = encoder.over(&rows)?;
            while let Some(row) = at.next()? {
                let hash = hash.of(row.bytes);
                let segment = row.segment.unwrap_or_else(|| split.of_hash(hash));
                sums.entry(segment).or_default().add(hash);
            }
            Ok(())
        })?;
        Ok(sums)
    }

    /// The rows of a batch that are compared.
    fn wanted(&self, mut rows: RecordBatch, range: Option<&Range>) -> Result<RecordBatch> {
        if let Some(condition) = &self.condition {
            let schema = self.schema.to_arrow();
            let columns = schema.fields().iter().map(|f| {
                rows.column_by_name(f.name())
                    .cloned()
                    .ok_or_else(|| Error::internal("a column of a condition was not read"))
            });
            let judged = RecordBatch::try_new(schema.clone(), columns.collect::<Result<_>>()?)?;
            rows = filter_record_batch(&rows, &condition.holds(&judged)?)?;
        }
        let Some(range) = range else { return Ok(rows) };
        // What a database keeps beside its rows it alone can judge by.
        let Some(column) = self.schema.get(&range.column) else { return Ok(rows) };
        let array =
            rows.column_by_name(&range.column).ok_or_else(|| Error::internal("a range's column was not read"))?;
        // Read as text, for values that are none of the type: of these the database alone says where they lie.
        let as_text = *array.data_type() != column.data_type.to_arrow();
        let holds = |row: usize| -> Result<bool> {
            if !as_text {
                return Ok(within(range, &Value::from_array(array.as_ref(), row, column.data_type)?));
            }
            let text = Value::from_array(array.as_ref(), row, DataType::Text)?;
            Ok(decoded(&text.to_string(), column.data_type).is_none_or(|value| within(range, &value)))
        };
        let within = (0..rows.num_rows()).map(|row| holds(row).map(Some)).collect::<Result<BooleanArray>>()?;
        Ok(filter_record_batch(&rows, &within)?)
    }
}

/// Whether a value lies in a range.
pub(crate) fn within(range: &Range, value: &Value) -> bool {
    if value.is_null() {
        return range.nulls;
    }
    let bounds = &range.bounds;
    let after = bounds.from.as_ref().is_none_or(|from| match value.compare(from) {
        Some(Ordering::Equal) => !bounds.exclusive,
        order => order == Some(Ordering::Greater),
    });
    after
        && bounds.until.as_ref().is_none_or(|until| value.compare(until).is_some_and(Ordering::is_le))
        && bounds.before.as_ref().is_none_or(|before| value.compare(before) == Some(Ordering::Less))
}

fn condition(sql: &str, schema: &Schema) -> Result<Condition> {
    Condition::new(sql, schema).map_err(|failure| no_condition(sql).cause(Error::from(failure)))
}

fn no_condition(sql: &str) -> Error {
    Error::new(Code::BadArgument, format!("--where {sql:?} is no condition over the columns"))
        .state("nothing was compared")
        .help("write a comparison, as behind WHERE in SQL: \"status = 'paid'\"")
}

/// A file may lack a column that another has.
fn whole(rows: RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    if rows.num_columns() == schema.columns.len() {
        return Ok(rows);
    }
    let arrow = schema.to_arrow();
    let columns = arrow.fields().iter().map(|f| {
        let own = rows.column_by_name(f.name()).cloned();
        own.unwrap_or_else(|| arrow::array::new_null_array(f.data_type(), rows.num_rows()))
    });
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(arrow.clone(), columns.collect(), &options)?)
}

/// The columns that are read of a side: those compared, and the axis.
pub(crate) fn columns(pairs: &[Pair], left: bool, split: &Split) -> Schema {
    let of = |pair: &Pair| if left { pair.left.clone() } else { pair.right.clone() };
    let mut schema = Schema { columns: pairs.iter().map(of).collect() };
    if let Split::Axis { column, .. } = split
        && schema.get(&column.name).is_none()
    {
        schema.columns.push(Column::new(&column.name, column.data_type));
    }
    schema
}

/// Rows in the row encoding.
pub(crate) struct Encoder<'p> {
    /// By name and type, in the order of the encoding.
    columns: Vec<(&'p Column, Form)>,
    split: &'p Split,
    bytes: Vec<u8>,
    scratch: String,
}

impl<'p> Encoder<'p> {
    pub(crate) fn new(pairs: &'p [Pair], left: bool, split: &'p Split) -> Self {
        let columns = pairs.iter().map(|p| (if left { &p.left } else { &p.right }, p.form)).collect();
        Encoder { columns, split, bytes: Vec::new(), scratch: String::new() }
    }

    pub(crate) fn over<'e>(&'e mut self, rows: &'e RecordBatch) -> Result<Rows<'e, 'p>> {
        let find = |name: &str| {
            rows.schema().index_of(name).map_err(|_| Error::internal("a column that is compared was not read"))
        };
        let places = self.columns.iter().map(|(c, _)| find(&c.name)).collect::<Result<_>>()?;
        let axis = match self.split {
            Split::Axis { column, .. } => Some((find(&column.name)?, column.data_type)),
            Split::Content(_) => None,
        };
        Ok(Rows { encoder: self, rows, places, axis, at: 0 })
    }
}

/// The rows of a batch, one after the other.
pub(crate) struct Rows<'e, 'p> {
    encoder: &'e mut Encoder<'p>,
    rows: &'e RecordBatch,
    places: Vec<usize>,
    axis: Option<(usize, floodmark_core::DataType)>,
    at: usize,
}

/// A row.
pub(crate) struct Encoded<'r> {
    pub(crate) bytes: &'r [u8],
    /// Its segment; `None` where that goes by its hash.
    pub(crate) segment: Option<u32>,
}

impl Rows<'_, '_> {
    pub(crate) fn next(&mut self) -> Result<Option<Encoded<'_>>> {
        if self.at == self.rows.num_rows() {
            return Ok(None);
        }
        let (row, encoder) = (self.at, &mut *self.encoder);
        self.at += 1;
        encoder.bytes.clear();
        for ((column, form), place) in encoder.columns.iter().zip(&self.places) {
            let array = self.rows.column(*place).as_ref();
            encoding::put_cell(array, row, column.data_type, *form, &mut encoder.bytes, &mut encoder.scratch)?;
        }
        let segment = match self.axis {
            None => None,
            Some((place, data_type)) => {
                Some(encoder.split.of_value(&Value::from_array(self.rows.column(place).as_ref(), row, data_type)?))
            }
        };
        Ok(Some(Encoded { bytes: &encoder.bytes, segment }))
    }
}
