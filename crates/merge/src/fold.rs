//! What becomes of each row of a batch: the rule of `floodmark_core::merge`, row after row in the order of the source,
//! over what was looked up. Nothing is written here.

use crate::slots::{ABSENT, Arrival, At, Layout, NULL, Slots};
use floodmark_connect::{LoadPlan, destination::tied};
use floodmark_core::{
    Code, Counts, Error, Result, Value,
    merge::{Existing, Fate as Rule, Standing, decide, rivals},
    pipeline::{AbsentRows, Load, Pipeline},
};
use std::cmp::Ordering;

struct Fold<'a> {
    pipeline: &'a Pipeline,
    layout: &'a Layout,
    slots: &'a mut Slots,
    /// Whether rows have versions, so that deletes are remembered.
    buries: bool,
    /// Whether the ages of values are kept.
    dates: bool,
    counts: &'a mut Counts,
    /// Of two copies with equal versions the later counts.
    ordered: bool,
}

/// One incoming row against the table.
struct Incoming {
    existing: Existing,
    order: Ordering,
    same: bool,
    nulls: Nulls,
}

/// Where NULL met a value in columns that keep theirs. Empty without versions.
#[derive(Default)]
struct Nulls {
    /// NULL came in, and there is a value.
    kept: Vec<usize>,
    /// A value came in, and there is none.
    open: Vec<usize>,
    /// The version of the row that is there.
    version: Option<Value>,
}

