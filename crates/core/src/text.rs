//! How values are written as text, and read back, with no digit lost.
//!
//! Readers accept only what the writers (or ISO 8601 for dates) produce unambiguously; everything else is "not of this
//! type", never a guess. Readers take bytes because they run on every cell of a file.

const NANOS: i128 = 1_000_000_000;
const DAY_NANOS: i128 = 86_400 * NANOS;

/// A whole number with no plus sign, no leading zero and no `-0`, within 64 bits.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 19 || (digits[0] == b'0' && (digits.len() > 1 || negative)) {
        return None;
    }
    let mut value: u64 = 0;
    for &b in digits {
        let d = b.wrapping_sub(b'0');
        if d > 9 {
            return None;
        }
        value = value * 10 + u64::from(d);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// `true` or `false`, as `true`, `True` or `TRUE`.
pub fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"true" | b"True" | b"TRUE" => Some(true),
        b"false" | b"False" | b"FALSE" => Some(false),
        _ => None,
    }
}

/// The parts of a plain decimal number: sign, digits before and after the point. No exponent, no leading zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecimalText<'a> {
    /// A minus sign stood in front.
    pub negative: bool,
    /// Digits before the point; may be empty (`.5`).
    pub integer: &'a [u8],
    /// Digits after it; empty when there is no point.
    pub fraction: &'a [u8],
}

/// Splits a plain decimal number, or says that it is none.
pub fn split_decimal(text: &[u8]) -> Option<DecimalText<'_>> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let point = rest.iter().position(|b| !b.is_ascii_digit());
    let (integer, fraction) = match point {
        None => (rest, &rest[rest.len()..]),
        Some(at) if rest[at] == b'.' => (&rest[..at], &rest[at + 1..]),
        Some(_) => return None,
    };
    if point.is_some() && fraction.is_empty() {
        return None;
    }
    if !fraction.iter().all(u8::is_ascii_digit) || (integer.len() > 1 && integer[0] == b'0') {
        return None;
    }
    if integer.is_empty() && fraction.is_empty() {
        return None;
    }
    Some(DecimalText { negative, integer, fraction })
}

/// Reads a decimal at exactly `scale` digits after the point; `None` when a digit would be lost or 38 digits are not
/// enough. Trailing zeros beyond the scale are no loss.
pub fn parse_decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let parts = split_decimal(text)?;
    let scale = usize::from(scale);
    let (kept, beyond) = parts.fraction.split_at(parts.fraction.len().min(scale));
    if beyond.iter().any(|&b| b != b'0') {
        return None;
    }
    let mut value: i128 = 0;
    for &b in parts.integer.iter().chain(kept) {
        value = value.checked_mul(10)?.checked_add(i128::from(b - b'0'))?;
    }
    value = value.checked_mul(10i128.checked_pow((scale - kept.len()) as u32)?)?;
    if value >= 10i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if parts.negative { -value } else { value })
}

/// Writes an unscaled decimal: `-12.30` for (-1230, 2).
pub fn format_decimal(unscaled: i128, scale: u8, out: &mut String) {
    use std::fmt::Write;
    let digits = unscaled.unsigned_abs();
    let power = 10u128.pow(u32::from(scale));
    if unscaled < 0 {
        out.push('-');
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "{}", digits / power);
    if scale > 0 {
        let _ = write!(out, ".{:0width$}", digits % power, width = usize::from(scale));
    }
}

/// Reads a number as a double when nothing of its printed precision is lost. Exponents are allowed; NaN, infinities
/// and overflow are not numbers here.
pub fn parse_f64_exact(text: &[u8]) -> Option<f64> {
    let string = std::str::from_utf8(text).ok()?;
    if let Some(parts) = split_decimal(text) {
        let value: f64 = string.parse().ok()?;
        let significant = parts.integer.len() + parts.fraction.len();
        // 15 significant decimal digits survive a double and back (IEEE 754 DBL_DIG).
        if significant <= 15 {
            return Some(value);
        }
        let printed = format!("{value:.*}", parts.fraction.len());
        let same = printed.as_bytes() == text || (parts.integer.is_empty() && printed.replacen("0.", ".", 1) == string);
        return same.then_some(value);
    }
    let at = text.iter().position(|b| matches!(b, b'e' | b'E'))?;
    let mantissa = split_decimal(&text[..at])?;
    let exponent = match &text[at + 1..] {
        [b'+' | b'-', rest @ ..] | rest => rest,
    };
    if exponent.is_empty() || exponent.len() > 3 || !exponent.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: f64 = string.parse().ok()?;
    if !value.is_finite() || (value == 0.0 && mantissa.integer.iter().chain(mantissa.fraction).any(|&b| b != b'0')) {
        return None;
    }
    let digits = mantissa.integer.len() + mantissa.fraction.len();
    // Doubles below 2.2e-308 have fewer digits the smaller they are, and others have more where these are their own.
    (digits <= 15 && !value.is_subnormal() || prints_as(value, mantissa)).then_some(value)
}

