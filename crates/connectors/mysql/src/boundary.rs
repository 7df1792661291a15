//! `append`: the rows loaded at the watermark, by file and hash, in the order they came.
//!
//! They can be as many as the rows of the table, so they are never in memory together. A file that is read again shows
//! its rows in the order it showed them before, as a rule: then one look at the next of them answers. Where it does not,
//! what is left of all of them is counted by hash in a temporary table.

use crate::{
    failure::to,
    link::{Db, Owned},
    literal::{self, text},
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    Error, Result,
    state::{BoundaryChange, Memory},
};
use std::collections::{HashMap, VecDeque};

/// Rows looked up at once.
const AHEAD: i64 = 4096;

/// The rows of one pipeline within one transaction.
pub(crate) struct Boundary<'a> {
    db: &'a Db,
    pipeline: &'a str,
    /// The highest number of what earlier transactions left.
    before: i64,
    /// The highest number.
    last: i64,
    /// The watermark has moved on from what earlier transactions left.
    passed: bool,
    earlier: Earlier,
}

/// Those of earlier runs that were not met again.
enum Earlier {
    /// By file: each meets its own in their order.
    InOrder(HashMap<String, Ahead>),
    /// In the temporary table.
    Counted,
}

/// A file's next rows.
#[derive(Default)]
struct Ahead {
    /// The number of the last one that was met.
    met: i64,
    next: VecDeque<(i64, u128)>,
    /// There are no more than these.
    ended: bool,
}

impl<'a> Boundary<'a> {
    pub(crate) fn new(db: &'a Db, pipeline: &'a str) -> Result<Self> {
        let before = highest(db, pipeline)?;
        let earlier = Earlier::InOrder(HashMap::new());
        Ok(Boundary { db, pipeline, before, last: before, passed: false, earlier })
    }

    /// Whether an earlier run loaded the row, out of the file or, where none is named, out of any.
    pub(crate) fn loaded(&mut self, file: Option<&str>, hash: u128) -> Result<bool> {
        if let (Earlier::InOrder(files), Some(file)) = (&mut self.earlier, file) {
            let ahead = files.entry(file.to_owned()).or_default();
            if ahead.next.is_empty() && !ahead.ended {
                ahead.next = next(self.db, self.pipeline, file, ahead.met, self.before)?;
                ahead.ended = (ahead.next.len() as i64) < AHEAD;
            }
            match ahead.next.front() {
                Some((id, expected)) if *expected == hash => {
                    ahead.met = *id;
                    ahead.next.pop_front();
                    return Ok(true);
                }
                None => return Ok(false),
                Some(_) => {}
            }
        }
        self.count()?;
        let of_file = file.map_or(String::new(), |file| format!(" AND file = {}", text(file)));
        let sql = format!(
            "UPDATE _floodmark_at_mark SET `rows` = `rows` - 1 WHERE hash = {}{of_file} AND `rows` > 0 LIMIT 1",
            literal::bytes(&hash.to_be_bytes())
        );
        let taken =
            crash::at(Point::Boundary, || self.db.execute(&sql).map_err(to("look for a row at the watermark")))?;
        Ok(taken.rows > 0)
    }

    /// Takes in what has changed.
    pub(crate) fn change(&mut self, change: &BoundaryChange) -> Result<()> {
        if change.anew {
            // What earlier transactions left is still asked for: it goes at the end.
            self.delete(">")?;
            (self.last, self.passed) = (self.before, true);
        }
        write(self.db, self.pipeline, self.last, change.added.iter().map(|(file, hash)| (&**file, *hash)))?;
        self.last += change.added.len() as i64;
        Ok(())
    }

    /// Takes in the last of it.
    pub(crate) fn finish(mut self, change: &BoundaryChange) -> Result<()> {
        self.change(change)?;
        if self.passed { self.delete("<=") } else { Ok(()) }
    }

    fn delete(&self, which: &str) -> Result<()> {
        let sql = format!(
            "DELETE FROM _floodmark_boundary WHERE pipeline = {} AND id {which} {}",
            text(self.pipeline),
            self.before
        );
        crash::at(Point::Boundary, || self.db.execute(&sql).map_err(to("forget the rows at an earlier watermark")))?;
        Ok(())
    }

