//! One cell as bytes, in which equal values are equal bytes: PostgreSQL's binary form (the `…_send` functions of its types,
//! docs "Binary Format" of `COPY`), which one connector sends as it is and others read on their way out.

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
        types::{
            Date32Type, Decimal128Type, Float64Type, Int64Type, Time64NanosecondType, TimestampMicrosecondType,
            TimestampNanosecondType,
        },
    },
    buffer::NullBuffer,
};
use floodmark_core::{
    Code, DataType, Error, Result, Value,
    error::{Place, shorten},
};
use std::ops::{Range, RangeInclusive};

/// Days, and microseconds, from the epoch of everybody else to PostgreSQL's, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// One cell: its bytes, `None` for NULL.
pub type Cell<'a> = Option<&'a [u8]>;

/// Appends a cell: its length, which is negative for NULL, and its bytes.
#[inline]
pub fn put(out: &mut Vec<u8>, cell: Cell<'_>) {
    match cell {
        None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        Some(bytes) => {
            out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// What a server's columns can hold of what Floodmark's types can.
#[derive(Debug)]
pub struct Holds {
    /// Its name, for messages.
    pub server: &'static str,
    /// The character U+0000 in text.
    pub zero_character: bool,
    /// NaN and the infinities in a double.
    pub nan: bool,
    /// Days from 1970-01-01.
    pub days: RangeInclusive<i32>,
    /// Microseconds from 1970-01-01, in timestamps without a zone.
    pub micros: RangeInclusive<i64>,
    /// The same in those with one.
    pub instants: RangeInclusive<i64>,
}

/// A column of a batch, downcast once.
pub struct Cells<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
    name: &'a str,
    /// Its type.
    pub data_type: DataType,
    holds: &'static Holds,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Int(&'a PrimitiveArray<Int64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, u8),
    Double(&'a PrimitiveArray<Float64Type>),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64NanosecondType>),
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>),
    Nanos(&'a PrimitiveArray<TimestampNanosecondType>),
}

/// The columns of a batch with their types.
pub fn columns<'a>(batch: &'a RecordBatch, types: &[DataType], holds: &'static Holds) -> Result<Vec<Cells<'a>>> {
    let fields = batch.schema_ref().fields().iter().map(|f| f.name().as_str());
    fields.zip(batch.columns()).zip(types).map(|((name, array), t)| Cells::new(name, array, *t, holds)).collect()
}

impl<'a> Cells<'a> {
    /// `array` is of the type's Arrow type.
    pub fn new(name: &'a str, array: &'a ArrayRef, data_type: DataType, holds: &'static Holds) -> Result<Self> {
        if *array.data_type() != data_type.to_arrow() {
            return Err(Error::internal(format!("a {data_type} column arrived as {}", array.data_type())));
        }
        let values = match data_type {
            DataType::Bool => Values::Bool(array.as_boolean()),
            DataType::BigInt => Values::Int(array.as_primitive()),
            DataType::Decimal(_, s) => Values::Decimal(array.as_primitive(), s),
            DataType::Double => Values::Double(array.as_primitive()),
            DataType::Text | DataType::Json => Values::Text(array.as_string()),
            DataType::Bytes => Values::Bytes(array.as_binary()),
            DataType::Date => Values::Date(array.as_primitive()),
            DataType::Time => Values::Time(array.as_primitive()),
            DataType::Timestamp { nanos: false } | DataType::TimestampTz { nanos: false } => {
                Values::Micros(array.as_primitive())
            }
            DataType::Timestamp { nanos: true } | DataType::TimestampTz { nanos: true } => {
                Values::Nanos(array.as_primitive())
            }
        };
        Ok(Cells { values, nulls: array.nulls(), name, data_type, holds })
    }

    /// Whether it is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|n| n.is_null(row))
    }

    /// Appends the cell; an error where the server cannot hold it.
    #[inline]
    pub fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            put(out, None);
            return Ok(());
        }
        match &self.values {
            Values::Int(a) => put(out, Some(&a.value(row).to_be_bytes())),
            Values::Text(a) => {
                let text = a.value(row).as_bytes();
                if !self.holds.zero_character && text.contains(&0) {
                    return Err(self.refused("the character U+0000", String::from_utf8_lossy(text).into()));
                }
                put(out, Some(text));
            }
            Values::Double(a) => {
                let number = double(a.value(row));
                if !self.holds.nan && !number.is_finite() {
                    return Err(self.refused("NaN or an infinity", number.to_string()));
                }
                put(out, Some(&number.to_be_bytes()));
            }
            Values::Bool(a) => put(out, Some(&[u8::from(a.value(row))])),
            Values::Bytes(a) => put(out, Some(a.value(row))),
            Values::Decimal(a, s) => numeric(a.value(row), *s, out),
            Values::Date(a) => {
                let days = Some(a.value(row)).filter(|days| self.holds.days.contains(days)).and_then(from_epoch);
                let days = days.ok_or_else(|| self.out_of_range(Value::Date(a.value(row))))?;
                put(out, Some(&days.to_be_bytes()));
            }
            Values::Time(a) => {
                let micros = whole(i128::from(a.value(row))).ok_or_else(|| self.finer(Value::Time(a.value(row))))?;
                put(out, Some(&micros.to_be_bytes()));
            }
            Values::Micros(a) => self.moment(a.value(row), out)?,
            Values::Nanos(a) => {
                let micros = whole(i128::from(a.value(row)));
                let micros = micros.ok_or_else(|| self.finer(Value::Timestamp(i128::from(a.value(row)))))?;
                self.moment(micros, out)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn moment(&self, micros: i64, out: &mut Vec<u8>) -> Result<()> {
        let range = if self.is_instant() { &self.holds.instants } else { &self.holds.micros };
        let stored = Some(micros).filter(|micros| range.contains(micros)).and_then(|m| m.checked_sub(EPOCH_MICROS));
        let stored = stored.ok_or_else(|| self.out_of_range(Value::Timestamp(i128::from(micros) * 1000)))?;
        put(out, Some(&stored.to_be_bytes()));
        Ok(())
    }

    fn is_instant(&self) -> bool {
        matches!(self.data_type, DataType::TimestampTz { .. })
    }

    /// The error for a value that the server cannot hold.
    pub fn refused(&self, what: &str, value: String) -> Error {
        Error::new(
            Code::Unstorable,
            format!("{} cannot hold {what} in a column of type {}", self.holds.server, self.data_type),
        )
        .at(Place { column: Some(self.name.to_owned()), value: Some(shorten(&value)), ..Place::default() })
        .state("the open transaction was rolled back")
        .help("correct the source, or the value on its way with `transform`")
    }

    fn finer(&self, value: Value) -> Error {
        self.refused("parts of a microsecond", value.to_string()).help(self.as_text())
    }

    fn as_text(&self) -> String {
        format!("or keep the column as text: `columns: {{{}: {{type: text}}}}`", self.name)
    }

    fn out_of_range(&self, value: Value) -> Error {
        self.refused("a moment that far away", value.to_string()).help(self.as_text())
    }

    /// The column's name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Appends the cell to bytes that are hashed, as [`canonical`] has it.
    #[inline]
    pub fn canonical(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            _ if self.is_null(row) => canonical(&Value::Null, out),
            Values::Text(a) => tagged(TEXT, a.value(row).as_bytes(), out),
            Values::Bytes(a) => tagged(BYTES, a.value(row), out),
            _ => canonical(&self.value(row), out),
        }
    }

    /// The typed value.
    pub fn value(&self, row: usize) -> Value {
        if self.is_null(row) {
            return Value::Null;
        }
        let zoned = self.is_instant();
        let moment = |nanos| if zoned { Value::TimestampTz(nanos) } else { Value::Timestamp(nanos) };
        match &self.values {
            Values::Bool(a) => Value::Bool(a.value(row)),
            Values::Int(a) => Value::Int(a.value(row)),
            Values::Decimal(a, s) => Value::Decimal(a.value(row), *s),
            Values::Double(a) => Value::Double(double(a.value(row))),
            Values::Text(a) => Value::Text(a.value(row).to_owned()),
            Values::Bytes(a) => Value::Bytes(a.value(row).to_vec()),
            Values::Date(a) => Value::Date(a.value(row)),
            Values::Time(a) => Value::Time(a.value(row)),
            Values::Micros(a) => moment(i128::from(a.value(row)) * 1000),
            Values::Nanos(a) => moment(i128::from(a.value(row))),
        }
    }
}

/// No negative zero, which equals the positive one and is written in another way; one NaN of the many.
fn double(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn from_epoch(days: i32) -> Option<i32> {
    days.checked_sub(EPOCH_DAYS)
}

/// Nanoseconds as microseconds, where that loses nothing.
fn whole(nanos: i128) -> Option<i64> {
    (nanos % 1000 == 0).then(|| i64::try_from(nanos / 1000).ok()).flatten()
}

/// Appends a number with so many digits after the point: groups of four decimal digits, around the point, without those
/// at either end that are zero.
fn numeric(unscaled: i128, scale: u8, out: &mut Vec<u8>) {
    let scale = u32::from(scale);
    let (all, power) = (unscaled.unsigned_abs(), 10u128.pow(scale));
    let (mut above, below) = (all / power, all % power);
    let mut digits = [0u16; 20];
    let mut first = 10;
    while above > 0 {
        first -= 1;
        digits[first] = (above % 10_000) as u16;
        above /= 10_000;
    }
    let mut end = 10;
    for group in 0..scale.div_ceil(4) {
        let left = scale - group * 4;
        let rest = below % 10u128.pow(left);
        digits[end] = if left >= 4 { rest / 10u128.pow(left - 4) } else { rest * 10u128.pow(4 - left) } as u16;
        end += 1;
    }
    while first < end && digits[first] == 0 {
        first += 1;
    }
    while end > first && digits[end - 1] == 0 {
        end -= 1;
    }
    let count = end - first;
    let weight = if count == 0 { 0 } else { 9 - first as i16 };
    let sign: u16 = if unscaled < 0 { 0x4000 } else { 0 };
    out.extend_from_slice(&(8 + 2 * count as i32).to_be_bytes());
    for part in [count as u16, weight as u16, sign, scale as u16].iter().chain(&digits[first..end]) {
        out.extend_from_slice(&part.to_be_bytes());
    }
}

/// The parts of a number as the server sends it: groups of four decimal digits, the power of ten thousand of the first,
/// its sign, and how many digits are shown after the point.
fn numeric_parts(bytes: &[u8]) -> Option<(&[u8], i32, u16, u16)> {
    let (head, groups) = bytes.split_first_chunk::<8>()?;
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let weight = i32::from(word(2).cast_signed());
    (groups.len() == 2 * usize::from(word(0))).then_some((groups, weight, word(4), word(6)))
}

const NEGATIVE: u16 = 0x4000;

/// A number as the server sends it, with so many digits after the point. `None` where it has more, is too large, or is no
/// number.
#[inline]
pub fn from_numeric(bytes: &[u8], scale: u8) -> Option<i128> {
    let (groups, weight, sign, _) = numeric_parts(bytes)?;
    let digits = if groups.len() <= 8 { few(groups, weight, scale) } else { many(groups, weight, scale) };
    match sign {
        0 => digits,
        NEGATIVE => digits.map(|digits| -digits),
        _ => None,
    }
}

/// At most four groups: most numbers there are, and small enough for the machine's own.
#[inline]
fn few(groups: &[u8], weight: i32, scale: u8) -> Option<i128> {
    let word = |group: &[u8]| u64::from(u16::from_be_bytes([group[0], group[1]]));
    let all = groups.chunks_exact(2).fold(0, |all, group| all * 10_000 + word(group));
    // The power of ten of the last group's last digit, in units of the last digit kept.
    let power = (weight + 1 - (groups.len() / 2) as i32) * 4 + i32::from(scale);
    match power {
        0.. if all == 0 => Some(0),
        0.. => i128::from(all).checked_mul(*POWERS.get(usize::try_from(power).ok()?)?),
        _ => match 10u64.checked_pow(power.unsigned_abs()) {
            Some(part) => (all % part == 0).then_some(i128::from(all / part)),
            None => (all == 0).then_some(0),
        },
    }
}

/// Powers of ten.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = powers[n - 1] * 10;
        n += 1;
    }
    powers
};

