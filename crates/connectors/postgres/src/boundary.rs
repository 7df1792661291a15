//! Rows loaded at the watermark, as PostgreSQL keeps them.

use crate::{failure::to, link::Db};
use floodmark_connect::{
    boundary::{self, Rows, Which},
    crash::{self, Point},
};
use floodmark_core::{Error, Result};
use std::{collections::VecDeque, sync::Arc};

/// Rows looked up at once, and rows written at once.
const AHEAD: i64 = 4096;
const AT_ONCE: usize = 20_000;

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
        let rows = self
            .db
            .query(
                "SELECT id, hash FROM _floodmark_boundary
                 WHERE pipeline = $1 AND id > $2 AND id <= $3 AND file = $4 ORDER BY id LIMIT $5",
                &[&self.pipeline, &passed, &last, &file, &AHEAD],
            )
            .map_err(&fail)?;
        let mut out = VecDeque::with_capacity(rows.len());
        for row in &rows {
            let (id, hash): (i64, Vec<u8>) = row.try_get(0).and_then(|id| Ok((id, row.try_get(1)?))).map_err(&fail)?;
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
                    "DROP TABLE IF EXISTS pg_temp._floodmark_at_mark;
                     CREATE TEMPORARY TABLE _floodmark_at_mark (
                       hash bytea, file text, rows bigint, PRIMARY KEY (hash, file)) ON COMMIT DROP",
                )
                .map_err(&fail)
        })?;
        let (files, ids): (Vec<&str>, Vec<i64>) = met.iter().copied().unzip();
        crash::at(Point::Boundary, || {
            self.db
                .execute(
                    "INSERT INTO pg_temp._floodmark_at_mark
                     SELECT b.hash, b.file, count(*) FROM _floodmark_boundary b
                     LEFT JOIN unnest($3::text[], $4::bigint[]) m(file, id) ON m.file = b.file
                     WHERE b.pipeline = $1 AND b.id <= $2 AND b.id > coalesce(m.id, 0) GROUP BY b.hash, b.file",
                    &[&self.pipeline, &before, &files, &ids],
                )
                .map_err(&fail)
        })?;
        Ok(())
    }

    fn take(&self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        let fail = to("look for rows at the watermark");
        let bytes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_be_bytes().to_vec()).collect();
        // Of what is counted: how many of its hash stand before it. Of what is at hand: which copy of its hash it is.
        let rows = crash::at(Point::Boundary, || {
            self.db
                .query(
                    "WITH hand AS (
                       SELECT hash, nth, row_number() OVER (PARTITION BY hash ORDER BY nth) AS copy
                       FROM unnest($1::bytea[]) WITH ORDINALITY h(hash, nth)),
                     met AS (
                       SELECT ctid AS place, hash, rows, sum(rows) OVER (PARTITION BY hash ORDER BY file) - rows AS before
                       FROM pg_temp._floodmark_at_mark
                       WHERE rows > 0 AND ($2::text IS NULL OR file = $2) AND hash IN (SELECT hash FROM hand)),
                     taken AS (
                       UPDATE pg_temp._floodmark_at_mark m SET rows = m.rows - least(met.rows, a.copies - met.before)
                       FROM met JOIN (SELECT hash, count(*) AS copies FROM hand GROUP BY hash) a ON a.hash = met.hash
                       WHERE m.ctid = met.place AND a.copies > met.before)
                     SELECT hand.nth FROM hand JOIN (SELECT hash, sum(rows) AS rows FROM met GROUP BY hash) m
                       ON m.hash = hand.hash AND hand.copy <= m.rows",
                    &[&bytes, &file],
                )
                .map_err(&fail)
        })?;
        let mut out = vec![false; hashes.len()];
        for row in &rows {
            let nth: i64 = row.try_get(0).map_err(&fail)?;
            let place = usize::try_from(nth - 1).ok().and_then(|nth| out.get_mut(nth));
            *place.ok_or_else(|| Error::internal("a row was met that was not asked for"))? = true;
        }
        Ok(out)
    }

    fn write(&self, mut last: i64, rows: &[(Arc<str>, u128)]) -> Result<()> {
        for part in rows.chunks(AT_ONCE) {
            let files: Vec<&str> = part.iter().map(|(file, _)| &**file).collect();
            let hashes: Vec<Vec<u8>> = part.iter().map(|(_, hash)| hash.to_be_bytes().to_vec()).collect();
            crash::at(Point::Boundary, || {
                self.db
                    .execute(
                        "INSERT INTO _floodmark_boundary SELECT $1, $2 + r.n, r.file, r.hash
                         FROM unnest($3::text[], $4::bytea[]) WITH ORDINALITY r(file, hash, n)",
                        &[&self.pipeline, &last, &files, &hashes],
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
                &[&pipeline, &met, &AHEAD],
            )
            .map_err(&fail)?;
        for row in &rows {
            let (id, hash): (i64, Vec<u8>) = row.try_get(0).and_then(|id| Ok((id, row.try_get(1)?))).map_err(&fail)?;
            met = id;
            take(boundary::hash(&hash)?);
        }
        if (rows.len() as i64) < AHEAD {
            return Ok(());
        }
    }
}
