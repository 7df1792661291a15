//! `xmin`: rows that were written since a run, of tables that have no column to tell.
//!
//! # Why no row is missed
//!
//! Every version of a row has the number of the transaction that wrote it, its `xmin`. A run sees snapshot *S*, and keeps as
//! watermark *W* the lowest number of a transaction that was open in *S*, or the next one where none was. A row that *S* does
//! not show and that is committed later is of a transaction that was open in *S* or began after it: its number is not below
//! *W*. (That of a savepoint is above its transaction's; prepared transactions are open; a standby knows the numbers of its
//! primary.) The next run reads all rows from *W* on, *W* included.
//!
//! Numbers have 32 bits in rows, and 64 in snapshots. Of a row the number *c* is taken that ends in the row's bits and is
//! the highest below the next one, *N*. Where the row's true number is lower, by 2^32 or a multiple of it, *c* is above it: the
//! row may be read in vain, and is never missed, however long no run was. What `VACUUM` freezes keeps its number.
//!
//! Rows that are deleted leave nothing to read. Numbers do not tell which of two versions is newer, since a transaction with
//! a lower number can write last; but of a table each run sees one version of a row, and later runs later ones.

use crate::ddl::quote;
use floodmark_core::{
    Code, Error, Result, Value,
    pipeline::{Relation, XMIN},
};

/// How many numbers there are in a row's bits.
const ALL: i64 = 1 << 32;

/// Whether a cursor of that name is this one.
pub(crate) fn counts(relation: &Relation, cursor: &str) -> bool {
    cursor == XMIN && matches!(relation, Relation::Table(_))
}

/// The condition on `t` for rows of the numbers from `from` on; nothing where that is all of them.
pub(crate) fn condition(from: Option<&Value>, next: i64) -> Result<Option<String>> {
    let Some(&Value::Int(from)) = from else { return Ok(None) };
    let back = next.saturating_sub(from);
    if back < 0 {
        return Err(Error::new(
            Code::Unsafe,
            format!(
                "the source is at transaction {next}, and the watermark at {from}: it is not the server of the last run"
            ),
        )
        .state("nothing was written")
        .help("after a move to a new server, or a restore from a dump, begin anew with `--full-refresh`"));
    }
    Ok((back < ALL).then(|| format!("(({next} - t.{}::text::bigint) & {}) <= {back}", quote(XMIN), ALL - 1)))
}

/// The error for what has no rows of its own.
pub(crate) fn no_table(name: &str) -> Error {
    Error::new(Code::Unsafe, format!("{name} is no table, and only the rows of tables have an `xmin`"))
        .state("nothing was written")
        .help("read the table itself, and make the view's columns with `transform`")
        .help("or name a column as `watermark` that grows whenever a row changes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the server works it out.
    fn reads(xmin: i64, from: i64, next: i64) -> bool {
        assert!((0..ALL).contains(&xmin));
        match condition(Some(&Value::Int(from)), next).unwrap() {
            None => true,
            Some(_) => ((next - xmin) & (ALL - 1)) <= next - from,
        }
    }

    #[test]
    fn a_number_is_read_from_the_watermark_on() {
        assert!(!reads(99, 100, 200) && reads(100, 100, 200) && reads(199, 100, 200));
        // Over the end of 32 bits.
        let (from, next) = (ALL - 10, ALL + 10);
        assert!(!reads(ALL - 11, from, next) && reads(ALL - 10, from, next) && reads(3, from, next));
        // Of a row that was written four billion transactions ago nothing tells that it is old: it is read in vain.
        assert!(reads(5, ALL + 4, ALL + 10));
        // After so many without a run all are read.
        assert!(reads(7, 100, 100 + ALL));
    }

    #[test]
    fn a_server_that_is_behind_is_another_one() {
        assert_eq!(condition(None, 5).unwrap(), None);
        let error = condition(Some(&Value::Int(900)), 800).unwrap_err();
        assert_eq!(error.code(), Code::Unsafe);
        assert!(error.advice()[0].contains("--full-refresh"), "{error:?}");
    }
}
