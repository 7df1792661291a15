//! Strategies with a key: `upsert`, `insert_only`, keyed `overwrite`, and `delete_insert` by key or by window with a key.

use super::{
    Fresh, Incoming, Job, Outcome, append, fates,
    joined::Joined,
    look::look,
    memory::Memory,
    normal::normal,
    part, same_key,
    seen::Seen,
    stage::Stage,
    staged::Staged,
    write::{all_met, write},
};
use crate::{
    codec,
    failure::to,
    tuples::{self, Writer},
};
use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array},
    compute::{filter_record_batch, take_record_batch},
    datatypes::{DataType as ArrowType, Field, Schema},
};
use floodmark_connect::{
    ShapedBatch,
    crash::{self, Point},
};
use floodmark_core::{
    Counts, DataType, Error, Result,
    merge::Standing,
    pipeline::{AbsentRows, Deletes, Load},
};
use floodmark_merge::{
    cell::{self, Cells},
    fold::{fold, settle},
    gather::Gather,
    incoming::Run,
    slots::{Layout, Slots, hash_key, type_of, types},
};
use std::{collections::HashSet, sync::Arc};

/// Bytes of rows with a key that was met before: they wait for the end of a `COPY`, and end it when they are many.
const REPEATED: usize = 8 << 20;

pub(super) fn run(job: &Job<'_>, fresh: &mut Fresh, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    let pipeline = job.plan.target.pipeline;
    let mut merge = Merge::new(job, fresh.empty)?;
    // Nothing is ever deleted, and nothing was: a key that was not met is not there.
    let ours = pipeline.key.iter().all(|k| job.table.get(k).is_some_and(|found| !found.is_foreign()));
    let straight = fresh.empty && ours && pipeline.delete_when.is_none() && !merge.memory.tombstones;
    let mut rest = None;
    match straight {
        true => rest = merge.pour(fresh, incoming)?,
        // What is put there now is not among the keys that were met.
        false => fresh.spend(),
    }
    if fates::holds(job) {
        rest = merge.set(rest, incoming)?;
    }
    let mut gather = Gather::new(incoming, rest);
    while let Some(batch) = gather.next()? {
        merge.batch(&batch, false)?;
    }
    if merge.absent.is_some() && incoming.chunk.complete() {
        merge.counts.removed = merge.remove_absent()?;
    }
    Ok(Outcome { counts: merge.counts, lineage: Vec::new() })
}

struct Merge<'a> {
    job: &'a Job<'a>,
    memory: Memory,
    seen: Seen,
    /// Where absence means something: keys that the source still holds, and the windows it covers.
    absent: Option<Absent>,
    counts: Counts,
}

pub(super) struct Absent {
    pub(super) keys: Stage,
    pub(super) windows: Option<Stage>,
    /// A window's column was NULL somewhere: NULLs are compared as equal then, which takes the server longer.
    pub(super) nulls: bool,
}

impl<'a> Merge<'a> {
    fn new(job: &'a Job<'a>, was_empty: bool) -> Result<Self> {
        let pipeline = job.plan.target.pipeline;
        let replaces = pipeline.load == Load::Overwrite
            || pipeline.absent_rows == AbsentRows::Delete
            || (pipeline.load == Load::DeleteInsert && !pipeline.window.is_empty());
        let mut absent = None;
        if replaces && !was_empty {
            let stage = |name: &str, columns: &[String]| {
                let types =
                    columns.iter().map(|c| Ok((c.as_str(), type_of(job.schema(), c)?))).collect::<Result<Vec<_>>>()?;
                Stage::make(job.db, name, &types)
            };
            let windows = match pipeline.window.is_empty() || job.is_window() {
                true => None,
                false => Some(stage("_floodmark_windows", &pipeline.window)?),
            };
            absent = Some(Absent { keys: stage("_floodmark_present", &pipeline.key)?, windows, nulls: false });
        }
        Ok(Merge { job, memory: Memory::new(job)?, seen: Seen::default(), absent, counts: Counts::default() })
    }

