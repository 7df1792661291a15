//! History (`scd2`): what is known about one key, in the order of its versions, and the rows that say so.
//!
//! A key's history is a set of events: at this moment its content was this, at that moment it was deleted. The rows of
//! the table say most of it. What they cannot say is kept beside them as [`Moment`]s: that an unchanged content was
//! seen again later, that a key was deleted where no version stood. With those, a version that arrives late finds its
//! place whatever came before it, and every order of arrival ends in the same rows (P7).

use crate::{Code, DataType, Error, Result, Value, accounting::Counts};
use std::collections::BTreeMap;

/// A row of the table: a content, from when to when it stood. `to: None` is the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span<M, C> {
    /// When it began.
    pub from: M,
    /// When it ended.
    pub to: Option<M>,
    /// What it held.
    pub content: C,
}

/// An event that changes no row: `deleted` where none stood, or the content that stands there, seen again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment<M> {
    /// When.
    pub at: M,
    /// A delete, else a sighting.
    pub deleted: bool,
}

/// When rows went that a full read no longer holds, on the axis of the versions: the run's time, `now`, in nanoseconds since the
/// epoch, of which microseconds count. An error where the axis says no time.
pub fn went(now: i128, axis: DataType) -> Result<Value> {
    let instant = now.div_euclid(1000) * 1000;
    match axis {
        DataType::Timestamp { .. } => Ok(Value::Timestamp(instant)),
        DataType::Date => Ok(Value::Date(instant.div_euclid(86_400_000_000_000) as i32)),
        DataType::TimestampTz { .. } => Ok(Value::TimestampTz(instant)),
        axis => Err(Error::new(
            Code::Unsafe,
            format!("`absent_rows: close` notes when a row went, and the version is a {axis}, which says no time"),
        )
        .state("the open transaction was rolled back")
        .help("leave `version:` out, name a date or a timestamp, or set `absent_rows: keep`")),
    }
}

/// What became of an incoming event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A new row.
    Inserted,
    /// Another content for a moment that is known, or the same from an earlier moment on.
    Updated,
    /// Known already, or no change.
    Unchanged,
    /// The key was deleted at this very moment, and a delete wins.
    Stale,
    /// A delete that ended a row.
    Deleted,
    /// A delete where no row stood.
    DeleteNoop,
}

impl Fate {
    /// Where it is counted.
    pub fn count(self, counts: &mut Counts) -> &mut u64 {
        match self {
            Fate::Inserted => &mut counts.inserted,
            Fate::Updated => &mut counts.updated,
            Fate::Unchanged => &mut counts.unchanged,
            Fate::Stale => &mut counts.stale,
            Fate::Deleted => &mut counts.deleted,
            Fate::DeleteNoop => &mut counts.delete_noop,
        }
    }
}

/// The history of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline<M, C> {
    /// In the order of their moments, without overlap.
    pub spans: Vec<Span<M, C>>,
    /// In the order of their moments.
    pub moments: Vec<Moment<M>>,
}

/// Events at one moment: what was known, what came in (`None` is a delete).
struct Slot<C> {
    known: Option<Option<C>>,
    /// Whether a row of the table began here.
    began: bool,
    incoming: Option<Option<C>>,
}

