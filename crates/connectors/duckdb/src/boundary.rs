//! `append`: the rows loaded at the watermark, by file and hash, in the order they came.
//!
//! They can be as many as the rows of the table, so they are never in memory together. A file that is read again shows
//! its rows in the order it showed them before, as a rule: then one look at the next of them answers. Where it does not,
//! what is left of all of them is counted by hash in a temporary table, and a batch's rows are looked for there together.

use crate::{
    failure::to,
    link::{Db, Into, List},
    tuples,
};
use floodmark_connect::crash::{self, Point};
use floodmark_core::{
    DataType, Error, Result,
    state::{BoundaryChange, Memory},
};
use std::collections::{HashMap, VecDeque};

/// Numbers that are looked through at once for a file's next rows, and rows written at once.
const AHEAD: i64 = 65_536;
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
    /// The number up to which they were looked for.
    passed: i64,
}

impl<'a> Boundary<'a> {
    pub(crate) fn new(db: &'a Db, pipeline: &'a str) -> Result<Self> {
        let before = highest(db, pipeline)?;
        let earlier = Earlier::InOrder(HashMap::new());
        Ok(Boundary { db, pipeline, before, last: before, passed: false, earlier })
    }

    /// Whether an earlier run loaded the row, out of the file or, where none is named, out of any.
    pub(crate) fn loaded(&mut self, file: Option<&str>, hash: u128) -> Result<bool> {
        Ok(self.all_loaded(file, &[hash])? == [true])
    }

    /// The same of several rows, one after the other.
    pub(crate) fn all_loaded(&mut self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        let mut out = Vec::with_capacity(hashes.len());
        if let (Earlier::InOrder(files), Some(file)) = (&mut self.earlier, file) {
            let ahead = files.entry(file.to_owned()).or_default();
            while let Some(hash) = hashes.get(out.len()) {
                ahead.look(self.db, self.pipeline, file, self.before)?;
                match ahead.next.front() {
                    Some((id, expected)) if expected == hash => {
                        ahead.met = *id;
                        ahead.next.pop_front();
                        out.push(true);
                    }
                    None => out.push(false),
                    Some(_) => break,
                }
            }
        }
        let rest = &hashes[out.len()..];
        if !rest.is_empty() {
            self.count()?;
            out.extend(self.take(file, rest)?);
        }
        Ok(out)
    }