/// Whether a double printed with as many significant digits as a number has shows the same digits.
fn prints_as(value: f64, number: DecimalText<'_>) -> bool {
    let all: Vec<u8> = number.integer.iter().chain(number.fraction).copied().skip_while(|b| *b == b'0').collect();
    let printed = format!("{:.*e}", all.len().saturating_sub(1), value.abs());
    let shown = printed.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit);
    shown.eq(all.iter().copied())
}

fn two(text: &[u8]) -> Option<u32> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(u32::from(a - b'0') * 10 + u32::from(b - b'0')),
        _ => None,
    }
}

/// Days since 1970-01-01 of an ISO date `YYYY-MM-DD` that exists in the calendar.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    if text.len() != 10 || text[4] != b'-' {
        return None;
    }
    let year = two(&text[0..2])? * 100 + two(&text[2..4])?;
    day_of(i64::from(year), &text[5..])
}

/// As `parse_date`, and a year of more digits or before 0 too, which has a sign in front: what `format_date` writes.
pub fn parse_stored_date(text: &[u8]) -> Option<i32> {
    let (negative, rest) = match text {
        [b'+', rest @ ..] => (false, rest),
        [b'-', rest @ ..] => (true, rest),
        _ => return parse_date(text),
    };
    let (year, rest) = rest.split_at_checked(rest.iter().position(|b| *b == b'-')?)?;
    // Seven digits are more than 32 bits of days reach.
    if !(4..=7).contains(&year.len()) || !year.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let year = year.iter().fold(0, |year, b| year * 10 + i64::from(b - b'0'));
    day_of(if negative { -year } else { year }, &rest[1..])
}

/// The day of a year and `MM-DD`.
fn day_of(year: i64, text: &[u8]) -> Option<i32> {
    if text.len() != 5 || text[2] != b'-' {
        return None;
    }
    let (month, day) = (two(&text[0..2])?, two(&text[3..5])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > last {
        return None;
    }
    // Days from civil, after Howard Hinnant's public-domain algorithm: March-based years make leap days last.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// Nanoseconds since midnight of `HH:MM[:SS[.fraction]]`, and how many digits the fraction has.
pub fn parse_time(text: &[u8]) -> Option<(i64, u8)> {
    if text.len() < 5 || text[2] != b':' {
        return None;
    }
    let (hour, minute) = (two(&text[0..2])?, two(&text[3..5])?);
    let (mut second, mut nanos, mut digits) = (0, 0i64, 0u8);
    if text.len() > 5 {
        if text.len() < 8 || text[5] != b':' {
            return None;
        }
        second = two(&text[6..8])?;
        if text.len() > 8 {
            let fraction = &text[9..];
            if text[8] != b'.' || fraction.is_empty() || fraction.len() > 9 {
                return None;
            }
            for &b in fraction {
                if !b.is_ascii_digit() {
                    return None;
                }
                nanos = nanos * 10 + i64::from(b - b'0');
            }
            digits = fraction.len() as u8;
            nanos *= 10i64.pow(9 - u32::from(digits));
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second)) * 1_000_000_000 + nanos, digits))
}

/// A date and time read from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampText {
    /// Nanoseconds since 1970-01-01 00:00 (in UTC where `zoned`).
    pub nanos: i128,
    /// Whether a zone (`Z`, `+02:00`, `+0200`, `+02`) stood behind it.
    pub zoned: bool,
    /// Digits of the fraction.
    pub fraction: u8,
}

/// Reads `YYYY-MM-DD[T ]HH:MM[:SS[.fraction]][zone]`.
pub fn parse_timestamp(text: &[u8]) -> Option<TimestampText> {
    if text.len() < 16 || !matches!(text[10], b'T' | b' ') {
        return None;
    }
    moment_of(parse_date(&text[..10])?, &text[11..])
}

/// As `parse_timestamp`, with the years of `parse_stored_date`: what `format_timestamp` writes.
pub fn parse_stored_timestamp(text: &[u8]) -> Option<TimestampText> {
    if !matches!(text, [b'+' | b'-', ..]) {
        return parse_timestamp(text);
    }
    let at = text.iter().position(|b| matches!(b, b'T' | b' '))?;
    moment_of(parse_stored_date(&text[..at])?, &text[at + 1..])
}

