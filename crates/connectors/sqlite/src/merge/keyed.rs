//! Strategies with a key: `upsert`, `insert_only`, keyed `overwrite`, and `delete_insert` by key or by window with a key.

use super::{
    Batches, Outcome,
    gather::{Gather, by_key},
    is_window,
    kept::Kept,
    part,
    seen::Seen,
    statements::{Nulls, Statements, left_out},
    tombstones::Tombstones,
    types,
};
use crate::{
    bind::{self, Cells},
    ddl,
    failure::to,
    order,
};
use floodmark_connect::{
    LoadPlan,
    crash::{self, Point},
};
use floodmark_core::{
    Counts, Error, Result, Value,
    merge::{Existing, Fate as Rule, Standing as Fate, decide, rivals},
    pipeline::{AbsentRows, Deletes, Load, Pipeline},
};
use rusqlite::{Connection, params_from_iter};
use std::cmp::Ordering;

/// `was_empty`: the table held no row when the run began.
pub(super) fn run(db: &Connection, plan: &LoadPlan<'_>, was_empty: bool, batches: &mut dyn Batches) -> Result<Outcome> {
    let pipeline = plan.target.pipeline;
    let mut merge = Merge::new(db, plan, was_empty)?;
    // Into an empty table rows go as they come: they need no look-up, and the table keeps the source's order.
    let mut gather = Gather::new(batches);
    while let Some(batch) = if merge.fresh { gather.pass()? } else { gather.next()? } {
        let types = types(&batch, plan.target.schema)?;
        let cells = bind::columns(&batch.rows, &types)?;
        let schema = batch.rows.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let mut statements = Statements::prepare(db, pipeline, &names, merge.soft, merge.rowid)?;
        merge.window_columns(&names)?;
        let order = (!merge.fresh).then(|| by_key(&batch.rows, &cells, statements.key()));
        // A copy that is superseded within the batch never was in the table: written first, it would be an update there
        // and another one back, where the newest is what the table holds.
        let rivals = order.as_ref().filter(|_| batch.delete.is_none()).and_then(|_| statements.rivals(&cells));
        let rivals = rivals.filter(|_| merge.ordered && merge.kept.is_none());
        let (rows, mut at) = (batch.rows.num_rows(), 0);
        while at < rows {
            let place = |at: usize| order.as_ref().map_or(at, |order| order[at] as usize);
            let mut row = place(at);
            at += 1;
            while let Some(rivals) = rivals.as_ref().filter(|r| at < rows && r.same_key(row, place(at))) {
                let loser =
                    if rivals.is_older(place(at), row) { place(at) } else { std::mem::replace(&mut row, place(at)) };
                merge.note_window(&cells, loser)?;
                merge.counts.superseded += 1;
                at += 1;
            }
            let delete = batch.delete.as_ref().is_some_and(|d| d.value(row));
            merge.row(&mut statements, &cells, row, delete)?;
        }
    }
    let complete = gather.complete();
    merge.finish(complete)
}

struct Merge<'db> {
    db: &'db Connection,
    pipeline: &'db Pipeline,
    versioned: bool,
    /// Of two copies with equal versions the later counts.
    ordered: bool,
    soft: bool,
    rowid: &'static str,
    /// The table was empty when the run began and nothing is ever deleted: an insert is tried before any look-up, and
    /// a row that is found was put there by this run, so that no other record of the keys met is needed.
    fresh: bool,
    seen: Seen<'db>,
    tombstones: Option<Tombstones<'db>>,
    /// With `on_null: keep` and versions.
    kept: Option<Kept<'db>>,
    /// Row ids the source still holds are kept here, where absence means something.
    track_absent: bool,
    /// Where rows are absent if they did not come: in a part of the table, which is the window if there is one.
    within: Option<order::Condition>,
    /// Positions in the batch of the window's columns.
    window: Vec<usize>,
    counts: Counts,
    scratch: String,
    bytes: Vec<u8>,
}

