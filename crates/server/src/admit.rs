//! What of the work that waits may begin now.

use chrono::{DateTime, Utc};

/// Which of a pipeline's work excludes each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Takes the lock of the pipeline's runs.
    Run,
    /// Loads beside them, under a lock of its own.
    Beside,
    /// Only looks.
    Look,
}

/// How another pipeline stands that is to come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its last run ended well, or there was none yet.
    Good,
    /// It is being loaded, or is about to be.
    Pending,
    /// Its last run did not end well.
    Bad,
}

/// Something that is to be done.
#[derive(Debug, Clone)]
pub(crate) struct Waiting<'a> {
    pub(crate) pipeline: &'a str,
    pub(crate) lane: Lane,
    /// Since when.
    pub(crate) since: DateTime<Utc>,
    /// Somebody asked for it, and waits.
    pub(crate) asked: bool,
    /// Pipelines that come first, with how they stand.
    pub(crate) after: Vec<(&'a str, Standing)>,
    /// A database that one process at a time can open.
    pub(crate) alone: Option<&'a str>,
    /// Its ledger could not be read a moment ago: its run may wait for its database, too.
    pub(crate) unread: bool,
    /// It was refused a moment ago, and waits until then.
    pub(crate) not_before: Option<DateTime<Utc>>,
}

/// Something that is being done.
#[derive(Debug, Clone)]
pub(crate) struct Running<'a> {
    pub(crate) pipeline: &'a str,
    pub(crate) lane: Lane,
    pub(crate) alone: Option<&'a str>,
    pub(crate) unread: bool,
}

/// Why something does not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// As many runs as may go on at a time do.
    Full,
    /// Work of the same pipeline goes on.
    Own,
    /// Another pipeline is being loaded, or about to be.
    Pending(String),
    /// Another pipeline's last run did not end well.
    Bad(String),
    /// Its database is open in another process.
    Database,
    /// Its ledger cannot be read, and others of which that is so have what places such may take.
    Unread,
    /// Somebody else's run holds the pipeline; it is asked for again at that time.
    Held(DateTime<Utc>),
}

/// For each of `waiting`, in its order, why it cannot begin; `None` where it is to. `opened`: databases of one process that
/// this one has open for the moment.
///
/// What somebody asked for comes first, then what has waited longest; what may wait for a database that is away comes last,
/// and leaves a place to others. What cannot begin lets others by.
pub(crate) fn admit(
    waiting: &[Waiting<'_>],
    running: &[Running<'_>],
    opened: &[&str],
    jobs: usize,
    now: DateTime<Utc>,
) -> Vec<Option<Hindrance>> {
    let mut order: Vec<usize> = (0..waiting.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&waiting[*a], &waiting[*b]);
        b.asked.cmp(&a.asked).then(a.unread.cmp(&b.unread)).then(a.since.cmp(&b.since)).then(a.pipeline.cmp(b.pipeline))
    });
    let mut busy = running.to_vec();
    let mut out = vec![None; waiting.len()];
    for at in order {
        let one = &waiting[at];
        let taken = one.alone.is_some_and(|url| opened.contains(&url));
        let hindrance = if taken { Some(Hindrance::Database) } else { hindrance(one, &busy, jobs, now) };
        if hindrance.is_none() {
            busy.push(Running { pipeline: one.pipeline, lane: one.lane, alone: one.alone, unread: one.unread });
        }
        out[at] = hindrance;
    }
    out
}

