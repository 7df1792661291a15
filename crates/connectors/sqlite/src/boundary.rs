//! `append`: the rows loaded at the watermark, by file and hash, in the order they came.
//!
//! They can be as many as the rows of the table, so they are never in memory together. A file that is read again shows
//! its rows in the order it showed them before, as a rule: then one look at the next of them answers. Where it does not,
//! what is left of all of them is counted by hash in a temporary table.

use crate::failure::to;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    Error, Result,
    state::{BoundaryChange, Memory},
};
use rusqlite::{Connection, params};
use std::collections::{HashMap, VecDeque};

/// Rows looked up at once.
const AHEAD: i64 = 4096;

/// The rows of one pipeline within one transaction.
pub(crate) struct Boundary<'a> {
    db: &'a Connection,
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
    pub(crate) fn new(db: &'a Connection, pipeline: &'a str) -> Result<Self> {
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
        let fail = to("look for a row at the watermark");
        let taken = crash::at(Point::Boundary, || {
            self.db
                .prepare_cached(
                    "UPDATE temp.floodmark_boundary SET rows = rows - 1 WHERE hash = ?1 AND file = (
                       SELECT file FROM temp.floodmark_boundary
                       WHERE hash = ?1 AND (?2 IS NULL OR file = ?2) AND rows > 0 LIMIT 1)",
                )
                .and_then(|mut s| s.execute(params![hash.to_be_bytes(), file]))
                .map_err(fail)
        })?;
        Ok(taken > 0)
    }

    /// Takes in what has changed.
    pub(crate) fn change(&mut self, change: &BoundaryChange) -> Result<()> {
        if change.anew {
            // What earlier transactions left is still asked for: it goes at the end.
            self.delete("id > ?2")?;
            (self.last, self.passed) = (self.before, true);
        }
        let mut insert = insert(self.db)?;
        for (file, hash) in &change.added {
            self.last += 1;
            crash::at(Point::Boundary, || {
                insert
                    .execute(params![self.pipeline, self.last, &**file, hash.to_be_bytes()])
                    .map_err(to("write the rows at the watermark"))
            })?;
        }
        Ok(())
    }

    /// Takes in the last of it.
    pub(crate) fn finish(mut self, change: &BoundaryChange) -> Result<()> {
        self.change(change)?;
        if self.passed { self.delete("id <= ?2") } else { Ok(()) }
    }

    fn delete(&self, which: &str) -> Result<()> {
        let sql = format!("DELETE FROM _floodmark_boundary WHERE pipeline = ?1 AND {which}");
        crash::at(Point::Boundary, || {
            self.db
                .execute(&sql, params![self.pipeline, self.before])
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
                    "DROP TABLE IF EXISTS temp.floodmark_boundary;
                     DROP TABLE IF EXISTS temp.floodmark_met;
                     CREATE TEMP TABLE floodmark_boundary (
                       hash BLOB, file TEXT, rows INTEGER, PRIMARY KEY (hash, file)) WITHOUT ROWID;
                     CREATE TEMP TABLE floodmark_met (file TEXT PRIMARY KEY, id INTEGER) WITHOUT ROWID;",
                )
                .map_err(&fail)
        })?;
        for (file, ahead) in files {
            crash::at(Point::Boundary, || {
                self.db
                    .execute("INSERT INTO temp.floodmark_met VALUES (?1, ?2)", params![file, ahead.met])
                    .map_err(&fail)
            })?;
        }
        crash::at(Point::Boundary, || {
            self.db
                .execute(
                    "INSERT INTO temp.floodmark_boundary
                     SELECT hash, b.file, count(*) FROM _floodmark_boundary b LEFT JOIN temp.floodmark_met m USING (file)
                     WHERE pipeline = ?1 AND b.id <= ?2 AND b.id > coalesce(m.id, 0) GROUP BY hash, b.file",
                    params![self.pipeline, self.before],
                )
                .map_err(&fail)
        })?;
        self.earlier = Earlier::Counted;
        Ok(())
    }
}

/// The highest number of a pipeline's rows, 0 where there is none.
fn highest(db: &Connection, pipeline: &str) -> Result<i64> {
    db.query_row("SELECT coalesce(max(id), 0) FROM _floodmark_boundary WHERE pipeline = ?1", [pipeline], |r| r.get(0))
        .map_err(to("read the rows at the watermark"))
}

fn insert(db: &Connection) -> Result<rusqlite::CachedStatement<'_>> {
    db.prepare_cached("INSERT INTO _floodmark_boundary VALUES (?1, ?2, ?3, ?4)")
        .map_err(to("write the rows at the watermark"))
}

/// A file's rows behind number `met`.
fn next(db: &Connection, pipeline: &str, file: &str, met: i64, before: i64) -> Result<VecDeque<(i64, u128)>> {
    let fail = to("read the rows at the watermark");
    let mut select = db
        .prepare_cached(
            "SELECT id, hash FROM _floodmark_boundary
             WHERE pipeline = ?1 AND id > ?2 AND id <= ?3 AND file = ?4 ORDER BY id LIMIT ?5",
        )
        .map_err(&fail)?;
    let mut rows = select.query(params![pipeline, met, before, file, AHEAD]).map_err(&fail)?;
    let mut out = VecDeque::new();
    while let Some(row) = rows.next().map_err(&fail)? {
        let (id, hash): (i64, Vec<u8>) = row.try_into().map_err(&fail)?;
        out.push_back((id, number(&hash)?));
    }
    Ok(out)
}

