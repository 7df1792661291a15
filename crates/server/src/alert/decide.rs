//! What somebody is to be told of one pipeline and one trouble: from how it stands now and what was told before. No clock, no
//! input or output. What was told is what arrived; what did not arrive is decided on again, and so is nothing lost by a
//! restart.

use chrono::{DateTime, TimeDelta, Utc};

/// How a pipeline stands as to one trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is in that trouble, since then where that is known.
    Wrong { since: Option<DateTime<Utc>> },
    /// It is not.
    Well,
    /// It cannot be told now: a ledger was not read yet, a run is tried again, one was broken off by a person.
    Unclear,
    /// Nobody asks any more: there is no `freshness`.
    Moot,
}

/// What was told of a trouble, and arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Since when there has been the trouble.
    pub(crate) since: DateTime<Utc>,
    /// When it was told last.
    pub(crate) told: DateTime<Utc>,
    /// Since when it has been over, as far as it stays so.
    pub(crate) over: Option<DateTime<Utc>>,
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tell {
    /// There is a trouble.
    Trouble,
    /// There is still.
    Reminder,
    /// It is over.
    Recovery,
}

/// What a channel wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) remind: TimeDelta,
    pub(crate) steady: TimeDelta,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) tell: Option<Tell>,
    /// What is remembered from now on, whatever becomes of the telling.
    pub(crate) told: Option<Told>,
}

/// Decides. `paused`: somebody has stopped the pipeline, and so knows of it: nothing new is told, and nobody reminded.
pub(crate) fn decide(
    standing: Standing,
    told: Option<Told>,
    paused: bool,
    rules: Rules,
    now: DateTime<Utc>,
) -> Verdict {
    let quiet = |told| Verdict { tell: None, told };
    match (standing, told) {
        (Standing::Moot, _) => quiet(None),
        (Standing::Unclear, told) => quiet(told),
        (Standing::Well, None) => quiet(None),
        (Standing::Wrong { .. }, None) => Verdict { tell: (!paused).then_some(Tell::Trouble), told: None },
        (Standing::Wrong { .. }, Some(told)) => {
            // A clock that was put back does not silence anybody for longer than it was.
            let due = now - told.told.min(now) >= rules.remind && !paused;
            Verdict { tell: due.then_some(Tell::Reminder), told: Some(Told { over: None, ..told }) }
        }
        (Standing::Well, Some(told)) => {
            let over = told.over.unwrap_or(now).min(now);
            let tell = (now - over >= rules.steady).then_some(Tell::Recovery);
            Verdict { tell, told: Some(Told { over: Some(over), ..told }) }
        }
    }
}

