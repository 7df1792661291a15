//! The strategies that compare rows with the table, but for the one that keeps history.

use super::{
    row::{Row, Value, get, same},
    settings::{Deletes, Load, MARK},
    world::{Corner, Gone, Incoming, Kept, World, kept},
};
use std::collections::{BTreeMap, BTreeSet};

type Counts = BTreeMap<&'static str, u64>;

/// Loads the rows of one run. `read`, `skipped` and `rejected` are counted already.
pub(super) fn load(world: &mut World, incoming: &[Incoming], counts: &mut Counts) {
    let columns = world.settings.window.clone();
    let windows: BTreeSet<Vec<Value>> = incoming.iter().map(|row| window(&columns, &row.row)).collect();
    load_part(world, incoming, &|row| windows.contains(&window(&columns, row)), counts);
}

/// Loads rows that are all there is of a part of the table: what else a `delete_insert` finds in it goes.
pub(super) fn load_part(world: &mut World, incoming: &[Incoming], part: &dyn Fn(&Row) -> bool, counts: &mut Counts) {
    if world.settings.load == Load::DeleteInsert && world.settings.key.is_empty() {
        world.table.retain(|kept| !part(&kept.row));
        world.table.extend(incoming.iter().cloned().map(kept));
        return forget(counts);
    }
    if world.settings.load == Load::Overwrite && world.settings.key.is_empty() {
        world.table = incoming.iter().cloned().map(kept).collect();
        return forget(counts);
    }
    let mut keys: Vec<Vec<Value>> = Vec::new();
    let mut groups: BTreeMap<Vec<Value>, Vec<&Incoming>> = BTreeMap::new();
    for row in incoming {
        let key = world.key(&row.row);
        if !groups.contains_key(&key) {
            keys.push(key.clone());
        }
        groups.entry(key).or_default().push(row);
    }
    for key in &keys {
        let group = &groups[key];
        count(counts, "superseded", group.len() as u64 - 1);
        let (winner, anew) = winner(world, key, group);
        let buried = world.graves.contains_key(key);
        let before = world.table.iter().find(|kept| world.key(&kept.row) == *key).cloned();
        let mut fate = against_table(world, key, winner, anew);
        if !world.settings.keep.is_empty() && world.settings.versioned() {
            newest_values(world, key, group);
            let after = world.table.iter().find(|kept| world.key(&kept.row) == *key);
            if let (Some(before), Some(after), "stale" | "unchanged" | "updated") = (&before, after, fate) {
                let equal = same(&before.row, &after.row) && before.gone == after.gone;
                fate = match (equal, fate) {
                    (true, "updated") => "unchanged",
                    (false, _) => "updated",
                    (true, fate) => fate,
                };
            }
        }
        if buried && group.len() > 1 && matches!(fate, "inserted" | "delete_noop") {
            world.corners.insert(Corner::StaleThenNew);
        }
        let differ = group.iter().any(|row| !same(&row.row, &group[group.len() - 1].row));
        let gone = before.is_some_and(|before| before.gone != Gone::No);
        if differ && (fate == "unchanged" || (fate == "delete_noop" && gone)) {
            world.corners.insert(Corner::BatchReturns);
        }
        count(counts, fate, 1);
    }
    // Rows the batch does not speak of, where that means something: in the source, or in one of the windows it replaces. A
    // row that was set aside may be one of them.
    let aside = counts.get("rejected").is_some_and(|n| *n > 0);
    let gone = |kept: &Kept| {
        let replaced = !world.settings.window.is_empty() && part(&kept.row);
        !aside && (replaced || world.settings.absent_go()) && !groups.contains_key(&world.key(&kept.row))
    };
    let absent: Vec<bool> = world.table.iter().map(gone).collect();
    if world.settings.deletes == Deletes::Soft {
        for (kept, absent) in world.table.iter_mut().zip(absent) {
            if absent && kept.gone == Gone::No {
                kept.gone = Gone::Absent;
                count(counts, "removed", 1);
            }
        }
    } else {
        count(counts, "removed", absent.iter().filter(|absent| **absent).count() as u64);
        let mut absent = absent.into_iter();
        world.table.retain(|_| !absent.next().unwrap_or(false));
    }
    match world.settings.load {
        // Rewriting a row of a window may be called an update, or a removal and an insert.
        Load::DeleteInsert => forget(counts),
        // A row that is left alone is not new; how that is called is open.
        Load::InsertOnly => {
            for name in ["skipped", "unchanged", "stale"] {
                counts.remove(name);
            }
        }
        _ => {}
    }
}

fn count(counts: &mut Counts, name: &'static str, rows: u64) {
    *counts.entry(name).or_default() += rows;
}

/// Only what was read and rejected is certain.
pub(super) fn forget(counts: &mut Counts) {
    counts.retain(|name, _| matches!(*name, "read" | "rejected"));
}

fn window(columns: &[&str], row: &Row) -> Vec<Value> {
    columns.iter().map(|column| get(row, column)).collect()
}

pub(super) fn is_delete(world: &World, row: &Row) -> bool {
    world.settings.deletes != Deletes::None && get(row, MARK) == Value::text("D")
}

/// Whether `new`, which stands later, wins over `old` in one batch: newer or equal does; at equal versions a delete wins
/// over a row wherever it stands.
pub(super) fn wins(world: &World, new: &Row, old: &Row) -> bool {
    let order = world.version(new).cmp(&world.version(old));
    let raises = world.settings.versioned() && is_delete(world, old) && !is_delete(world, new);
    order.is_gt() || (order.is_eq() && !raises)
}

