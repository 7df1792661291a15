//! `scd2`: everything that was ever said about a key, by version; the history is read off it.

use super::{
    merge::{forget, is_delete, wins},
    row::{Row, Value, same},
    settings::AXIS,
    world::{Incoming, World},
};
use std::collections::{BTreeMap, BTreeSet};

/// By key, then by version: the row, or `None` for a delete.
pub(super) type Histories = BTreeMap<Vec<Value>, BTreeMap<Value, Option<Row>>>;

/// A line of the history.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) row: Row,
    pub(super) from: Value,
    pub(super) to: Option<Value>,
}

pub(super) fn load(world: &mut World, incoming: &[Incoming], counts: &mut BTreeMap<&'static str, u64>) {
    let mut batch: BTreeMap<(Vec<Value>, Value), &Incoming> = BTreeMap::new();
    for next in incoming {
        let place = (world.key(&next.row), world.version(&next.row));
        let replaces = batch.get(&place).is_none_or(|best| wins(world, &next.row, &best.row));
        if replaces {
            batch.insert(place, next);
        }
    }
    for ((key, version), next) in batch {
        let said = (!is_delete(world, &next.row)).then(|| next.row.clone());
        let versioned = world.settings.versioned();
        let events = world.histories.entry(key).or_default();
        if !versioned || said.is_none() || events.get(&version) != Some(&None) {
            events.insert(version, said);
        }
    }
    if world.settings.full_read() {
        let held: BTreeSet<Vec<Value>> = incoming.iter().map(|next| world.key(&next.row)).collect();
        world.closed = world.histories.keys().filter(|key| !held.contains(*key)).cloned().collect();
    }
    // How many versions opened, closed or moved is counted in more than one defensible way.
    forget(counts);
}

/// The history of a key: a version opens where content changed, and ends where the next begins.
pub(super) fn spans(events: &BTreeMap<Value, Option<Row>>) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    for (version, said) in events {
        let open = out.last_mut().filter(|span| span.to.is_none());
        match (open, said) {
            (Some(span), Some(row)) if content(&span.row, row) => {}
            (open, said) => {
                if let Some(span) = open {
                    span.to = Some(version.clone());
                }
                out.extend(said.clone().map(|row| Span { row, from: version.clone(), to: None }));
            }
        }
    }
    out
}

/// The current rows: of copies with equal content the first, since the others opened no version. Where the source's absent
/// rows are closed nothing else is certain: they close at the run's own time.
pub(super) fn current(world: &World) -> Vec<Row> {
    let open = world.histories.iter().filter(|(key, _)| !world.closed.contains(*key));
    open.filter_map(|(_, events)| spans(events).pop().filter(|span| span.to.is_none()).map(|span| span.row)).collect()
}

/// The version is when something was so, not what.
fn content(a: &Row, b: &Row) -> bool {
    let bare = |row: &Row| row.iter().filter(|(c, _)| **c != AXIS).map(|(c, v)| (*c, v.clone())).collect::<Row>();
    same(&bare(a), &bare(b))
}
