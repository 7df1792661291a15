//! Values of the axis as whole numbers, so that ranges of them can be cut and compared.

use super::{history::By, row::Value, settings::Axis};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// From a place, which it holds, to another, which it does not.
pub(super) type Range = (i64, i64);

impl Axis {
    /// One of the few values that rows have, so that they meet; in order.
    pub(super) fn at(self, point: usize) -> Value {
        let part = [" 10:00:00", " 10:00:00.123456", " 10:00:00.123457", " 10:00:00.5"][point % 4];
        match self {
            Axis::Int => Value::Int(point as i64),
            Axis::Date => Value::Text(format!("2024-{:02}-{:02}", 1 + point / 28, 1 + point % 28)),
            Axis::Timestamp => Value::Text(format!("2024-01-{:02}{part}", 1 + point / 4)),
            Axis::Zoned => Value::Text(format!("2024-01-{:02}{part}+00:00", 1 + point / 4)),
        }
    }

    /// Where an interval may begin or end that holds no whole number of points: a day's beginning, for what has times.
    pub(super) fn between(self, point: usize) -> Value {
        match self {
            Axis::Timestamp => Value::Text(format!("2024-01-{:02} 00:00:00", 1 + point / 4)),
            Axis::Zoned => Value::Text(format!("2024-01-{:02} 00:00:00+00:00", 1 + point / 4)),
            Axis::Int | Axis::Date => self.at(point),
        }
    }

    /// A value's place, in days or microseconds of the year 2024, or the number itself; none for NULL.
    pub(super) fn place(self, value: &Value) -> Option<i64> {
        let text = match value {
            Value::Null => return None,
            Value::Int(number) => return Some(*number),
            Value::Text(text) => text,
        };
        let number = |from: usize, until: usize| text.get(from..until)?.parse::<i64>().ok();
        let months = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let month = usize::try_from(number(5, 7)?).ok()?;
        let days = months.iter().take(month - 1).sum::<i64>() + number(8, 10)? - 1;
        if self == Axis::Date {
            return Some(days);
        }
        let seconds = match text.len() {
            10 => 0,
            _ => (number(11, 13)? * 60 + number(14, 16)?) * 60 + number(17, 19)?,
        };
        let fraction = text.get(19..).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
        let digits: String = fraction.chars().take_while(char::is_ascii_digit).collect();
        Some(days * DAY + seconds * 1_000_000 + format!("{digits:0<6}").parse::<i64>().ok()?)
    }

    pub(super) fn is_time(self) -> bool {
        self != Axis::Int
    }

    /// How long an interval is; none: as long as the range.
    fn step(self, by: Option<By>) -> Option<i64> {
        let day = if self == Axis::Date { 1 } else { DAY };
        match by {
            Some(By::Number(n)) => Some(i64::from(n)),
            Some(By::Days(n)) => Some(i64::from(n) * day),
            Some(By::Hours(n)) => Some(i64::from(n) * HOUR),
            None => self.is_time().then_some(day),
        }
    }

    /// A range in steps from its beginning; the last is shorter where they do not divide it.
    pub(super) fn cut(self, (from, until): Range, by: Option<By>) -> Vec<Range> {
        let Some(step) = self.step(by) else { return vec![(from, until)] };
        let units = (0..).map(|n| from + n * step).take_while(|start| *start < until);
        units.map(|start| (start, until.min(start + step))).collect()
    }

    /// What lies between 1970 and 2024.
    pub(super) fn epoch(self) -> i64 {
        match self {
            Axis::Int => 0,
            Axis::Date => EPOCH,
            Axis::Timestamp | Axis::Zoned => EPOCH * DAY,
        }
    }

    /// Where steps begin that hold a place: the beginning of its hours or days since 1970, or the multiple of a number.
    pub(super) fn floor(self, place: i64, by: Option<By>) -> i64 {
        let epoch = self.epoch();
        self.step(by).map_or(place, |step| (place + epoch).div_euclid(step) * step - epoch)
    }
}

/// Days from the beginning of 1970 to that of 2024.
const EPOCH: i64 = 19_723;

/// The parts of a range that none of `done` covers, in order.
pub(super) fn gaps((from, until): Range, done: &[Range]) -> Vec<Range> {
    let mut done = done.to_vec();
    done.sort_unstable();
    let (mut out, mut reached) = (Vec::new(), from);
    for (start, end) in done {
        if start >= until {
            break;
        }
        if start > reached {
            out.push((reached, start));
        }
        reached = reached.max(end);
    }
    if reached < until {
        out.push((reached, until));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_points() {
        for axis in [Axis::Int, Axis::Date, Axis::Timestamp, Axis::Zoned] {
            let places: Vec<i64> = (0..40).map(|point| axis.place(&axis.at(point)).unwrap()).collect();
            assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{axis:?}: {places:?}");
            let values: Vec<Value> = (0..40).map(|point| axis.at(point)).collect();
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{axis:?}: {values:?}");
        }
        assert_eq!(Axis::Timestamp.place(&Value::text("2024-03-01 01:00:00.5")), Some(60 * DAY + HOUR + 500_000));
    }

    #[test]
    fn a_range_is_cut_from_its_beginning_and_floors_are_those_of_the_calendar() {
        assert_eq!(Axis::Int.cut((1, 8), Some(By::Number(3))), [(1, 4), (4, 7), (7, 8)]);
        assert_eq!(Axis::Int.cut((1, 8), None), [(1, 8)]);
        assert_eq!(Axis::Date.cut((0, 2), None), [(0, 1), (1, 2)]);
        assert_eq!(Axis::Date.floor(3, Some(By::Days(2))), 3, "since 1970 it is an even day");
        assert_eq!(Axis::Timestamp.floor(DAY + 5 * HOUR, Some(By::Hours(6))), DAY);
        assert_eq!(gaps((0, 10), &[(2, 3), (5, 20)]), [(0, 2), (3, 5)]);
    }
}