impl<M: Ord + Clone, C: Clone> Timeline<M, C> {
    /// What was known and `incoming`, at most one event a moment (`None` is a delete), as one history; and what became
    /// of each incoming event, in its order. `same` compares two contents, the version itself apart.
    pub fn with(
        self,
        incoming: impl IntoIterator<Item = (M, Option<C>)>,
        same: impl Fn(&C, &C) -> bool,
    ) -> (Self, Vec<Fate>) {
        let mut slots = self.slots();
        let mut order = Vec::new();
        for (at, event) in incoming {
            slots.entry(at.clone()).or_insert(Slot { known: None, began: false, incoming: None }).incoming =
                Some(event);
            order.push(at);
        }
        let mut next = Timeline { spans: Vec::new(), moments: Vec::new() };
        let mut fates = BTreeMap::new();
        let mut moved = None;
        for (at, slot) in slots {
            let Slot { known, began, incoming } = slot;
            let came = incoming.is_some();
            let replaced = match (&known, &incoming) {
                (Some(Some(old)), Some(Some(new))) => !same(old, new),
                _ => false,
            };
            let stale = matches!((&known, &incoming), (Some(None), Some(Some(_))));
            let deleted_before = matches!(known, Some(None));
            let event = match (known, incoming) {
                (Some(known), None) => known,
                // The version column may be spelled anew; all else is the same.
                (Some(Some(old)), Some(Some(_))) if !replaced => Some(old),
                (Some(None), _) => None,
                (_, Some(event)) => event,
                (None, None) => continue,
            };
            let deleted = event.is_none();
            let was_known = began || replaced || stale;
            let change = next.put(at.clone(), event, &same);
            // A row of the table now begins earlier: at the version that came in just before it.
            if began
                && let Some(earlier) = moved.take()
                && matches!(change, Change::None)
            {
                fates.insert(earlier, Fate::Updated);
            }
            if came {
                let fate = match change {
                    _ if stale => Fate::Stale,
                    _ if deleted && deleted_before => Fate::DeleteNoop,
                    _ if deleted && began => Fate::Deleted,
                    Change::Ended => Fate::Deleted,
                    _ if deleted => Fate::DeleteNoop,
                    _ if replaced => Fate::Updated,
                    Change::Began if !was_known => {
                        moved = Some(at.clone());
                        Fate::Inserted
                    }
                    _ => Fate::Unchanged,
                };
                fates.insert(at, fate);
            }
        }
        let fates = order.iter().map(|at| fates.get(at).copied().unwrap_or(Fate::Unchanged)).collect();
        (next, fates)
    }

    /// All that is known, by moment.
    fn slots(self) -> BTreeMap<M, Slot<C>> {
        let mut slots = BTreeMap::new();
        let mut sightings = self.moments.into_iter().peekable();
        let mut known = |at: M, event: Option<C>, began: bool| {
            slots.entry(at).or_insert(Slot { known: Some(event), began, incoming: None });
        };
        let mut spans = self.spans.into_iter().peekable();
        while let Some(span) = spans.next() {
            while let Some(moment) = sightings.next_if(|m| m.at < span.from) {
                known(moment.at, None, false);
            }
            while let Some(moment) = sightings.next_if(|m| span.to.as_ref().is_none_or(|to| m.at < *to)) {
                let content = (!moment.deleted && moment.at != span.from).then(|| span.content.clone());
                if moment.at != span.from {
                    known(moment.at, content, false);
                }
            }
            known(span.from, Some(span.content), true);
            if let Some(to) = span.to
                && spans.peek().is_none_or(|next| next.from != to)
            {
                known(to, None, false);
            }
        }
        for moment in sightings {
            known(moment.at, None, false);
        }
        slots
    }

    /// The next event, no earlier than all before it.
    fn put(&mut self, at: M, event: Option<C>, same: impl Fn(&C, &C) -> bool) -> Change {
        let open = self.spans.last_mut().filter(|s| s.to.is_none());
        match (open, event) {
            (Some(open), None) => {
                open.to = Some(at);
                Change::Ended
            }
            (None, None) => {
                self.moments.push(Moment { at, deleted: true });
                Change::None
            }
            (Some(open), Some(content)) if same(&open.content, &content) => {
                self.moments.push(Moment { at, deleted: false });
                Change::None
            }
            (open, Some(content)) => {
                if let Some(open) = open {
                    open.to = Some(at.clone());
                }
                self.spans.push(Span { from: at, to: None, content });
                Change::Began
            }
        }
    }
}

/// What an event did to the rows.
enum Change {
    None,
    Began,
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type History = Timeline<i64, char>;

    fn empty() -> History {
        Timeline { spans: Vec::new(), moments: Vec::new() }
    }

    fn after(history: History, events: &[(i64, Option<char>)]) -> (History, Vec<Fate>) {
        history.with(events.iter().copied(), |a, b| a == b)
    }

    fn one_by_one(events: &[(i64, Option<char>)]) -> History {
        events.iter().fold(empty(), |h, e| after(h, &[*e]).0)
    }

    fn span(from: i64, to: Option<i64>, content: char) -> Span<i64, char> {
        Span { from, to, content }
    }

