//! Rows loaded at the watermark, as SQLite keeps them.

use crate::failure::to;
use floodmark_connect::{
    boundary::{self, Rows, Which},
    crash::{self, Point},
};
use floodmark_core::Result;
use rusqlite::{Connection, params};
use std::{collections::VecDeque, sync::Arc};

/// Rows looked up at once.
const AHEAD: i64 = 4096;

/// Those of one pipeline.
pub(crate) struct Kept<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) pipeline: &'a str,
}

/// Those of one pipeline within one transaction.
pub(crate) type Boundary<'a> = boundary::Boundary<Kept<'a>>;

impl Rows for Kept<'_> {
    fn highest(&self) -> Result<i64> {
        let sql = "SELECT coalesce(max(id), 0) FROM _floodmark_boundary WHERE pipeline = ?1";
        self.db.query_row(sql, [self.pipeline], |row| row.get(0)).map_err(to("read the rows at the watermark"))
    }

    fn next(&self, file: &str, passed: i64, last: i64) -> Result<(VecDeque<(i64, u128)>, i64)> {
        let fail = to("read the rows at the watermark");
        let mut select = self
            .db
            .prepare_cached(
                "SELECT id, hash FROM _floodmark_boundary
                 WHERE pipeline = ?1 AND id > ?2 AND id <= ?3 AND file = ?4 ORDER BY id LIMIT ?5",
            )
            .map_err(&fail)?;
        let mut rows = select.query(params![self.pipeline, passed, last, file, AHEAD]).map_err(&fail)?;
        let mut out = VecDeque::new();
        while let Some(row) = rows.next().map_err(&fail)? {
            let (id, hash): (i64, Vec<u8>) = row.try_into().map_err(&fail)?;
            out.push_back((id, boundary::hash(&hash)?));
        }
        let end = out.back().filter(|_| out.len() as i64 == AHEAD).map_or(last, |(id, _)| *id);
        Ok((out, end))
    }

    fn count(&self, before: i64, met: &[(&str, i64)]) -> Result<()> {
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
        for (file, id) in met {
            crash::at(Point::Boundary, || {
                self.db.execute("INSERT INTO temp.floodmark_met VALUES (?1, ?2)", params![file, id]).map_err(&fail)
            })?;
        }
        crash::at(Point::Boundary, || {
            self.db
                .execute(
                    "INSERT INTO temp.floodmark_boundary
                     SELECT hash, b.file, count(*) FROM _floodmark_boundary b LEFT JOIN temp.floodmark_met m USING (file)
                     WHERE pipeline = ?1 AND b.id <= ?2 AND b.id > coalesce(m.id, 0) GROUP BY hash, b.file",
                    params![self.pipeline, before],
                )
                .map_err(&fail)
        })?;
        Ok(())
    }

    fn take(&self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        let fail = to("look for a row at the watermark");
        let mut update = self
            .db
            .prepare_cached(
                "UPDATE temp.floodmark_boundary SET rows = rows - 1 WHERE hash = ?1 AND file = (
                   SELECT file FROM temp.floodmark_boundary
                   WHERE hash = ?1 AND (?2 IS NULL OR file = ?2) AND rows > 0 LIMIT 1)",
            )
            .map_err(&fail)?;
        let mut take = |hash: &u128| {
            let taken =
                crash::at(Point::Boundary, || update.execute(params![hash.to_be_bytes(), file]).map_err(&fail))?;
            Ok(taken > 0)
        };
        hashes.iter().map(&mut take).collect()
    }

    fn write(&self, last: i64, rows: &[(Arc<str>, u128)]) -> Result<()> {
        let fail = to("write the rows at the watermark");
        let sql = "INSERT INTO _floodmark_boundary VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.db.prepare_cached(sql).map_err(&fail)?;
        for ((file, hash), id) in rows.iter().zip(last + 1..) {
            crash::at(Point::Boundary, || {
                insert.execute(params![self.pipeline, id, &**file, hash.to_be_bytes()]).map_err(&fail)
            })?;
        }
        Ok(())
    }

    fn delete(&self, which: Which, before: i64) -> Result<()> {
        let sql = format!("DELETE FROM _floodmark_boundary WHERE pipeline = ?1 AND id {} ?2", which.compared());
        crash::at(Point::Boundary, || {
            self.db.execute(&sql, params![self.pipeline, before]).map_err(to("forget the rows at an earlier watermark"))
        })?;
        Ok(())
    }
}

/// Hands on the hashes of all rows of a pipeline.
pub(crate) fn each(db: &Connection, pipeline: &str, take: &mut dyn FnMut(u128)) -> Result<()> {
    let fail = to("read the rows at the watermark");
    let mut select =
        db.prepare("SELECT hash FROM _floodmark_boundary WHERE pipeline = ?1 ORDER BY id").map_err(&fail)?;
    let mut rows = select.query([pipeline]).map_err(&fail)?;
    while let Some(row) = rows.next().map_err(&fail)? {
        take(boundary::hash(&row.get::<_, Vec<u8>>(0).map_err(&fail)?)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state;
    use floodmark_core::state::BoundaryChange;
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
                Kept { db, pipeline: "p" }
                    .next(file, 0, i64::MAX)
                    .unwrap()
                    .0
                    .into_iter()
                    .map(|(_, h)| ((*file).to_owned(), h))
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
                Boundary::new(Kept { db: &db, pipeline }).unwrap().finish(&change).unwrap();
            }
            let (mut left, mut stays) = (before.clone(), before);
            let mut boundary = Boundary::new(Kept { db: &db, pipeline: "p" }).unwrap();
            for step in steps {
                match step {
                    Step::Ask(file, hash) => {
                        let at = left.iter().position(|(f, h)| *h == hash && file.is_none_or(|file| file == *f));
                        let answer = boundary.loaded(file.map(|f| FILES[f]), &[hash]).unwrap() == [true];
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
            prop_assert_eq!(Kept { db: &db, pipeline: "q" }.highest().unwrap(), other.len() as i64);
        }
    }
}
