//! `append`: the rows loaded at the watermark, by file and hash, in the order they came.
//!
//! They can be as many as the rows of the table, so they are never in memory together. A file that is read again shows
//! its rows in the order it showed them before, as a rule: then one look at the next of them answers. Where it does not,
//! what is left of all of them is counted by hash, by the database, and a batch's rows are looked for there together.

use crate::kept::damaged;
use floodmark_core::{
    Error, Result,
    state::{BoundaryChange, Memory, Remembered},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Which rows go, by whether an earlier transaction left them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those of earlier transactions: numbers up to that one.
    Earlier,
    /// Those of this one: numbers behind it.
    Own,
}

impl Which {
    /// How their numbers compare to the highest that an earlier transaction left, in SQL.
    pub fn compared(self) -> &'static str {
        match self {
            Which::Earlier => "<=",
            Which::Own => ">",
        }
    }
}

/// The rows of one pipeline as a database keeps them, numbered in the order they came.
pub trait Rows {
    /// The highest number, 0 where there is none.
    fn highest(&self) -> Result<i64>;
    /// The next of a file's rows with numbers behind `passed` and up to `last`, in order, and up to which number they were
    /// looked for: as many as suit the database.
    fn next(&self, file: &str, passed: i64, last: i64) -> Result<(VecDeque<(i64, u128)>, i64)>;
    /// Counts rows up to number `before` by file and hash, without those of each file up to the number that was met.
    fn count(&self, before: i64, met: &[(&str, i64)]) -> Result<()>;
    /// Takes one of the counted rows away for each hash, one after the other, out of the file or, where none is named, out of
    /// any; whether there was one.
    fn take(&self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>>;
    /// Writes rows with the numbers that follow `last`.
    fn write(&self, last: i64, rows: &[(Arc<str>, u128)]) -> Result<()>;
    /// Deletes rows.
    fn delete(&self, which: Which, before: i64) -> Result<()>;

    /// Puts rows there that were exported, each as its file and the digits of its hash; what else is remembered is left alone.
    fn import(&self, memories: &[Memory]) -> Result<()> {
        let rows = memories.iter().filter(|memory| memory.what == Remembered::Boundary);
        let rows = rows.map(|memory| parse(&memory.key).map(|(file, hash)| (file.into(), hash)));
        let rows = rows.collect::<Result<Vec<(Arc<str>, u128)>>>()?;
        // Together: one after the other, each would look for the highest number of those before it.
        if rows.is_empty() { Ok(()) } else { self.write(self.highest()?, &rows) }
    }
}

/// The rows of one pipeline within one transaction.
#[derive(Debug)]
pub struct Boundary<R> {
    rows: R,
    /// The highest number of what earlier transactions left.
    before: i64,
    /// The highest number.
    last: i64,
    /// The watermark has moved on from what earlier transactions left.
    passed: bool,
    earlier: Earlier,
}

/// Those of earlier runs that were not met again.
#[derive(Debug)]
enum Earlier {
    /// By file: each meets its own in their order.
    InOrder(HashMap<String, Ahead>),
    /// By the database.
    Counted,
}

/// A file's next rows.
#[derive(Debug, Default)]
struct Ahead {
    /// The number of the last one that was met.
    met: i64,
    next: VecDeque<(i64, u128)>,
    /// The number up to which they were looked for.
    passed: i64,
}

impl<R: Rows> Boundary<R> {
    /// As an earlier transaction left them.
    pub fn new(rows: R) -> Result<Self> {
        let before = rows.highest()?;
        Ok(Boundary { rows, before, last: before, passed: false, earlier: Earlier::InOrder(HashMap::new()) })
    }

