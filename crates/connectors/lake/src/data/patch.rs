//! A data file written anew where some of its rows are others, or gone. What they leave alone is taken over as it lies
//! there: row groups, and of the others the columns in which no row is another. Rows keep their places, so that what the
//! log tells of a file's columns stays as narrow as it was.

use super::{
    DataFile, Layout,
    encode::{Columns, Encoded, Finished, outgrew, threads},
    lasting::sync,
    open::{OpenFile, is_ours},
    read::{Groups, Opened, Which},
    write::ROW_GROUP,
};
use crate::{ahead, failure, lake::Table};
use arrow::array::{Array, MutableArrayData, RecordBatch, RecordBatchOptions, make_array};
use floodmark_connect::Stop;
use floodmark_core::{DataType, Error, Result};
use parquet::{column::writer::ColumnCloseResult, errors::ParquetError, file::metadata::ParquetMetaData};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    mem,
    ops::Range,
};

/// Rows of which it is known together in which columns one of them is another.
const STRETCH: u32 = 1 << 13;

/// What became of the rows of a file.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The places of rows that are gone, rising.
    pub(crate) gone: Vec<u32>,
    /// The places of rows that are others, rising.
    changed: Vec<u32>,
    /// By [`STRETCH`]: in which of the table's columns a changed row is another, a bit for each.
    columns: Vec<u64>,
}

impl Left {
    /// Rows come in the order of their places. `columns`: of one that is gone, `None`.
    pub(crate) fn push(&mut self, row: u32, columns: Option<u64>) {
        match columns {
            None => self.gone.push(row),
            Some(columns) => {
                self.changed.push(row);
                let stretch = (row / STRETCH) as usize;
                self.columns.resize(self.columns.len().max(stretch + 1), 0);
                self.columns[stretch] |= columns;
            }
        }
    }

    fn columns(&self, rows: &Range<u32>) -> u64 {
        let stretches = (rows.start / STRETCH) as usize..=(rows.end.saturating_sub(1) / STRETCH) as usize;
        stretches.filter_map(|stretch| self.columns.get(stretch)).fold(0, |all, columns| all | columns)
    }
}

/// Asks for the rows that are now at some places of the file whose rows were others, in their order and with all columns.
pub(super) type Others<'a> = dyn Fn(Range<u32>) -> Result<RecordBatch> + Sync + 'a;

/// Writes it anew, into a file in the same partition that is nobody's yet. `beside`: how many are written at once.
pub(crate) fn patch(
    table: &Table,
    opened: &Opened<'_>,
    layout: &Layout,
    left: &Left,
    others: &Others<'_>,
    stop: &Stop,
    beside: usize,
) -> Result<DataFile> {
    let mut open = OpenFile::start(table, layout, opened.file().partition.clone(), beside)?;
    match fill(&mut open, opened, layout, left, others, stop, threads(beside)) {
        Ok(()) => {
            let file = open.close(layout, false)?;
            sync(table, &file.location).map(|()| file)
        }
        Err(error) => {
            open.abandon();
            Err(error)
        }
    }
}

fn fill(
    open: &mut OpenFile,
    opened: &Opened<'_>,
    layout: &Layout,
    left: &Left,
    others: &Others<'_>,
    stop: &Stop,
    threads: usize,
) -> Result<()> {
    let about = opened.footer().file_metadata();
    let ours = is_ours(about.created_by())
        && about.schema_descr().root_schema().get_fields() == open.writer.described().root_schema().get_fields();
    let pages = ours.then(|| opened.with_pages()).transpose()?;
    let groups = opened.groups()?;
    // Row groups side by side, or else the columns of the only one.
    let (beside, threads) = if groups.len() > 1 { (threads, 1) } else { (1, threads) };
    let columns = open.writer.columns().clone().by(threads);
    let patch = Patch { opened, layout, left, others, stop, pages, columns, name: open.name.clone() };
    let make = |_: usize, group: &Groups, send: &mut dyn FnMut(Patched) -> bool| patch.group(group, send);
    ahead::each(&groups, beside, make, |Patched { group, rows, not_numbers }| open.append(group, rows, not_numbers))
}

/// A row group with its rows as they are now.
struct Patched {
    group: Finished,
    rows: u64,
    not_numbers: BTreeSet<String>,
}

struct Patch<'a> {
    opened: &'a Opened<'a>,
    layout: &'a Layout,
    left: &'a Left,
    others: &'a Others<'a>,
    stop: &'a Stop,
    /// What the footer says of pages too, where the file's columns are told as ours are.
    pages: Option<ParquetMetaData>,
    columns: Columns,
    name: String,
}

