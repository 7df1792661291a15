//! Strategies with a key: `upsert`, `insert_only`, keyed `overwrite`, and `delete_insert` by key or by window with a key.

use super::{
    Fresh, Incoming, Job, Outcome, append,
    look::look,
    memory::Memory,
    part, same_key,
    seen::Seen,
    stage::{Column, Stage},
    window::same_window,
    write::write,
};
use crate::{codec, failure::to};
use arrow::{array::UInt32Array, compute::take_record_batch};
use floodmark_connect::{
    ShapedBatch,
    crash::{self, Point},
};
use floodmark_core::{
    Counts, Error, Result,
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
use std::collections::HashSet;

/// Bytes of rows with a key that was met before: they wait for the end of a file, and end it when they are many.
const REPEATED: usize = 8 << 20;

pub(super) fn run(job: &Job<'_>, fresh: &mut Fresh, incoming: &mut Incoming<'_>) -> Result<Outcome> {
    let pipeline = job.plan.target.pipeline;
    let mut merge = Merge::new(job, fresh.empty)?;
    // Nothing is ever deleted, and nothing was: a key that was not met is not there, unless it equals one that was.
    let told_apart = pipeline.key.iter().all(|k| job.table.get(k).is_some_and(|found| !found.loose));
    let straight = fresh.empty && told_apart && pipeline.delete_when.is_none() && !merge.memory.tombstones;
    let rest = if straight { merge.pour(fresh, incoming)? } else { None };
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

struct Absent {
    keys: Stage,
    windows: Option<Stage>,
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
                let of = |c: &String| Ok(Column::of(job, c, type_of(job.schema(), c)?));
                let index: Vec<&str> = columns.iter().map(String::as_str).collect();
                Stage::make(job.db, name, columns.iter().map(of).collect::<Result<_>>()?, &index)
            };
            let windows = match pipeline.window.is_empty() || job.is_window() {
                true => None,
                false => Some(stage("_floodmark_windows", &pipeline.window)?),
            };
            absent = Some(Absent { keys: stage("_floodmark_present", &pipeline.key)?, windows });
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
            let inlet = append::straight(job, names.iter().copied().chain(soft.then_some("is_deleted")))?;
            let (mut repeated, mut waiting, mut bytes) = (Vec::new(), 0, Vec::new());
            let sent = crash::at(Point::Insert, || {
                job.db.copy_in(&inlet, |writer| {
                    while let Some(batch) = run.next()? {
                        let cells = cell::columns(&batch.rows, &types(job.schema(), &batch)?, &codec::HOLDS)?;
                        let keys: Vec<&Cells<'_>> = key.iter().map(|at| &cells[*at]).collect();
                        let mut again = Vec::new();
                        for row in 0..batch.rows.num_rows() {
                            let hash = hash_key(&keys, row, &mut bytes)?;
                            if !fresh.meet(hash, &bytes) {
                                again.push(row as u32);
                                continue;
                            }
                            append::put(&cells, row, &mut bytes, writer)?;
                            if soft {
                                writer.cell(Some(&[0]))?;
                            }
                            writer.end()?;
                        }
                        if !again.is_empty() {
                            let rows = take_record_batch(&batch.rows, &UInt32Array::from(again))?;
                            waiting += rows.get_array_memory_size();
                            repeated.push(ShapedBatch { rows, delete: None, slice: batch.slice });
                        }
                        run.full = waiting > REPEATED || fresh.is_full();
                    }
                    Ok(())
                })
            })?;
            self.counts.inserted += sent;
            for batch in repeated {
                self.batch(&batch, true)?;
            }
            if fresh.is_full() {
                break;
            }
        }
        Ok(run.rest())
    }

    /// Merges one batch. `fresh`: all that the table holds was put there by this run.
    fn batch(&mut self, batch: &ShapedBatch, fresh: bool) -> Result<()> {
        let job = self.job;
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
        let Some(absent) = &self.absent else { return Ok(()) };
        let db = self.job.db;
        crash::at(Point::Temporary, || {
            db.copy_in(&absent.keys.inlet(), |writer| {
                for n in (0..slots.slots.len()).filter(|n| slots.slots[*n].stays) {
                    slots.key(n).iter().try_for_each(|at| writer.cell(slots.cell(*at)))?;
                    writer.end()?;
                }
                Ok(())
            })
        })?;
        let Some(windows) = &absent.windows else { return Ok(()) };
        let window = self.job.plan.target.pipeline.window.iter().map(|w| layout.place(w)).collect::<Option<Vec<_>>>();
        let window = window.ok_or_else(|| Error::internal("a batch without its window columns"))?;
        let mut found: HashSet<Vec<Option<&[u8]>>> = HashSet::new();
        for arrival in &slots.arrivals {
            let cells = slots.arrival(*arrival);
            found.insert(window.iter().map(|at| slots.cell(cells[*at])).collect());
        }
        crash::at(Point::Temporary, || {
            db.copy_in(&windows.inlet(), |writer| {
                for cells in &found {
                    cells.iter().try_for_each(|cell| writer.cell(*cell))?;
                    writer.end()?;
                }
                Ok(())
            })
        })?;
        Ok(())
    }

    fn remove_absent(&self) -> Result<u64> {
        let Some(absent) = &self.absent else { return Ok(0) };
        let (job, pipeline) = (self.job, self.job.plan.target.pipeline);
        let same = same_key(pipeline.key.iter().map(String::as_str), "k.", "t.");
        let mut condition = format!("NOT EXISTS (SELECT 1 FROM {} k WHERE {same})", absent.keys.name);
        if job.plan.within.is_some() {
            condition.push_str(&format!(" AND {}", part::condition(job)?));
        }
        if let Some(windows) = &absent.windows {
            let equal = same_window(job, "w.", "t.");
            condition.push_str(&format!(" AND EXISTS (SELECT 1 FROM {} w WHERE {equal})", windows.name));
        }
        let sql = if pipeline.deletes == Deletes::Soft {
            format!("UPDATE {} t SET t.is_deleted = 1 WHERE t.is_deleted IS NOT TRUE AND {condition}", job.name)
        } else {
            format!("DELETE t FROM {} t WHERE {condition}", job.name)
        };
        Ok(crash::at(Point::RemoveAbsent, || job.db.execute(&sql).map_err(to("remove absent rows")))?.rows)
    }
}
