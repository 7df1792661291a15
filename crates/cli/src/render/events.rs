//! What happens during a run, as lines of JSON for the server that started it.

use floodmark_core::event::Event;
use serde_json::{Value, json};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Rows go by faster than anybody reads: so often their number is told.
const PACE: Duration = Duration::from_millis(250);

/// Tells events.
#[derive(Default)]
pub(crate) struct Teller {
    /// When progress was told last.
    told: Mutex<Option<Instant>>,
}

impl Teller {
    /// The line of an event; `None` where it is too soon after another, or there is nothing to tell.
    pub(crate) fn line(&self, event: &Event) -> Option<Value> {
        if matches!(event, Event::Progress { .. } | Event::Filling { .. }) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_some_and(|told| told.elapsed() < PACE) {
                return None;
            }
            *told = Some(Instant::now());
        }
        object(event).map(|event| json!({ "event": event }))
    }
}

fn object(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Started { run, .. } => json!({ "kind": "started", "run": run }),
        Event::Surveying { bytes, .. } => json!({ "kind": "surveying", "bytes": bytes }),
        Event::Planned { slices, rows, .. } => json!({ "kind": "planned", "slices": slices, "rows": rows }),
        Event::Intervals { column, intervals, step, from, until, .. } => json!({
            "kind": "intervals", "column": column, "intervals": intervals, "step": step, "from": from, "to": until,
        }),
        Event::Filling { from, until, done, intervals, .. } => json!({
            "kind": "filling", "from": from, "to": until, "done": done, "intervals": intervals,
        }),
        Event::Progress { rows, .. } => json!({ "kind": "progress", "rows": rows }),
        Event::Committed { counts, .. } => json!({ "kind": "committed", "rows": counts }),
        Event::Warning { message, .. } => json!({ "kind": "warning", "message": message }),
        Event::Rejected { first, .. } => json!({
            "kind": "rejected", "file": first.slice, "line": first.line, "column": first.column, "reason": first.reason,
        }),
        Event::Trial { what, .. } => json!({ "kind": "trial", "what": what }),
        Event::Finished { .. } => json!({ "kind": "finished" }),
        // An event of a later engine has no words here yet.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_now_and_then_and_all_else_always() {
        let teller = Teller::default();
        let progress = |rows| Event::Progress { pipeline: "orders".into(), rows };
        assert_eq!(teller.line(&progress(1)), Some(json!({"event": {"kind": "progress", "rows": 1}})));
        assert_eq!(teller.line(&progress(2)), None);
        let warning = Event::Warning { pipeline: "orders".into(), message: "late".into() };
        assert_eq!(teller.line(&warning), Some(json!({"event": {"kind": "warning", "message": "late"}})));
    }
}