/// A time of day with its zone, where there is one, on a day.
fn moment_of(days: i32, rest: &[u8]) -> Option<TimestampText> {
    let zone_at = rest.iter().position(|b| matches!(b, b'Z' | b'z' | b'+' | b'-'));
    let (clock, zone) = rest.split_at(zone_at.unwrap_or(rest.len()));
    let clock = if zone.is_empty() { clock } else { clock.trim_ascii_end() };
    let (time, fraction) = parse_time(clock)?;
    let offset = match zone {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), hh1, hh2, tail @ ..] => {
            let minutes = match tail {
                [] => 0,
                [b':', m1, m2] | [m1, m2] => two(&[*m1, *m2])?,
                _ => return None,
            };
            let hours = two(&[*hh1, *hh2])?;
            if hours > 15 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 3600 + minutes * 60);
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let nanos = i128::from(days) * DAY_NANOS + i128::from(time) - i128::from(offset) * NANOS;
    Some(TimestampText { nanos, zoned: !zone.is_empty(), fraction })
}

fn push2(out: &mut String, n: u32) {
    out.push((b'0' + (n / 10 % 10) as u8) as char);
    out.push((b'0' + (n % 10) as u8) as char);
}

/// Writes days since the epoch as `YYYY-MM-DD` (a year past 9999 or before 0 as ISO 8601 has it, with a sign).
pub fn format_date(days: i32, out: &mut String) {
    // The way back from `day_of`, by the same author.
    let from_march = i64::from(days) + 719_468;
    let era = from_march.div_euclid(146_097);
    let day_of_era = from_march.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if (0..=9999).contains(&year) {
        push2(out, year as u32 / 100);
        push2(out, year as u32 % 100);
    } else {
        use std::fmt::Write;
        let _ = write!(out, "{year:+05}");
    }
    out.push('-');
    push2(out, month as u32);
    out.push('-');
    push2(out, day as u32);
}

/// Writes nanoseconds since midnight as `HH:MM:SS[.fraction]`, no trailing zeros.
pub fn format_time(nanos: i64, out: &mut String) {
    let seconds = (nanos / 1_000_000_000) as u32;
    push2(out, seconds / 3600);
    out.push(':');
    push2(out, seconds / 60 % 60);
    out.push(':');
    push2(out, seconds % 60);
    let fraction = (nanos % 1_000_000_000) as u32;
    if fraction != 0 {
        use std::fmt::Write;
        let start = out.len();
        let _ = write!(out, ".{fraction:09}");
        let kept = out[start..].trim_end_matches('0').len();
        out.truncate(start + kept);
    }
}

/// Writes nanoseconds since the epoch as `YYYY-MM-DD HH:MM:SS[.fraction]`, with `+00:00` behind an instant.
///
/// Two such texts of one kind and of the years 0 to 9999 sort as the times do: `+` sorts before `.`, and no fraction
/// ends in a zero.
pub fn format_timestamp(nanos: i128, zoned: bool, out: &mut String) {
    let days = nanos.div_euclid(DAY_NANOS);
    format_date(i32::try_from(days).unwrap_or(i32::MAX), out);
    out.push(' ');
    format_time(nanos.rem_euclid(DAY_NANOS) as i64, out);
    if zoned {
        out.push_str("+00:00");
    }
}