fn many(groups: &[u8], weight: i32, scale: u8) -> Option<i128> {
    // The power of ten of the next group's last digit, in units of the last digit kept.
    let mut power = weight * 4 + i32::from(scale);
    let mut out = 0i128;
    let mut missing = 0;
    for group in groups.chunks_exact(2) {
        let digits = i128::from(u16::from_be_bytes([group[0], group[1]]));
        out = match power {
            0.. => out.checked_mul(10_000)?.checked_add(digits)?,
            -3..0 => {
                let (part, whole) = (10i128.pow(power.unsigned_abs()), 10i128.pow((4 + power).unsigned_abs()));
                (digits % part == 0).then_some(())?;
                out.checked_mul(whole)?.checked_add(digits / part)?
            }
            _ => (digits == 0).then_some(out)?,
        };
        missing = power.max(0);
        power -= 4;
    }
    if out != 0 && missing > 0 {
        out = out.checked_mul(10i128.checked_pow(missing.unsigned_abs())?)?;
    }
    Some(out)
}

/// A number of any size as the server writes it.
pub fn numeric_text(bytes: &[u8]) -> Option<String> {
    use std::fmt::Write;
    let (groups, weight, sign, shown) = numeric_parts(bytes)?;
    let mut out = match sign {
        0 => String::new(),
        NEGATIVE => "-".to_owned(),
        0xd000 => return Some("Infinity".into()),
        0xf000 => return Some("-Infinity".into()),
        _ => return Some("NaN".into()),
    };
    let group = |power: i32| {
        let at = usize::try_from(weight - power).ok()?;
        Some(u16::from_be_bytes(*groups.get(2 * at..)?.first_chunk::<2>()?))
    };
    match weight {
        0.. => {
            let _ = write!(out, "{}", group(weight).unwrap_or(0));
            (0..weight).rev().for_each(|power| {
                let _ = write!(out, "{:04}", group(power).unwrap_or(0));
            });
        }
        _ => out.push('0'),
    }
    if shown > 0 {
        let end = out.len() + 1 + usize::from(shown);
        out.push('.');
        let mut power = -1;
        while out.len() < end {
            let _ = write!(out, "{:04}", group(power).unwrap_or(0));
            power -= 1;
        }
        out.truncate(end);
    }
    Some(out)
}

