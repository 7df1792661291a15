//! Moments of the year 2024.

use std::fmt;

const MONTHS: [u64; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// Seconds from 1970 to 2024.
const YEAR: u64 = 1_704_067_200;

/// Seconds since 2024-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// Midnight at the beginning of a month, from 1.
    pub(crate) fn month(month: usize) -> Moment {
        Moment(MONTHS[..month - 1].iter().sum::<u64>() * 86_400)
    }

    pub(crate) fn plus(self, seconds: u64) -> Moment {
        Moment(self.0 + seconds)
    }

    /// Microseconds since 1970.
    pub(crate) fn epoch_micros(self) -> i64 {
        ((YEAR + self.0) * 1_000_000) as i64
    }

    /// `2024-02-29`.
    pub(crate) fn day(self) -> String {
        let (mut day, mut month) = (self.0 / 86_400, 0);
        while day >= MONTHS[month] {
            day -= MONTHS[month];
            month += 1;
        }
        format!("2024-{:02}-{:02}", month + 1, day + 1)
    }
}

impl fmt::Display for Moment {
    /// `2024-02-29 23:59:59`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0 % 86_400;
        write!(f, "{} {:02}:{:02}:{:02}", self.day(), second / 3600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_day_and_epoch() {
        let moment = Moment::month(3);
        assert_eq!(moment.to_string(), "2024-03-01 00:00:00");
        assert_eq!(Moment(moment.0 - 1).to_string(), "2024-02-29 23:59:59");
        assert_eq!(moment.epoch_micros(), 1_709_251_200_000_000);
    }
}