    /// Which of these rows an earlier run loaded, asked one after the other: out of the file or, where none is named, out of
    /// any.
    pub fn loaded(&mut self, file: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
        let mut out = Vec::with_capacity(hashes.len());
        if let (Earlier::InOrder(files), Some(file)) = (&mut self.earlier, file) {
            let ahead = files.entry(file.to_owned()).or_default();
            while let Some(hash) = hashes.get(out.len()) {
                while ahead.next.is_empty() && ahead.passed < self.before {
                    (ahead.next, ahead.passed) = self.rows.next(file, ahead.passed, self.before)?;
                }
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
        if rest.is_empty() {
            return Ok(out);
        }
        if let Earlier::InOrder(files) = &self.earlier {
            let met: Vec<(&str, i64)> = files.iter().map(|(file, ahead)| (file.as_str(), ahead.met)).collect();
            self.rows.count(self.before, &met)?;
            self.earlier = Earlier::Counted;
        }
        out.extend(self.rows.take(file, rest)?);
        Ok(out)
    }

    /// Whether what is left is counted by now.
    pub fn is_counted(&self) -> bool {
        matches!(self.earlier, Earlier::Counted)
    }

    /// Takes in what has changed.
    pub fn change(&mut self, change: &BoundaryChange) -> Result<()> {
        if change.anew {
            // What earlier transactions left is still asked for: it goes at the end.
            self.rows.delete(Which::Own, self.before)?;
            (self.last, self.passed) = (self.before, true);
        }
        self.rows.write(self.last, &change.added)?;
        self.last += change.added.len() as i64;
        Ok(())
    }

    /// Takes in the last of it.
    pub fn finish(mut self, change: &BoundaryChange) -> Result<()> {
        self.change(change)?;
        if self.passed { self.rows.delete(Which::Earlier, self.before) } else { Ok(()) }
    }
}

/// A hash out of its bytes.
pub fn hash(bytes: &[u8]) -> Result<u128> {
    let whole = <[u8; 16]>::try_from(bytes).map_err(|_| not_ours(&format!("{bytes:02x?}")))?;
    Ok(u128::from_be_bytes(whole))
}

/// The file and the hash of a row as it is exported.
pub fn parse(key: &[String]) -> Result<(&str, u128)> {
    Memory::row(key).ok_or_else(|| not_ours(&format!("{key:?}")))
}

fn not_ours(what: &str) -> Error {
    damaged("a row at the watermark,", what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Rows that are written at once, and behind which number.
    type Written = (i64, Vec<(String, u128)>);

    /// Notes what is written, and when.
    #[derive(Default)]
    struct Noted(RefCell<Vec<Written>>);

    impl Rows for Noted {
        fn highest(&self) -> Result<i64> {
            Ok(7)
        }

        fn next(&self, _: &str, _: i64, last: i64) -> Result<(VecDeque<(i64, u128)>, i64)> {
            Ok((VecDeque::new(), last))
        }

        fn count(&self, _: i64, _: &[(&str, i64)]) -> Result<()> {
            Ok(())
        }

        fn take(&self, _: Option<&str>, hashes: &[u128]) -> Result<Vec<bool>> {
            Ok(vec![false; hashes.len()])
        }

        fn write(&self, last: i64, rows: &[(Arc<str>, u128)]) -> Result<()> {
            self.0.borrow_mut().push((last, rows.iter().map(|(file, hash)| (file.to_string(), *hash)).collect()));
            Ok(())
        }

        fn delete(&self, _: Which, _: i64) -> Result<()> {
            Ok(())
        }
    }

    /// Written one by one, each would look for the highest number of those before it.
    #[test]
    fn rows_are_imported_together() {
        let row = |hash: u128| Memory {
            what: Remembered::Boundary,
            key: vec!["a.csv".into(), format!("{hash:032x}")],
            version: None,
        };
        let other = Memory { what: Remembered::Tombstone, key: vec!["9".into()], version: None };
        let noted = Noted::default();
        noted.import(&[row(1), other.clone(), row(2)]).unwrap();
        noted.import(&[other]).unwrap();
        assert_eq!(noted.0.take(), [(7, vec![("a.csv".to_owned(), 1), ("a.csv".to_owned(), 2)])]);
        let damaged = Memory { key: vec!["a.csv".into(), "no digits".into()], ..row(1) };
        assert!(noted.import(&[row(1), damaged]).is_err() && noted.0.take().is_empty());
    }
}
