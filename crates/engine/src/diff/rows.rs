//! Rows of segments that differ, held against each other.

use super::{
    cells::{self, cells, prefix, shown},
    columns::Pair,
    report::{Counts, Kind, RowDifference},
};
use floodmark_core::encoding::Form;
use std::collections::HashMap;

/// A row that was fetched.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// In the row encoding.
    pub(crate) row: Box<[u8]>,
    /// The segment it is told under.
    pub(crate) segment: u32,
}

/// A row that differs, before it counts.
pub(crate) struct Candidate<'a> {
    pub(crate) kind: Kind,
    /// The bytes of its key.
    pub(crate) key: &'a [u8],
    /// It in the first, in the row encoding.
    pub(crate) left: Option<&'a [u8]>,
    /// How many such rows there are: without a key a row may be there several times, and each is judged.
    pub(crate) times: u64,
}

/// Whether a row that differs is a difference.
pub(crate) type Judge<'a> = dyn FnMut(&Candidate<'_>) -> bool + 'a;

/// Rows of one key: those of the first, those of the second.
type OfKey = [Vec<Fetched>; 2];

/// What differs.
pub(crate) struct Findings<'a> {
    pairs: &'a [Pair],
    /// How many columns are the key's; 0: the whole row is.
    key: usize,
    limit: usize,
    judge: &'a mut Judge<'a>,
    pub(crate) counts: Counts,
    pub(crate) by_column: Vec<u64>,
    pub(crate) by_segment: HashMap<u32, Counts>,
    pub(crate) samples: Vec<RowDifference>,
    /// Keys that several rows of the first have, and of the second.
    pub(crate) repeated: [u64; 2],
    /// The two rows of a key may lie in different segments: what has no counterpart yet.
    unpaired: Option<HashMap<Box<[u8]>, OfKey>>,
}

impl<'a> Findings<'a> {
    /// `crossing`: the rows of one key may lie in different segments.
    pub(crate) fn new(pairs: &'a [Pair], key: usize, limit: usize, crossing: bool, judge: &'a mut Judge<'a>) -> Self {
        Findings {
            pairs,
            key,
            limit,
            judge,
            counts: Counts::default(),
            by_column: vec![0; pairs.len()],
            by_segment: HashMap::new(),
            samples: Vec::new(),
            repeated: [0; 2],
            unpaired: crossing.then(HashMap::new),
        }
    }

    /// Takes in all rows of some segments.
    pub(crate) fn take(&mut self, left: Vec<Fetched>, right: Vec<Fetched>) {
        let mut keys: HashMap<Box<[u8]>, OfKey> = HashMap::with_capacity(left.len());
        for (side, rows) in [left, right].into_iter().enumerate() {
            for row in rows {
                let key = self.key_of(&row.row);
                match keys.get_mut(key) {
                    Some(of_key) => of_key[side].push(row),
                    None => {
                        let key = key.into();
                        keys.entry(key).or_insert_with(|| [Vec::new(), Vec::new()])[side].push(row);
                    }
                }
            }
        }
        if self.key > 0 {
            for side in 0..2 {
                self.repeated[side] += keys.values().filter(|of_key| of_key[side].len() > 1).count() as u64;
            }
        }
        keys.retain(|_, of_key| !cancelled(of_key));
        match &mut self.unpaired {
            None => self.settle(keys),
            Some(unpaired) => {
                for (key, [left, right]) in keys {
                    let of_key = unpaired.entry(key).or_default();
                    of_key[0].extend(left);
                    of_key[1].extend(right);
                }
            }
        }
    }

