//! Which rows of a table's files a load may meet.

use crate::{
    data::{DataFile, Groups, Known, Opened, Which},
    rows::Rows,
};
use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch},
    compute::{concat_batches, filter_record_batch},
};
use floodmark_core::{Column, Error, Result, Schema, Value};
use floodmark_sqlite::bench::{Values, Wanted};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Rows that are brought once: by their file, and their place in it.
pub(crate) type Brought = HashSet<(u32, u32)>;

/// Rows of a file that are wanted.
pub(crate) struct Found {
    pub(crate) rows: RecordBatch,
    pub(crate) file: u32,
    pub(crate) places: Vec<u32>,
}

/// Bytes of a file that are looked through by themselves: larger ones by several threads, whose row groups allow it.
const PART: u64 = 16 << 20;

/// A share of a file's row groups.
pub(crate) struct Part<'f> {
    at: u32,
    file: &'f DataFile,
    share: usize,
    of: usize,
    known: Arc<Known>,
}

/// All that there is to look through.
pub(crate) fn parts(files: &[DataFile]) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let at = u32::try_from(at).map_err(|_| Error::internal("more than 4 billion files"))?;
        let of = usize::try_from(file.size / PART).unwrap_or_default().clamp(1, 64);
        let known = Arc::new(Known::default());
        parts.extend((0..of).map(|share| Part { at, file, share, of, known: Arc::clone(&known) }));
    }
    Ok(parts)
}

/// Finds the rows that are wanted and were not brought yet, with these columns. `send` says whether it takes more.
pub(crate) fn find(
    rows: &Rows,
    part: &Part<'_>,
    wanted: &Wanted<'_>,
    schema: &Schema,
    brought: &Mutex<Option<Brought>>,
    send: &mut dyn FnMut(Found) -> bool,
) -> Result<()> {
    let Some(looked_for) = narrow(part.file, wanted) else { return Ok(()) };
    let opened = rows.open(part.file, &part.known)?;
    let Some(groups) = opened.share(part.share, part.of)? else { return Ok(()) };
    let mut chosen = choose(rows, (&opened, &groups), part.file, &looked_for, schema)?;
    if let Some(brought) = &mut *brought.lock().unwrap_or_else(PoisonError::into_inner) {
        chosen.retain(|place| brought.insert((part.at, place)))?;
    }
    let Chosen { places, seen } = chosen;
    if places.is_empty() {
        return Ok(());
    }
    let which = if places.len() < groups.rows.len() { Which::At(&groups, &places) } else { Which::Groups(&groups) };
    let is_new = |column: &&Column| seen.as_ref().is_none_or(|seen| seen.column_by_name(&column.name).is_none());
    let rest = Schema { columns: schema.columns.iter().filter(is_new).cloned().collect() };
    let mut first = 0;
    for batch in rows.read(&opened, &rest, which)? {
        rows.stop.check()?;
        let batch = batch?;
        let here = first..first + batch.num_rows();
        let array = |column: &Column| -> Option<ArrayRef> {
            let seen = seen.as_ref().and_then(|seen| seen.column_by_name(&column.name));
            seen.map(|seen| seen.slice(first, here.len())).or_else(|| batch.column_by_name(&column.name).cloned())
        };
        let columns: Option<Vec<ArrayRef>> = schema.columns.iter().map(array).collect();
        let columns = columns.ok_or_else(|| Error::internal("a column was not read"))?;
        let found = RecordBatch::try_new(schema.to_arrow(), columns)?;
        first = here.end;
        if !send(Found { rows: found, file: part.at, places: places[here].to_vec() }) {
            break;
        }
    }
    Ok(())
}

/// The places of rows, rising, and the columns that were looked at to choose them.
struct Chosen {
    places: Vec<u32>,
    seen: Option<RecordBatch>,
}

impl Chosen {
    fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) -> Result<()> {
        let kept: Vec<bool> = self.places.iter().map(|place| keep(*place)).collect();
        let mut next = kept.iter();
        self.places.retain(|_| next.next() == Some(&true));
        if let Some(seen) = &mut self.seen {
            *seen = filter_record_batch(seen, &BooleanArray::from(kept))?;
        }
        Ok(())
    }
}