impl Fold<'_> {
    /// Decides on every row.
    fn run(&mut self) -> Result<()> {
        (0..self.slots.arrivals.len()).try_for_each(|n| self.row(self.slots.arrivals[n]))
    }

    fn row(&mut self, row: Arrival) -> Result<()> {
        let before = self.slots.slots[row.slot].standing;
        let incoming = self.find(row, before.is_some())?;
        let standing = match before {
            None => {
                let there = incoming.existing == (Existing::Row { deleted: false });
                if self.pipeline.load == Load::InsertOnly && there {
                    self.slots.slots[row.slot].stays = true;
                    Standing::Unchanged
                } else {
                    // A keyed overwrite makes the table the source: what the table held counts for nothing.
                    let versioned = self.pipeline.version.is_some() && self.pipeline.load != Load::Overwrite;
                    let incoming = self.raise(incoming);
                    let rule = decide(incoming.existing, incoming.order, row.delete, versioned);
                    let filled = rule == Rule::Stale && self.fill(row, &incoming)?;
                    let standing = self.apply(row, &incoming, rule);
                    if filled { Standing::Updated } else { standing }
                }
            }
            Some(standing) => {
                // Newest in the batch first: the table now shows the winner so far, by version or, without, by order.
                let left_alone = self.pipeline.load == Load::InsertOnly && standing == Standing::Unchanged;
                let rule = decide(incoming.existing, incoming.order, row.delete, self.pipeline.version.is_some());
                if !self.ordered
                    && !left_alone
                    && rivals(standing, incoming.existing, incoming.order, incoming.same, row.delete)
                {
                    return Err(self.tied(row));
                }
                if left_alone || (rule == Rule::Stale && !self.fill(row, &incoming)?) {
                    self.counts.superseded += 1;
                    return Ok(());
                }
                let now = match rule {
                    Rule::Stale => Standing::Updated,
                    _ => self.apply(row, &incoming, rule),
                };
                standing.then(now)
            }
        };
        Standing::settle(before, standing, self.counts);
        self.slots.slots[row.slot].standing = Some(standing);
        Ok(())
    }

    /// The error for a row that differs from the one there, where neither is the later.
    fn tied(&self, row: Arrival) -> Error {
        let (layout, slots) = (self.layout, &*self.slots);
        let value = |column: usize, at: At| slots.value(layout, column, at).unwrap_or(Value::Null);
        let cells = slots.arrival(row);
        let there = slots.slots[row.slot].now.as_deref().unwrap_or_default();
        let differing: Vec<(&str, Value, Value)> = (layout.data().zip(there.iter().skip(layout.key)))
            .filter(|(n, there)| !cells[*n].is_absent() && !slots.same(cells[*n], **there))
            .map(|(n, there)| (layout.names[n].as_str(), value(n, *there), value(n, cells[n])))
            .collect();
        let key: Vec<Value> = (0..layout.key).map(|n| value(n, cells[n])).collect();
        tied(self.pipeline, &key, self.version(cells).as_ref(), &differing)
    }

    /// What there is for the row's key. `in_batch`: tombstones of this load count even where those of earlier loads do not.
    fn find(&self, row: Arrival, in_batch: bool) -> Result<Incoming> {
        let slot = &self.slots.slots[row.slot];
        let cells = self.slots.arrival(row);
        if let Some(image) = &slot.now {
            return self.compare(cells, image, row.delete);
        }
        let nowhere = |existing, order| Incoming { existing, order, same: false, nulls: Nulls::default() };
        let remembered = slot.tombstone.as_ref().filter(|_| self.pipeline.load != Load::Overwrite || in_batch);
        Ok(match (remembered, self.version(cells)) {
            (Some(kept), Some(version)) => {
                nowhere(Existing::Tombstone, version.compare(kept).unwrap_or(Ordering::Greater))
            }
            _ => nowhere(Existing::Absent, Ordering::Equal),
        })
    }

    /// The row's version, where the batch has one.
    fn version(&self, cells: &[At]) -> Option<Value> {
        let at = self.layout.version?;
        Some(self.slots.value(self.layout, at, cells[at]).unwrap_or(Value::Null))
    }

    fn compare(&self, cells: &[At], image: &[At], delete: bool) -> Result<Incoming> {
        let (layout, slots) = (self.layout, &*self.slots);
        let deleted = layout.deleted.is_some_and(|at| slots.cell(image[at]) == Some(&[1]));
        let mut out = Incoming {
            existing: Existing::Row { deleted },
            order: Ordering::Equal,
            same: deleted == delete,
            nulls: Nulls::default(),
        };
        if let Some(at) = layout.version {
            let mine = slots.value(layout, at, cells[at]).unwrap_or(Value::Null);
            let theirs = slots.value(layout, at, image[at]);
            out.order = theirs.as_ref().and_then(|theirs| mine.compare(theirs)).ok_or_else(|| {
                Error::new(
                    Code::TableShape,
                    format!(
                        "table {:?} holds a version in column {:?} that is no {} here (an infinity, or out of range)",
                        self.pipeline.destination.table, layout.names[at], layout.types[at]
                    ),
                )
                .state("the open transaction was rolled back")
                .help("correct that value in the table, or name another column with `version:`")
            })?;
            if layout.keeps.contains(&true) {
                out.nulls.version = theirs;
            }
        }
        for n in layout.data() {
            let (came, there) = (cells[n], image[n]);
            if came.is_absent() {
                continue;
            }
            if out.same && !(layout.keeps[n] && came.is_null()) {
                out.same = slots.same(came, there);
            }
            if layout.keeps[n] && layout.version.is_some() {
                match (came.is_null(), there.is_null()) {
                    (true, false) => out.nulls.kept.push(n),
                    (false, true) => out.nulls.open.push(n),
                    _ => {}
                }
            }
        }
        Ok(out)
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

    fn apply(&mut self, row: Arrival, incoming: &Incoming, rule: Rule) -> Standing {
        let standing = match rule {
            Rule::Stale => Standing::Stale,
            Rule::Write => {
                if !incoming.same {
                    self.update(row, false);
                }
                self.date(row, incoming);
                match incoming.existing {
                    _ if incoming.same => Standing::Unchanged,
                    Existing::Row { deleted: true } => Standing::Revived,
                    _ => Standing::Updated,
                }
            }
            Rule::Insert => {
                self.insert(row, incoming, false);
                return Standing::Inserted;
            }
            // What is marked keeps the content of the row that marked it, as any newest row does.
            Rule::Delete if self.layout.deleted.is_some() => {
                self.update(row, true);
                self.date(row, incoming);
                return Standing::Deleted;
            }
            Rule::Delete => {
                let slot = &mut self.slots.slots[row.slot];
                slot.now = None;
                slot.redated |= !slot.dated.is_empty();
                slot.dated.clear();
                self.bury(row);
                return Standing::Deleted;
            }
            Rule::DeleteNoop => {
                match incoming.existing {
                    Existing::Row { .. } => {
                        if !incoming.same {
                            self.update(row, true);
                        }
                        self.date(row, incoming);
                        return Standing::StillMarked;
                    }
                    // Marked from the start: a delete that comes before its rows ends as one that comes after them.
                    Existing::Absent | Existing::Tombstone if self.layout.deleted.is_some() => {
                        self.insert(row, incoming, true);
                    }
                    Existing::Absent | Existing::Tombstone => self.bury(row),
                }
                return Standing::DeleteNoop;
            }
        };
        self.slots.slots[row.slot].stays = true;
        standing
    }

    fn mark(&self, deleted: bool) -> At {
        if deleted { self.slots.is_true } else { self.slots.is_false }
    }

    /// Writes the row over the one there. `deleted`: and marks that deleted.
    fn update(&mut self, row: Arrival, deleted: bool) {
        let mark = self.mark(deleted);
        let cells = self.slots.arrival(row).to_vec();
        let layout = self.layout;
        let slot = &mut self.slots.slots[row.slot];
        let Some(image) = &slot.now else { return };
        let merged = image.iter().zip(&cells).enumerate().map(|(n, (there, came))| match *came {
            _ if layout.deleted == Some(n) => mark,
            ABSENT => *there,
            came if layout.keeps[n] && came.is_null() => *there,
            came => came,
        });
        slot.now = Some(merged.collect());
    }

    fn insert(&mut self, row: Arrival, incoming: &Incoming, deleted: bool) {
        let mark = self.mark(deleted);
        let layout = self.layout;
        let cells = self.slots.arrival(row).iter().enumerate().map(|(n, came)| match *came {
            _ if layout.deleted == Some(n) => mark,
            ABSENT => NULL,
            came => came,
        });
        let image = cells.collect();
        let slot = &mut self.slots.slots[row.slot];
        slot.now = Some(image);
        // Values older than a delete must not fill the NULLs of a row newer than it, so there it stays known.
        if incoming.existing == Existing::Tombstone && !self.dates {
            slot.tombstone = None;
            slot.buried = true;
        }
        slot.stays |= !deleted;
    }

    /// `on_null: keep`: after a row was written over another, notes which values are now older than their row.
    fn date(&mut self, row: Arrival, incoming: &Incoming) {
        let Nulls { kept, version: Some(version), .. } = &incoming.nulls else { return };
        if !self.dates {
            return;
        }
        let cells = self.slots.arrival(row).to_vec();
        let layout = self.layout;
        let slot = &mut self.slots.slots[row.slot];
        let dated: Vec<String> = slot.dated.iter().map(|(column, _)| column.clone()).collect();
        let count = slot.dated.len();
        slot.dated.retain(|(column, _)| given(layout, column, &cells).is_none());
        slot.redated |= slot.dated.len() != count;
        if incoming.order == Ordering::Greater {
            for column in kept.iter().map(|at| &layout.names[*at]) {
                if !dated.contains(column) {
                    slot.dated.push((column.clone(), version.clone()));
                    slot.redated = true;
                }
            }
        }
    }

    /// `on_null: keep`: a row older than the one there still brings the values that are older than its own, or missing;
    /// a delete takes those away that are older than it. Whether it changed anything.
    fn fill(&mut self, row: Arrival, incoming: &Incoming) -> Result<bool> {
        let cells = self.slots.arrival(row).to_vec();
        let (true, Existing::Row { .. }, Some(version)) = (self.dates, incoming.existing, self.version(&cells)) else {
            return Ok(false);
        };
        let order = |since: &Value| version.compare(since).unwrap_or(Ordering::Equal);
        let buried =
            self.slots.slots[row.slot].tombstone.as_ref().map(|t| version.compare(t).unwrap_or(Ordering::Greater));
        let remembered = matches!(buried, Some(Ordering::Less | Ordering::Equal));
        let dated = self.slots.slots[row.slot].dated.clone();
        let mut changed = false;
        if row.delete && self.layout.deleted.is_none() {
            for (column, since) in &dated {
                if order(since) != Ordering::Less {
                    self.put(row, column, NULL);
                    self.undate(row, column);
                    changed = true;
                }
            }
            if !remembered {
                self.bury(row);
            }
            return Ok(changed);
        }
        if remembered {
            return Ok(false);
        }
        for at in &incoming.nulls.open {
            let column = &self.layout.names[*at];
            self.put(row, column, cells[*at]);
            self.redate(row, column, &version);
            changed = true;
        }
        for (column, since) in &dated {
            let Some(at) = given(self.layout, column, &cells).filter(|at| !incoming.nulls.open.contains(at)) else {
                continue;
            };
            if order(since) != Ordering::Less {
                changed |= self.put(row, column, cells[at]);
                self.redate(row, column, &version);
            }
        }
        Ok(changed)
    }

    /// Writes one value over the one there, and nothing else of the row. Whether it was another.
    fn put(&mut self, row: Arrival, column: &str, value: At) -> bool {
        let Some(at) = self.layout.place(column) else { return false };
        let Some(image) = self.slots.slots[row.slot].now.clone() else { return false };
        if self.slots.same(image[at], value) {
            return false;
        }
        let mut cells = image.to_vec();
        cells[at] = value;
        self.slots.slots[row.slot].now = Some(cells.into());
        true
    }

    fn undate(&mut self, row: Arrival, column: &str) {
        let slot = &mut self.slots.slots[row.slot];
        slot.dated.retain(|(c, _)| c != column);
        slot.redated = true;
    }

    fn redate(&mut self, row: Arrival, column: &str, version: &Value) {
        let slot = &mut self.slots.slots[row.slot];
        slot.redated = true;
        match slot.dated.iter_mut().find(|(c, _)| c == column) {
            Some((_, since)) => since.clone_from(version),
            None => slot.dated.push((column.to_owned(), version.clone())),
        }
    }

    fn bury(&mut self, row: Arrival) {
        if !self.buries {
            return;
        }
        let version = self.version(self.slots.arrival(row)).unwrap_or(Value::Null);
        let slot = &mut self.slots.slots[row.slot];
        slot.tombstone = Some(version);
        slot.buried = true;
    }
}

