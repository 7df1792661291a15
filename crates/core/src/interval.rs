//! Half-open intervals on a cursor's axis: how a range is cut into units, and what of it is covered (P7).

use crate::{
    error::{Code, Error, Result},
    types::DataType,
    value::Value,
    wording,
};
use chrono::{DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
pub use chrono_tz::{TZ_VARIANTS as TIME_ZONES, Tz};
use std::{cmp::Ordering, fmt, time::Duration};

/// A range is cut into at most so many units: each has its receipt.
pub const MOST_UNITS: usize = 100_000;

const NANOS_A_DAY: i128 = 86_400_000_000_000;

/// From a value, which it holds, to another, which it does not. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// Its first value.
    pub from: Value,
    /// The first value behind it.
    pub until: Value,
}

impl Interval {
    /// `None` where it would hold nothing, or the two do not compare.
    pub fn new(from: Value, until: Value) -> Option<Interval> {
        (from.compare(&until) == Some(Ordering::Less)).then_some(Interval { from, until })
    }

    /// Whether a value lies in it.
    pub fn holds(&self, value: &Value) -> bool {
        !before(value, &self.from) && before(value, &self.until)
    }

    /// What two have in common.
    pub fn common(&self, other: &Interval) -> Option<Interval> {
        Interval::new(later(&self.from, &other.from).clone(), earlier(&self.until, &other.until).clone())
    }
}

impl fmt::Display for Interval {
    /// In the notation of mathematics: `[2024-01-01, 2024-02-01)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.from, self.until)
    }
}

fn before(a: &Value, b: &Value) -> bool {
    a.compare(b) == Some(Ordering::Less)
}

fn later<'a>(a: &'a Value, b: &'a Value) -> &'a Value {
    if before(a, b) { b } else { a }
}

/// The lower of two values.
pub fn earlier<'a>(a: &'a Value, b: &'a Value) -> &'a Value {
    if before(b, a) { b } else { a }
}

/// The parts of `range` that none of `done` covers, in order.
pub fn gaps(range: &Interval, done: &[Interval]) -> Vec<Interval> {
    let mut done: Vec<&Interval> = done.iter().collect();
    done.sort_by(|a, b| a.from.compare(&b.from).unwrap_or(Ordering::Equal));
    let mut gaps = Vec::new();
    let mut reached = range.from.clone();
    for interval in done {
        if !before(&interval.from, &range.until) {
            break;
        }
        gaps.extend(Interval::new(reached.clone(), interval.from.clone()));
        reached = later(&reached, &interval.until).clone();
    }
    gaps.extend(Interval::new(reached, range.until.clone()));
    gaps
}

/// Intervals in order, each that meets the one before it joined to it.
pub fn joined(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_by(|a, b| a.from.compare(&b.from).unwrap_or(Ordering::Equal));
    let mut joined: Vec<Interval> = Vec::new();
    for interval in intervals {
        match joined.last_mut() {
            Some(last) if !before(&last.until, &interval.from) => {
                last.until = later(&last.until, &interval.until).clone()
            }
            _ => joined.push(interval),
        }
    }
    joined
}

/// How long a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So much of a number.
    Number(u64),
    /// So much time, whatever clocks do in it.
    Time(Duration),
    /// Days of the calendar: one on which clocks change has 23 or 25 hours.
    Days(u32),
    /// Months of the calendar. Counted from where the range begins, so that from a 31st the ends are the last days.
    Months(u32),
}