    #[test]
    fn a_version_late_between_two_equal_ones_ends_where_the_second_was_seen() {
        let history = one_by_one(&[(1, Some('A')), (5, Some('A')), (3, Some('B'))]);
        assert_eq!(history.spans, [span(1, Some(3), 'A'), span(3, Some(5), 'B'), span(5, None, 'A')]);
    }

    #[test]
    fn fates_say_what_happened_to_the_rows() {
        let (history, fates) = after(empty(), &[(3, Some('A')), (5, Some('A')), (7, Some('B')), (9, None), (11, None)]);
        use Fate::*;
        assert_eq!(fates, [Inserted, Unchanged, Inserted, Deleted, DeleteNoop]);
        let (history, fates) = after(history, &[(1, Some('A')), (7, Some('C')), (9, Some('D')), (11, None)]);
        assert_eq!(fates, [Updated, Updated, Stale, DeleteNoop]);
        assert_eq!(history.spans, [span(1, Some(7), 'A'), span(7, Some(9), 'C')]);
        // A row that begins earlier is no new one, also where what it began with before comes again.
        let (history, _) = after(empty(), &[(3, Some('A'))]);
        let (history, fates) = after(history, &[(1, Some('A')), (3, Some('A'))]);
        assert_eq!((history.spans, fates), (vec![span(1, None, 'A')], vec![Updated, Unchanged]));
    }

    #[test]
    fn an_earlier_delete_leaves_the_later_one_known() {
        let history = one_by_one(&[(1, Some('A')), (7, None), (3, None), (5, Some('B'))]);
        assert_eq!(history.spans, [span(1, Some(3), 'A'), span(5, Some(7), 'B')]);
    }

    /// Events with one content for each moment; a moment may be a delete as well.
    fn events() -> impl Strategy<Value = Vec<(i64, Option<char>)>> {
        let contents = prop::collection::vec(prop::sample::select(vec!['A', 'B']), 12);
        (contents, prop::collection::vec((0i64..12, prop::bool::weighted(0.25)), 1..16)).prop_map(|(contents, seen)| {
            seen.into_iter().map(|(at, deleted)| (at, (!deleted).then(|| contents[at as usize]))).collect()
        })
    }

    proptest! {
        /// P7: any order, and any split over runs, gives the history that one load gives.
        #[test]
        fn the_order_of_arrival_does_not_matter(events in events(), other in any::<prop::sample::Index>()) {
            let mut turned = events.clone();
            turned.rotate_left(other.index(events.len()));
            turned.reverse();
            prop_assert_eq!(one_by_one(&turned), one_by_one(&events));
            let mut whole: BTreeMap<i64, Option<char>> = BTreeMap::new();
            for (at, event) in &events {
                whole.entry(*at).and_modify(|e| *e = if event.is_none() { None } else { *e }).or_insert(*event);
            }
            let whole: Vec<_> = whole.into_iter().collect();
            prop_assert_eq!(after(empty(), &whole).0, one_by_one(&events));
        }

        /// P1: what is known already changes nothing.
        #[test]
        fn a_replay_changes_nothing(events in events()) {
            let history = one_by_one(&events);
            let (again, fates) = events.iter().fold((history.clone(), Vec::new()), |(h, mut all), e| {
                let (h, fates) = after(h, &[*e]);
                all.extend(fates);
                (h, all)
            });
            prop_assert_eq!(again, history);
            prop_assert!(fates.iter().all(|f| matches!(f, Fate::Unchanged | Fate::Stale | Fate::DeleteNoop)));
        }

        /// The rows say what the events say: at each moment, the content of the last event up to it.
        #[test]
        fn rows_hold_the_last_event_before_each_moment(events in events()) {
            let history = one_by_one(&events);
            let mut last: BTreeMap<i64, Option<char>> = BTreeMap::new();
            for (at, event) in &events {
                let deleted = events.iter().any(|(a, e)| a == at && e.is_none());
                last.insert(*at, if deleted { None } else { *event });
            }
            for moment in 0..12 {
                let expected = last.range(..=moment).next_back().and_then(|(_, e)| *e);
                let stood = history.spans.iter().find(|s| s.from <= moment && s.to.is_none_or(|to| moment < to));
                prop_assert_eq!(stood.map(|s| s.content), expected);
            }
        }
    }
}