impl Patch<'_> {
    /// Makes a row group anew; several of one that is too large, none of one whose rows are gone.
    fn group(&self, of: &Groups, send: &mut dyn FnMut(Patched) -> bool) -> Result<()> {
        self.stop.check()?;
        let (gone, changed) = (within(&self.left.gone, &of.rows), within(&self.left.changed, &of.rows));
        if gone.len() == of.rows.len() {
            return Ok(());
        }
        let kept = match &self.pages {
            Some(pages) if gone.is_empty() => {
                let columns = if changed.is_empty() { 0 } else { self.left.columns(&of.rows) };
                take_over(self.opened, pages, of.first(), |name| is_kept(self.layout, name, columns))?
            }
            _ => HashMap::new(),
        };
        let in_files = self.layout.in_files();
        let anew = in_files.fields().iter().enumerate().filter(|(at, _)| !kept.contains_key(at));
        let anew: Vec<&str> = anew.map(|(_, field)| field.name().as_str()).collect();
        let (mut not_numbers, whole) = (self.not_numbers(&kept), kept.is_empty());
        let before = self.opened.footer().row_group(of.first()).columns().iter();
        let outgrown: HashSet<&str> = before.filter(|c| outgrew(c)).map(|c| c.column_descr().name()).collect();
        let plain = |at| outgrown.contains(in_files.field(at).name().as_str());
        let mut group = self.columns.begin(kept, plain).map_err(|e| self.failed(e))?;
        let mut rows = 0;
        if anew.is_empty() {
            rows = of.rows.len() as u64;
        } else {
            let mut next = of.rows.start;
            for batch in self.opened.read(&anew, Which::Groups(of))? {
                self.stop.check()?;
                let batch = batch?;
                let here = next..next + batch.num_rows() as u32;
                next = here.end;
                let batch = patched(batch, here, gone, changed, self.others)?;
                self.layout.check(&batch)?;
                let (batch, with_nan) = self.layout.in_file(&batch)?;
                not_numbers.extend(with_nan);
                rows += batch.num_rows() as u64;
                group.write(batch).map_err(|e| self.failed(e))?;
                if whole && group.unfinished() >= ROW_GROUP {
                    let next = self.columns.begin(HashMap::new(), plain).map_err(|e| self.failed(e))?;
                    let full = mem::replace(&mut group, next).finish().map_err(|e| self.failed(e))?;
                    let full = Patched { group: full, rows: mem::take(&mut rows), not_numbers: not_numbers.clone() };
                    if !send(full) {
                        return Ok(());
                    }
                }
            }
        }
        if rows > 0 {
            let group = group.finish().map_err(|e| self.failed(e))?;
            send(Patched { group, rows, not_numbers });
        }
        Ok(())
    }

    /// A footer tells nothing of a NaN: of a column that is not read, the log has no bounds where it may have one.
    fn not_numbers(&self, kept: &HashMap<usize, Encoded>) -> BTreeSet<String> {
        let names = kept.values().map(|encoded| encoded.close.metadata.column_descr().name());
        let unknown = names.filter(|name| {
            let is_double = self.layout.schema.get(name).is_some_and(|column| column.data_type == DataType::Double);
            is_double && self.opened.file().columns.get(*name).is_none_or(|bounds| bounds.min.is_none())
        });
        unknown.map(str::to_owned).collect()
    }

    fn failed(&self, error: ParquetError) -> Error {
        failure::parquet("written", &self.name, error)
    }
}

/// Those of some places that lie among some rows.
fn within<'p>(places: &'p [u32], rows: &Range<u32>) -> &'p [u32] {
    let from = places.partition_point(|place| *place < rows.start);
    let until = places.partition_point(|place| *place < rows.end);
    &places[from..until]
}

/// Whether no changed row is another in a column.
fn is_kept(layout: &Layout, name: &str, columns: u64) -> bool {
    layout.schema.index(name).is_some_and(|at| columns & floodmark_sqlite::bench::bit(at) == 0)
}