    /// Sends rows straight into a table that held none, but for those whose key was met before: they are merged after
    /// the others, as any rows are. Returns a batch that was taken and not sent, once too many keys were met to go on.
    fn pour(&mut self, fresh: &mut Fresh, incoming: &mut Incoming<'_>) -> Result<Option<ShapedBatch>> {
        let job = self.job;
        let pipeline = job.plan.target.pipeline;
        let mut run = Run::new(incoming);
        while let Some(schema) = run.begin()? {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let key = pipeline.key.iter().map(|k| names.iter().position(|n| n == k)).collect::<Option<Vec<_>>>();
            let key = key.ok_or_else(|| Error::internal("a batch without its key columns"))?;
            let soft = pipeline.deletes == Deletes::Soft;
            let mut columns =
                names.iter().map(|name| Ok((*name, type_of(job.schema(), name)?))).collect::<Result<Vec<_>>>()?;
            columns.extend(soft.then_some(("is_deleted", DataType::Bool)));
            let (mut repeated, mut waiting, mut bytes) = (Vec::new(), 0, Vec::new());
            let mut sent = 0;
            let send = |writer: &mut Writer| {
                while let Some(batch) = run.next()? {
                    let types = types(job.schema(), &batch)?;
                    codec::refuse(job.db, &batch.rows, &types)?;
                    let cells = cell::columns(&batch.rows, &types, &codec::HOLDS)?;
                    let keys: Vec<&Cells<'_>> = key.iter().map(|at| &cells[*at]).collect();
                    let mut again = Vec::new();
                    for row in 0..batch.rows.num_rows() {
                        let hash = hash_key(&keys, row, &mut bytes)?;
                        if !fresh.meet(hash, &bytes) {
                            again.push(row as u32);
                        }
                    }
                    let new = unrepeated(&batch.rows, &again)?;
                    sent += new.num_rows();
                    writer.batch(&if soft { unmarked(&new)? } else { new })?;
                    if !again.is_empty() {
                        let rows = take_record_batch(&batch.rows, &UInt32Array::from(again))?;
                        waiting += rows.get_array_memory_size();
                        repeated.push(ShapedBatch { rows, delete: None, slice: batch.slice });
                    }
                    run.full = waiting > REPEATED;
                }
                Ok(())
            };
            let met = append::put(job, &columns, send)?;
            all_met(job, met, sent)?;
            self.counts.inserted += sent as u64;
            let again: usize = repeated.iter().map(|batch| batch.rows.num_rows()).sum();
            for batch in repeated {
                self.batch(&batch, true)?;
            }
            if fresh.is_full() && again > sent {
                fresh.spend();
                break;
            }
        }
        Ok(run.rest())
    }

    /// Merges the rows of the chunk as a set, for as long as they have the same columns. Returns a batch of others that was
    /// taken as well: these are merged batch by batch.
    fn set(&mut self, first: Option<ShapedBatch>, incoming: &mut Incoming<'_>) -> Result<Option<ShapedBatch>> {
        let job = self.job;
        let (staged, rest) = Staged::take(job, self.memory.dates, first, incoming)?;
        let Some(staged) = staged else { return Ok(rest) };
        let joined = Joined::new(job, &staged, &self.memory)?;
        if let Some(ambiguous) = joined.ambiguous() {
            // The look at the first of them says which key it is.
            staged.each(job, &ambiguous, |batch| self.batch(&batch, false))?;
            return Err(Error::internal("a key with several rows in the table was not told"));
        }
        joined.write()?;
        joined.count(&mut self.counts);
        if let Some(absent) = &mut self.absent {
            joined.note(absent)?;
        }
        if rest.is_some() {
            joined.remember(&mut self.seen)?;
        }
        if let Some(apart) = joined.apart() {
            staged.each(job, &apart, |batch| self.batch(&batch, false))?;
        }
        joined.clear()?;
        Ok(rest)
    }