impl Step {
    /// For people: `1 month`, `15 minutes`, `100,000 values`.
    pub fn words(self) -> String {
        let count = |n: u64, word: &str| wording::count(n, word);
        match self {
            Step::Number(n) => count(n, "value"),
            Step::Days(n) => count(n.into(), "day"),
            Step::Months(n) if n % 12 == 0 => count(u64::from(n / 12), "year"),
            Step::Months(n) => count(n.into(), "month"),
            Step::Time(d) => match (d.subsec_millis(), d.as_secs()) {
                (0, s) if s % 3600 == 0 => count(s / 3600, "hour"),
                (0, s) if s % 60 == 0 => count(s / 60, "minute"),
                (0, s) => count(s, "second"),
                _ => count(u64::try_from(d.as_millis()).unwrap_or(u64::MAX), "millisecond"),
            },
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Number(n) => write!(f, "{n}"),
            Step::Days(n) => write!(f, "{n}d"),
            Step::Months(n) => write!(f, "{n}mo"),
            Step::Time(d) => {
                let seconds = d.as_secs();
                match (d.subsec_millis(), seconds % 3600, seconds % 60) {
                    (0, 0, _) => write!(f, "{}h", seconds / 3600),
                    (0, _, 0) => write!(f, "{}m", seconds / 60),
                    (0, ..) => write!(f, "{seconds}s"),
                    _ => write!(f, "{}ms", d.as_millis()),
                }
            }
        }
    }
}

/// The values of one column, as far as ranges of them are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    /// The column's type.
    pub data_type: DataType,
    /// Whose days and months count, for instants.
    pub zone: Tz,
}

impl Axis {
    /// Of a column that can be cut: a number without fractions, a date or a timestamp.
    pub fn new(column: &str, data_type: DataType, zone: Tz) -> Result<Axis> {
        let cut = matches!(
            data_type,
            DataType::BigInt
                | DataType::Decimal(..)
                | DataType::Date
                | DataType::Timestamp { .. }
                | DataType::TimestampTz { .. }
        );
        if cut {
            return Ok(Axis { data_type, zone });
        }
        Err(Error::new(Code::Unsafe, format!("column {column:?} is {data_type}, which cannot be cut into intervals"))
            .state("nothing was written")
            .help("a backfill goes along a date, a timestamp or a whole number: give the column such a type under `columns:`"))
    }

    /// Whether its values are moments or days.
    pub fn is_time(&self) -> bool {
        matches!(self.data_type, DataType::Date | DataType::Timestamp { .. } | DataType::TimestampTz { .. })
    }

    /// A value as a person writes it. A day or a time without an offset is one of the zone's.
    pub fn parse(&self, text: &str) -> Option<Value> {
        if let DataType::TimestampTz { .. } = self.data_type
            && let Some(Value::Timestamp(local)) = Value::parse(text, DataType::Timestamp { nanos: true })
        {
            return Some(Value::TimestampTz(self.instant(local)?));
        }
        Value::parse(text, self.data_type)
    }

    /// Now, on this axis.
    pub fn at(&self, now: DateTime<Utc>) -> Option<Value> {
        let nanos = nanos(now);
        match self.data_type {
            DataType::Date => Some(Value::Date(self.local(nanos)?.div_euclid(NANOS_A_DAY).try_into().ok()?)),
            DataType::Timestamp { .. } => Some(Value::Timestamp(self.local(nanos)?)),
            DataType::TimestampTz { .. } => Some(Value::TimestampTz(nanos)),
            _ => None,
        }
    }

    /// The value `count` steps behind `from`; `None` where the two do not go together, or there is none.
    fn step(&self, from: &Value, step: Step, count: u64) -> Option<Value> {
        match (from, step) {
            (Value::Int(v), Step::Number(n)) => {
                Some(Value::Int(v.checked_add(i64::try_from(n.checked_mul(count)?).ok()?)?))
            }
            (Value::Decimal(v, s), Step::Number(n)) => {
                let more =
                    i128::from(n).checked_mul(i128::from(count))?.checked_mul(10i128.checked_pow(u32::from(*s))?)?;
                Some(Value::Decimal(v.checked_add(more)?, *s))
            }
            (Value::Date(v), step) => {
                let moved = calendar(i128::from(*v) * NANOS_A_DAY, step, count)?;
                Some(Value::Date(moved.div_euclid(NANOS_A_DAY).try_into().ok()?))
            }
            (Value::Timestamp(v), Step::Time(d)) => Some(Value::Timestamp(elapsed(*v, d, count)?)),
            (Value::Timestamp(v), step) => Some(Value::Timestamp(calendar(*v, step, count)?)),
            (Value::TimestampTz(v), Step::Time(d)) => Some(Value::TimestampTz(elapsed(*v, d, count)?)),
            (Value::TimestampTz(v), step) => {
                Some(Value::TimestampTz(self.instant(calendar(self.local(*v)?, step, count)?)?))
            }
            _ => None,
        }
    }