/// The newest copy of a key. What its file does not say keeps what an earlier copy of the batch brought, as it would had
/// they come in two runs. Whether the winner comes after a delete, and so to a row of its own, is said too.
fn winner(world: &World, key: &[Value], group: &[&Incoming]) -> (Incoming, bool) {
    let (mut best, mut anew) = (group[0].clone(), false);
    for next in &group[1..] {
        if !wins(world, &next.row, &best.row) {
            continue;
        }
        let mut row = next.row.clone();
        // A copy that is older than what is there would never have been written.
        if !stale(world, key, &best.row) {
            let gone = is_delete(world, &best.row) && world.settings.deletes == Deletes::Hard;
            anew |= gone;
            if !gone {
                fill(world, &mut row, &best.row);
            }
        }
        best = Incoming { row, file: next.file.clone() };
    }
    (best, anew)
}

/// What a row does not say keeps what is there: absent columns, and NULLs where `on_null: keep` says so.
/// What replaces keeps nothing.
fn fill(world: &World, row: &mut Row, there: &Row) {
    if matches!(world.settings.load, Load::Overwrite | Load::DeleteInsert) {
        return;
    }
    for (column, value) in there {
        let keep = world.settings.keep.contains(column) && row.get(column) == Some(&Value::Null);
        if keep || !row.contains_key(column) {
            row.insert(column, value.clone());
        }
    }
}

/// `on_null: keep` with versions: each column holds its newest value that is not NULL and is no older than a delete.
fn newest_values(world: &mut World, key: &[Value], group: &[&Incoming]) {
    for next in group {
        let hard = is_delete(world, &next.row) && world.settings.deletes == Deletes::Hard;
        let version = world.version(&next.row);
        let said = world.said.get(key).and_then(|events| events.get(&version)).cloned();
        let now = match (said, hard) {
            (Some(None), _) | (_, true) => None,
            (Some(Some(old)), false) => {
                if !same(&old, &next.row) {
                    world.corners.insert(Corner::KeepEqualVersions);
                }
                // Of two copies of one version the later wins, value by value.
                let (mut row, other) =
                    if wins(world, &next.row, &old) { (next.row.clone(), old) } else { (old, next.row.clone()) };
                fill(world, &mut row, &other);
                Some(row)
            }
            (None, false) => Some(next.row.clone()),
        };
        world.said.entry(key.to_vec()).or_default().insert(version, now);
    }
    let Some(place) = world.table.iter().position(|kept| world.key(&kept.row) == key) else { return };
    let Some(events) = world.said.get(key) else { return };
    let mut row = world.table[place].row.clone();
    for column in &world.settings.keep {
        let living = events.values().rev().map_while(Option::as_ref);
        let value = living.map(|row| get(row, column)).find(|value| *value != Value::Null);
        row.insert(column, value.unwrap_or(Value::Null));
    }
    world.table[place].row = row;
}

/// Whether a row is older than what the table holds for its key, or than its delete.
fn stale(world: &World, key: &[Value], row: &Row) -> bool {
    // An overwrite makes the table the source: what the table held counts for nothing.
    if !world.settings.versioned() || world.settings.load == Load::Overwrite {
        return false;
    }
    let version = world.version(row);
    let (there, gone) = match (world.table.iter().find(|kept| world.key(&kept.row) == key), world.graves.get(key)) {
        (Some(old), _) if old.gone == Gone::Absent => return false,
        (Some(old), _) => (world.version(&old.row), old.gone == Gone::Marked),
        (None, Some(grave)) => (grave.clone(), true),
        (None, None) => return false,
    };
    version < there || (version == there && gone && !is_delete(world, row))
}

/// What becomes of the newest copy of a key.
fn against_table(world: &mut World, key: &[Value], incoming: Incoming, anew: bool) -> &'static str {
    let delete = is_delete(world, &incoming.row);
    let version = world.version(&incoming.row);
    let place = world.table.iter().position(|kept| world.key(&kept.row) == key);
    if world.settings.load == Load::InsertOnly {
        if place.is_some() {
            return "unchanged";
        }
        world.table.push(kept(incoming));
        return "inserted";
    }
    let versioned = world.settings.versioned();
    if stale(world, key, &incoming.row) {
        return "stale";
    }
    let soft = world.settings.deletes == Deletes::Soft;
    let Some(place) = place else {
        if delete && soft {
            // Marked from the start: a delete that comes before its rows ends as one that comes after them.
            world.table.push(Kept { gone: Gone::Marked, ..kept(incoming) });
            return "delete_noop";
        }
        if delete {
            if versioned {
                world.graves.insert(key.to_vec(), version);
            }
            return "delete_noop";
        }
        world.graves.remove(key);
        world.table.push(kept(incoming));
        return "inserted";
    };
    let old = world.table[place].clone();
    if delete && !soft {
        world.table.remove(place);
        if versioned {
            world.graves.insert(key.to_vec(), version);
        }
        return "deleted";
    }
    let mut row = incoming.row;
    if !anew {
        fill(world, &mut row, &old.row);
    }
    if delete {
        // What is marked holds the content that marked it, as any newest row does.
        world.table[place] = Kept { row, file: incoming.file, gone: Gone::Marked };
        return if old.gone == Gone::No { "deleted" } else { "delete_noop" };
    }
    if same(&row, &old.row) && old.gone == Gone::No {
        return "unchanged";
    }
    world.table[place] = Kept { row, file: incoming.file, gone: Gone::No };
    "updated"
}