fn hindrance(one: &Waiting<'_>, busy: &[Running<'_>], jobs: usize, now: DateTime<Utc>) -> Option<Hindrance> {
    if let Some(until) = one.not_before.filter(|until| *until > now) {
        return Some(Hindrance::Held(until));
    }
    if busy.iter().any(|other| other.pipeline == one.pipeline && other.lane == one.lane && one.lane != Lane::Look) {
        return Some(Hindrance::Own);
    }
    // What is asked for by name is not held up by what others would have first.
    for (name, standing) in one.after.iter().filter(|_| !one.asked) {
        match standing {
            Standing::Good => {}
            Standing::Pending => return Some(Hindrance::Pending((*name).to_owned())),
            Standing::Bad => return Some(Hindrance::Bad((*name).to_owned())),
        }
    }
    if one.alone.is_some() && busy.iter().any(|other| other.alone == one.alone) {
        return Some(Hindrance::Database);
    }
    if one.unread && busy.iter().filter(|other| other.unread).count() + 1 >= jobs.max(2) {
        return Some(Hindrance::Unread);
    }
    (busy.len() >= jobs).then_some(Hindrance::Full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_000 + second, 0).unwrap()
    }

    fn waits(pipeline: &str, since: i64) -> Waiting<'_> {
        Waiting {
            pipeline,
            lane: Lane::Run,
            since: at(since),
            asked: false,
            after: Vec::new(),
            alone: None,
            unread: false,
            not_before: None,
        }
    }

    #[test]
    fn who_asked_comes_first_then_who_waited_longest() {
        let waiting = [waits("a", 5), waits("b", 3), Waiting { asked: true, ..waits("c", 9) }];
        assert_eq!(admit(&waiting, &[], &[], 1, at(10)), [Some(Hindrance::Full), Some(Hindrance::Full), None]);
        assert_eq!(admit(&waiting, &[], &[], 2, at(10)), [Some(Hindrance::Full), None, None]);
    }

    #[test]
    fn what_comes_first_is_waited_for_and_lets_others_by() {
        let after = |standing| Waiting { after: vec![("orders", standing)], ..waits("report", 0) };
        let hindered = |one: Waiting<'_>| admit(&[one, waits("b", 5)], &[], &[], 1, at(10));
        assert_eq!(hindered(after(Standing::Pending)), [Some(Hindrance::Pending("orders".into())), None]);
        assert_eq!(hindered(after(Standing::Bad)), [Some(Hindrance::Bad("orders".into())), None]);
        assert_eq!(hindered(after(Standing::Good)), [None, Some(Hindrance::Full)]);
        assert_eq!(hindered(Waiting { asked: true, ..after(Standing::Bad) }), [None, Some(Hindrance::Full)]);
    }

    #[test]
    fn a_pipeline_does_one_thing_at_a_time_and_a_backfill_goes_beside() {
        let running = [Running { pipeline: "a", lane: Lane::Run, alone: None, unread: false }];
        let beside = Waiting { lane: Lane::Beside, ..waits("a", 0) };
        assert_eq!(admit(&[waits("a", 0), beside], &running, &[], 4, at(10)), [Some(Hindrance::Own), None]);
    }

    #[test]
    fn a_database_of_one_process_is_opened_by_one() {
        let one = |name| Waiting { alone: Some("duckdb:///w.duckdb"), ..waits(name, 0) };
        assert_eq!(admit(&[one("a"), one("b")], &[], &[], 4, at(10)), [None, Some(Hindrance::Database)]);
        assert_eq!(admit(&[one("a")], &[], &["duckdb:///w.duckdb"], 4, at(10)), [Some(Hindrance::Database)]);
    }

    #[test]
    fn what_somebody_else_holds_is_asked_for_again_later() {
        let one = Waiting { not_before: Some(at(12)), ..waits("a", 0) };
        assert_eq!(admit(std::slice::from_ref(&one), &[], &[], 4, at(10)), [Some(Hindrance::Held(at(12)))]);
        assert_eq!(admit(&[one], &[], &[], 4, at(12)), [None]);
    }

    #[test]
    fn what_may_wait_for_a_database_that_is_away_leaves_a_place_to_others() {
        let away = |name, since| Waiting { unread: true, ..waits(name, since) };
        let all = [away("a", 0), away("b", 1), waits("c", 5), waits("d", 6)];
        let (unread, full) = (Some(Hindrance::Unread), Some(Hindrance::Full));
        assert_eq!(admit(&all, &[], &[], 1, at(10)), [full.clone(), full.clone(), None, full.clone()]);
        assert_eq!(admit(&all[..3], &[], &[], 3, at(10)), [None, None, None]);
        assert_eq!(admit(&all[..2], &[], &[], 2, at(10)), [None, unread.clone()]);
        assert_eq!(admit(&all[..1], &[], &[], 1, at(10)), [None]);
        let goes_on = Running { pipeline: "a", lane: Lane::Run, alone: None, unread: true };
        let asked = Waiting { asked: true, ..away("b", 1) };
        assert_eq!(admit(&[asked, waits("c", 5)], &[goes_on], &[], 2, at(10)), [unread, None]);
    }

    proptest! {
        /// Limits hold whatever waits, and nothing is kept back that nothing keeps back.
        #[test]
        fn limits_hold_and_nothing_is_held_back_for_nothing(
            all in prop::collection::vec((0usize..6, 0i64..9, prop::bool::ANY, prop::bool::ANY), 0..12), jobs in 1usize..5,
        ) {
            const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
            let waiting: Vec<_> = all.iter().map(|(name, since, asked, alone)| Waiting {
                asked: *asked, alone: alone.then_some("x"), ..waits(NAMES[*name], *since)
            }).collect();
            let out = admit(&waiting, &[], &[], jobs, at(100));
            let begun: Vec<_> = waiting.iter().zip(&out).filter(|(_, why)| why.is_none()).map(|(one, _)| one).collect();
            prop_assert!(begun.len() <= jobs);
            prop_assert!(begun.iter().filter(|one| one.alone.is_some()).count() <= 1);
            for name in NAMES {
                prop_assert!(begun.iter().filter(|one| one.pipeline == name).count() <= 1);
            }
            for (one, why) in waiting.iter().zip(&out) {
                match why {
                    Some(Hindrance::Full) => prop_assert_eq!(begun.len(), jobs),
                    Some(Hindrance::Own) => prop_assert!(begun.iter().any(|other| other.pipeline == one.pipeline)),
                    Some(Hindrance::Database) => prop_assert!(begun.iter().any(|other| other.alone.is_some())),
                    None => {}
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}