    /// Which of these rows are among the counted ones: each takes one of its hash, for as long as there are any.
    fn take(&self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        let (db, fail) = (self.db, to("look for rows at the watermark"));
        let columns = [("nth", DataType::BigInt), ("hash", DataType::Bytes)];
        crash::at(Point::Boundary, || {
            let make = "CREATE OR REPLACE TEMPORARY TABLE _floodmark_at_hand (nth BIGINT, hash BLOB)";
            db.execute_batch(make).map_err(&fail)?;
            db.copy_in(&Into::Temporary("_floodmark_at_hand"), &columns, |writer| {
                for (nth, hash) in (0_i64..).zip(hashes) {
                    let out = writer.row(columns.len())?;
                    tuples::put(out, Some(&nth.to_be_bytes()));
                    tuples::put(out, Some(&hash.to_be_bytes()));
                }
                Ok(())
            })
        })?;
        // Of what is counted: how many of its hash stand before it. Of what is at hand: how many came before it.
        crash::at(Point::Boundary, || {
            db.execute(
                "CREATE OR REPLACE TEMPORARY TABLE _floodmark_met AS
                 SELECT m.rowid AS place, m.hash, m.rows,
                   sum(m.rows) OVER (PARTITION BY m.hash ORDER BY m.rowid)::BIGINT - m.rows AS before
                 FROM temp._floodmark_at_mark m
                 WHERE m.rows > 0 AND ($1::text IS NULL OR m.file = $1)
                   AND m.hash IN (SELECT hash FROM temp._floodmark_at_hand)",
                &[&file],
            )
            .map_err(&fail)
        })?;
        let rows = db
            .query(
                "SELECT a.nth FROM (
                   SELECT nth, hash, row_number() OVER (PARTITION BY hash ORDER BY nth) AS copy FROM temp._floodmark_at_hand
                 ) a JOIN (SELECT hash, sum(rows) AS rows FROM temp._floodmark_met GROUP BY hash) m
                   ON m.hash = a.hash AND a.copy <= m.rows",
                &[],
            )
            .map_err(&fail)?;
        let mut out = vec![false; hashes.len()];
        for row in &rows {
            let nth: i64 = row.try_get(0).map_err(&fail)?;
            let place = usize::try_from(nth).ok().and_then(|nth| out.get_mut(nth));
            *place.ok_or_else(|| Error::internal("a row was met that was not asked for"))? = true;
        }
        crash::at(Point::Boundary, || {
            db.execute(
                "UPDATE temp._floodmark_at_mark m SET rows = m.rows - least(t.rows, a.copies - t.before)
                 FROM temp._floodmark_met t
                 JOIN (SELECT hash, count(*) AS copies FROM temp._floodmark_at_hand GROUP BY hash) a ON a.hash = t.hash
                 WHERE m.rowid = t.place AND a.copies > t.before",
                &[],
            )
            .map_err(&fail)
        })?;
        Ok(out)
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

impl Ahead {
    /// Looks for a file's next rows, where none is known, among those up to number `last`.
    fn look(&mut self, db: &Db, pipeline: &str, file: &str, last: i64) -> Result<()> {
        let fail = to("read the rows at the watermark");
        while self.next.is_empty() && self.passed < last {
            let until = self.passed.saturating_add(AHEAD).min(last);
            let rows = db
                .query(
                    "SELECT id, hash FROM _floodmark_boundary
                     WHERE pipeline = $1 AND id > $2 AND id <= $3 AND file = $4 ORDER BY id",
                    &[&pipeline, &self.passed, &until, &file],
                )
                .map_err(&fail)?;
            for row in &rows {
                let (id, hash): (i64, Vec<u8>) =
                    row.try_get(0).and_then(|id| Ok((id, row.try_get(1)?))).map_err(&fail)?;
                self.next.push_back((id, number(&hash)?));
            }
            self.passed = until;
            if rows.is_empty() {
                // The rows of a file lie together, and others may lie before them.
                let next = "SELECT coalesce(min(id) - 1, $2) FROM _floodmark_boundary
                     WHERE pipeline = $1 AND id > $3 AND id <= $2 AND file = $4";
                self.passed = db
                    .query_one(next, &[&pipeline, &last, &until, &file])
                    .and_then(|row| row.try_get(0))
                    .map_err(&fail)?;
            }
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instance::Instance, state};
    use proptest::prelude::*;
    use std::sync::Arc;

    const FILES: [&str; 3] = ["a", "b", "c"];

    #[derive(Debug, Clone)]
    enum Step {
        Ask(Option<usize>, Vec<u128>),
        Change(bool, Vec<(usize, u128)>),
    }

    fn rows() -> impl Strategy<Value = Vec<(usize, u128)>> {
        prop::collection::vec((0..3usize, 0..5u128), 0..12)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (prop::option::of(0..3usize), prop::collection::vec(0..5u128, 0..8)).prop_map(|(f, h)| Step::Ask(f, h)),
            1 => (any::<bool>(), rows()).prop_map(|(anew, rows)| Step::Change(anew, rows)),
        ]
    }

    fn named(rows: &[(usize, u128)]) -> Vec<(Arc<str>, u128)> {
        rows.iter().map(|(file, hash)| (FILES[*file].into(), *hash)).collect()
    }