/// One incoming row against the table.
struct Incoming {
    existing: Existing,
    order: Ordering,
    same: bool,
    rowid: Option<i64>,
    nulls: Nulls,
}

impl<'db> Merge<'db> {
    fn new(db: &'db Connection, plan: &LoadPlan<'db>, was_empty: bool) -> Result<Self> {
        let pipeline = plan.target.pipeline;
        let table = &pipeline.destination.table;
        let tombstones = plan.target.version.map(|v| Tombstones::new(db, &pipeline.name, v)).transpose()?;
        let kept = plan.target.version.filter(|_| pipeline.keeps_nulls());
        let kept = kept.map(|version| Kept::new(db, &pipeline.name, version)).transpose()?;
        let replaces = pipeline.load == Load::Overwrite
            || pipeline.absent_rows == AbsentRows::Delete
            || (pipeline.load == Load::DeleteInsert && !pipeline.window.is_empty());
        let track_absent = replaces && !was_empty;
        let within = plan.within.as_ref().filter(|w| pipeline.window.is_empty() || is_window(pipeline, w));
        let within = within.filter(|_| track_absent).map(|w| part::condition(db, plan, w)).transpose()?;
        if track_absent {
            let window = ddl::list(pipeline.window.iter().map(String::as_str));
            let mut sql = "DROP TABLE IF EXISTS temp._floodmark_present;
                 CREATE TEMP TABLE _floodmark_present (id INTEGER PRIMARY KEY);"
                .to_owned();
            if within.is_none() && !pipeline.window.is_empty() {
                sql.push_str(&format!(
                    "DROP TABLE IF EXISTS temp._floodmark_window;
                     CREATE TEMP TABLE _floodmark_window ({window}, UNIQUE ({window}));"
                ));
            }
            crash::at(Point::Temporary, || db.execute_batch(&sql).map_err(to("make a temporary table")))?;
        }
        Ok(Merge {
            db,
            pipeline,
            versioned: pipeline.version.is_some(),
            ordered: plan.ordered,
            soft: pipeline.deletes == Deletes::Soft,
            rowid: super::append::rowid_name(db, table)?,
            fresh: was_empty && pipeline.delete_when.is_none() && !tombstones.as_ref().is_some_and(Tombstones::any),
            seen: Seen::new(db),
            tombstones,
            kept,
            track_absent,
            within,
            window: Vec::new(),
            counts: Counts::default(),
            scratch: String::new(),
            bytes: Vec::new(),
        })
    }

    fn window_columns(&mut self, names: &[&str]) -> Result<()> {
        if self.track_absent && self.within.is_none() {
            self.window = self
                .pipeline
                .window
                .iter()
                .map(|w| names.iter().position(|n| n == w))
                .collect::<Option<_>>()
                .ok_or_else(|| Error::internal("a batch without its window columns"))?;
        }
        Ok(())
    }