    /// Once all rows were taken in.
    pub(crate) fn finish(&mut self) {
        if let Some(mut unpaired) = self.unpaired.take() {
            unpaired.retain(|_, of_key| !cancelled(of_key));
            self.settle(unpaired);
        }
        // Some of each kind say more than many of one.
        let of = |kind| self.samples.iter().filter(|s| s.kind == kind).count();
        let kinds: Vec<(Kind, usize)> = [Kind::Missing, Kind::Extra, Kind::Different]
            .map(|kind| (kind, of(kind)))
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .collect();
        let fair = self.limit / kinds.len().max(1);
        let mut spare = self.limit - kinds.iter().map(|(_, n)| (*n).min(fair)).sum::<usize>().min(self.limit);
        for (kind, there) in kinds {
            let more = spare.min(there.saturating_sub(fair));
            spare -= more;
            let mut room = there.min(fair) + more;
            self.samples.retain(|sample| {
                let kept = sample.kind != kind || room > 0;
                room -= usize::from(sample.kind == kind && kept);
                kept
            });
        }
    }

    fn key_of<'r>(&self, row: &'r [u8]) -> &'r [u8] {
        if self.key == 0 { row } else { prefix(row, self.key) }
    }

    fn settle(&mut self, keys: HashMap<Box<[u8]>, OfKey>) {
        let forms: Vec<Form> = self.pairs.iter().map(|p| p.form).collect();
        let mut keys: Vec<(Box<[u8]>, OfKey)> = keys.into_iter().collect();
        keys.sort_by(|(a, _), (b, _)| cells::compare(a, b, &forms));
        for (key, [mut left, mut right]) in keys {
            // Of rows that are several of one key it is told nowhere which is which: as few as can be are different.
            left.sort_by(|a, b| b.row.cmp(&a.row));
            right.sort_by(|a, b| b.row.cmp(&a.row));
            while let (Some(a), Some(b)) = (left.last(), right.last()) {
                self.different(&key, a, b);
                left.pop();
                right.pop();
            }
            self.alone(Kind::Missing, &key, &left);
            self.alone(Kind::Extra, &key, &right);
        }
    }

    fn different(&mut self, key: &[u8], left: &Fetched, right: &Fetched) {
        let (a, b) = (cells(&left.row), cells(&right.row));
        let differs = |(at, pair): (usize, &Pair)| {
            let agrees = a[at] == b[at] || (pair.null_agrees && a[at].is_none());
            (!agrees).then_some(at)
        };
        let at: Vec<usize> = self.pairs.iter().enumerate().filter_map(differs).collect();
        if at.is_empty() || !(self.judge)(&Candidate { kind: Kind::Different, key, left: Some(&left.row), times: 1 }) {
            return;
        }
        at.iter().for_each(|at| self.by_column[*at] += 1);
        let told = |at: &usize| {
            let pair = &self.pairs[*at];
            (pair.name.clone(), shown(a[*at], pair.left.data_type), shown(b[*at], pair.right.data_type))
        };
        let columns = at.iter().map(told).collect();
        self.count(Kind::Different, key, left.segment, columns, 1);
    }

    fn alone(&mut self, kind: Kind, key: &[u8], rows: &[Fetched]) {
        let counted: Vec<&Fetched> = rows
            .iter()
            .filter(|row| {
                let left = (kind == Kind::Missing).then_some(&*row.row);
                (self.judge)(&Candidate { kind, key, left, times: rows.len() as u64 })
            })
            .collect();
        if let Some(first) = counted.first() {
            self.count(kind, key, first.segment, Vec::new(), counted.len() as u64);
        }
    }

    fn count(
        &mut self,
        kind: Kind,
        key: &[u8],
        segment: u32,
        columns: Vec<(String, Option<String>, Option<String>)>,
        times: u64,
    ) {
        self.counts.add(kind, times);
        self.by_segment.entry(segment).or_default().add(kind, times);
        if self.samples.iter().filter(|s| s.kind == kind).count() < self.limit {
            let named = self.pairs.iter().zip(cells(key)).map(|(pair, cell)| {
                // Of two types the one that keeps more says what it is.
                let wider = pair.left.data_type.widen(pair.right.data_type).unwrap_or(pair.left.data_type);
                (pair.name.clone(), shown(cell, wider))
            });
            self.samples.push(RowDifference { kind, key: named.collect(), columns, times });
        }
    }
}

