//! Single values as people write them: durations, sizes, limits, characters, schedules.
//!
//! An error is what to do about it; the caller knows where it is and what it is called.

use croner::{
    errors::CronError,
    parser::{CronParser, Seconds, Year},
};
use floodmark_core::{
    interval::{Step, TIME_ZONES, Tz},
    pipeline::{RejectLimit, Span},
};
use std::time::Duration;

/// The shortest `@every`.
const SHORTEST: Duration = Duration::from_secs(1);

/// `90s`, `15m`, `1h30m`, `2d`, `1w`, `250ms`, or a whole number for numeric columns.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    if let Some(number) = whole(text) {
        return Ok(Span::Number(number));
    }
    duration(text).map(Span::Time)
}

/// A duration with its units.
pub fn duration(text: &str) -> Result<Duration, String> {
    const HELP: &str = "write a number and a unit (ms, s, m, h, d, w), such as 90s, 15m or 1h30m";
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(HELP.to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| HELP.to_owned())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let millis: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(HELP.to_owned()),
        };
        rest = &rest[letters..];
        total = number
            .checked_mul(millis)
            .and_then(|ms| total.checked_add(Duration::from_millis(ms)))
            .ok_or("this is longer than can be counted; shorten it")?;
    }
    Ok(total)
}

/// A duration of more than nothing.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("this is no time at all; leave it out, or write some, such as 30s".to_owned()),
        time => Ok(time),
    }
}

/// A whole number; underscores may group its digits.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let inner = text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
    if !inner || text.contains("__") {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// A whole number from 1. `default`: what it is when nothing is said, the most common case first.
pub(crate) fn count(text: &str, default: &str) -> Result<u64, String> {
    let example = default.split(';').next().unwrap_or(default);
    whole(text).filter(|n| *n > 0).ok_or_else(|| format!("write a whole number from 1, such as {example}"))
}

/// Bytes: `65536`, `64MiB`, `10 MB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    const HELP: &str = "write a whole number of bytes, or one with a unit (KiB, MiB, GiB, kB, MB, GB), such as 64MiB";
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let unit: usize = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(HELP.to_owned()),
    };
    whole(&text[..digits])
        .and_then(|n| usize::try_from(n).ok()?.checked_mul(unit))
        .filter(|n| *n > 0)
        .ok_or_else(|| HELP.to_owned())
}

/// `100` rows or `1%` of them.
pub(crate) fn limit(text: &str) -> Result<RejectLimit, String> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent = percent.trim_end();
        let plain = percent.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        return percent
            .parse()
            .ok()
            .filter(|p| plain && (0.0..=100.0).contains(p))
            .map(RejectLimit::Percent)
            .ok_or_else(|| "write a share between 0% and 100%, such as 1% or 0.5%".to_owned());
    }
    whole(text)
        .map(RejectLimit::Rows)
        .ok_or_else(|| "write a number of rows such as 100, or a share such as 1%".to_owned())
}

/// One ASCII character that may stand between or around fields.
pub(crate) fn character(text: &str) -> Result<u8, String> {
    let byte = match text {
        "tab" | "\\t" | "\t" => b'\t',
        _ => match text.as_bytes() {
            [byte] => *byte,
            _ => return Err("write one ASCII character in quotes, such as \";\", or tab".to_owned()),
        },
    };
    if byte.is_ascii_alphanumeric() || matches!(byte, b'\n' | b'\r' | 0) || !byte.is_ascii() {
        return Err("letters, digits and line ends cannot stand there: they occur in values".to_owned());
    }
    Ok(byte)
}

/// A schedule: five cron fields, six with seconds first, or `@every` and a duration.
pub(crate) fn schedule(text: &str) -> Result<(), String> {
    const HELP: &str = "write five cron fields (\"*/5 * * * *\"), six with seconds first, or @every 10m";
    if let Some(every) = text.strip_prefix("@every ") {
        return match duration(every)? {
            time if time < SHORTEST => Err("an interval is a second or longer; write @every 10m".to_owned()),
            _ => Ok(()),
        };
    }
    match CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build().parse(text) {
        Ok(_) => Ok(()),
        Err(CronError::ComponentError(why)) => Err(format!("{}; {HELP}", why.trim_end_matches('.').to_lowercase())),
        Err(_) => Err(HELP.to_owned()),
    }
}