/// Columns of a row group as they lie there, by their places.
fn take_over(
    opened: &Opened<'_>,
    footer: &ParquetMetaData,
    group: usize,
    is_kept: impl Fn(&str) -> bool,
) -> Result<HashMap<usize, Encoded>> {
    let about = footer.row_group(group);
    let mut kept = HashMap::new();
    for (at, column) in about.columns().iter().enumerate() {
        if !is_kept(column.column_descr().name()) {
            continue;
        }
        let close = ColumnCloseResult {
            bytes_written: u64::try_from(column.compressed_size()).unwrap_or_default(),
            rows_written: u64::try_from(about.num_rows()).unwrap_or_default(),
            metadata: column.clone(),
            bloom_filter: None,
            column_index: footer.column_index().and_then(|index| index.get(group)?.get(at)).cloned(),
            offset_index: footer.offset_index().and_then(|index| index.get(group)?.get(at)).cloned(),
        };
        kept.insert(at, Encoded { pages: opened.chunk(column)?, close });
    }
    Ok(kept)
}

/// Rows of a file with those that are others in their places, and without those that are gone.
fn patched(
    rows: RecordBatch,
    here: Range<u32>,
    gone: &[u32],
    changed: &[u32],
    others: &Others<'_>,
) -> Result<RecordBatch> {
    let (gone, changed) = (within(gone, &here), within(changed, &here));
    if gone.is_empty() && changed.is_empty() {
        return Ok(rows);
    }
    let new = if changed.is_empty() { None } else { Some(others(here.clone())?) };
    if new.as_ref().is_some_and(|new| new.num_rows() != changed.len()) {
        return Err(Error::internal("rows that were changed are not there"));
    }
    let pieces = pieces(&here, gone, changed);
    let mut columns = Vec::with_capacity(rows.num_columns());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let old = column.to_data();
        let new = new.as_ref().map(|new| new.column_by_name(field.name()).map(Array::to_data));
        let new = match new {
            Some(None) => return Err(Error::internal("rows that were changed lack a column")),
            Some(Some(new)) => Some(new),
            None => None,
        };
        let sources = [Some(&old), new.as_ref()].into_iter().flatten().collect();
        let mut joined = MutableArrayData::new(sources, false, rows.num_rows());
        for (source, rows) in &pieces {
            joined.try_extend(*source as usize, rows.start, rows.end)?;
        }
        columns.push(make_array(joined.freeze()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows() - gone.len()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Old = 0,
    New = 1,
}

/// Which rows of the old and of the new follow each other.
fn pieces(here: &Range<u32>, gone: &[u32], changed: &[u32]) -> Vec<(From, Range<usize>)> {
    let mut pieces: Vec<(From, Range<usize>)> = Vec::new();
    let mut put = |from, rows: Range<usize>| match pieces.last_mut() {
        _ if rows.is_empty() => {}
        Some((last, before)) if *last == from && before.end == rows.start => before.end = rows.end,
        _ => pieces.push((from, rows)),
    };
    let (mut gone, mut changed) = (gone.iter().peekable(), changed.iter().peekable());
    let (mut next, mut new) = (here.start, 0);
    loop {
        let (at, is_gone) = match (gone.peek(), changed.peek()) {
            (Some(g), Some(c)) => (**g.min(c), g < c),
            (Some(g), None) => (**g, true),
            (None, Some(c)) => (**c, false),
            (None, None) => break,
        };
        put(From::Old, (next - here.start) as usize..(at - here.start) as usize);
        next = at + 1;
        if is_gone {
            gone.next();
        } else {
            changed.next();
            put(From::New, new..new + 1);
            new += 1;
        }
    }
    put(From::Old, (next - here.start) as usize..(here.end - here.start) as usize);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_in_their_places() {
        let all = pieces(&(10..20), &[11, 15], &[12, 13, 19]);
        let (old, new) = (From::Old, From::New);
        assert_eq!(all, [(old, 0..1), (new, 0..2), (old, 4..5), (old, 6..9), (new, 2..3)]);
        assert_eq!(pieces(&(0..3), &[], &[]), [(old, 0..3)]);
        assert_eq!(pieces(&(5..7), &[5, 6], &[]), []);
    }

    #[test]
    fn columns_are_told_by_stretches() {
        let mut left = Left::default();
        left.push(3, Some(1));
        left.push(STRETCH - 1, Some(2));
        left.push(STRETCH, None);
        left.push(3 * STRETCH, Some(4));
        assert_eq!(left.columns(&(0..STRETCH)), 3);
        assert_eq!(left.columns(&(STRETCH..3 * STRETCH)), 0);
        assert_eq!(left.columns(&(STRETCH - 1..3 * STRETCH + 1)), 7);
        assert_eq!(left.columns(&(9 * STRETCH..10 * STRETCH)), 0);
    }
}