    fn row(&mut self, statements: &mut Statements<'_>, cells: &[Cells<'_>], row: usize, delete: bool) -> Result<()> {
        self.note_window(cells, row)?;
        if self.fresh && statements.insert(self.db, cells, row, false, &mut self.scratch)?.is_some() {
            self.counts.inserted += 1;
            return Ok(());
        }
        let (hash, before) = if self.fresh {
            (0, Some(Fate::Inserted))
        } else {
            let hash = statements.hash(cells, row, &mut self.scratch, &mut self.bytes);
            (hash, self.seen.get(hash)?)
        };
        let incoming = self.find(statements, cells, row, delete, before.is_some())?;
        let fate = match before {
            None => {
                if self.pipeline.load == Load::InsertOnly && incoming.existing == (Existing::Row { deleted: false }) {
                    self.keep(incoming.rowid)?;
                    return self.settle(hash, None, Fate::Unchanged);
                }
                // A keyed overwrite makes the table the source: what the table held counts for nothing.
                let versioned = self.versioned && self.pipeline.load != Load::Overwrite;
                let incoming = self.raise(incoming);
                let rule = decide(incoming.existing, incoming.order, delete, versioned);
                let filled = rule == Rule::Stale && self.fill(statements, cells, row, &incoming, delete)?;
                let fate = self.apply(statements, cells, row, &incoming, rule)?;
                if filled { Fate::Updated } else { fate }
            }
            Some(fate) => {
                // Newest in the batch first: the table now shows the winner so far, by version or, without, by order.
                let left_alone = self.pipeline.load == Load::InsertOnly && fate == Fate::Unchanged;
                let rule = decide(incoming.existing, incoming.order, delete, self.versioned);
                if !self.ordered
                    && !left_alone
                    && rivals(fate, incoming.existing, incoming.order, incoming.same, delete)
                {
                    return Err(statements.tied(self.pipeline, cells, row, &mut self.scratch)?);
                }
                if left_alone || (rule == Rule::Stale && !self.fill(statements, cells, row, &incoming, delete)?) {
                    self.counts.superseded += 1;
                    return Ok(());
                }
                let now = match rule {
                    Rule::Stale => Fate::Updated,
                    _ => self.apply(statements, cells, row, &incoming, rule)?,
                };
                fate.then(now)
            }
        };
        self.settle(hash, before, fate)
    }

    /// Looks the key up in the table, then among the tombstones. `in_batch`: tombstones of this load count even where
    /// those of earlier loads do not.
    fn find(
        &mut self,
        statements: &mut Statements<'_>,
        cells: &[Cells<'_>],
        row: usize,
        delete: bool,
        in_batch: bool,
    ) -> Result<Incoming> {
        if let Some(found) = statements.find(cells, row, &mut self.scratch)? {
            return Ok(Incoming {
                existing: Existing::Row { deleted: found.deleted },
                order: found.order,
                same: found.same && found.deleted == delete,
                rowid: Some(found.rowid),
                nulls: found.nulls,
            });
        }
        let nowhere = |existing, order| Incoming { existing, order, same: false, rowid: None, nulls: Nulls::default() };
        let absent = nowhere(Existing::Absent, Ordering::Equal);
        let Some(tombstones) = self.tombstones.as_ref().filter(|t| t.any()) else { return Ok(absent) };
        if self.pipeline.load == Load::Overwrite && !in_batch {
            return Ok(absent);
        }
        let (key, version) = statements.tombstone(cells, row);
        let Some(version) = version else { return Ok(absent) };
        Ok(match tombstones.compare(&key, &version)? {
            None => absent,
            Some(order) => nowhere(Existing::Tombstone, order),
        })
    }

    /// Where every run reads the whole source, a row that is back in it is back, whatever its version.
    fn raise(&self, incoming: Incoming) -> Incoming {
        match incoming.existing {
            Existing::Row { deleted: true } if self.pipeline.absent_rows == AbsentRows::Delete => {
                Incoming { order: Ordering::Greater, ..incoming }
            }
            _ => incoming,
        }
    }

    fn apply(
        &mut self,
        statements: &mut Statements<'_>,
        cells: &[Cells<'_>],
        row: usize,
        incoming: &Incoming,
        rule: Rule,
    ) -> Result<Fate> {
        let scratch = &mut self.scratch;
        let fate = match rule {
            Rule::Stale => Fate::Stale,
            Rule::Write => {
                if !incoming.same {
                    statements.update(cells, row, false, scratch)?;
                }
                self.date_cells(statements, cells, row, incoming)?;
                match incoming.existing {
                    _ if incoming.same => Fate::Unchanged,
                    Existing::Row { deleted: true } => Fate::Revived,
                    _ => Fate::Updated,
                }
            }
            Rule::Insert => {
                self.insert(statements, cells, row, incoming, false)?;
                return Ok(Fate::Inserted);
            }
            // What is marked keeps the content of the row that marked it, as any newest row does.
            Rule::Delete if self.soft => {
                statements.update(cells, row, true, scratch)?;
                self.date_cells(statements, cells, row, incoming)?;
                return Ok(Fate::Deleted);
            }
            Rule::Delete => {
                statements.delete(cells, row, scratch)?;
                if let Some(kept) = &self.kept {
                    kept.remove(&statements.tombstone(cells, row).0, None)?;
                }
                self.bury(statements, cells, row)?;
                return Ok(Fate::Deleted);
            }
            Rule::DeleteNoop => {
                match incoming.existing {
                    Existing::Row { .. } => {
                        if !incoming.same {
                            statements.update(cells, row, true, scratch)?;
                        }
                        self.date_cells(statements, cells, row, incoming)?;
                        return Ok(Fate::StillMarked);
                    }
                    // Marked from the start: a delete that comes before its rows ends as one that comes after them.
                    Existing::Absent | Existing::Tombstone if self.soft => {
                        self.insert(statements, cells, row, incoming, true)?;
                    }
                    Existing::Absent | Existing::Tombstone => self.bury(statements, cells, row)?,
                }
                return Ok(Fate::DeleteNoop);
            }
        };
        self.keep(incoming.rowid)?;
        Ok(fate)
    }

    fn insert(
        &mut self,
        statements: &mut Statements<'_>,
        cells: &[Cells<'_>],
        row: usize,
        incoming: &Incoming,
        deleted: bool,
    ) -> Result<()> {
        let rowid = statements.insert(self.db, cells, row, deleted, &mut self.scratch)?;
        if rowid.is_none() {
            return Err(left_out(&self.pipeline.destination.table));
        }
        // Values older than a delete must not fill the NULLs of a row newer than it, so there it stays known.
        if incoming.existing == Existing::Tombstone
            && self.kept.is_none()
            && let Some(tombstones) = &self.tombstones
        {
            tombstones.remove(&statements.tombstone(cells, row).0)?;
        }
        self.keep(if deleted { None } else { rowid })
    }

    /// `on_null: keep`: after a row was written over another, notes which values are now older than their row.
    fn date_cells(
        &mut self,
        statements: &Statements<'_>,
        cells: &[Cells<'_>],
        row: usize,
        incoming: &Incoming,
    ) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let Nulls { kept: left, version: Some(version), .. } = &incoming.nulls else { return Ok(()) };
        let key = statements.tombstone(cells, row).0;
        let dated = kept.of(&key)?;
        for (column, _) in &dated {
            if statements.given(column, cells, row).is_some() {
                kept.remove(&key, Some(column))?;
            }
        }
        if incoming.order == Ordering::Greater {
            for column in left.iter().map(|at| statements.name(*at)) {
                if !dated.iter().any(|(c, _)| c == column) {
                    kept.put(&key, column, version)?;
                }
            }
        }
        Ok(())
    }

    /// `on_null: keep`: a row older than the one there still brings the values that are older than its own, or missing;
    /// a delete takes those away that are older than it. Whether it changed anything.
    fn fill(
        &mut self,
        statements: &Statements<'_>,
        cells: &[Cells<'_>],
        row: usize,
        incoming: &Incoming,
        delete: bool,
    ) -> Result<bool> {
        let (Some(kept), Existing::Row { .. }) = (&mut self.kept, incoming.existing) else { return Ok(false) };
        let (key, Some(version)) = statements.tombstone(cells, row) else { return Ok(false) };
        let order = |since: &Value| version.compare(since).unwrap_or(Ordering::Equal);
        let buried = match &self.tombstones {
            Some(tombstones) => tombstones.compare(&key, &version)?,
            None => None,
        };
        let remembered = matches!(buried, Some(Ordering::Less | Ordering::Equal));
        let dated = kept.of(&key)?;
        let mut changed = false;
        if delete && !self.soft {
            for (column, since) in &dated {
                if order(since) != Ordering::Less {
                    statements.put(self.db, cells, row, (column, None), &mut self.scratch)?;
                    kept.remove(&key, Some(column))?;
                    changed = true;
                }
            }
            if !remembered {
                self.bury(statements, cells, row)?;
            }
            return Ok(changed);
        }
        if remembered {
            return Ok(false);
        }
        for at in &incoming.nulls.open {
            let column = statements.name(*at);
            statements.put(self.db, cells, row, (column, Some(*at)), &mut self.scratch)?;
            kept.put(&key, column, &version)?;
            changed = true;
        }
        for (column, since) in &dated {
            let Some(at) = statements.given(column, cells, row).filter(|at| !incoming.nulls.open.contains(at)) else {
                continue;
            };
            if order(since) != Ordering::Less {
                changed |= statements.put(self.db, cells, row, (column, Some(at)), &mut self.scratch)?;
                kept.put(&key, column, &version)?;
            }
        }
        Ok(changed)
    }

    fn bury(&mut self, statements: &Statements<'_>, cells: &[Cells<'_>], row: usize) -> Result<()> {
        let Some(tombstones) = &mut self.tombstones else { return Ok(()) };
        let (key, version) = statements.tombstone(cells, row);
        tombstones.put(&key, &version.unwrap_or(Value::Null))
    }

    fn keep(&self, rowid: Option<i64>) -> Result<()> {
        let (true, Some(rowid)) = (self.track_absent, rowid) else { return Ok(()) };
        crash::at(Point::Temporary, || {
            self.db
                .prepare_cached("INSERT OR IGNORE INTO temp._floodmark_present VALUES (?1)")
                .and_then(|mut s| s.execute([rowid]))
                .map_err(to("note a row"))
        })?;
        Ok(())
    }

    fn note_window(&mut self, cells: &[Cells<'_>], row: usize) -> Result<()> {
        if !self.track_absent || self.window.is_empty() {
            return Ok(());
        }
        let marks = vec!["?"; self.window.len()].join(", ");
        let fail = to("note a window");
        let mut insert = self
            .db
            .prepare_cached(&format!("INSERT OR IGNORE INTO temp._floodmark_window VALUES ({marks})"))
            .map_err(&fail)?;
        for (n, at) in self.window.iter().enumerate() {
            cells[*at].bind(&mut insert, n + 1, row, &mut self.scratch).map_err(&fail)?;
        }
        crash::at(Point::Temporary, || insert.raw_execute().map_err(&fail))?;
        Ok(())
    }

    /// Notes what became of a key; the copy it had before, if any, is superseded.
    fn settle(&mut self, hash: u64, before: Option<Fate>, now: Fate) -> Result<()> {
        Fate::settle(before, now, &mut self.counts);
        if self.fresh { Ok(()) } else { self.seen.set(hash, now) }
    }

    fn finish(mut self, complete: bool) -> Result<Outcome> {
        if self.track_absent && complete {
            self.counts.removed = self.remove_absent()?;
        }
        Ok(Outcome { counts: self.counts, lineage: Vec::new() })
    }

    fn remove_absent(&self) -> Result<u64> {
        let table = ddl::quote(&self.pipeline.destination.table);
        let rowid = self.rowid;
        let mut condition = format!("{table}.{rowid} NOT IN (SELECT id FROM temp._floodmark_present)");
        let none = Vec::new();
        let mut parameters = &none;
        if let Some(within) = &self.within {
            condition.push_str(&format!(" AND {}", within.sql));
            parameters = &within.parameters;
        } else if !self.pipeline.window.is_empty() {
            let equal: Vec<String> =
                self.pipeline.window.iter().map(|w| format!("w.{0} IS {table}.{0}", ddl::quote(w))).collect();
            condition.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM temp._floodmark_window w WHERE {})",
                equal.join(" AND ")
            ));
        }
        let sql = if self.soft {
            format!("UPDATE {table} SET is_deleted = 1 WHERE is_deleted IS NOT 1 AND {condition}")
        } else {
            format!("DELETE FROM {table} WHERE {condition}")
        };
        crash::at(Point::RemoveAbsent, || {
            let removed = self.db.execute(&sql, params_from_iter(parameters));
            removed.map(|n| n as u64).map_err(to("remove absent rows"))
        })
    }
}
