//! What the table holds for the keys of a batch.

use super::{Job, same_key, stage::Stage};
use crate::{codec, ddl, tuples};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Error, Result};
use floodmark_merge::slots::{Image, Layout, Slots};

/// Where a row stands and which version of it is seen: the part of a partitioned table, the place in it, and who wrote it.
/// As the server calls them, their types, their bytes. Together they are found again without a search, and only as long as
/// the row is the one that was looked at.
pub(super) const SEEN: [(&str, &str, usize); 3] = [("tableoid", "oid", 4), ("ctid", "tid", 6), ("xmin", "xid", 4)];

/// From so many keys on the server is told how many there are: it would guess, and a wrong guess reads a whole table.
const MANY: usize = 200;

/// Looks all keys up at once, and notes the rows found.
pub(super) fn look(job: &Job<'_>, layout: &Layout, slots: &mut Slots) -> Result<()> {
    let names = layout.names[..layout.key].iter().map(String::as_str);
    let mut columns = vec![("n", "int8".to_owned())];
    columns.extend(names.zip(&layout.types).map(|(name, t)| (name, codec::declared(*t))));
    // A key's column may be called `n`, too.
    columns[0].0 = super::stage::PLACE;
    let stage = Stage::make(job.db, "_floodmark_keys", &columns)?;
    let copy = format!("COPY {} FROM STDIN (FORMAT binary)", stage.name);
    crash::at(Point::Temporary, || {
        job.db.copy_in(&copy, |writer| {
            for slot in 0..slots.slots.len() {
                let out = writer.row(layout.key + 1)?;
                tuples::put(out, Some(&(slot as i64).to_be_bytes()));
                slots.key(slot).iter().for_each(|at| tuples::put(out, slots.cell(*at)));
            }
            Ok(())
        })
    })?;
    if slots.slots.len() > MANY {
        stage.analyze(job.db)?;
    }
    let found = |name: &String| {
        let column = job.table.get(name).ok_or_else(|| Error::internal(format!("no column {name:?} in the table")))?;
        Ok(column.read("t."))
    };
    let cells = layout.names[layout.key..].iter().map(found).collect::<Result<Vec<_>>>()?;
    let free: Vec<bool> =
        layout.names[layout.key..].iter().map(|name| job.table.get(name).is_some_and(|c| c.free)).collect();
    let select = [format!("k.{}", ddl::quote(super::stage::PLACE))];
    let select: Vec<String> = select.into_iter().chain(SEEN.map(|(own, ..)| format!("t.{own}"))).chain(cells).collect();
    let sql = format!(
        "COPY (SELECT {} FROM {} k JOIN {} t ON {}) TO STDOUT (FORMAT binary)",
        select.join(", "),
        stage.name,
        job.name,
        same_key(job.table, &layout.names[..layout.key], "k.", "t.")?
    );
    job.db.copy_out(&sql, |row| {
        let slot = usize::try_from(row.int(0)?).ok().filter(|slot| *slot < slots.slots.len());
        let slot = slot.ok_or_else(|| Error::internal("the server found a key that was not asked for"))?;
        let mut cells = slots.key(slot).to_vec();
        for (n, free) in free.iter().enumerate() {
            let cell = row.cell(n + 1 + SEEN.len());
            let settled = if *free { codec::settled(cell) } else { None };
            cells.push(slots.keep(settled.as_deref().or(cell))?);
        }
        let image: Image = cells.into();
        let seen: Vec<u8> = (1..=SEEN.len()).filter_map(|n| row.cell(n)).flatten().copied().collect();
        let seen = slots.keep(Some(&seen))?;
        let slot = &mut slots.slots[slot];
        slot.seen = Some(seen);
        slot.before = Some(image.clone());
        slot.now = Some(image);
        Ok(())
    })
}