/// Takes rows out that both have; whether none is left.
fn cancelled([left, right]: &mut OfKey) -> bool {
    left.retain(|row| match right.iter().position(|other| other.row == row.row) {
        Some(at) => {
            right.swap_remove(at);
            false
        }
        None => true,
    });
    left.is_empty() && right.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::{Column, DataType, Value, encoding};

    fn pair(name: &str, data_type: DataType, null_agrees: bool) -> Pair {
        let column = Column::new(name, data_type);
        let form = Form::of(data_type, data_type).unwrap();
        Pair { name: name.into(), left: column.clone(), right: column, form, null_agrees }
    }

    fn row(segment: u32, id: i64, note: Option<&str>) -> Fetched {
        let (mut bytes, mut scratch) = (Vec::new(), String::new());
        encoding::put(&Value::Int(id), &mut bytes, &mut scratch);
        encoding::put(&note.map_or(Value::Null, |n| Value::Text(n.into())), &mut bytes, &mut scratch);
        Fetched { row: bytes.into(), segment }
    }

    fn found(key: usize, crossing: bool, parts: Vec<OfKey>) -> (Counts, Vec<String>) {
        let pairs = [pair("id", DataType::BigInt, false), pair("note", DataType::Text, true)];
        let mut judge = |_: &Candidate<'_>| true;
        let mut findings = Findings::new(&pairs, key, 10, crossing, &mut judge);
        for [left, right] in parts {
            findings.take(left, right);
        }
        findings.finish();
        let told = findings.samples.iter().map(|s| {
            let value = |v: &Option<String>| v.clone().unwrap_or_else(|| "NULL".into());
            let key: Vec<String> = s.key.iter().map(|(_, v)| value(v)).collect();
            let columns: Vec<String> =
                s.columns.iter().map(|(n, a, b)| format!("{n} {}→{}", value(a), value(b))).collect();
            format!("{} {} {}×{}", s.kind.name(), key.join(","), columns.join(" "), s.times)
        });
        (findings.counts, told.collect())
    }

    #[test]
    fn rows_are_known_by_their_key() {
        let left = vec![row(1, 10, Some("a")), row(1, 9, Some("b")), row(1, 3, None), row(1, 4, None)];
        let right = vec![row(1, 3, Some("kept")), row(1, 9, Some("c")), row(1, 10, Some("a")), row(1, 11, None)];
        let (counts, told) = found(1, false, vec![[left, right]]);
        assert_eq!(counts, Counts { missing: 1, extra: 1, different: 1 });
        assert_eq!(told, ["missing 4 ×1", "different 9 note b→c×1", "extra 11 ×1"]);
    }

    #[test]
    fn rows_of_one_key_pair_up_as_far_as_they_can() {
        let left = vec![row(1, 1, Some("a")), row(1, 1, Some("b"))];
        let right = vec![row(1, 1, Some("b")), row(1, 1, Some("c")), row(1, 1, Some("d"))];
        let (counts, told) = found(1, false, vec![[left, right]]);
        assert_eq!(counts, Counts { missing: 0, extra: 1, different: 1 });
        assert_eq!(told, ["different 1 note a→c×1", "extra 1 ×1"]);
    }

    #[test]
    fn without_a_key_rows_are_counted() {
        let left = vec![row(1, 1, Some("a")), row(1, 1, Some("a")), row(1, 1, Some("a"))];
        let right = vec![row(1, 1, Some("a")), row(1, 2, None)];
        let (counts, told) = found(0, false, vec![[left, right]]);
        assert_eq!(counts, Counts { missing: 2, extra: 1, different: 0 });
        assert_eq!(told, ["missing 1,a ×2", "extra 2,NULL ×1"]);
    }

    #[test]
    fn a_row_that_changed_its_segment_is_one_difference() {
        let parts = || vec![[vec![row(1, 1, Some("a"))], vec![]], [vec![], vec![row(7, 1, Some("b"))]]];
        assert_eq!(found(1, true, parts()).0, Counts { missing: 0, extra: 0, different: 1 });
    }
}
