//! A run as a span, and its phases as those within, from what the engine tells. No text of a message and no value of a row is
//! in any of them.

use crate::span::{Failure, Open, Part};
use chrono::{DateTime, SecondsFormat, Utc};
use floodmark_core::{Counts, event::Event, pipeline::Pipeline};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

/// Commits of a run that are told one by one. What follows is one span: a trace of tens of thousands can be looked at by nobody.
const COMMITS: u64 = 500;

/// What loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What is new.
    Run,
    /// A range of the axis.
    Backfill,
    /// What a comparison found.
    Repair,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Run => "run",
            Kind::Backfill => "backfill",
            Kind::Repair => "repair",
        }
    }

    /// What it does first, before it tells of anything.
    fn first(self) -> &'static str {
        match self {
            Kind::Run | Kind::Repair => "lock",
            Kind::Backfill => "plan",
        }
    }

    /// What it does with the lock in hand.
    fn locked(self) -> &'static str {
        match self {
            Kind::Run | Kind::Backfill => "plan",
            Kind::Repair => "compare",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct End {
    /// As ledgers have it: `ok`, `nothing_new`, `failed`; or `busy`.
    pub status: &'static str,
    /// Rows by outcome, of what was committed.
    pub counts: Counts,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// A run that goes on.
#[derive(Debug)]
pub(crate) struct Going {
    kind: Kind,
    open: Open,
    phase: Part,
    /// Rows read so far, and where the open phase began.
    rows: u64,
    rows_before: u64,
    committed: Counts,
    commits: u64,
}

impl Going {
    pub(crate) fn begin(
        tracer: &SdkTracer,
        parent: &Context,
        kind: Kind,
        pipeline: &Pipeline,
        due: Option<DateTime<Utc>>,
    ) -> Going {
        let mut attributes = vec![
            KeyValue::new("floodmark.pipeline", pipeline.name.clone()),
            KeyValue::new("floodmark.load", pipeline.load.name()),
            // As it is printed, which is without a password.
            KeyValue::new("floodmark.destination", pipeline.destination.url.to_string()),
            KeyValue::new("floodmark.table", pipeline.destination.table.clone()),
        ];
        let due = due.map(|due| due.to_rfc3339_opts(SecondsFormat::Millis, true));
        attributes.extend(due.map(|due| KeyValue::new("floodmark.due", due)));
        let open = Open::begin(tracer, parent, kind.name(), attributes);
        let phase = open.first(kind.first());
        Going { kind, open, phase, rows: 0, rows_before: 0, committed: Counts::default(), commits: 0 }
    }

    pub(crate) fn observe(&mut self, event: &Event) {
        match event {
            Event::Started { run, .. } => self.open.set([KeyValue::new("floodmark.run", run.clone())]),
            Event::Locked { .. } => self.turn(self.kind.locked(), None),
            Event::Surveying { bytes, .. } => {
                self.turn("survey", None);
                self.phase.attributes.push(KeyValue::new("floodmark.bytes", int(*bytes)));
            }
            Event::Planned { slices, rows, .. } => {
                self.turn("load", None);
                self.open.set([KeyValue::new("floodmark.slices", int(*slices as u64))]);
                self.open.set(rows.map(|rows| KeyValue::new("floodmark.rows.planned", int(rows))));
            }
            Event::Intervals { intervals, .. } => {
                self.open.set([KeyValue::new("floodmark.intervals", int(*intervals))]);
            }
            Event::Progress { rows, .. } => {
                self.loads();
                self.rows = *rows;
            }
            Event::Filling { .. } => self.loads(),
            Event::Sealed { .. } => {
                self.loads();
                if self.commits < COMMITS {
                    self.turn("commit", None);
                }
            }
            Event::Committed { counts, .. } => self.committed(counts),
            Event::Retrying { code, .. } => {
                self.turn("pause", Some(&Failure::from(*code)));
                // The next attempt counts anew.
                (self.rows, self.rows_before) = (0, 0);
            }
            _ => {}
        }
    }

    /// The next phase begins.
    fn turn(&mut self, next: &'static str, failure: Option<&Failure>) {
        self.count_rows();
        self.open.turn(&mut self.phase, next, failure);
    }

    fn count_rows(&mut self) {
        if self.phase.name == "load" {
            let rows = self.rows.saturating_sub(self.rows_before);
            self.phase.attributes.push(KeyValue::new("floodmark.rows.read", int(rows)));
        }
        self.rows_before = self.rows;
    }

    /// Rows come. What follows a commit was taken for the end of it until then.
    fn loads(&mut self) {
        match self.phase.name {
            "record" => self.phase.name = "load",
            "compare" => self.turn("load", None),
            _ => {}
        }
    }

    fn committed(&mut self, counts: &Counts) {
        self.commits += 1;
        if self.commits <= COMMITS {
            let brought = outcomes(counts).into_iter().zip(outcomes(&self.committed));
            let brought = brought.map(|((name, now), (_, before))| (name, now.saturating_sub(before)));
            let told = brought.filter(|(_, rows)| *rows > 0).map(|(name, rows)| KeyValue::new(name, int(rows)));
            self.phase.attributes.extend(told);
            self.turn("record", None);
        }
        self.committed = *counts;
    }

    pub(crate) fn end(mut self, end: &End) {
        self.count_rows();
        self.open.set([
            KeyValue::new("floodmark.status", end.status),
            KeyValue::new("floodmark.commits", int(self.commits)),
        ]);
        self.open.set(outcomes(&end.counts).map(|(name, rows)| KeyValue::new(name, int(rows))));
        self.open.end(Some(self.phase), end.failure.as_ref());
    }
}

/// Rows by outcome.
fn outcomes(counts: &Counts) -> [(&'static str, u64); 11] {
    [
        ("floodmark.rows.read", counts.read),
        ("floodmark.rows.inserted", counts.inserted),
        ("floodmark.rows.updated", counts.updated),
        ("floodmark.rows.deleted", counts.deleted),
        ("floodmark.rows.unchanged", counts.unchanged),
        ("floodmark.rows.superseded", counts.superseded),
        ("floodmark.rows.stale", counts.stale),
        ("floodmark.rows.skipped", counts.skipped),
        ("floodmark.rows.rejected", counts.rejected),
        ("floodmark.rows.delete_noop", counts.delete_noop),
        ("floodmark.rows.removed", counts.removed),
    ]
}

/// As OpenTelemetry has numbers.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
