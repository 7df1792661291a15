//! Which run of a pipeline is due: decided from its schedule, what its ledger says and what has been dealt with. No clock, no
//! input or output: whoever asks twice gets the same answer, and so does a server that was just started.

use crate::ticks::Ticks;
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::pipeline::CatchUp;
use std::time::Duration;

/// No pause before another try is longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// How a run that others can see ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// All that was new is in.
    Well,
    /// It is on record as failed.
    Failed,
    /// It was interrupted, or broke off, or goes on still: what it was to load may not be in.
    Open,
}

/// A run of the pipeline's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) began: DateTime<Utc>,
    /// When it ended, as far as is known.
    pub(crate) ended: DateTime<Utc>,
    pub(crate) how: How,
}

/// Failures of the run that was due at `tick`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tries {
    pub(crate) tick: DateTime<Utc>,
    pub(crate) failures: u64,
    pub(crate) last: DateTime<Utc>,
}

/// How often, and when, what failed is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retry {
    pub(crate) times: u64,
    pub(crate) delay: Duration,
}

impl Retry {
    /// How long after the last of so many failures.
    pub(crate) fn pause(self, failures: u64) -> TimeDelta {
        let doubled = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        let pause = self.delay.saturating_mul(1 << doubled).min(LONGEST.max(self.delay));
        TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
    }
}

/// What is behind a pipeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Past<'a> {
    /// Whatever was due up to here is dealt with.
    pub(crate) handled: DateTime<Utc>,
    /// Since when nothing (a pause, a run, a server that was not there) has kept it from running.
    pub(crate) free: DateTime<Utc>,
    /// Runs of its ledger, in any order.
    pub(crate) ran: &'a [Ran],
    /// Failures of what is due, of which not all need be in the ledger: a process that was killed writes no line.
    pub(crate) tries: Option<Tries>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It is to run, for what was due at `tick`; `attempt` counts from 1.
    Now { tick: DateTime<Utc>, attempt: u64 },
    /// Nothing before then. `again`: it is another try of what failed.
    Later { at: DateTime<Utc>, again: bool },
    /// Nothing.
    Never,
}

impl Past<'_> {
    fn well_since(&self, tick: DateTime<Utc>) -> bool {
        self.ran.iter().any(|ran| ran.how == How::Well && ran.began >= tick)
    }

    /// How often what was due at `tick` failed, and when last. `ledger`: whether its lines count, too.
    fn failures(&self, tick: DateTime<Utc>, ledger: bool) -> Option<(u64, DateTime<Utc>)> {
        let known = self.tries.filter(|tries| tries.tick == tick).map(|tries| (tries.failures, tries.last));
        let lines = self.ran.iter().filter(|ran| ledger && ran.how == How::Failed && ran.began >= tick);
        let told = lines.fold(None, |so_far: Option<(u64, DateTime<Utc>)>, ran| {
            let (n, last) = so_far.unwrap_or((0, ran.ended));
            Some((n + 1, last.max(ran.ended)))
        });
        match (known, told) {
            (Some((a, at)), Some((b, then))) => Some((a.max(b), at.max(then))),
            (known, told) => known.or(told),
        }
    }
}

/// By a schedule.
pub(crate) fn by_schedule(ticks: &Ticks, catch_up: CatchUp, retry: Retry, past: &Past<'_>, now: DateTime<Utc>) -> Due {
    let next = ticks.next(now).map_or(Due::Never, |at| Due::Later { at, again: false });
    if catch_up == CatchUp::All {
        return one_by_one(ticks, retry, past, now);
    }
    let floor = if catch_up == CatchUp::None { past.handled.max(past.free) } else { past.handled };
    let Some(tick) = ticks.fired(now).filter(|tick| *tick > floor) else { return next };
    if past.well_since(tick) {
        return next;
    }
    match tried(past.failures(tick, true), retry, tick, now) {
        // What is due in the meantime takes in what this one was to load.
        Some(Due::Later { at, .. }) => match next {
            Due::Later { at: sooner, .. } if sooner < at => next,
            _ => Due::Later { at, again: true },
        },
        Some(due) => due,
        None => next,
    }
}

/// A run for each time, the oldest first.
fn one_by_one(ticks: &Ticks, retry: Retry, past: &Past<'_>, now: DateTime<Utc>) -> Due {
    let mut handled = past.handled;
    loop {
        let Some(tick) = ticks.after(handled) else { return Due::Never };
        let at = ticks.fires(tick);
        if at > now {
            return Due::Later { at, again: false };
        }
        // Which of its runs was for which time a ledger does not say.
        match tried(past.failures(tick, false), retry, tick, now) {
            Some(due) => return due,
            None => handled = tick,
        }
    }
}

