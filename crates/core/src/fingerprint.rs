//! Order-independent hashes of rows and tables, equal across databases for equal content.
//!
//! A row's hash is xxh3-128 of its cells in column order. A cell is its type's letter, the length of its canonical
//! text and that text (`crate::text`), so that no two different rows encode alike. A table's fingerprint is the sum of
//! its row hashes modulo 2^128 with the number of rows: the same for every order, different for a missing or doubled row.

use crate::{error::Result, schema::Schema, text, types::DataType, value::Value};
use arrow::{array::Array, array::RecordBatch};
use std::fmt;
use xxhash_rust::xxh3::xxh3_128;

/// Encodes rows into a buffer that is kept between rows.
#[derive(Debug, Default)]
pub struct RowHasher {
    bytes: Vec<u8>,
    text: String,
}

impl RowHasher {
    /// Starts a new row.
    pub fn start(&mut self) {
        self.bytes.clear();
    }

    /// Adds a cell.
    pub fn cell(&mut self, value: &Value) {
        self.text.clear();
        let (tag, text): (u8, &[u8]) = match value {
            Value::Null => (b'0', b""),
            Value::Bool(v) => (b'b', if *v { b"1" } else { b"0" }),
            Value::Int(v) => {
                text::format_decimal(i128::from(*v), 0, &mut self.text);
                (b'n', self.text.as_bytes())
            }
            Value::Decimal(v, s) => {
                // A decimal and an integer of equal value are equal content, whatever the scale.
                text::format_decimal(*v, *s, &mut self.text);
                if *s > 0 {
                    let kept = self.text.trim_end_matches('0').trim_end_matches('.').len();
                    self.text.truncate(kept);
                }
                (b'n', self.text.as_bytes())
            }
            Value::Double(v) => {
                text::format_f64(if *v == 0.0 { 0.0 } else { *v }, &mut self.text);
                (b'd', self.text.as_bytes())
            }
            Value::Text(v) => (b't', v.as_bytes()),
            Value::Bytes(v) => (b'x', v),
            Value::Date(v) => {
                text::format_timestamp(i128::from(*v) * 86_400_000_000_000, false, &mut self.text);
                (b's', self.text.as_bytes())
            }
            Value::Time(v) => {
                text::format_time(*v, &mut self.text);
                (b'h', self.text.as_bytes())
            }
            Value::Timestamp(v) => {
                text::format_timestamp(*v, false, &mut self.text);
                (b's', self.text.as_bytes())
            }
            Value::TimestampTz(v) => {
                text::format_timestamp(*v, true, &mut self.text);
                (b'z', self.text.as_bytes())
            }
        };
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(text);
    }

    /// The row's hash.
    pub fn finish(&self) -> u128 {
        xxh3_128(&self.bytes)
    }

    /// The hash of one row of a batch.
    pub fn row(&mut self, batch: &RecordBatch, schema: &Schema, row: usize) -> Result<u128> {
        self.start();
        for (array, column) in batch.columns().iter().zip(&schema.columns) {
            self.array_cell(array.as_ref(), row, column.data_type)?;
        }
        Ok(self.finish())
    }

    fn array_cell(&mut self, array: &dyn Array, row: usize, data_type: DataType) -> Result<()> {
        let value = Value::from_array(array, row, data_type)?;
        self.cell(&value);
        Ok(())
    }
}

/// A table's content in two numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Number of rows.
    pub rows: u64,
    /// Sum of row hashes modulo 2^128.
    pub sum: u128,
}

impl Fingerprint {
    /// Takes a row in.
    pub fn add(&mut self, row_hash: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row_hash);
    }
}

impl fmt::Display for Fingerprint {
    /// `fm1-<rows>-<32 hex digits>`; the number is the version of the encoding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fm1-{}-{:032x}", self.rows, self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hash(cells: &[Value]) -> u128 {
        let mut hasher = RowHasher::default();
        hasher.start();
        cells.iter().for_each(|c| hasher.cell(c));
        hasher.finish()
    }

    #[test]
    fn equal_content_is_equal_and_neighbours_are_not() {
        assert_eq!(hash(&[Value::Int(5)]), hash(&[Value::Decimal(500, 2)]));
        assert_ne!(
            hash(&[Value::Text("ab".into()), Value::Text("c".into())]),
            hash(&[Value::Text("a".into()), Value::Text("bc".into())])
        );
        assert_ne!(hash(&[Value::Null]), hash(&[Value::Text(String::new())]));
        assert_ne!(hash(&[Value::Int(1)]), hash(&[Value::Text("1".into())]));
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_doubling_does(mut rows in prop::collection::vec(any::<i64>(), 1..30), seed: u64) {
            let print = |rows: &[i64]| {
                let mut f = Fingerprint::default();
                rows.iter().for_each(|r| f.add(hash(&[Value::Int(*r)])));
                f
            };
            let before = print(&rows);
            let mid = (seed as usize) % rows.len();
            rows.rotate_left(mid);
            prop_assert_eq!(print(&rows), before);
            rows.push(rows[0]);
            prop_assert_ne!(print(&rows), before);
        }
    }
}
