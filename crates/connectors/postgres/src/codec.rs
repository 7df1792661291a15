//! How Floodmark's values live in PostgreSQL, and their binary form (the `…_send` functions of the server's types).

use crate::tuples;
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

/// Days, and microseconds, from the epoch of everybody else to PostgreSQL's, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// What the server takes, in its own counting: from 4714-11-24 BC on, before the years 5874898 and 294277.
const DAYS: std::ops::Range<i32> = -2_451_545..2_145_031_949;
const MICROS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// The type a column is made with. It keeps every value exactly: `json` its very text, which `jsonb` would not.
pub(crate) fn declared(data_type: DataType) -> String {
    match data_type {
        DataType::Bool => "boolean".into(),
        DataType::BigInt => "bigint".into(),
        DataType::Decimal(p, s) => format!("numeric({p},{s})"),
        DataType::Double => "double precision".into(),
        DataType::Text => "text".into(),
        DataType::Bytes => "bytea".into(),
        DataType::Date => "date".into(),
        DataType::Time => "time".into(),
        // Nanoseconds are taken where they are whole microseconds, and refused where not: none is lost.
        DataType::Timestamp { .. } => "timestamp".into(),
        DataType::TimestampTz { .. } => "timestamptz".into(),
        DataType::Json => "json".into(),
    }
}

/// A column of a batch, downcast once.
pub(crate) struct Cells<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
    name: &'a str,
    pub(crate) data_type: DataType,
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
pub(crate) fn columns<'a>(batch: &'a RecordBatch, types: &[DataType]) -> Result<Vec<Cells<'a>>> {
    let fields = batch.schema_ref().fields().iter().map(|f| f.name().as_str());
    fields.zip(batch.columns()).zip(types).map(|((name, array), t)| Cells::new(name, array, *t)).collect()
}

