//! Rows loaded at the watermark, as MySQL and MariaDB keep them.

use crate::{
    failure::to,
    link::{Db, Owned},
    literal::{self, text},
};
use floodmark_connect::{
    boundary::{self, Rows, Which},
    crash::{self, Point},
};
use floodmark_core::Result;
use std::{collections::VecDeque, sync::Arc};

/// Rows looked up at once.
const AHEAD: i64 = 4096;

/// Those of one pipeline.
pub(crate) struct Kept<'a> {
    pub(crate) db: &'a Db,
    pub(crate) pipeline: &'a str,
}

/// Those of one pipeline within one transaction.
pub(crate) type Boundary<'a> = boundary::Boundary<Kept<'a>>;

impl Rows for Kept<'_> {
    fn highest(&self) -> Result<i64> {
        let pipeline = text(self.pipeline);
        let sql = format!("SELECT coalesce(max(id), 0) FROM _floodmark_boundary WHERE pipeline = {pipeline}");
        let row = self.db.query_one(&sql).map_err(to("read the rows at the watermark"))?;
        Ok(row.number(0).unwrap_or_default())
    }

    fn next(&self, file: &str, passed: i64, last: i64) -> Result<(VecDeque<(i64, u128)>, i64)> {
        let sql = format!(
            "SELECT id, hash FROM _floodmark_boundary
             WHERE pipeline = {} AND id > {passed} AND id <= {last} AND file = {} ORDER BY id LIMIT {AHEAD}",
            text(self.pipeline),
            text(file)
        );
        let rows = self.db.query(&sql).map_err(to("read the rows at the watermark"))?;
        let out: VecDeque<(i64, u128)> = rows.iter().map(numbered).collect::<Result<_>>()?;
        let end = out.back().filter(|_| out.len() as i64 == AHEAD).map_or(last, |(id, _)| *id);
        Ok((out, end))
    }

    fn count(&self, before: i64, met: &[(&str, i64)]) -> Result<()> {
        let met = met.iter().filter(|(_, id)| *id > 0);
        let met: Vec<String> = met.map(|(file, id)| format!("(file = {} AND id <= {id})", text(file))).collect();
        let left = if met.is_empty() { String::new() } else { format!(" AND NOT ({})", met.join(" OR ")) };
        let fill = format!(
            "INSERT INTO _floodmark_at_mark SELECT hash, file, count(*) FROM _floodmark_boundary
             WHERE pipeline = {} AND id <= {before}{left} GROUP BY hash, file",
            text(self.pipeline)
        );
        let make = format!(
            "CREATE TEMPORARY TABLE _floodmark_at_mark (hash binary(16), file longtext, `rows` bigint, KEY (hash))
             ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE {}",
            self.db.server.exact()
        );
        for sql in ["DROP TEMPORARY TABLE IF EXISTS _floodmark_at_mark", &make, &fill] {
            crash::at(Point::Boundary, || self.db.execute(sql).map_err(to("count the rows at the watermark")))?;
        }
        Ok(())
    }

    fn take(&self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        let of_file = file.map_or(String::new(), |file| format!(" AND file = {}", text(file)));
        let take = |hash: &u128| {
            let sql = format!(
                "UPDATE _floodmark_at_mark SET `rows` = `rows` - 1 WHERE hash = {}{of_file} AND `rows` > 0 LIMIT 1",
                literal::bytes(&hash.to_be_bytes())
            );
            let fail = to("look for a row at the watermark");
            let taken = crash::at(Point::Boundary, || self.db.execute(&sql).map_err(fail))?;
            Ok(taken.rows > 0)
        };
        hashes.iter().map(take).collect()
    }

    fn write(&self, last: i64, rows: &[(Arc<str>, u128)]) -> Result<()> {
        let values = rows.iter().zip(last + 1..).map(|((file, hash), id)| {
            format!("({}, {id}, {}, {})", text(self.pipeline), text(file), literal::bytes(&hash.to_be_bytes()))
        });
        crash::at(Point::Boundary, || {
            self.db
                .with_values("INSERT INTO _floodmark_boundary VALUES ", values, "")
                .map_err(to("write the rows at the watermark"))
        })?;
        Ok(())
    }

    fn delete(&self, which: Which, before: i64) -> Result<()> {
        let (pipeline, which) = (text(self.pipeline), which.compared());
        let sql = format!("DELETE FROM _floodmark_boundary WHERE pipeline = {pipeline} AND id {which} {before}");
        crash::at(Point::Boundary, || self.db.execute(&sql).map_err(to("forget the rows at an earlier watermark")))?;
        Ok(())
    }
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
    Ok((row.number(0).unwrap_or_default(), boundary::hash(row.bytes(1).unwrap_or_default())?))
}
