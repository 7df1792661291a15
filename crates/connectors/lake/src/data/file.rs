//! What is told of a data file without opening it.

use floodmark_core::Value;
use object_store::path::Path;
use std::collections::BTreeMap;

/// A Parquet file, of a table or yet to be.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// As the log writes it: a file is removed by the very text it was added with.
    pub path: String,
    /// Where it lies below the table.
    pub location: Path,
    /// In bytes.
    pub size: u64,
    /// When it was written: milliseconds since 1970.
    pub modified: i64,
    /// How many rows it has.
    pub rows: u64,
    /// What is known of the values of its columns.
    pub columns: BTreeMap<String, Bounds>,
    /// The values of the partition columns, in the table's order.
    pub partition: Vec<(String, Value)>,
    /// The lasting numbers of its rows, in their order: ranges with both their ends.
    pub numbers: Option<Vec<(i64, i64)>>,
}

/// What is known of the values of a column in a file. No value lies outside; the bounds themselves need not be in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    /// No value is less.
    pub min: Option<Value>,
    /// No value is greater.
    pub max: Option<Value>,
    /// How many are NULL.
    pub nulls: Option<u64>,
}

/// As they stand in the log.
pub(crate) fn show_numbers(numbers: &[(i64, i64)]) -> String {
    numbers.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(",")
}

/// `None` for what cannot be the numbers of that many rows.
pub(crate) fn parse_numbers(text: &str, rows: u64) -> Option<Vec<(i64, i64)>> {
    let mut numbers = Vec::new();
    let mut count = 0u64;
    for range in text.split(',') {
        // Numbers begin at zero: the first `-` is between the two.
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        if first > last {
            return None;
        }
        count = count.checked_add(u64::try_from(last - first).ok()?.checked_add(1)?)?;
        numbers.push((first, last));
    }
    (count == rows).then_some(numbers)
}

/// The numbers of the rows of several files that follow each other; none where one of them has none.
pub(crate) fn join_numbers<'a>(files: impl Iterator<Item = &'a DataFile>) -> Option<Vec<(i64, i64)>> {
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for file in files {
        file.numbers.as_ref()?.iter().for_each(|range| push_range(&mut joined, *range));
    }
    Some(joined)
}

pub(crate) fn push_range(numbers: &mut Vec<(i64, i64)>, range: (i64, i64)) {
    match numbers.last_mut() {
        Some(last) if last.1.checked_add(1) == Some(range.0) => last.1 = range.1,
        _ => numbers.push(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_rows_read_back() {
        let mut numbers = vec![(0, 4)];
        push_range(&mut numbers, (5, 5));
        push_range(&mut numbers, (9, 12));
        assert_eq!(show_numbers(&numbers), "0-5,9-12");
        assert_eq!(parse_numbers("0-5,9-12", 10), Some(numbers));
        for bad in ["", "1", "3-1", "a-b", "0-5,"] {
            assert_eq!(parse_numbers(bad, 6), None, "{bad}");
        }
        assert_eq!(parse_numbers("0-5", 7), None);
    }
}