/// How long an interval is: `1h`, `1d`, `2w`, `1mo`, `1y`, or a whole number.
pub fn step(text: &str) -> Result<Step, String> {
    const HELP: &str = "write a number and a unit (m, h, d, w, mo, y), such as 1d or 1mo, or a whole number";
    let text = text.trim();
    let letters = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(letters);
    let counted = |most: u64| whole(digits).filter(|n| (1..=most).contains(n)).map(|n| n as u32).ok_or(HELP);
    Ok(match unit {
        "" => Step::Number(whole(digits).filter(|n| *n > 0).ok_or(HELP)?),
        "d" => Step::Days(counted(100_000)?),
        "w" => Step::Days(7 * counted(10_000)?),
        "mo" => Step::Months(counted(10_000)?),
        "y" => Step::Months(12 * counted(1_000)?),
        _ => match duration(text) {
            Ok(time) if !time.is_zero() => Step::Time(time),
            _ => return Err(HELP.to_owned()),
        },
    })
}

/// A time zone by its name in the IANA database.
pub(crate) fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| {
        let near = floodmark_core::wording::nearest(text, TIME_ZONES.iter().map(|zone| zone.name()));
        match near {
            Some(near) => format!("there is no such time zone; did you mean {near}?"),
            None => "write a name of the IANA database, such as Europe/Berlin or UTC".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_step_is_of_the_calendar_or_of_the_clock() {
        assert_eq!(step("1d"), Ok(Step::Days(1)));
        assert_eq!(step("2w"), Ok(Step::Days(14)));
        assert_eq!(step("1mo"), Ok(Step::Months(1)));
        assert_eq!(step("1y"), Ok(Step::Months(12)));
        assert_eq!(step("1h30m"), Ok(Step::Time(Duration::from_secs(5400))));
        assert_eq!(step("100_000"), Ok(Step::Number(100_000)));
        for wrong in ["", "0", "0d", "d", "1.5d", "-1d", "1 day", "1M", "99999999999mo", "0s"] {
            assert!(step(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259_200), ("1w", 604_800), ("1h30m", 5400)]
        {
            assert_eq!(span(text), Ok(Span::Time(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!(span("250ms"), Ok(Span::Time(Duration::from_millis(250))));
        assert_eq!(span("42"), Ok(Span::Number(42)));
        for wrong in
            ["", "m", "15", "1.5h", "-1h", "15 minutes", "15M", "99999999999999999999s", "18446744073709551615w"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_and_limits_have_units() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("10 MB"), Ok(10_000_000));
        assert_eq!(bytes("65_536"), Ok(65_536));
        for wrong in ["", "0", "MiB", "-1", "1.5MiB", "64MIBS", "99999999999GiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(limit("100"), Ok(RejectLimit::Rows(100)));
        assert_eq!(limit("0.5%"), Ok(RejectLimit::Percent(0.5)));
        for wrong in ["", "%", "101%", "NaN%", "-1", "1e2%"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_delimiter_is_one_character_that_cannot_be_part_of_a_value() {
        assert_eq!(character("tab"), Ok(b'\t'));
        assert_eq!(character("\\t"), Ok(b'\t'));
        assert_eq!(character(";"), Ok(b';'));
        for wrong in ["", ",,", "a", "\n", "ü"] {
            assert!(character(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn schedules_are_cron_or_an_interval() {
        for right in ["*/5 * * * *", "0 */5 * * * *", "0 9 * * MON-FRI", "@daily", "@every 10m"] {
            assert_eq!(schedule(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "* * * *",
            "* * * * * * *",
            "every 10m",
            "@every",
            "@every 0s",
            "@every 999ms",
            "* * * * ;",
            "61 * * * *",
        ] {
            assert!(schedule(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_refused(text in ".{0,12}") {
            let _ = (span(&text), bytes(&text), limit(&text), character(&text), schedule(&text), count(&text, "1"));
        }

        #[test]
        fn a_duration_is_the_sum_of_its_parts(h in 0u64..1000, m in 0u64..1000, s in 0u64..1000) {
            prop_assert_eq!(duration(&format!("{h}h{m}m{s}s")), Ok(Duration::from_secs(h * 3600 + m * 60 + s)));
        }
    }
}