    /// Counts what is left by hash, from now on.
    fn count(&mut self) -> Result<()> {
        let Earlier::InOrder(files) = &self.earlier else { return Ok(()) };
        let fail = to("count the rows at the watermark");
        let met = files.iter().filter(|(_, ahead)| ahead.met > 0);
        let met: Vec<String> =
            met.map(|(file, ahead)| format!("(file = {} AND id <= {})", text(file), ahead.met)).collect();
        let left = if met.is_empty() { String::new() } else { format!(" AND NOT ({})", met.join(" OR ")) };
        let fill = format!(
            "INSERT INTO _floodmark_at_mark SELECT hash, file, count(*) FROM _floodmark_boundary
             WHERE pipeline = {} AND id <= {}{left} GROUP BY hash, file",
            text(self.pipeline),
            self.before
        );
        let make = format!(
            "CREATE TEMPORARY TABLE _floodmark_at_mark (hash binary(16), file longtext, `rows` bigint, KEY (hash))
             ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {}",
            self.db.server.exact()
        );
        for sql in ["DROP TEMPORARY TABLE IF EXISTS _floodmark_at_mark", &make, &fill] {
            crash::at(Point::Boundary, || self.db.execute(sql).map_err(&fail))?;
        }
        self.earlier = Earlier::Counted;
        Ok(())
    }
}

/// The highest number of a pipeline's rows, 0 where there is none.
fn highest(db: &Db, pipeline: &str) -> Result<i64> {
    let sql = format!("SELECT coalesce(max(id), 0) FROM _floodmark_boundary WHERE pipeline = {}", text(pipeline));
    let row = db.query_one(&sql).map_err(to("read the rows at the watermark"))?;
    Ok(row.number(0).unwrap_or_default())
}

/// Writes rows with the numbers that follow `last`.
fn write<'r>(db: &Db, pipeline: &str, last: i64, rows: impl Iterator<Item = (&'r str, u128)>) -> Result<()> {
    let values = rows.enumerate().map(|(n, (file, hash))| {
        let id = last + 1 + n as i64;
        format!("({}, {id}, {}, {})", text(pipeline), text(file), literal::bytes(&hash.to_be_bytes()))
    });
    crash::at(Point::Boundary, || {
        db.with_values("INSERT INTO _floodmark_boundary VALUES ", values, "")
            .map_err(to("write the rows at the watermark"))
    })?;
    Ok(())
}

/// A file's rows behind number `met`.
fn next(db: &Db, pipeline: &str, file: &str, met: i64, before: i64) -> Result<VecDeque<(i64, u128)>> {
    let sql = format!(
        "SELECT id, hash FROM _floodmark_boundary
         WHERE pipeline = {} AND id > {met} AND id <= {before} AND file = {} ORDER BY id LIMIT {AHEAD}",
        text(pipeline),
        text(file)
    );
    let mut out = VecDeque::new();
    for row in &db.query(&sql).map_err(to("read the rows at the watermark"))? {
        out.push_back(numbered(row)?);
    }
    Ok(out)
}

/// Hands on the hashes of all rows of a pipeline.
pub(crate) fn each(db: &Db, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()> {
    let mut met = 0_i64;
    loop {
        let sql = format!(
            "SELECT id, hash FROM _floodmark_boundary WHERE pipeline = {} AND id > {met} ORDER BY id LIMIT {AHEAD}",
            text(pipeline)
        );
        let rows = db.query(&sql).map_err(to("read the rows at the watermark"))?;
        for row in &rows {
            let (id, hash) = numbered(row)?;
            met = id;
            take(hash);
        }
        if (rows.len() as i64) < AHEAD {
            return Ok(());
        }
    }
}

/// A row's number and its hash.
fn numbered(row: &Owned) -> Result<(i64, u128)> {
    let hash = row.bytes(1).unwrap_or_default();
    let number = row.number(0).zip(<[u8; 16]>::try_from(hash).ok());
    let (id, hash) = number.ok_or_else(|| damaged(&format!("{hash:02x?}")))?;
    Ok((id, u128::from_be_bytes(hash)))
}

/// Puts a row there that was exported as its file and the digits of its hash.
pub(crate) fn import(db: &Db, pipeline: &str, key: &[String]) -> Result<()> {
    let (file, hash) = parse(key)?;
    write(db, pipeline, highest(db, pipeline)?, std::iter::once((file, hash)))
}

/// The file and the hash of a row as it is exported.
pub(crate) fn parse(key: &[String]) -> Result<(&str, u128)> {
    Memory::row(key).ok_or_else(|| damaged(&format!("{key:?}")))
}

fn damaged(what: &str) -> Error {
    floodmark_connect::kept::damaged("a row at the watermark,", what)
}