/// By other pipelines, of which `wells` are the ends of their last good runs: it follows when all of them have been loaded
/// again since it was.
pub(crate) fn by_others(wells: &[Option<DateTime<Utc>>], retry: Retry, past: &Past<'_>, now: DateTime<Utc>) -> Due {
    let own = past.ran.iter().filter(|ran| ran.how == How::Well).map(|ran| ran.began).max();
    let since = own.map_or(past.handled, |own| own.max(past.handled));
    let all: Option<Vec<DateTime<Utc>>> = wells.iter().copied().collect();
    let Some(all) = all else { return Due::Never };
    let (Some(first), Some(tick)) = (all.iter().min(), all.iter().max().copied()) else { return Due::Never };
    if *first <= since || past.well_since(tick) {
        return Due::Never;
    }
    tried(past.failures(tick, true), retry, tick, now).unwrap_or(Due::Never)
}

/// What becomes of something due that failed so often; `None` where it is given up.
fn tried(failures: Option<(u64, DateTime<Utc>)>, retry: Retry, tick: DateTime<Utc>, now: DateTime<Utc>) -> Option<Due> {
    let Some((failures, last)) = failures.filter(|(n, _)| *n > 0) else { return Some(Due::Now { tick, attempt: 1 }) };
    if failures > retry.times {
        return None;
    }
    let at = last.checked_add_signed(retry.pause(failures)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    Some(if at <= now { Due::Now { tick, attempt: failures + 1 } } else { Due::Later { at, again: true } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use floodmark_core::interval::Tz;
    use proptest::prelude::*;

    const NO_RETRY: Retry = Retry { times: 0, delay: Duration::from_secs(30) };

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_000 / 3600 * 3600 + minute * 60, 0).unwrap()
    }

    fn every_10m() -> Ticks {
        Ticks::new("*/10 * * * *", Tz::UTC, None, "orders").unwrap()
    }

    fn past(handled: i64, ran: &[Ran]) -> Past<'_> {
        Past { handled: at(handled), free: at(handled), ran, tries: None }
    }

    fn ran(began: i64, how: How) -> Ran {
        Ran { began: at(began), ended: at(began) + TimeDelta::seconds(30), how }
    }

    fn latest(retry: Retry, past: &Past<'_>, now: i64) -> Due {
        by_schedule(&every_10m(), CatchUp::Latest, retry, past, at(now))
    }

    #[test]
    fn nothing_is_due_before_its_time_and_a_run_since_has_served_it() {
        assert_eq!(latest(NO_RETRY, &past(5, &[]), 9), Due::Later { at: at(10), again: false });
        assert_eq!(latest(NO_RETRY, &past(5, &[]), 10), Due::Now { tick: at(10), attempt: 1 });
        // By hand, after it was due: nothing more is to be loaded.
        assert_eq!(latest(NO_RETRY, &past(5, &[ran(11, How::Well)]), 12), Due::Later { at: at(20), again: false });
        // Before: something may have come in between.
        assert_eq!(latest(NO_RETRY, &past(5, &[ran(9, How::Well)]), 12), Due::Now { tick: at(10), attempt: 1 });
        // Interrupted: what was due is not in.
        assert_eq!(latest(NO_RETRY, &past(5, &[ran(10, How::Open)]), 12), Due::Now { tick: at(10), attempt: 1 });
    }

    #[test]
    fn missed_times_are_one_run_or_one_each_or_none() {
        let past = Past { free: at(45), ..past(5, &[]) };
        let due = |catch_up| by_schedule(&every_10m(), catch_up, NO_RETRY, &past, at(47));
        assert_eq!(due(CatchUp::Latest), Due::Now { tick: at(40), attempt: 1 });
        assert_eq!(due(CatchUp::All), Due::Now { tick: at(10), attempt: 1 });
        assert_eq!(due(CatchUp::None), Due::Later { at: at(50), again: false });
    }

    #[test]
    fn what_failed_is_tried_again_later_and_later_and_then_given_up() {
        let retry = Retry { times: 2, delay: Duration::from_secs(60) };
        let daily = Ticks::new("0 0 * * *", Tz::UTC, None, "orders").unwrap();
        let due = |ran: &[Ran], now: DateTime<Utc>| {
            let past = Past { handled: at(-10_000), free: at(-10_000), ran, tries: None };
            by_schedule(&daily, CatchUp::Latest, retry, &past, now)
        };
        let once = [ran(10, How::Failed)];
        let end = |n: i64| at(n) + TimeDelta::seconds(30);
        assert_eq!(due(&once, end(10)), Due::Later { at: end(11), again: true });
        assert!(matches!(due(&once, end(11)), Due::Now { attempt: 2, .. }));
        let twice = [ran(12, How::Failed), once[0]];
        assert_eq!(due(&twice, end(12)), Due::Later { at: end(14), again: true });
        assert!(matches!(due(&twice, end(14)), Due::Now { attempt: 3, .. }));
        let thrice = [ran(15, How::Failed), twice[0], twice[1]];
        assert!(matches!(due(&thrice, end(60)), Due::Later { again: false, .. }));
    }

    #[test]
    fn a_process_that_left_no_line_counts_as_a_failure() {
        let retry = Retry { times: 1, delay: Duration::from_secs(60) };
        let tries = |failures| Some(Tries { tick: at(10), failures, last: at(11) });
        let once = Past { tries: tries(1), ..past(5, &[]) };
        assert_eq!(latest(retry, &once, 11), Due::Later { at: at(12), again: true });
        assert_eq!(latest(retry, &once, 12), Due::Now { tick: at(10), attempt: 2 });
        let twice = Past { tries: tries(2), ..past(5, &[]) };
        assert_eq!(latest(retry, &twice, 12), Due::Later { at: at(20), again: false });
        // What is due next is counted anew.
        assert_eq!(latest(retry, &twice, 20), Due::Now { tick: at(20), attempt: 1 });
    }

    #[test]
    fn it_follows_others_when_all_have_been_loaded_again() {
        let due = |wells: &[Option<i64>], ran: &[Ran], handled: i64| {
            let wells: Vec<_> = wells.iter().map(|well| well.map(at)).collect();
            by_others(&wells, NO_RETRY, &past(handled, ran), at(100))
        };
        assert_eq!(due(&[Some(10), None], &[], 0), Due::Never);
        assert_eq!(due(&[Some(10), Some(12)], &[], 0), Due::Now { tick: at(12), attempt: 1 });
        assert_eq!(due(&[Some(10), Some(12)], &[ran(12, How::Well)], 0), Due::Never);
        assert_eq!(due(&[Some(20), Some(12)], &[ran(12, How::Well)], 0), Due::Never);
        assert_eq!(due(&[Some(20), Some(22)], &[ran(12, How::Well)], 0), Due::Now { tick: at(22), attempt: 1 });
        assert_eq!(due(&[Some(20), Some(22)], &[ran(22, How::Failed)], 0), Due::Never);
        assert_eq!(due(&[Some(20), Some(22)], &[], 22), Due::Never);
        assert_eq!(due(&[], &[], 0), Due::Never);
    }

    fn catch_ups() -> impl Strategy<Value = CatchUp> {
        prop::sample::select(vec![CatchUp::Latest, CatchUp::All, CatchUp::None])
    }

    proptest! {
        /// A server that plays on to any moment, is killed there and started anew, decides as one that was never killed;
        /// and no moment is served twice.
        #[test]
        fn a_restart_changes_no_decision(steps in prop::collection::vec((1i64..25, prop::bool::ANY, 0u8..3), 1..30), catch_up in catch_ups()) {
            let ticks = every_10m();
            let retry = Retry { times: 1, delay: Duration::from_secs(120) };
            let (mut now, mut handled, mut tries) = (3, at(0), None::<Tries>);
            let mut ledger: Vec<Ran> = Vec::new();
            let mut served = Vec::new();
            for (minutes, forgets, outcome) in steps {
                now += minutes;
                let free = at(now - minutes);
                let past = Past { handled, free, ran: &ledger, tries };
                let due = by_schedule(&ticks, catch_up, retry, &past, at(now));
                // What only the server's own memory has is derived from the ledger, but where each time is served by itself.
                if forgets && catch_up == CatchUp::Latest && !ledger.is_empty() {
                    let bare = Past { handled: at(0), free, ran: &ledger, tries: None };
                    prop_assert_eq!(by_schedule(&ticks, catch_up, retry, &bare, at(now)), due);
                }
                let Due::Now { tick, attempt } = due else { continue };
                prop_assert!(ticks.fires(tick) <= at(now));
                let how = match outcome { 0 => How::Failed, _ => How::Well };
                ledger.insert(0, Ran { began: at(now), ended: at(now), how });
                if how == How::Well || attempt > retry.times {
                    prop_assert!(!served.contains(&tick), "{tick} was served twice");
                    served.push(tick);
                    handled = tick;
                    tries = None;
                } else {
                    tries = Some(Tries { tick, failures: attempt, last: at(now) });
                }
            }
        }
    }
}