    /// Merges one batch. `fresh`: all that the table holds was put there by this run.
    fn batch(&mut self, batch: &ShapedBatch, fresh: bool) -> Result<()> {
        let job = self.job;
        codec::refuse(job.db, &batch.rows, &types(job.schema(), batch)?)?;
        let normal = normal(job, batch)?;
        let batch = normal.as_ref().unwrap_or(batch);
        let layout = Layout::new(job.plan.target.pipeline, job.schema(), batch, self.memory.dates)?;
        let mut slots = Slots::new(&layout, job.schema(), batch, &codec::HOLDS)?;
        look(job, &layout, &mut slots)?;
        self.memory.recall(job, &layout, &mut slots)?;
        if fresh {
            slots.slots.iter_mut().for_each(|slot| slot.standing = slot.before.as_ref().map(|_| Standing::Inserted));
        } else {
            let hashes: Vec<u64> = slots.slots.iter().map(|slot| slot.hash).collect();
            let met = self.seen.get(job.db, &hashes)?;
            slots.slots.iter_mut().zip(met).for_each(|(slot, standing)| slot.standing = standing);
        }
        let new: Vec<bool> = slots.slots.iter().map(|slot| slot.standing.is_none()).collect();
        fold(job.plan, &layout, &mut slots, &mut self.counts)?;
        settle(&mut slots, &new, &mut self.counts);
        write(job, &layout, &slots)?;
        self.memory.keep(job, &layout, &slots)?;
        if !fresh {
            self.seen.set(job.db, slots.slots.iter().filter_map(|slot| Some((slot.hash, slot.standing?))))?;
        }
        self.note(&layout, &slots)
    }

    /// Notes which keys and windows the source holds.
    fn note(&mut self, layout: &Layout, slots: &Slots) -> Result<()> {
        let Some(absent) = &mut self.absent else { return Ok(()) };
        let db = self.job.db;
        absent.keys.send(db, |writer| {
            for n in (0..slots.slots.len()).filter(|n| slots.slots[*n].stays) {
                let out = writer.row(layout.key)?;
                slots.key(n).iter().for_each(|at| tuples::put(out, slots.cell(*at)));
            }
            Ok(())
        })?;
        let Some(windows) = &absent.windows else { return Ok(()) };
        let window = self.job.plan.target.pipeline.window.iter().map(|w| layout.place(w)).collect::<Option<Vec<_>>>();
        let window = window.ok_or_else(|| Error::internal("a batch without its window columns"))?;
        let mut found: HashSet<Vec<u8>> = HashSet::new();
        for arrival in &slots.arrivals {
            let cells = slots.arrival(*arrival);
            let mut bytes = Vec::new();
            for at in &window {
                absent.nulls |= cells[*at].is_null();
                tuples::put(&mut bytes, slots.cell(cells[*at]));
            }
            found.insert(bytes);
        }
        windows.send(db, |writer| {
            for bytes in &found {
                writer.row(window.len())?.extend_from_slice(bytes);
            }
            Ok(())
        })?;
        Ok(())
    }

    fn remove_absent(&self) -> Result<u64> {
        let Some(absent) = &self.absent else { return Ok(0) };
        let (job, pipeline) = (self.job, self.job.plan.target.pipeline);
        let same = same_key(job.table, &pipeline.key, "k.", "t.")?;
        let mut condition = format!("NOT EXISTS (SELECT 1 FROM {} k WHERE {same})", absent.keys.name);
        if job.plan.within.is_some() {
            condition.push_str(&format!(" AND {}", part::condition(job)?));
        }
        if let Some(windows) = &absent.windows {
            let equal = super::window::same_window(job, absent.nulls, "w.", "t.")?;
            condition.push_str(&format!(" AND EXISTS (SELECT 1 FROM {} w WHERE {equal})", windows.name));
        }
        let sql = if pipeline.deletes == Deletes::Soft {
            format!("UPDATE {} t SET is_deleted = true WHERE is_deleted IS NOT TRUE AND {condition}", job.name)
        } else {
            format!("DELETE FROM {} t WHERE {condition}", job.name)
        };
        crash::at(Point::RemoveAbsent, || job.db.execute(&sql, &[]).map_err(to("remove absent rows")))
    }
}

/// The rows but for some.
fn unrepeated(rows: &RecordBatch, again: &[u32]) -> Result<RecordBatch> {
    if again.is_empty() {
        return Ok(rows.clone());
    }
    let mut keep = vec![true; rows.num_rows()];
    again.iter().for_each(|row| keep[*row as usize] = false);
    Ok(filter_record_batch(rows, &BooleanArray::from(keep))?)
}

/// The rows with a mark of deletes that marks none of them.
fn unmarked(rows: &RecordBatch) -> Result<RecordBatch> {
    let mut fields: Vec<_> = rows.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("is_deleted", ArrowType::Boolean, false)));
    let mut columns = rows.columns().to_vec();
    let none: ArrayRef = Arc::new(BooleanArray::from(vec![false; rows.num_rows()]));
    columns.push(none);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