    /// What is left to answer, once it is counted.
    fn counted(db: &Db) -> Vec<(usize, u128)> {
        let rows = db.query("SELECT file, hash, rows FROM temp._floodmark_at_mark WHERE rows > 0", &[]).unwrap();
        let one = |row: &crate::link::Row| {
            let (file, hash): (String, Vec<u8>) = (row.try_get(0).unwrap(), row.try_get(1).unwrap());
            let file = FILES.iter().position(|f| *f == file).unwrap();
            vec![(file, number(&hash).unwrap()); row.try_get::<i64>(2).unwrap() as usize]
        };
        rows.iter().flat_map(one).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Each row that is there before answers to one question, whatever is asked in which order and changed meanwhile;
        /// and what stays is what the changes say.
        #[test]
        fn every_row_answers_once(before in rows(), steps in prop::collection::vec(step(), 0..12)) {
            let db = Db::connect(&Instance::in_memory(&[]).unwrap()).unwrap();
            state::create(&db).unwrap();
            let change = BoundaryChange { anew: true, added: named(&before) };
            Boundary::new(&db, "p").unwrap().finish(&change).unwrap();
            let (mut left, mut stays) = (before.clone(), before);
            let mut boundary = Boundary::new(&db, "p").unwrap();
            for step in steps {
                match step {
                    Step::Ask(file, hashes) => {
                        let answers = boundary.all_loaded(file.map(|f| FILES[f]), &hashes).unwrap();
                        let expected = hashes.iter().map(|hash| {
                            let at = left.iter().position(|(f, h)| h == hash && file.is_none_or(|file| file == *f));
                            at.map(|at| left.remove(at)).is_some()
                        });
                        prop_assert_eq!(answers, expected.collect::<Vec<_>>());
                        if matches!(boundary.earlier, Earlier::Counted) {
                            // Of several files that hold a row any may have answered.
                            let hashes = |rows: &[(usize, u128)]| {
                                let mut hashes: Vec<u128> = rows.iter().map(|(_, hash)| *hash).collect();
                                hashes.sort_unstable();
                                hashes
                            };
                            let found = counted(&db);
                            prop_assert_eq!(hashes(&found), hashes(&left));
                            left = found;
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
            let mut kept = Vec::new();
            each(&db, "p", &mut |hash| kept.push(hash)).unwrap();
            let mut expected: Vec<u128> = stays.iter().map(|(_, hash)| *hash).collect();
            kept.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(kept, expected);
        }
    }

    /// A file's rows are found one after the other, also where those of others lie between, and some of them lie far behind.
    #[test]
    fn a_file_meets_its_rows_in_their_order() {
        let db = Db::connect(&Instance::in_memory(&[]).unwrap()).unwrap();
        state::create(&db).unwrap();
        let rows = 200_000;
        let file = |n: u128| if n == 0 || n >= rows - 3 { "b" } else { "a" };
        let added = (0..rows).map(|n| (file(n).into(), n)).collect();
        Boundary::new(&db, "p").unwrap().finish(&BoundaryChange { anew: true, added }).unwrap();
        for name in ["a", "b"] {
            let mut boundary = Boundary::new(&db, "p").unwrap();
            let all: Vec<u128> = (0..rows).filter(|n| file(*n) == name).collect();
            for part in all.chunks(50_000) {
                assert_eq!(boundary.all_loaded(Some(name), part).unwrap(), vec![true; part.len()]);
            }
            assert!(!boundary.loaded(Some(name), 7).unwrap());
            assert!(matches!(boundary.earlier, Earlier::InOrder(_)));
        }
        // In another order: one look for each would take minutes.
        let mut boundary = Boundary::new(&db, "p").unwrap();
        let all: Vec<u128> = (0..rows).rev().collect();
        for part in all.chunks(50_000) {
            assert_eq!(boundary.all_loaded(None, part).unwrap(), vec![true; part.len()]);
        }
        assert_eq!(boundary.all_loaded(None, &[7, rows]).unwrap(), [false, false]);
    }
}