/// Hands on the hashes of all rows of a pipeline.
pub(crate) fn each(db: &Connection, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()> {
    let fail = to("read the rows at the watermark");
    let mut select =
        db.prepare("SELECT hash FROM _floodmark_boundary WHERE pipeline = ?1 ORDER BY id").map_err(&fail)?;
    let mut rows = select.query([pipeline]).map_err(&fail)?;
    while let Some(row) = rows.next().map_err(&fail)? {
        take(number(&row.get::<_, Vec<u8>>(0).map_err(&fail)?)?);
    }
    Ok(())
}

/// A hash out of its bytes.
fn number(hash: &[u8]) -> Result<u128> {
    let bytes = <[u8; 16]>::try_from(hash).map_err(|_| damaged(&format!("{hash:02x?}")))?;
    Ok(u128::from_be_bytes(bytes))
}

/// Puts a row there that was exported as its file and the digits of its hash.
pub(crate) fn import(db: &Connection, pipeline: &str, key: &[String]) -> Result<()> {
    let (file, hash) = parse(key)?;
    let id = highest(db, pipeline)? + 1;
    let mut insert = insert(db)?;
    crash::at(Point::Boundary, || {
        insert.execute(params![pipeline, id, file, hash.to_be_bytes()]).map_err(to("write the rows at the watermark"))
    })?;
    Ok(())
}

/// The file and the hash of a row as it is exported.
pub(crate) fn parse(key: &[String]) -> Result<(&str, u128)> {
    Memory::row(key).ok_or_else(|| damaged(&format!("{key:?}")))
}

fn damaged(what: &str) -> Error {
    floodmark_connect::kept::damaged("a row at the watermark,", what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state;
    use proptest::prelude::*;

    const FILES: [&str; 3] = ["a.csv", "b.csv", "c.csv"];

    #[derive(Debug, Clone)]
    enum Step {
        Ask(Option<usize>, u128),
        Change(bool, Vec<(usize, u128)>),
    }

    fn rows() -> impl Strategy<Value = Vec<(usize, u128)>> {
        prop::collection::vec((0..3usize, 0..4u128), 0..8)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (prop::option::weighted(0.8, 0..3usize), 0..4u128).prop_map(|(file, hash)| Step::Ask(file, hash)),
            1 => (any::<bool>(), rows()).prop_map(|(anew, rows)| Step::Change(anew, rows)),
        ]
    }

    fn named(rows: &[(usize, u128)]) -> Vec<(std::sync::Arc<str>, u128)> {
        rows.iter().map(|(file, hash)| (FILES[*file].into(), *hash)).collect()
    }

    fn kept(db: &Connection) -> Vec<(String, u128)> {
        let mut all: Vec<_> = FILES
            .iter()
            .flat_map(|file| {
                next(db, "p", file, 0, i64::MAX).unwrap().into_iter().map(|(_, h)| ((*file).to_owned(), h))
            })
            .collect();
        all.sort();
        all
    }

    proptest! {
        /// Each row that is there before answers to one question, whatever is asked in which order and changed meanwhile;
        /// and what stays is what the changes say.
        #[test]
        fn every_row_answers_once(before in rows(), other in rows(), steps in prop::collection::vec(step(), 0..24)) {
            let db = Connection::open_in_memory().unwrap();
            state::create(&db).unwrap();
            for (pipeline, rows) in [("p", &before), ("q", &other)] {
                let change = BoundaryChange { anew: true, added: named(rows) };
                Boundary::new(&db, pipeline).unwrap().finish(&change).unwrap();
            }
            let (mut left, mut stays) = (before.clone(), before);
            let mut boundary = Boundary::new(&db, "p").unwrap();
            for step in steps {
                match step {
                    Step::Ask(file, hash) => {
                        let at = left.iter().position(|(f, h)| *h == hash && file.is_none_or(|file| file == *f));
                        let answer = boundary.loaded(file.map(|f| FILES[f]), hash).unwrap();
                        prop_assert_eq!(answer, at.is_some());
                        // Of several files that hold the row, which one answered shows in what is left of it.
                        if let (None, true) = (file, answer) {
                            let taken = |f: &usize| {
                                let sql = "SELECT coalesce(sum(rows), 0) FROM temp.floodmark_boundary WHERE hash = ?1 AND file = ?2";
                                let n: i64 = db.query_row(sql, params![hash.to_be_bytes(), FILES[*f]], |r| r.get(0)).unwrap();
                                (n as usize) < left.iter().filter(|row| **row == (*f, hash)).count()
                            };
                            let file = (0..3).find(taken).unwrap();
                            let at = left.iter().position(|row| *row == (file, hash)).unwrap();
                            left.remove(at);
                        } else if let Some(at) = at {
                            left.remove(at);
                        }
                    }
                    Step::Change(anew, rows) => {
                        if anew {
                            stays.clear();
                        }
                        stays.extend(rows.iter().copied());
                        boundary.change(&BoundaryChange { anew, added: named(&rows) }).unwrap();
                    }
                }
            }
            boundary.finish(&BoundaryChange::default()).unwrap();
            let mut expected: Vec<(String, u128)> = stays.iter().map(|(f, h)| (FILES[*f].to_owned(), *h)).collect();
            expected.sort();
            prop_assert_eq!(kept(&db), expected);
            prop_assert_eq!(highest(&db, "q").unwrap(), other.len() as i64);
        }
    }
}