    /// A range in units of `step`, in order; the last is shorter where the step does not divide it. All of it is one unit
    /// where there is no step.
    pub fn cut(&self, range: &Interval, step: Option<Step>) -> Result<Vec<Interval>> {
        let Some(step) = step else { return Ok(vec![range.clone()]) };
        let unfit = || {
            let fitting = match self.data_type {
                DataType::Date => "days or months, such as 1d, 7d or 1mo",
                DataType::Timestamp { .. } | DataType::TimestampTz { .. } => {
                    "a duration, days or months, such as 1h, 1d or 1mo"
                }
                _ => "a whole number, such as 100000",
            };
            Error::new(Code::BadArgument, format!("a step of {step} does not fit values of type {}", self.data_type))
                .state("nothing was written")
                .help(format!("--by takes {fitting}"))
        };
        let mut units = Vec::new();
        let mut from = range.from.clone();
        for count in 1.. {
            let next = self.step(&range.from, step, count).ok_or_else(unfit)?;
            let until = earlier(&next, &range.until).clone();
            // Where clocks are set back over midnight, a day's beginning may come twice.
            if let Some(unit) = Interval::new(from.clone(), until.clone()) {
                units.push(unit);
                from = until;
            }
            if !before(&from, &range.until) {
                break;
            }
            if units.len() >= MOST_UNITS {
                return Err(Error::new(
                    Code::BadArgument,
                    format!(
                        "{range} in steps of {} is more than {} intervals",
                        step.words(),
                        wording::grouped(MOST_UNITS as u64)
                    ),
                )
                .state("nothing was written")
                .help(match step {
                    Step::Time(_) => "take a longer step: --by 1d is a day, 1mo a month, 1m a minute",
                    _ => "take a longer step (--by), or a shorter range",
                }));
            }
        }
        Ok(units)
    }

    /// The least value from which `step` counts units that hold `value`: the beginning of its day or month, or the multiple
    /// of a number.
    pub fn floor(&self, value: &Value, step: Step) -> Option<Value> {
        match (value, step) {
            (Value::Int(v), Step::Number(n)) => {
                let n = i64::try_from(n).ok()?;
                Some(Value::Int(v.div_euclid(n).checked_mul(n)?))
            }
            (Value::Decimal(v, s), Step::Number(n)) => {
                let n = i128::from(n).checked_mul(10i128.checked_pow(u32::from(*s))?)?;
                Some(Value::Decimal(v.div_euclid(n) * n, *s))
            }
            (Value::Date(v), step) => {
                Some(Value::Date(floor(i128::from(*v) * NANOS_A_DAY, step)?.div_euclid(NANOS_A_DAY).try_into().ok()?))
            }
            (Value::Timestamp(v), step) => Some(Value::Timestamp(floor(*v, step)?)),
            (Value::TimestampTz(v), step) => Some(Value::TimestampTz(self.instant(floor(self.local(*v)?, step)?)?)),
            _ => None,
        }
    }

    /// The value a step behind another.
    pub fn next(&self, from: &Value, step: Step) -> Option<Value> {
        self.step(from, step, 1)
    }

    /// A value as the zone's clocks show it.
    pub fn shown(&self, value: &Value) -> String {
        match value {
            Value::TimestampTz(instant) => self.local(*instant).map(|local| Value::Timestamp(local).to_string()),
            _ => None,
        }
        .unwrap_or_else(|| value.to_string())
    }