/// Where a column stands that keeps its value, if the row has a value for it.
fn given(layout: &Layout, column: &str, cells: &[At]) -> Option<usize> {
    layout.place(column).filter(|at| layout.keeps[*at] && !cells[*at].is_null() && !cells[*at].is_absent())
}

/// Whether the ages of values are kept beside the table: a NULL keeps the value there, and rows have versions.
pub fn dates(plan: &LoadPlan<'_>) -> bool {
    plan.target.version.is_some() && plan.target.pipeline.keeps_nulls()
}

/// Decides on every row of a batch: what its key's slot holds afterwards is what the table is to hold.
pub fn fold(plan: &LoadPlan<'_>, layout: &Layout, slots: &mut Slots, counts: &mut Counts) -> Result<()> {
    let buries = plan.target.version.is_some();
    let pipeline = plan.target.pipeline;
    Fold { pipeline, layout, slots, buries, dates: dates(plan), counts, ordered: plan.ordered }.run()
}

/// Takes back the counts of keys that are new to this load whose copies superseded each other until the last of them was what
/// the table holds: nothing is written of them. `new`: by slot, whether the load met the key for the first time.
pub fn settle(slots: &mut Slots, new: &[bool], counts: &mut Counts) {
    for n in (0..slots.slots.len()).filter(|n| new[*n]) {
        let slot = &slots.slots[n];
        let back = match (&slot.before, &slot.now) {
            (Some(before), Some(now)) => slot.standing == Some(Standing::Updated) && slots.same_cells(before, now),
            _ => false,
        };
        if back {
            counts.updated -= 1;
            counts.unchanged += 1;
            slots.slots[n].standing = Some(Standing::Unchanged);
        }
    }
}