/// What is remembered when that has arrived. `at`: when it was decided; `since`: when the trouble began.
pub(crate) fn arrived(tell: Tell, told: Option<Told>, since: DateTime<Utc>, at: DateTime<Utc>) -> Option<Told> {
    match tell {
        Tell::Trouble => Some(Told { since, told: at, over: None }),
        Tell::Reminder => told.map(|told| Told { told: at, ..told }),
        Tell::Recovery => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { remind: TimeDelta::hours(24), steady: TimeDelta::minutes(5) };

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_000 + minute * 60, 0).unwrap()
    }

    fn wrong(since: i64) -> Standing {
        Standing::Wrong { since: Some(at(since)) }
    }

    fn told(since: i64, told: i64, over: Option<i64>) -> Option<Told> {
        Some(Told { since: at(since), told: at(told), over: over.map(at) })
    }

    #[test]
    fn a_trouble_is_told_once_and_again_after_a_day() {
        assert_eq!(decide(wrong(0), None, false, RULES, at(1)), Verdict { tell: Some(Tell::Trouble), told: None });
        let known = told(0, 1, None);
        assert_eq!(decide(wrong(0), known, false, RULES, at(1440)).tell, None);
        assert_eq!(decide(wrong(0), known, false, RULES, at(1441)).tell, Some(Tell::Reminder));
        assert_eq!(arrived(Tell::Reminder, known, at(9), at(1441)), told(0, 1441, None));
    }

    #[test]
    fn that_it_is_over_is_told_of_what_was_told_and_stays_over() {
        assert_eq!(decide(Standing::Well, None, false, RULES, at(9)), Verdict { tell: None, told: None });
        let over = decide(Standing::Well, told(0, 1, None), false, RULES, at(10));
        assert_eq!(over, Verdict { tell: None, told: told(0, 1, Some(10)) });
        assert_eq!(decide(Standing::Well, over.told, false, RULES, at(15)).tell, Some(Tell::Recovery));
        assert_eq!(arrived(Tell::Recovery, over.told, at(0), at(15)), None);
        // It came back before: the same trouble.
        let back = decide(wrong(12), over.told, false, RULES, at(13));
        assert_eq!(back, Verdict { tell: None, told: told(0, 1, None) });
    }

    #[test]
    fn what_is_not_clear_changes_nothing_and_what_nobody_asks_for_is_forgotten() {
        let known = told(0, 1, Some(3));
        assert_eq!(decide(Standing::Unclear, known, false, RULES, at(9999)), Verdict { tell: None, told: known });
        assert_eq!(decide(Standing::Moot, known, false, RULES, at(9999)), Verdict { tell: None, told: None });
    }

    #[test]
    fn a_paused_pipeline_is_told_of_only_when_it_is_well_again() {
        assert_eq!(decide(wrong(0), None, true, RULES, at(1)).tell, None);
        assert_eq!(decide(wrong(0), told(0, 1, None), true, RULES, at(9999)).tell, None);
        assert_eq!(decide(Standing::Well, told(0, 1, Some(2)), true, RULES, at(9)).tell, Some(Tell::Recovery));
        assert_eq!(decide(wrong(0), None, false, RULES, at(2)).tell, Some(Tell::Trouble), "resumed");
    }

    fn standings() -> impl Strategy<Value = Standing> {
        prop_oneof![
            3 => Just(wrong(0)),
            3 => Just(Standing::Well),
            1 => Just(Standing::Unclear),
        ]
    }

    /// What somebody hears of one trouble, over any history, with tellings that do not arrive.
    fn heard(steps: &[(i64, Standing, bool, bool)], restarts: bool) -> Vec<(DateTime<Utc>, Tell)> {
        let (mut now, mut told, mut heard) = (0, None, Vec::new());
        for (minutes, standing, paused, arrives) in steps {
            now += minutes;
            let verdict = decide(*standing, told, *paused, RULES, at(now));
            told = verdict.told;
            let Some(tell) = verdict.tell.filter(|_| *arrives) else { continue };
            heard.push((at(now), tell));
            told = arrived(tell, told, at(now), at(now));
            if restarts {
                // All that a new server has is what was written down.
                told = told.map(|told| Told { ..told });
            }
        }
        heard
    }

    proptest! {
        /// Trouble, then reminders at the earliest when they are due, then one recovery, then the next trouble.
        #[test]
        fn nothing_is_told_twice_and_no_recovery_without_a_trouble(
            steps in prop::collection::vec((0i64..900, standings(), prop::bool::weighted(0.2), prop::bool::ANY), 1..80),
        ) {
            let mut last: Option<DateTime<Utc>> = None;
            for (when, tell) in heard(&steps, true) {
                match tell {
                    Tell::Trouble => prop_assert!(last.is_none(), "told twice"),
                    Tell::Reminder => prop_assert!(last.is_some_and(|last| when - last >= RULES.remind), "too soon"),
                    Tell::Recovery => prop_assert!(last.is_some(), "nothing was told"),
                }
                last = (tell != Tell::Recovery).then_some(when);
            }
        }

        /// A trouble that lasts is told as soon as a telling arrives, whatever did not arrive before; what is over and stays
        /// so is told as well.
        #[test]
        fn nothing_that_lasts_is_lost(
            steps in prop::collection::vec((0i64..900, standings(), prop::bool::ANY, prop::bool::ANY), 0..40),
            lost in 0usize..5,
        ) {
            let mut steps = steps;
            steps.extend((0..lost).map(|_| (1, wrong(0), false, false)));
            steps.push((1, wrong(0), false, true));
            let told = heard(&steps, false);
            let open = told.iter().rev().find(|(_, tell)| *tell != Tell::Reminder);
            prop_assert_eq!(open.map(|(_, tell)| *tell), Some(Tell::Trouble));
            steps.push((1, Standing::Well, false, false));
            steps.push((5, Standing::Well, true, false));
            steps.push((1, Standing::Well, true, true));
            prop_assert_eq!(heard(&steps, false).last().map(|(_, tell)| *tell), Some(Tell::Recovery));
        }
    }
}
