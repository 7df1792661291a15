//! Types of text columns, from every value (never a sample), losing neither a digit nor a leading zero.

use crate::{text, types::DataType};

/// What a text format says about a cell beside its characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// CSV: the characters are all there is.
    Bare,
    /// A JSON string: may be a date or timestamp, never a number.
    Quoted,
    /// A JSON number.
    Number,
    /// A JSON true or false.
    Bool,
    /// A JSON object or array.
    Nested,
}

/// The first and last whole day that 64 bits of nanoseconds since 1970 reach: in 1677 and 2262.
const FIRST_DAY: i32 = -106_751;
const LAST_DAY: i32 = 106_751;

const BOOL: u8 = 1;
const INT: u8 = 2;
const DECIMAL: u8 = 4;
const DOUBLE: u8 = 8;
const DATE: u8 = 16;
const TIMESTAMP: u8 = 32;
const TIMESTAMPTZ: u8 = 64;
const JSON: u8 = 128;

/// The types that every value of a column seen so far fits. Guesses of parts of a file merge in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    fits: u8,
    seen: bool,
    integer_digits: u8,
    scale: u8,
    fraction: u8,
    /// A moment beyond what nanoseconds reach.
    far: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Guess { fits: u8::MAX, seen: false, integer_digits: 1, scale: 0, fraction: 0, far: false }
    }
}

impl Guess {
    /// Takes one non-NULL value into account.
    #[inline]
    pub fn observe(&mut self, value: &[u8], cell: Cell) {
        self.seen = true;
        if self.fits == 0 {
            return;
        }
        self.fits &= match cell {
            Cell::Bool => BOOL,
            Cell::Nested => JSON,
            Cell::Number => self.number(value),
            Cell::Quoted => self.moment(value),
            Cell::Bare => match value.first() {
                // What looks like a date is no number, and most columns of dates hold nothing else.
                Some(b'0'..=b'9') if matches!(value, [_, _, _, _, b'-', _, _, b'-', ..]) => self.moment(value),
                Some(b'0'..=b'9' | b'-' | b'.') => match self.number(value) {
                    0 => self.moment(value),
                    fits => fits,
                },
                Some(b't' | b'f' | b'T' | b'F') if text::parse_bool(value).is_some() => BOOL,
                _ => 0,
            },
        };
    }

    fn number(&mut self, value: &[u8]) -> u8 {
        // A zero with a sign is a double only: no integer or decimal keeps the sign.
        if let Some(parts) = text::split_decimal(value) {
            let significant = parts.integer.len() + parts.fraction.len();
            let mut fits = if significant <= 15 || (self.fits & DOUBLE != 0 && text::parse_f64_exact(value).is_some()) {
                DOUBLE
            } else {
                0
            };
            let negative_zero = parts.negative && parts.integer.iter().chain(parts.fraction).all(|&b| b == b'0');
            if !negative_zero && significant <= 38 {
                fits |= DECIMAL;
                self.integer_digits = self.integer_digits.max(parts.integer.len() as u8);
                self.scale = self.scale.max(parts.fraction.len() as u8);
            }
            // Up to 18 digits always fit 64 bits.
            if parts.fraction.is_empty()
                && !negative_zero
                && (parts.integer.len() <= 18 || text::parse_i64(value).is_some())
            {
                fits |= INT;
            }
            return fits;
        }
        if text::parse_f64_exact(value).is_some() { DOUBLE } else { 0 }
    }

    fn moment(&mut self, value: &[u8]) -> u8 {
        if value.len() == 10 {
            let Some(days) = text::parse_date(value) else { return 0 };
            self.far |= !(FIRST_DAY..=LAST_DAY).contains(&days);
            return DATE | TIMESTAMP;
        }
        match text::parse_timestamp(value) {
            None => 0,
            Some(read) => {
                self.fraction = self.fraction.max(read.fraction);
                self.far |= i64::try_from(read.nanos).is_err();
                if read.zoned { TIMESTAMPTZ } else { TIMESTAMP }
            }
        }
    }

    /// Takes what another part of the same column showed into account.
    pub fn merge(&mut self, other: &Guess) {
        self.fits &= other.fits;
        self.seen |= other.seen;
        self.integer_digits = self.integer_digits.max(other.integer_digits);
        self.scale = self.scale.max(other.scale);
        self.fraction = self.fraction.max(other.fraction);
        self.far |= other.far;
    }

    /// Whether any value was seen; a column of NULLs says nothing about its type.
    pub fn seen(&self) -> bool {
        self.seen
    }

    /// The narrowest type that keeps every value exactly; text where there is none, and where nothing was seen.
    pub fn data_type(&self) -> DataType {
        let nanos = self.fraction > 6;
        let fits = |bit| self.fits & bit != 0 && (bit & (TIMESTAMP | TIMESTAMPTZ) == 0 || !nanos || !self.far);
        if !self.seen {
            DataType::Text
        } else if fits(BOOL) {
            DataType::Bool
        } else if fits(INT) {
            DataType::BigInt
        } else if fits(DOUBLE) {
            DataType::Double
        } else if fits(DECIMAL) && self.integer_digits + self.scale <= 38 {
            DataType::Decimal(self.integer_digits + self.scale, self.scale)
        } else if fits(DATE) {
            DataType::Date
        } else if fits(TIMESTAMP) {
            DataType::Timestamp { nanos }
        } else if fits(TIMESTAMPTZ) {
            DataType::TimestampTz { nanos }
        } else if fits(JSON) {
            DataType::Json
        } else {
            DataType::Text
        }
    }