impl<'a> Cells<'a> {
    pub(crate) fn new(name: &'a str, array: &'a ArrayRef, data_type: DataType) -> Result<Self> {
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
        Ok(Cells { values, nulls: array.nulls(), name, data_type })
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|n| n.is_null(row))
    }

    /// Appends the cell as `COPY` carries it.
    #[inline]
    pub(crate) fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            tuples::put(out, None);
            return Ok(());
        }
        match &self.values {
            Values::Int(a) => tuples::put(out, Some(&a.value(row).to_be_bytes())),
            Values::Text(a) => {
                let text = a.value(row).as_bytes();
                if text.contains(&0) {
                    return Err(self.refused("the character U+0000", String::from_utf8_lossy(text).into()));
                }
                tuples::put(out, Some(text));
            }
            Values::Double(a) => tuples::put(out, Some(&double(a.value(row)).to_be_bytes())),
            Values::Bool(a) => tuples::put(out, Some(&[u8::from(a.value(row))])),
            Values::Bytes(a) => tuples::put(out, Some(a.value(row))),
            Values::Decimal(a, s) => numeric(a.value(row), *s, out),
            Values::Date(a) => {
                let days = date(a.value(row)).ok_or_else(|| self.out_of_range(Value::Date(a.value(row))))?;
                tuples::put(out, Some(&days.to_be_bytes()));
            }
            Values::Time(a) => {
                let micros = whole(i128::from(a.value(row))).ok_or_else(|| self.finer(Value::Time(a.value(row))))?;
                tuples::put(out, Some(&micros.to_be_bytes()));
            }
            Values::Micros(a) => {
                let micros = timestamp(a.value(row));
                let micros =
                    micros.ok_or_else(|| self.out_of_range(Value::Timestamp(i128::from(a.value(row)) * 1000)))?;
                tuples::put(out, Some(&micros.to_be_bytes()));
            }
            Values::Nanos(a) => {
                let value = Value::Timestamp(i128::from(a.value(row)));
                let micros = whole(i128::from(a.value(row))).ok_or_else(|| self.finer(value.clone()))?;
                let micros = timestamp(micros).ok_or_else(|| self.out_of_range(value))?;
                tuples::put(out, Some(&micros.to_be_bytes()));
            }
        }
        Ok(())
    }

    fn refused(&self, what: &str, value: String) -> Error {
        Error::new(Code::Unstorable, format!("PostgreSQL cannot hold {what} in a column of type {}", self.data_type))
            .at(Place { column: Some(self.name.to_owned()), value: Some(shorten(&value)), ..Place::default() })
            .state("the open transaction was rolled back")
            .help("correct the source, or the value on its way with `transform`")
    }

    fn finer(&self, value: Value) -> Error {
        self.refused("parts of a microsecond", value.to_string())
            .help(format!("or keep the column as text: `columns: {{{}: {{type: text}}}}`", self.name))
    }

    fn out_of_range(&self, value: Value) -> Error {
        self.refused("a moment that far away", value.to_string())
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Appends the cell to bytes that are hashed, as [`canonical`] has it.
    #[inline]
    pub(crate) fn canonical(&self, row: usize, out: &mut Vec<u8>) {
        match &self.values {
            _ if self.is_null(row) => canonical(&Value::Null, out),
            Values::Text(a) => tagged(TEXT, a.value(row).as_bytes(), out),
            Values::Bytes(a) => tagged(BYTES, a.value(row), out),
            _ => canonical(&self.value(row), out),
        }
    }

    /// The typed value.
    pub(crate) fn value(&self, row: usize) -> Value {
        if self.is_null(row) {
            return Value::Null;
        }
        let zoned = matches!(self.data_type, DataType::TimestampTz { .. });
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

fn date(days: i32) -> Option<i32> {
    days.checked_sub(EPOCH_DAYS).filter(|days| DAYS.contains(days))
}

fn timestamp(micros: i64) -> Option<i64> {
    micros.checked_sub(EPOCH_MICROS).filter(|micros| MICROS.contains(micros))
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
pub(crate) fn from_numeric(bytes: &[u8], scale: u8) -> Option<i128> {
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
pub(crate) fn numeric_text(bytes: &[u8]) -> Option<String> {
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

/// A day as the server sends it, counted from the epoch of everybody else; nothing for an infinity.
#[inline]
pub(crate) fn day(bytes: &[u8]) -> Option<i32> {
    let days = i32::from_be_bytes(bytes.try_into().ok()?);
    DAYS.contains(&days).then(|| days.checked_add(EPOCH_DAYS)).flatten()
}

/// A moment as the server sends it, in microseconds from the epoch of everybody else; nothing for an infinity.
#[inline]
pub(crate) fn moment(bytes: &[u8]) -> Option<i64> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    MICROS.contains(&micros).then(|| micros.checked_add(EPOCH_MICROS)).flatten()
}

/// What the server sent as a value of the type; `None` where the two do not go together (somebody else wrote it).
pub(crate) fn decode(cell: tuples::Cell<'_>, data_type: DataType) -> Option<Value> {
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
pub(crate) fn settled(cell: tuples::Cell<'_>) -> Option<Vec<u8>> {
    const SCALE: u8 = 9;
    let number = from_numeric(cell?, SCALE)?;
    let mut out = Vec::new();
    numeric(number, SCALE, &mut out);
    out.drain(..4);
    Some(out)
}

/// The same for a person's eyes: what is no value of the type is shown as bytes.
pub(crate) fn shown(cell: tuples::Cell<'_>, data_type: DataType) -> Value {
    decode(cell, data_type).unwrap_or_else(|| Value::Bytes(cell.unwrap_or_default().to_vec()))
}

/// Appends a value as `COPY` carries it; `None` where a column of the type cannot hold it.
pub(crate) fn encode(value: &Value, data_type: DataType, out: &mut Vec<u8>) -> Option<()> {
    match (value, data_type) {
        (Value::Null, _) => tuples::put(out, None),
        (Value::Bool(v), DataType::Bool) => tuples::put(out, Some(&[u8::from(*v)])),
        (Value::Int(v), DataType::BigInt) => tuples::put(out, Some(&v.to_be_bytes())),
        (Value::Decimal(v, s), DataType::Decimal(_, scale)) if *s == scale => numeric(*v, *s, out),
        (Value::Double(v), DataType::Double) => tuples::put(out, Some(&double(*v).to_be_bytes())),
        (Value::Text(v), DataType::Text | DataType::Json) => tuples::put(out, Some(v.as_bytes())),
        (Value::Bytes(v), DataType::Bytes) => tuples::put(out, Some(v)),
        (Value::Date(v), DataType::Date) => tuples::put(out, Some(&date(*v)?.to_be_bytes())),
        (Value::Time(v), DataType::Time) => tuples::put(out, Some(&whole(i128::from(*v))?.to_be_bytes())),
        (Value::Timestamp(v), DataType::Timestamp { .. }) | (Value::TimestampTz(v), DataType::TimestampTz { .. }) => {
            tuples::put(out, Some(&timestamp(whole(*v)?)?.to_be_bytes()));
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
pub(crate) fn canonical(value: &Value, out: &mut Vec<u8>) {
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

#[cfg(test)]
pub(crate) mod tests;
