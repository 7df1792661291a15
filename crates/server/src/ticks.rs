//! Times at which a schedule fires.
//!
//! Nothing here knows what the time is: a schedule has the same times whoever asks, whenever, on whichever machine, and so
//! two servers, and one that was started anew, agree about them.

use chrono::{DateTime, TimeDelta, Utc};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use floodmark_core::interval::Tz;
use std::{cell::Cell, time::Duration};
use xxhash_rust::xxh3::xxh3_64;

/// How many times are looked at for one that has not fired yet: as many as lie within a jitter that is longer than the time
/// between two.
const PUT_OFF: usize = 64;

/// The times of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Ticks {
    how: How,
    jitter: Duration,
    /// Whose times these are: pipelines of one schedule are put off differently.
    name: String,
    /// Two times in a row that were found: of whatever lies between nothing has to be searched for. Every step asks for those of
    /// all pipelines.
    between: Cell<Option<(DateTime<Utc>, DateTime<Utc>)>>,
}

#[derive(Debug, Clone)]
enum How {
    /// By the clocks of a time zone.
    Cron(Box<Cron>, Tz),
    /// Multiples of so many milliseconds since the beginning of 1970.
    Every(i64),
    /// On a date that there is not, such as the 30th of February.
    Never,
}

impl Ticks {
    /// Of a schedule as the pipeline file has it. `None` where it cannot be read, which the file's check tells.
    pub(crate) fn new(schedule: &str, zone: Tz, jitter: Option<Duration>, name: &str) -> Option<Ticks> {
        let how = match schedule.strip_prefix("@every ") {
            Some(every) => {
                let millis = floodmark_config::lasting(every).ok()?.as_millis();
                How::Every(i64::try_from(millis).ok().filter(|millis| *millis > 0)?)
            }
            None => {
                let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
                let cron = parser.parse(schedule).ok()?;
                // Asked once: it takes a search of thousands of years to find none.
                match cron.find_next_occurrence(&DateTime::UNIX_EPOCH.with_timezone(&zone), false) {
                    Ok(_) => How::Cron(Box::new(cron), zone),
                    Err(_) => How::Never,
                }
            }
        };
        Some(Ticks { how, jitter: jitter.unwrap_or_default(), name: name.to_owned(), between: Cell::new(None) })
    }