/// What is to be looked for in a file; `None` where its statistics tell that there is nothing of it.
fn narrow<'w>(file: &DataFile, wanted: &Wanted<'w>) -> Option<Wanted<'w>> {
    match *wanted {
        Wanted::All => Some(Wanted::All),
        Wanted::Numbered(ranges) => {
            let overlap = |(first, last): &(i64, i64)| ranges.iter().any(|(f, l)| f <= last && first <= l);
            file.numbers.as_ref()?.iter().any(overlap).then_some(Wanted::Numbered(ranges))
        }
        Wanted::Rows { keys, windows, within } => {
            let keys = keys.filter(|keys| may_hold(file, keys));
            let windows = windows.filter(|windows| may_hold(file, windows));
            let within = within.filter(|within| {
                bounds(file, &within.column).is_none_or(|(low, high)| {
                    let (from, until) = (&within.interval.from, &within.interval.until);
                    !is_less(high, from) && !is_less(until, low)
                })
            });
            let any = keys.is_some() || windows.is_some() || within.is_some();
            any.then_some(Wanted::Rows { keys, windows, within })
        }
    }
}

/// The rows that are wanted of some row groups of a file.
fn choose(
    rows: &Rows,
    (opened, groups): (&Opened<'_>, &Groups),
    file: &DataFile,
    wanted: &Wanted<'_>,
    schema: &Schema,
) -> Result<Chosen> {
    let &Wanted::Rows { keys, windows, within } = wanted else {
        let places = match wanted {
            Wanted::Numbered(ranges) => numbered(file, groups, ranges),
            _ => groups.rows.clone().collect(),
        };
        return Ok(Chosen { places, seen: None });
    };
    let names = keys.iter().chain(&windows).flat_map(|values| values.columns());
    let names: HashSet<&str> = names.chain(within.iter().map(|within| within.column.as_str())).collect();
    let looked_at = schema.columns.iter().filter(|column| names.contains(column.name.as_str()));
    let looked_at = Schema { columns: looked_at.cloned().collect() };
    let (mut places, mut seen, mut first) = (Vec::new(), Vec::new(), groups.rows.start);
    for batch in rows.read(opened, &looked_at, Which::Groups(groups))? {
        rows.stop.check()?;
        let batch = batch?;
        let mut marks = vec![false; batch.num_rows()];
        for values in keys.iter().chain(&windows) {
            values.mark(&batch, &mut marks)?;
        }
        if let Some(within) = within
            && let (Some(array), Some(column)) = (batch.column_by_name(&within.column), schema.get(&within.column))
        {
            for (row, mark) in marks.iter_mut().enumerate() {
                *mark |=
                    !array.is_null(row) && within.interval.holds(&Value::from_array(array, row, column.data_type)?);
            }
        }
        places.extend((first..).zip(&marks).filter(|(_, mark)| **mark).map(|(place, _)| place));
        first += batch.num_rows() as u32;
        if marks.contains(&true) {
            seen.push(filter_record_batch(&batch, &BooleanArray::from(marks))?);
        }
    }
    let seen = concat_batches(&looked_at.to_arrow(), &seen)?;
    Ok(Chosen { places, seen: Some(seen) })
}

/// The places of the rows with numbers in some ranges.
fn numbered(file: &DataFile, groups: &Groups, ranges: &[(i64, i64)]) -> Vec<u32> {
    let wanted = |number: i64| ranges.iter().any(|(first, last)| (*first..=*last).contains(&number));
    let numbers = file.numbers.iter().flatten().flat_map(|(first, last)| *first..=*last).zip(0u32..);
    numbers.filter(|(number, place)| groups.rows.contains(place) && wanted(*number)).map(|(_, place)| place).collect()
}

/// Whether a file may hold one of these values, as far as its statistics tell.
fn may_hold(file: &DataFile, values: &Values) -> bool {
    let Some(first) = values.columns().next() else { return true };
    match (bounds(file, first), values.bounds()) {
        _ if values.is_empty() => false,
        (Some((low, high)), Some((least, most))) => !(is_less(high, least) || is_less(most, low)),
        _ => true,
    }
}

/// Between which values a column's lie, where that is known. NULLs are not told of.
fn bounds<'f>(file: &'f DataFile, column: &str) -> Option<(&'f Value, &'f Value)> {
    if let Some((_, value)) = file.partition.iter().find(|(name, _)| name == column) {
        return (!value.is_null()).then_some((value, value));
    }
    let known = file.columns.get(column)?;
    // Most writers know nothing of NaN in their bounds of doubles.
    let is_double = |bound: &&Value| matches!(bound, Value::Double(_));
    known.min.as_ref().zip(known.max.as_ref()).filter(|(min, _)| !is_double(min))
}

/// Whether it is surely so.
fn is_less(a: &Value, b: &Value) -> bool {
    a.compare(b).is_some_and(std::cmp::Ordering::is_lt)
}