/// PostgreSQL's infinities, as days and as microseconds.
const DAYS: Range<i32> = i32::MIN + 1..i32::MAX;
const MICROS: Range<i64> = i64::MIN + 1..i64::MAX;

/// A day, counted from the epoch of everybody else; nothing for an infinity.
#[inline]
pub fn day(bytes: &[u8]) -> Option<i32> {
    let days = i32::from_be_bytes(bytes.try_into().ok()?);
    DAYS.contains(&days).then(|| days.checked_add(EPOCH_DAYS)).flatten()
}

/// A moment, in microseconds from the epoch of everybody else; nothing for an infinity.
#[inline]
pub fn moment(bytes: &[u8]) -> Option<i64> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    MICROS.contains(&micros).then(|| micros.checked_add(EPOCH_MICROS)).flatten()
}

/// What the server sent as a value of the type; `None` where the two do not go together (somebody else wrote it).
pub fn decode(cell: Cell<'_>, data_type: DataType) -> Option<Value> {
    let Some(bytes) = cell else { return Some(Value::Null) };
    let long = || Some(i64::from_be_bytes(bytes.try_into().ok()?));
    let nanos = || Some(i128::from(moment(bytes)?) * 1000);
    let text = || std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some(match data_type {
        DataType::Bool => Value::Bool(bytes == [1]),
        DataType::BigInt => Value::Int(long()?),
        DataType::Decimal(_, s) => Value::Decimal(from_numeric(bytes, s)?, s),
        DataType::Double => Value::Double(f64::from_bits(long()? as u64)),
        DataType::Text | DataType::Json => Value::Text(text()?),
        DataType::Bytes => Value::Bytes(bytes.to_vec()),
        DataType::Date => Value::Date(day(bytes)?),
        DataType::Time => Value::Time(long()?.checked_mul(1000)?),
        DataType::Timestamp { .. } => Value::Timestamp(nanos()?),
        DataType::TimestampTz { .. } => Value::TimestampTz(nanos()?),
    })
}

