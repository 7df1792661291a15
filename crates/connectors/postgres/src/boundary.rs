//! Rows loaded at the watermark, as PostgreSQL keeps them.

use crate::{failure::to, link::Db};
use floodmark_connect::{
    boundary::{self, AHEAD, Rows, Which},
    crash::{self, Point},
};
use floodmark_core::Result;
use std::{collections::VecDeque, sync::Arc};

/// Rows written at once.
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

    fn next(&self, file: &str, met: i64, before: i64) -> Result<VecDeque<(i64, u128)>> {
        let fail = to("read the rows at the watermark");
        let rows = self
            .db
            .query(
                "SELECT id, hash FROM _floodmark_boundary
                 WHERE pipeline = $1 AND id > $2 AND id <= $3 AND file = $4 ORDER BY id LIMIT $5",
                &[&self.pipeline, &met, &before, &file, &AHEAD],
            )
            .map_err(&fail)?;
        let mut out = VecDeque::new();
        for row in &rows {
            let (id, hash): (i64, Vec<u8>) = row.try_get(0).and_then(|id| Ok((id, row.try_get(1)?))).map_err(&fail)?;
            out.push_back((id, boundary::hash(&hash)?));
        }
        Ok(out)
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

    fn take(&self, file: Option<&str>, hash: u128) -> Result<bool> {
        let taken = crash::at(Point::Boundary, || {
            self.db
                .execute(
                    "UPDATE pg_temp._floodmark_at_mark SET rows = rows - 1 WHERE ctid = (
                       SELECT ctid FROM pg_temp._floodmark_at_mark
                       WHERE hash = $1 AND ($2::text IS NULL OR file = $2) AND rows > 0 LIMIT 1)",
                    &[&hash.to_be_bytes().as_slice(), &file],
                )
                .map_err(to("look for a row at the watermark"))
        })?;
        Ok(taken > 0)
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
