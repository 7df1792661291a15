//! `append`: the rows loaded at the watermark, by file and hash, in the order they came.
//!
//! They can be as many as the rows of the table, so they are never in memory together. A file that is read again shows
//! its rows in the order it showed them before, as a rule: then one look at the next of them answers. Where it does not,
//! what is left of all of them is counted by hash in a temporary table.

use crate::{
    failure::to,
    link::{Db, List},
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    Error, Result,
    state::{BoundaryChange, Memory},
};
use std::collections::{HashMap, VecDeque};

/// Rows looked up at once, and rows written at once.
const AHEAD: i64 = 4096;
const AT_ONCE: usize = 20_000;

/// Rows that are read at once where all of them are: each reading goes through the whole table, which has no index.
const AT_ONCE_READ: i64 = 500_000;

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
        let taken = crash::at(Point::Boundary, || {
            self.db
                .execute(
                    "UPDATE temp._floodmark_at_mark SET rows = rows - 1 WHERE rowid = (
                       SELECT min(rowid) FROM temp._floodmark_at_mark
                       WHERE hash = $1 AND ($2::text IS NULL OR file = $2) AND rows > 0)",
                    &[&hash.to_be_bytes().as_slice(), &file],
                )
                .map_err(to("look for a row at the watermark"))
        })?;
        Ok(taken > 0)
    }

    /// Takes in what has changed.
    pub(crate) fn change(&mut self, change: &BoundaryChange) -> Result<()> {
        if change.anew {
            // What earlier transactions left is still asked for: it goes at the end.
            self.delete("id > $2")?;
            (self.last, self.passed) = (self.before, true);
        }
        for part in change.added.chunks(AT_ONCE) {
            let files: Vec<&str> = part.iter().map(|(file, _)| &**file).collect();
            let hashes: Vec<Vec<u8>> = part.iter().map(|(_, hash)| hash.to_be_bytes().to_vec()).collect();
            write(self.db, self.pipeline, self.last, &files, &hashes)?;
            self.last += part.len() as i64;
        }
        Ok(())
    }

    /// Takes in the last of it.
    pub(crate) fn finish(mut self, change: &BoundaryChange) -> Result<()> {
        self.change(change)?;
        if self.passed { self.delete("id <= $2") } else { Ok(()) }
    }

    fn delete(&self, which: &str) -> Result<()> {
        let sql = format!("DELETE FROM _floodmark_boundary WHERE pipeline = $1 AND {which}");
        crash::at(Point::Boundary, || {
            self.db
                .execute(&sql, &[&self.pipeline, &self.before])
                .map_err(to("forget the rows at an earlier watermark"))
        })?;
        Ok(())
    }

    /// Counts what is left by hash, from now on.
    fn count(&mut self) -> Result<()> {
        let Earlier::InOrder(files) = &self.earlier else { return Ok(()) };
        let fail = to("count the rows at the watermark");
        crash::at(Point::Boundary, || {
            self.db
                .execute_batch(
                    "CREATE OR REPLACE TEMPORARY TABLE _floodmark_at_mark (hash BLOB, file VARCHAR, rows BIGINT)",
                )
                .map_err(&fail)
        })?;
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let met: Vec<i64> = files.values().map(|ahead| ahead.met).collect();
        crash::at(Point::Boundary, || {
            self.db
                .execute(
                    "INSERT INTO temp._floodmark_at_mark
                     SELECT b.hash, b.file, count(*) FROM _floodmark_boundary b
                     LEFT JOIN (SELECT unnest($3::text[]) AS file, unnest($4::bigint[]) AS id) m ON m.file = b.file
                     WHERE b.pipeline = $1 AND b.id <= $2 AND b.id > coalesce(m.id, 0) GROUP BY b.hash, b.file",
                    &[&self.pipeline, &self.before, &List(&names), &List(&met)],
                )
                .map_err(&fail)
        })?;
        self.earlier = Earlier::Counted;
        Ok(())
    }
}

/// The highest number of a pipeline's rows, 0 where there is none.
fn highest(db: &Db, pipeline: &str) -> Result<i64> {
    db.query_one("SELECT coalesce(max(id), 0) FROM _floodmark_boundary WHERE pipeline = $1", &[&pipeline])
        .and_then(|row| row.try_get(0))
        .map_err(to("read the rows at the watermark"))
}

/// Writes rows with the numbers that follow `last`.
fn write(db: &Db, pipeline: &str, last: i64, files: &[&str], hashes: &[Vec<u8>]) -> Result<()> {
    crash::at(Point::Boundary, || {
        db.execute(
            "INSERT INTO _floodmark_boundary
             SELECT $1, $2 + generate_subscripts($3::text[], 1), unnest($3::text[]), unnest($4::blob[])",
            &[&pipeline, &last, &List(files), &List(hashes)],
        )
        .map_err(to("write the rows at the watermark"))
    })?;
    Ok(())
}

/// A file's rows behind number `met`.
fn next(db: &Db, pipeline: &str, file: &str, met: i64, before: i64) -> Result<VecDeque<(i64, u128)>> {
    let fail = to("read the rows at the watermark");
    let rows = db
        .query(
            "SELECT id, hash FROM _floodmark_boundary
             WHERE pipeline = $1 AND id > $2 AND id <= $3 AND file = $4 ORDER BY id LIMIT $5",
            &[&pipeline, &met, &before, &file, &AHEAD],
        )
        .map_err(&fail)?;
    let mut out = VecDeque::new();
    for row in &rows {
        let (id, hash): (i64, Vec<u8>) = row.try_get(0).and_then(|id| Ok((id, row.try_get(1)?))).map_err(&fail)?;
        out.push_back((id, number(&hash)?));
    }
    Ok(out)
}

/// Hands on the hashes of all rows of a pipeline.
pub(crate) fn each(db: &Db, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()> {
    let fail = to("read the rows at the watermark");
    let mut met = 0_i64;
    loop {
        let rows = db
            .query(
                "SELECT id, hash FROM _floodmark_boundary WHERE pipeline = $1 AND id > $2 ORDER BY id LIMIT $3",
                &[&pipeline, &met, &AT_ONCE_READ],
            )
            .map_err(&fail)?;
        for row in &rows {
            let (id, hash): (i64, Vec<u8>) = row.try_get(0).and_then(|id| Ok((id, row.try_get(1)?))).map_err(&fail)?;
            met = id;
            take(number(&hash)?);
        }
        if (rows.len() as i64) < AT_ONCE_READ {
            return Ok(());
        }
    }
}

/// A hash out of its bytes.
fn number(hash: &[u8]) -> Result<u128> {
    let bytes = <[u8; 16]>::try_from(hash).map_err(|_| damaged(&format!("{hash:02x?}")))?;
    Ok(u128::from_be_bytes(bytes))
}

/// Puts a row there that was exported as its file and the digits of its hash.
pub(crate) fn import(db: &Db, pipeline: &str, key: &[String]) -> Result<()> {
    let (file, hash) = parse(key)?;
    write(db, pipeline, highest(db, pipeline)?, &[file], &[hash.to_be_bytes().to_vec()])
}

/// The file and the hash of a row as it is exported.
pub(crate) fn parse(key: &[String]) -> Result<(&str, u128)> {
    Memory::row(key).ok_or_else(|| damaged(&format!("{key:?}")))
}

fn damaged(what: &str) -> Error {
    floodmark_connect::kept::damaged("a row at the watermark,", what)
}
