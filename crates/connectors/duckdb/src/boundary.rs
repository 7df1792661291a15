//! Rows loaded at the watermark, as DuckDB keeps them.

use crate::{
    failure::to,
    link::{Db, Into, List},
    tuples,
};
use floodmark_connect::{
    boundary::{self, Rows, Which},
    crash::{self, Point},
};
use floodmark_core::{DataType, Error, Result};
use std::{collections::VecDeque, sync::Arc};

/// Numbers that are looked through at once for a file's next rows, and rows written at once.
const AHEAD: i64 = 65_536;
const AT_ONCE: usize = 20_000;

/// Rows that are read at once where all of them are: each reading goes through the whole table, which has no index.
const AT_ONCE_READ: i64 = 500_000;

/// Those of one pipeline.
pub(crate) struct Kept<'a> {
    pub(crate) db: &'a Db,
    pub(crate) pipeline: &'a str,
}

/// Those of one pipeline within one transaction.
pub(crate) type Boundary<'a> = boundary::Boundary<Kept<'a>>;

impl Rows for Kept<'_> {
    fn highest(&self) -> Result<i64> {
        self.db
            .query_one("SELECT coalesce(max(id), 0) FROM _floodmark_boundary WHERE pipeline = $1", &[&self.pipeline])
            .and_then(|row| row.try_get(0))
            .map_err(to("read the rows at the watermark"))
    }

    fn next(&self, file: &str, passed: i64, last: i64) -> Result<(VecDeque<(i64, u128)>, i64)> {
        let fail = to("read the rows at the watermark");
        let until = passed.saturating_add(AHEAD).min(last);
        let rows = self
            .db
            .query(
                "SELECT id, hash FROM _floodmark_boundary
                 WHERE pipeline = $1 AND id > $2 AND id <= $3 AND file = $4 ORDER BY id",
                &[&self.pipeline, &passed, &until, &file],
            )
            .map_err(&fail)?;
        let mut out = VecDeque::with_capacity(rows.len());
        for row in &rows {
            let (id, hash): (i64, Vec<u8>) = row.try_get(0).and_then(|id| Ok((id, row.try_get(1)?))).map_err(&fail)?;
            out.push_back((id, boundary::hash(&hash)?));
        }
        if !out.is_empty() {
            return Ok((out, until));
        }
        // The rows of a file lie together, and others may lie before them.
        let next = "SELECT coalesce(min(id) - 1, $2) FROM _floodmark_boundary
             WHERE pipeline = $1 AND id > $3 AND id <= $2 AND file = $4";
        let found = self.db.query_one(next, &[&self.pipeline, &last, &until, &file]);
        Ok((out, found.and_then(|row| row.try_get(0)).map_err(&fail)?))
    }

    fn count(&self, before: i64, met: &[(&str, i64)]) -> Result<()> {
        let fail = to("count the rows at the watermark");
        crash::at(Point::Boundary, || {
            self.db
                .execute_batch(
                    "CREATE OR REPLACE TEMPORARY TABLE _floodmark_at_mark (hash BLOB, file VARCHAR, rows BIGINT)",
                )
                .map_err(&fail)
        })?;
        let (files, ids): (Vec<&str>, Vec<i64>) = met.iter().copied().unzip();
        crash::at(Point::Boundary, || {
            self.db
                .execute(
                    "INSERT INTO temp._floodmark_at_mark
                     SELECT b.hash, b.file, count(*) FROM _floodmark_boundary b
                     LEFT JOIN (SELECT unnest($3::text[]) AS file, unnest($4::bigint[]) AS id) m ON m.file = b.file
                     WHERE b.pipeline = $1 AND b.id <= $2 AND b.id > coalesce(m.id, 0) GROUP BY b.hash, b.file",
                    &[&self.pipeline, &before, &List(&files), &List(&ids)],
                )
                .map_err(&fail)
        })?;
        Ok(())
    }

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

    fn write(&self, mut last: i64, rows: &[(Arc<str>, u128)]) -> Result<()> {
        for part in rows.chunks(AT_ONCE) {
            let files: Vec<&str> = part.iter().map(|(file, _)| &**file).collect();
            let hashes: Vec<Vec<u8>> = part.iter().map(|(_, hash)| hash.to_be_bytes().to_vec()).collect();
            crash::at(Point::Boundary, || {
                self.db
                    .execute(
                        "INSERT INTO _floodmark_boundary
                         SELECT $1, $2 + generate_subscripts($3::text[], 1), unnest($3::text[]), unnest($4::blob[])",
                        &[&self.pipeline, &last, &List(&files), &List(&hashes)],
                    )
                    .map_err(to("write the rows at the watermark"))
            })?;
            last += part.len() as i64;
        }
        Ok(())
    }

    fn delete(&self, which: Which, before: i64) -> Result<()> {
        let sql = format!("DELETE FROM _floodmark_boundary WHERE pipeline = $1 AND id {} $2", which.compared());
        crash::at(Point::Boundary, || {
            self.db.execute(&sql, &[&self.pipeline, &before]).map_err(to("forget the rows at an earlier watermark"))
        })?;
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
            take(boundary::hash(&hash)?);
        }
        if (rows.len() as i64) < AT_ONCE_READ {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instance::Instance, state};
    use floodmark_core::state::BoundaryChange;
    use proptest::prelude::*;

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
            vec![(file, boundary::hash(&hash).unwrap()); row.try_get::<i64>(2).unwrap() as usize]
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
            Boundary::new(Kept { db: &db, pipeline: "p" }).unwrap().finish(&change).unwrap();
            let (mut left, mut stays) = (before.clone(), before);
            let mut boundary = Boundary::new(Kept { db: &db, pipeline: "p" }).unwrap();
            for step in steps {
                match step {
                    Step::Ask(file, hashes) => {
                        let answers = boundary.loaded(file.map(|f| FILES[f]), &hashes).unwrap();
                        let expected = hashes.iter().map(|hash| {
                            let at = left.iter().position(|(f, h)| h == hash && file.is_none_or(|file| file == *f));
                            at.map(|at| left.remove(at)).is_some()
                        });
                        prop_assert_eq!(answers, expected.collect::<Vec<_>>());
                        if boundary.is_counted() {
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
        Boundary::new(Kept { db: &db, pipeline: "p" }).unwrap().finish(&BoundaryChange { anew: true, added }).unwrap();
        for name in ["a", "b"] {
            let mut boundary = Boundary::new(Kept { db: &db, pipeline: "p" }).unwrap();
            let all: Vec<u128> = (0..rows).filter(|n| file(*n) == name).collect();
            for part in all.chunks(50_000) {
                assert_eq!(boundary.loaded(Some(name), part).unwrap(), vec![true; part.len()]);
            }
            assert_eq!(boundary.loaded(Some(name), &[7]).unwrap(), [false]);
            assert!(!boundary.is_counted());
        }
        // In another order: one look for each would take minutes.
        let mut boundary = Boundary::new(Kept { db: &db, pipeline: "p" }).unwrap();
        let all: Vec<u128> = (0..rows).rev().collect();
        for part in all.chunks(50_000) {
            assert_eq!(boundary.loaded(None, part).unwrap(), vec![true; part.len()]);
        }
        assert_eq!(boundary.loaded(None, &[7, rows]).unwrap(), [false, false]);
    }
}