/// A number of a column that takes any, in the form in which numbers of ours are sent, where it is one of them: what is
/// equal has equal bytes then. Others stay as they are.
pub fn settled(cell: Cell<'_>) -> Option<Vec<u8>> {
    const SCALE: u8 = 9;
    let number = from_numeric(cell?, SCALE)?;
    let mut out = Vec::new();
    numeric(number, SCALE, &mut out);
    out.drain(..4);
    Some(out)
}

/// The same for a person's eyes: what is no value of the type is shown as bytes.
pub fn shown(cell: Cell<'_>, data_type: DataType) -> Value {
    decode(cell, data_type).unwrap_or_else(|| Value::Bytes(cell.unwrap_or_default().to_vec()))
}

/// Appends a value; `None` where a column of the type cannot hold it.
pub fn encode(value: &Value, data_type: DataType, out: &mut Vec<u8>) -> Option<()> {
    match (value, data_type) {
        (Value::Null, _) => put(out, None),
        (Value::Bool(v), DataType::Bool) => put(out, Some(&[u8::from(*v)])),
        (Value::Int(v), DataType::BigInt) => put(out, Some(&v.to_be_bytes())),
        (Value::Decimal(v, s), DataType::Decimal(_, scale)) if *s == scale => numeric(*v, *s, out),
        (Value::Double(v), DataType::Double) => put(out, Some(&double(*v).to_be_bytes())),
        (Value::Text(v), DataType::Text | DataType::Json) => put(out, Some(v.as_bytes())),
        (Value::Bytes(v), DataType::Bytes) => put(out, Some(v)),
        (Value::Date(v), DataType::Date) => put(out, Some(&from_epoch(*v)?.to_be_bytes())),
        (Value::Time(v), DataType::Time) => put(out, Some(&whole(i128::from(*v))?.to_be_bytes())),
        (Value::Timestamp(v), DataType::Timestamp { .. }) | (Value::TimestampTz(v), DataType::TimestampTz { .. }) => {
            put(out, Some(&whole(*v)?.checked_sub(EPOCH_MICROS)?.to_be_bytes()));
        }
        _ => return None,
    }
    Some(())
}