    /// What the zone's clocks show at an instant.
    fn local(&self, instant: i128) -> Option<i128> {
        let at = moment(instant)?;
        Some(nanos(self.zone.from_utc_datetime(&at).naive_local().and_utc()))
    }

    /// When the zone's clocks show that: the first time, where they do so twice; where they never do, when they are set
    /// forward over it.
    fn instant(&self, local: i128) -> Option<i128> {
        let at = moment(local)?;
        let found = match self.zone.from_local_datetime(&at) {
            LocalResult::Single(found) | LocalResult::Ambiguous(found, _) => found,
            LocalResult::None => {
                // The offset before the gap, applied to a time within it, is past the gap by as much; the gap's own end is
                // what clocks show then.
                let ahead = at.checked_sub_signed(TimeDelta::days(1))?;
                let offset = self.zone.offset_from_local_datetime(&ahead).earliest()?;
                let past = at.and_utc().naive_utc() - chrono::Offset::fix(&offset);
                self.gap_end(past, at)?
            }
        };
        Some(nanos(found.with_timezone(&Utc)))
    }

    /// The first instant at which the zone's clocks show more than `skipped`, at or before `past`.
    fn gap_end(&self, past: NaiveDateTime, skipped: NaiveDateTime) -> Option<DateTime<Tz>> {
        let shows = |second: i64| -> Option<NaiveDateTime> {
            Some(self.zone.from_utc_datetime(&DateTime::from_timestamp(second, 0)?.naive_utc()).naive_local())
        };
        let (mut low, mut high) = (past.and_utc().timestamp() - 2 * 86_400, past.and_utc().timestamp());
        while low < high {
            let middle = low + (high - low) / 2;
            if shows(middle)? > skipped {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(self.zone.from_utc_datetime(&DateTime::from_timestamp(low, 0)?.naive_utc()))
    }
}

fn nanos(at: DateTime<Utc>) -> i128 {
    i128::from(at.timestamp()) * 1_000_000_000 + i128::from(at.timestamp_subsec_nanos())
}

fn moment(nanos: i128) -> Option<NaiveDateTime> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let rest = u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    Some(DateTime::from_timestamp(seconds, rest)?.naive_utc())
}

fn elapsed(from: i128, step: Duration, count: u64) -> Option<i128> {
    from.checked_add(i128::try_from(step.as_nanos()).ok()?.checked_mul(i128::from(count))?)
}

/// Steps of the calendar from what clocks show.
fn calendar(local: i128, step: Step, count: u64) -> Option<i128> {
    let at = moment(local)?;
    let moved = match step {
        Step::Days(n) => at.checked_add_days(Days::new(u64::from(n).checked_mul(count)?))?,
        Step::Months(n) => at.checked_add_months(Months::new(n.checked_mul(u32::try_from(count).ok()?)?))?,
        Step::Number(_) | Step::Time(_) => return None,
    };
    Some(nanos(moved.and_utc()))
}

/// The beginning of the unit that holds what clocks show.
fn floor(local: i128, step: Step) -> Option<i128> {
    match step {
        Step::Time(d) => {
            let d = i128::try_from(d.as_nanos()).ok()?;
            Some(local.div_euclid(d) * d)
        }
        Step::Days(n) => {
            let d = NANOS_A_DAY * i128::from(n);
            Some(local.div_euclid(d) * d)
        }
        Step::Months(n) => {
            let day = moment(local)?.date();
            let months = day.year() * 12 + day.month0() as i32;
            let first = months.div_euclid(n as i32) * n as i32;
            let first = NaiveDate::from_ymd_opt(first.div_euclid(12), first.rem_euclid(12) as u32 + 1, 1)?;
            Some(nanos(first.and_hms_opt(0, 0, 0)?.and_utc()))
        }
        Step::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axis(data_type: DataType, zone: Tz) -> Axis {
        Axis::new("at", data_type, zone).unwrap()
    }

    fn berlin() -> Axis {
        axis(DataType::TimestampTz { nanos: false }, chrono_tz::Europe::Berlin)
    }

    fn range(axis: &Axis, from: &str, until: &str) -> Interval {
        Interval::new(axis.parse(from).unwrap(), axis.parse(until).unwrap()).unwrap()
    }

    fn shown(units: &[Interval]) -> Vec<String> {
        units.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn intervals_that_meet_are_joined() {
        let of = |from: i64, until: i64| Interval::new(Value::Int(from), Value::Int(until)).unwrap();
        let told =
            |intervals: Vec<Interval>| joined(intervals).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(told(vec![of(5, 7), of(1, 3), of(3, 4), of(0, 2), of(1, 2)]), "[0, 4) [5, 7)");
        assert_eq!(told(Vec::new()), "");
    }

    #[test]
    fn days_of_a_zone_are_as_long_as_its_clocks_say() {
        let axis = berlin();
        let hours = |from: &str, until: &str| {
            axis.cut(&range(&axis, from, until), Some(Step::Time(Duration::from_secs(3600)))).unwrap().len()
        };
        assert_eq!(hours("2024-03-30", "2024-03-31"), 24);
        assert_eq!(hours("2024-03-31", "2024-04-01"), 23);
        assert_eq!(hours("2024-10-27", "2024-10-28"), 25);
        let days = axis.cut(&range(&axis, "2024-03-30", "2024-04-02"), Some(Step::Days(1))).unwrap();
        assert_eq!(
            shown(&days),
            [
                "[2024-03-29 23:00:00+00:00, 2024-03-30 23:00:00+00:00)",
                "[2024-03-30 23:00:00+00:00, 2024-03-31 22:00:00+00:00)",
                "[2024-03-31 22:00:00+00:00, 2024-04-01 22:00:00+00:00)",
            ]
        );
    }

    #[test]
    fn a_midnight_that_clocks_skip_is_when_they_are_set_forward() {
        // In Beirut clocks went from 0:00 to 1:00 on 31 March 2024; in Apia all of 30 December 2011 was left out.
        let beirut = axis(DataType::TimestampTz { nanos: false }, chrono_tz::Asia::Beirut);
        assert_eq!(beirut.parse("2024-03-31").unwrap().to_string(), "2024-03-30 22:00:00+00:00");
        let apia = axis(DataType::TimestampTz { nanos: false }, chrono_tz::Pacific::Apia);
        assert_eq!(apia.parse("2011-12-30").unwrap(), apia.parse("2011-12-31").unwrap());
        let days = apia.cut(&range(&apia, "2011-12-29", "2012-01-01"), Some(Step::Days(1))).unwrap();
        assert_eq!(days.len(), 2);
    }

    #[test]
    fn a_step_in_words_tells_minutes_from_months() {
        let minute = Duration::from_secs(60);
        let steps = [Step::Time(minute), Step::Months(1), Step::Months(24), Step::Days(7), Step::Number(100_000)];
        assert_eq!(steps.map(Step::words), ["1 minute", "1 month", "2 years", "7 days", "100,000 values"]);
        let odd =
            [Step::Time(2 * 60 * minute), Step::Time(Duration::from_secs(90)), Step::Time(Duration::from_millis(1500))];
        assert_eq!(odd.map(Step::words), ["2 hours", "90 seconds", "1,500 milliseconds"]);
    }

    #[test]
    fn months_are_counted_from_where_the_range_begins() {
        let axis = axis(DataType::Date, Tz::UTC);
        let months = axis.cut(&range(&axis, "2024-01-31", "2024-05-15"), Some(Step::Months(1))).unwrap();
        let expected = [
            "[2024-01-31, 2024-02-29)",
            "[2024-02-29, 2024-03-31)",
            "[2024-03-31, 2024-04-30)",
            "[2024-04-30, 2024-05-15)",
        ];
        assert_eq!(shown(&months), expected);
    }

    #[test]
    fn an_offset_is_taken_as_it_is_written_and_a_time_without_one_is_of_the_zone() {
        assert_eq!(berlin().parse("2024-07-01T12:00:00Z").unwrap().to_string(), "2024-07-01 12:00:00+00:00");
        assert_eq!(berlin().parse("2024-07-01 12:00:00").unwrap().to_string(), "2024-07-01 10:00:00+00:00");
    }

    #[test]
    fn what_does_not_go_together_is_an_error() {
        let numbers = axis(DataType::BigInt, Tz::UTC);
        let whole = Interval::new(Value::Int(0), Value::Int(10)).unwrap();
        assert!(numbers.cut(&whole, Some(Step::Days(1))).is_err());
        assert!(
            numbers.cut(&Interval::new(Value::Int(0), Value::Int(i64::MAX)).unwrap(), Some(Step::Number(1))).is_err()
        );
        let dates = axis(DataType::Date, Tz::UTC);
        assert!(
            dates.cut(&range(&dates, "2024-01-01", "2024-01-02"), Some(Step::Time(Duration::from_secs(60)))).is_err()
        );
        assert!(Axis::new("at", DataType::Text, Tz::UTC).is_err());
        assert_eq!(Interval::new(Value::Int(1), Value::Int(1)), None);
    }

    #[test]
    fn units_begin_where_the_calendar_does() {
        let axis = berlin();
        let floor = |text: &str, step| axis.floor(&axis.parse(text).unwrap(), step).unwrap();
        assert_eq!(floor("2024-03-31 12:30:00", Step::Days(1)), axis.parse("2024-03-31").unwrap());
        assert_eq!(floor("2024-03-31 12:30:00", Step::Months(1)), axis.parse("2024-03-01").unwrap());
        let numbers = super::Axis::new("n", DataType::BigInt, Tz::UTC).unwrap();
        assert_eq!(numbers.floor(&Value::Int(-5), Step::Number(10)), Some(Value::Int(-10)));
    }

    fn intervals() -> impl Strategy<Value = Vec<Interval>> {
        let one = (-20i64..60, 1i64..15)
            .prop_map(|(from, length)| Interval { from: Value::Int(from), until: Value::Int(from + length) });
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn a_value_lies_in_a_gap_or_is_covered(done in intervals(), from in -10i64..40, length in 1i64..30) {
            let range = Interval { from: Value::Int(from), until: Value::Int(from + length) };
            let gaps = gaps(&range, &done);
            for at in from - 3..from + length + 3 {
                let at = Value::Int(at);
                let covered = done.iter().any(|d| d.holds(&at));
                prop_assert_eq!(gaps.iter().filter(|g| g.holds(&at)).count(), usize::from(range.holds(&at) && !covered));
            }
            prop_assert!(gaps.windows(2).all(|w| w[0].until.compare(&w[1].from) != Some(Ordering::Greater)));
        }

        #[test]
        fn units_lie_end_to_end(day in 0i32..40_000, length in 1i32..800, n in 1u32..40, months: bool) {
            let axis = axis(DataType::TimestampTz { nanos: false }, chrono_tz::America::New_York);
            let at = |day: i32| Value::TimestampTz(i128::from(day) * NANOS_A_DAY + 17);
            let range = Interval { from: at(day), until: at(day + length) };
            let units = axis.cut(&range, Some(if months { Step::Months(n) } else { Step::Days(n) })).unwrap();
            prop_assert_eq!(&units[0].from, &range.from);
            prop_assert_eq!(&units[units.len() - 1].until, &range.until);
            prop_assert!(units.windows(2).all(|w| w[0].until == w[1].from));
            prop_assert!(units.iter().all(|u| u.from.compare(&u.until) == Some(Ordering::Less)));
        }
    }
}