    /// Whether moments of that unit hold every moment seen.
    fn reaches(&self, nanos: bool) -> bool {
        if nanos { !self.far } else { self.fraction <= 6 }
    }

    /// What is left for a column whose type is pinned: the pinned type where every value fits it, else the exact
    /// type the values need (`bigint` and `decimal` before `double`, so that widening can see them).
    pub fn against(&self, pinned: DataType) -> DataType {
        let fits = |bit| self.fits & bit != 0;
        let ok = !self.seen
            || match pinned {
                DataType::Text | DataType::Json | DataType::Bytes | DataType::Time => true,
                DataType::Bool => fits(BOOL),
                DataType::BigInt => fits(INT),
                DataType::Double => fits(DOUBLE),
                DataType::Decimal(p, s) => fits(DECIMAL) && self.scale <= s && self.integer_digits <= p - s,
                DataType::Date => fits(DATE),
                DataType::Timestamp { nanos } => fits(TIMESTAMP) && self.reaches(nanos),
                DataType::TimestampTz { nanos } => fits(TIMESTAMPTZ) && self.reaches(nanos),
            };
        if ok {
            return pinned;
        }
        let decimal = fits(DECIMAL) && self.integer_digits + self.scale <= 38;
        if decimal && matches!(pinned, DataType::BigInt | DataType::Decimal(..)) {
            return DataType::Decimal(self.integer_digits + self.scale, self.scale);
        }
        self.data_type()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guess(values: &[&str]) -> DataType {
        let mut g = Guess::default();
        values.iter().for_each(|v| g.observe(v.as_bytes(), Cell::Bare));
        g.data_type()
    }

    #[test]
    fn no_digit_and_no_leading_zero_is_lost() {
        assert_eq!(guess(&["1", "22"]), DataType::BigInt);
        assert_eq!(guess(&["1", "007"]), DataType::Text);
        assert_eq!(guess(&["1.10", "2"]), DataType::Double);
        assert_eq!(guess(&["12345678901234567.25", "2"]), DataType::Decimal(19, 2));
        assert_eq!(guess(&["9223372036854775808"]), DataType::Double); // 2^63 is exact in a double
        assert_eq!(guess(&["9223372036854775809"]), DataType::Decimal(19, 0));
        assert_eq!(guess(&["1e5", "1"]), DataType::Double);
        assert_eq!(guess(&["NaN", "1"]), DataType::Text);
        assert_eq!(guess(&["-0"]), DataType::Double);
    }

    #[test]
    fn only_iso_dates_are_dates() {
        assert_eq!(guess(&["2024-01-01"]), DataType::Date);
        assert_eq!(guess(&["2024-01-01", "2024-01-01 10:00:00"]), DataType::Timestamp { nanos: false });
        assert_eq!(guess(&["2024-01-01T10:00:00.1234567"]), DataType::Timestamp { nanos: true });
        assert_eq!(guess(&["2024-01-01T10:00:00Z"]), DataType::TimestampTz { nanos: false });
        assert_eq!(guess(&["2024-01-01T10:00:00Z", "2024-01-01T10:00:00"]), DataType::Text);
        assert_eq!(guess(&["01/02/2024"]), DataType::Text);
        assert_eq!(guess(&["2023-02-30"]), DataType::Text);
    }

    #[test]
    fn nanoseconds_that_do_not_reach_every_moment_are_no_type() {
        let fine = "2024-01-01T10:00:00.1234567";
        for far in ["0001-01-01", "9999-12-31 23:59:59", "2262-04-12", "1677-09-21"] {
            assert_eq!(guess(&[far, fine]), DataType::Text, "{far}");
            assert_eq!(guess(&[far, "2024-01-01 10:00:00.123456"]), DataType::Timestamp { nanos: false }, "{far}");
        }
        assert_eq!(guess(&["2262-04-11", "1677-09-22", fine]), DataType::Timestamp { nanos: true });
        assert_eq!(guess(&["9999-12-31 23:59:59Z", "2024-01-01T10:00:00.1234567Z"]), DataType::Text);
        let mut g = Guess::default();
        g.observe(b"9999-12-31", Cell::Bare);
        assert_eq!(g.against(DataType::Timestamp { nanos: true }), DataType::Date);
    }

    #[test]
    fn a_pinned_type_is_kept_where_it_fits_and_named_where_not() {
        let mut g = Guess::default();
        g.observe(b"1.5", Cell::Bare);
        assert_eq!(g.against(DataType::BigInt), DataType::Decimal(2, 1));
        assert_eq!(g.against(DataType::Double), DataType::Double);
        assert_eq!(g.against(DataType::Text), DataType::Text);
    }

    proptest! {
        #[test]
        fn order_and_splits_do_not_matter(values in prop::collection::vec("[0-9]{1,20}(\\.[0-9]{1,4})?|true|2024-0[1-9]-1[0-9]", 1..20), cut in 0usize..20) {
            let mut whole = Guess::default();
            values.iter().for_each(|v| whole.observe(v.as_bytes(), Cell::Bare));
            let cut = cut.min(values.len());
            let (mut a, mut b) = (Guess::default(), Guess::default());
            values[cut..].iter().rev().for_each(|v| a.observe(v.as_bytes(), Cell::Bare));
            values[..cut].iter().for_each(|v| b.observe(v.as_bytes(), Cell::Bare));
            a.merge(&b);
            prop_assert_eq!(a.data_type(), whole.data_type());
        }
    }
}