/// The shortest text that reads back as the same double; `1.0` keeps its point.
pub fn format_f64(value: f64, out: &mut String) {
    use std::fmt::Write;
    let _ = write!(out, "{value:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn leading_zeros_and_signs_are_not_numbers() {
        for bad in ["007", "+5", "-0", "", "-", "1_000", " 1", "9223372036854775808"] {
            assert_eq!(parse_i64(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        for bad in ["1.", ".", "00.5", "1e5", "--1", "1.2.3"] {
            assert_eq!(split_decimal(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn doubles_keep_every_printed_digit() {
        assert_eq!(parse_f64_exact(b"1.10"), Some(1.1));
        assert_eq!(parse_f64_exact(b"0.1234567890123456789"), None);
        assert_eq!(parse_f64_exact(b"12345678901234567.5"), None);
        assert_eq!(parse_f64_exact(b"1e400"), None);
        assert_eq!(parse_f64_exact(b"1e-400"), None);
        assert_eq!(parse_f64_exact(b"1.5e3"), Some(1500.0));
        assert_eq!(parse_f64_exact(b"NaN"), None);
        assert_eq!(parse_f64_exact(b"inf"), None);
        // The smallest doubles have a few digits only.
        assert_eq!(parse_f64_exact(b"5e-324"), Some(5e-324));
        assert_eq!(parse_f64_exact(b"6e-324"), None);
        assert_eq!(parse_f64_exact(b"1.7976931348623157e308"), Some(f64::MAX));
        assert_eq!(parse_f64_exact(b"-2.2250738585072014E-308"), Some(-f64::MIN_POSITIVE));
        assert_eq!(parse_f64_exact(b"1.7976931348623158e308"), None);
        assert_eq!(parse_f64_exact(b"0.12345678901234567890e1"), None);
        assert_eq!(parse_f64_exact(b"1.23456789e-320"), None);
        assert_eq!(parse_f64_exact(b"0.5e-309"), Some(5e-310));
    }

    #[test]
    fn dates_must_exist() {
        assert_eq!(parse_date(b"2023-02-29"), None);
        assert_eq!(parse_date(b"2024-02-29"), Some(19_782));
        assert_eq!(parse_date(b"1970-01-01"), Some(0));
        assert_eq!(parse_date(b"2024-13-01"), None);
        assert_eq!(parse_date(b"2024-1-1"), None);
        assert_eq!(parse_timestamp(b"2024-01-01 24:00:00"), None);
    }

    #[test]
    fn years_of_more_digits_are_read_where_they_were_written() {
        assert_eq!(text(|o| format_date(i32::MAX, o)), "+5881580-07-11");
        assert_eq!(parse_stored_date(b"+10000-01-01"), Some(2_932_897));
        assert_eq!(parse_stored_date(b"-0001-12-31"), Some(-719_529));
        for bad in ["+10000-01-01", "10000-01-01"] {
            assert_eq!(parse_date(bad.as_bytes()), None, "{bad}");
        }
        for bad in ["10000-01-01", "+1-01-01", "+99999999-01-01", "+9999999-01-01", "+10000-13-01", "+", "-", "+-01-01"]
        {
            assert_eq!(parse_stored_date(bad.as_bytes()), None, "{bad}");
        }
        // The last second of the calendar is in the next year in UTC.
        let last = parse_timestamp(b"9999-12-31T23:59:59-05:00").unwrap();
        let written = text(|o| format_timestamp(last.nanos, true, o));
        assert_eq!(written, "+10000-01-01 04:59:59+00:00");
        assert_eq!(parse_stored_timestamp(written.as_bytes()), Some(last));
    }

    #[test]
    fn zones_are_brought_to_utc() {
        let a = parse_timestamp(b"2024-01-01T10:00:00+02:00").unwrap();
        let b = parse_timestamp(b"2024-01-01 08:00:00Z").unwrap();
        assert_eq!(a.nanos, b.nanos);
        assert!(a.zoned && b.zoned);
        for bad in ["Z02:00", "z0200", "+2", "+", "Z ", "+02:60", "+16:00"] {
            assert_eq!(parse_timestamp(format!("2024-01-01T10:00:00{bad}").as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn dates_read_back(days in -719_528i32..2_932_896) {
            prop_assert_eq!(parse_date(text(|o| format_date(days, o)).as_bytes()), Some(days));
        }

        #[test]
        fn any_day_reads_back(days: i32) {
            prop_assert_eq!(parse_stored_date(text(|o| format_date(days, o)).as_bytes()), Some(days));
        }

        #[test]
        fn any_microsecond_reads_back(micros: i64, zoned: bool) {
            let nanos = i128::from(micros) * 1000;
            let read = parse_stored_timestamp(text(|o| format_timestamp(nanos, zoned, o)).as_bytes()).unwrap();
            prop_assert_eq!((read.nanos, read.zoned), (nanos, zoned));
        }

        #[test]
        fn timestamps_read_back_and_sort_as_text(
            a in -62_167_219_200_000_000_000i128..253_402_300_800_000_000_000,
            b in -62_167_219_200_000_000_000i128..253_402_300_800_000_000_000,
            zoned: bool,
        ) {
            let (ta, tb) = (text(|o| format_timestamp(a, zoned, o)), text(|o| format_timestamp(b, zoned, o)));
            let read = parse_timestamp(ta.as_bytes()).unwrap();
            prop_assert_eq!((read.nanos, read.zoned), (a, zoned));
            prop_assert_eq!(ta.cmp(&tb), a.cmp(&b));
        }

        #[test]
        fn decimals_read_back(unscaled in -(10i128.pow(38) - 1)..10i128.pow(38), scale in 0u8..=38) {
            prop_assert_eq!(parse_decimal(text(|o| format_decimal(unscaled, scale, o)).as_bytes(), 38, scale), Some(unscaled));
        }

        #[test]
        fn integers_read_back(n: i64) {
            prop_assert_eq!(parse_i64(n.to_string().as_bytes()), Some(n));
        }

        #[test]
        fn short_decimals_survive_a_double(unscaled in -999_999_999_999_999i64..=999_999_999_999_999, scale in 0u8..10) {
            let printed = text(|o| format_decimal(unscaled.into(), scale, o));
            if let Some(value) = parse_f64_exact(printed.as_bytes()) {
                prop_assert_eq!(format!("{:.*}", usize::from(scale), value), printed);
            }
        }
    }
}