const TEXT: u8 = 51;
const BYTES: u8 = 52;

fn tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a cell to bytes that are hashed, so that a value counts the same after its column became wider: a date that is
/// a timestamp now, a whole number that is a decimal.
pub fn canonical(value: &Value, out: &mut Vec<u8>) {
    let mut put = |tag: u8, bytes: &[u8]| tagged(tag, bytes, out);
    match value {
        Value::Null => put(0, &[]),
        Value::Bool(v) => put(1, &[u8::from(*v)]),
        Value::Int(v) => put(2, &i128::from(*v).to_le_bytes()),
        Value::Decimal(v, s) => {
            let (mut v, mut s) = (*v, *s);
            while s > 0 && v % 10 == 0 {
                (v, s) = (v / 10, s - 1);
            }
            put(2 + s, &v.to_le_bytes());
        }
        Value::Double(v) => put(50, &v.to_bits().to_le_bytes()),
        Value::Text(v) => put(TEXT, v.as_bytes()),
        Value::Bytes(v) => put(BYTES, v),
        Value::Date(v) => put(53, &(i128::from(*v) * 86_400_000_000_000).to_le_bytes()),
        Value::Timestamp(v) => put(53, &v.to_le_bytes()),
        Value::Time(v) => put(54, &v.to_le_bytes()),
        Value::TimestampTz(v) => put(55, &v.to_le_bytes()),
    }
}