    /// The first after a moment.
    pub(crate) fn after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.found(at).map(|(_, next)| next).or_else(|| self.search_after(at))
    }

    /// The last one up to a moment.
    pub(crate) fn upto(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if let Some((last, _)) = self.found(at) {
            return Some(last);
        }
        let last = self.search_upto(at)?;
        self.between.set(self.search_after(at).map(|next| (last, next)));
        Some(last)
    }

    /// Those around a moment, where they were found before.
    fn found(&self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        self.between.get().filter(|(last, next)| (*last..*next).contains(&at))
    }

    fn search_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.how {
            How::Cron(cron, zone) => {
                cron.find_next_occurrence(&at.with_timezone(zone), false).ok().map(|next| next.with_timezone(&Utc))
            }
            How::Every(millis) => {
                let next = at.timestamp_millis().div_euclid(*millis).checked_add(1)?.checked_mul(*millis)?;
                DateTime::from_timestamp_millis(next)
            }
            How::Never => None,
        }
    }

    fn search_upto(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.how {
            How::Cron(cron, zone) => {
                let mut from = at.with_timezone(zone);
                // Where clocks are put forward or back, a search backwards may meet a time that one forwards passes over. That one
                // counts, as it is the one that was waited for.
                for inclusive in std::iter::once(true).chain(std::iter::repeat_n(false, 3)) {
                    from = cron.find_previous_occurrence(&from, inclusive).ok()?;
                    let mut tick = self.search_after(from.with_timezone(&Utc) - TimeDelta::seconds(1))?;
                    if tick > at {
                        continue;
                    }
                    while let Some(next) = self.search_after(tick).filter(|next| *next <= at) {
                        tick = next;
                    }
                    return Some(tick);
                }
                None
            }
            How::Every(millis) => {
                DateTime::from_timestamp_millis(at.timestamp_millis().div_euclid(*millis).checked_mul(*millis)?)
            }
            How::Never => None,
        }
    }

    /// When one of them fires: put off by a part of the jitter that is the same whoever asks.
    pub(crate) fn fires(&self, tick: DateTime<Utc>) -> DateTime<Utc> {
        let jitter = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        if jitter == 0 {
            return tick;
        }
        let chance = xxh3_64(format!("{} {}", self.name, tick.timestamp_millis()).as_bytes()) % jitter;
        i64::try_from(chance).ok().and_then(TimeDelta::try_milliseconds).map_or(tick, |off| tick + off)
    }

    /// The last one that has fired.
    pub(crate) fn fired(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut tick = self.upto(now)?;
        for _ in 0..PUT_OFF {
            if self.fires(tick) <= now {
                return Some(tick);
            }
            tick = self.upto(tick - TimeDelta::milliseconds(1))?;
        }
        None
    }

    /// When the next one fires that has not yet.
    pub(crate) fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // One that is being put off comes before the next that is not.
        let mut soonest = self.after(now).map(|tick| self.fires(tick));
        let mut tick = now;
        for _ in 0..PUT_OFF {
            let Some(before) = self.upto(tick).filter(|_| !self.jitter.is_zero()) else { break };
            let fires = self.fires(before);
            if fires > now {
                soonest = Some(soonest.map_or(fires, |soonest| soonest.min(fires)));
            }
            if TimeDelta::from_std(self.jitter).is_ok_and(|jitter| before + jitter <= now) {
                break;
            }
            tick = before - TimeDelta::milliseconds(1);
        }
        soonest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn ticks(schedule: &str, zone: &str) -> Ticks {
        Ticks::new(schedule, zone.parse().unwrap(), None, "orders").unwrap()
    }

    fn list(ticks: &Ticks, from: &str, n: usize) -> Vec<String> {
        let next = |tick: &DateTime<Utc>| ticks.after(*tick);
        std::iter::successors(ticks.after(at(from)), next)
            .take(n)
            .map(|t| t.to_rfc3339_opts(SecondsFormat::Secs, true))
            .collect()
    }

    #[test]
    fn a_schedule_goes_by_the_clocks_of_its_zone() {
        let daily = ticks("0 6 * * *", "Europe/Berlin");
        assert_eq!(list(&daily, "2026-01-10T00:00:00Z", 2), ["2026-01-10T05:00:00Z", "2026-01-11T05:00:00Z"]);
        assert_eq!(list(&daily, "2026-07-10T00:00:00Z", 1), ["2026-07-10T04:00:00Z"]);
        let seconds = ticks("*/20 * * * * *", "UTC");
        assert_eq!(list(&seconds, "2026-01-10T00:00:30Z", 2), ["2026-01-10T00:00:40Z", "2026-01-10T00:01:00Z"]);
    }

    /// 2026-03-29 02:00 in Berlin is followed by 03:00: half past two is not there. The day's run is not lost: it comes when
    /// the clocks have been put forward. A run an hour comes once each hour there is.
    #[test]
    fn a_time_that_is_skipped_is_made_up_for() {
        let daily = ticks("30 2 * * *", "Europe/Berlin");
        let days = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
        assert_eq!(list(&daily, "2026-03-27T12:00:00Z", 3), days);
        for day in days {
            assert_eq!(daily.upto(at(day)), Some(at(day)), "{day}");
            assert_eq!(daily.upto(at(day) + TimeDelta::hours(3)), Some(at(day)), "{day}");
        }
        let hourly = ticks("30 * * * *", "Europe/Berlin");
        let hours = ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"];
        assert_eq!(list(&hourly, "2026-03-29T00:00:00Z", 3), hours);
    }

    /// 2026-10-25 03:00 in Berlin is followed by 02:00: half past two comes twice. A daily run comes once, the first time; one
    /// of each hour comes in both.
    #[test]
    fn a_time_that_comes_twice_counts_once() {
        let daily = ticks("30 2 * * *", "Europe/Berlin");
        let days = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        assert_eq!(list(&daily, "2026-10-24T12:00:00Z", 2), days);
        assert_eq!(daily.upto(at("2026-10-25T12:00:00Z")), Some(at(days[0])));
        let hourly = ticks("30 * * * *", "Europe/Berlin");
        let hours = ["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"];
        assert_eq!(list(&hourly, "2026-10-24T23:00:00Z", 4), hours);
    }

    #[test]
    fn an_interval_is_counted_from_1970_whoever_counts() {
        let every = ticks("@every 10m", "Europe/Berlin");
        assert_eq!(list(&every, "2026-01-10T00:04:59Z", 2), ["2026-01-10T00:10:00Z", "2026-01-10T00:20:00Z"]);
        assert_eq!(every.upto(at("2026-01-10T00:09:59Z")), Some(at("2026-01-10T00:00:00Z")));
    }

    #[test]
    fn a_date_that_there_is_not_never_comes() {
        let never = ticks("0 0 30 2 *", "UTC");
        assert_eq!((never.after(at("2026-01-01T00:00:00Z")), never.upto(at("2026-01-01T00:00:00Z"))), (None, None));
        assert_eq!((never.fired(at("2026-01-01T00:00:00Z")), never.next(at("2026-01-01T00:00:00Z"))), (None, None));
        let leap = ticks("0 0 29 2 *", "UTC");
        assert_eq!(list(&leap, "2026-01-01T00:00:00Z", 1), ["2028-02-29T00:00:00Z"]);
        assert_eq!(leap.upto(at("2026-01-01T00:00:00Z")), Some(at("2024-02-29T00:00:00Z")));
    }

    #[test]
    fn jitter_is_a_part_of_itself_and_another_for_each_pipeline() {
        let put_off = |name: &str| {
            let jitter = Some(Duration::from_secs(300));
            let ticks = Ticks::new("0 * * * *", Tz::UTC, jitter, name).unwrap();
            let tick = at("2026-01-10T06:00:00Z");
            let fires = ticks.fires(tick);
            assert!(fires >= tick && fires < tick + TimeDelta::seconds(300));
            assert_eq!(ticks.fires(tick), fires);
            assert_eq!(ticks.fired(fires), Some(tick));
            assert_eq!(ticks.fired(fires - TimeDelta::milliseconds(1)), Some(tick - TimeDelta::hours(1)));
            assert_eq!(ticks.next(tick), Some(fires));
            fires
        };
        assert_ne!(put_off("orders"), put_off("customers"));
    }

    proptest! {
        /// Backwards and forwards are the same times, whatever the clocks do.
        #[test]
        fn the_last_time_is_the_one_that_came(
            seconds in 1_767_225_600i64..1_830_297_600,
            schedule in prop::sample::select(vec![
                "30 2 * * *", "*/7 * * * *", "0 * * * *", "0 0 1 * *", "15 1-3 * * *", "0 2 * * SUN", "0 */30 * * * *",
                "@every 7m", "@every 90s", "@daily", "0 0 29 2 *", "59 23 L * *",
            ]),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
            near in prop::sample::select(vec![0i64, 1_774_746_000, 1_792_890_000, 1_772_953_200, 1_793_512_800]),
        ) {
            // Half of them around a change of clocks.
            let seconds = if near == 0 { seconds } else { near - 14_400 + seconds % 28_800 };
            let ticks = ticks(schedule, zone);
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            let last = ticks.upto(now).unwrap();
            prop_assert!(last <= now);
            let next = ticks.after(last).unwrap();
            prop_assert!(next > now, "{last} {next} {now}");
            prop_assert_eq!(ticks.upto(next), Some(next));
            prop_assert_eq!(ticks.upto(next - TimeDelta::seconds(1)), Some(last));
        }
    }

    /// Whatever was asked before, and in whatever order.
    #[test]
    fn what_is_remembered_of_times_changes_none() {
        for (schedule, zone) in [
            ("*/7 * * * *", Tz::Europe__Berlin),
            ("30 2 * * *", Tz::Europe__Berlin),
            ("0 0 29 2 *", Tz::UTC),
            ("15 * * * 1-5", Tz::America__New_York),
            ("@every 90s", Tz::UTC),
        ] {
            let new = || Ticks::new(schedule, zone, None, "p").unwrap();
            let asked = new();
            let start = DateTime::from_timestamp(1_774_740_000, 0).unwrap();
            // Forwards in steps of some minutes over the change of clocks, with a look back now and then.
            for n in 0..1_500i64 {
                let at = start + TimeDelta::seconds(n * 211 - if n % 5 == 0 { 9_000 } else { 0 });
                let told = (asked.upto(at), asked.after(at), asked.next(at), asked.fired(at));
                assert_eq!(told, (new().upto(at), new().after(at), new().next(at), new().fired(at)), "{schedule} {at}");
            }
        }
    }
}
