//! One pipeline: up to where it is loaded, its runs, what of its history is in, its columns and rejects, and all that can be
//! done with it.

use super::{
    chart::{Calendar, Stack, Step},
    overview::{Loaded, Soon, trouble},
    parts::{Act, Ago, Badge, Button, RELOAD, REPAIR, TroubleBox, Work},
    prose, remedy,
    view::{Became, ColumnChange, Frame, Next, Pipeline, RunLine, Standing, Trouble, Undone},
    words,
};
use askama::Template;
use chrono::{DateTime, Utc};
use floodmark_core::wording::{count, grouped};
use std::borrow::Cow;

/// Runs that are listed; the picture has all.
const LISTED: usize = 20;
/// Gaps that are listed; the picture has all.
const GAPS: usize = 8;

#[derive(Template)]
#[template(path = "page/pipeline.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Pipeline,
    badge: Badge,
    now: DateTime<Utc>,
    loaded: Loaded,
    last: Option<Listed<'a>>,
    next: Soon<'a>,
    trouble: Option<Cow<'a, Trouble>>,
    works: Vec<Work<'a>>,
    button: Option<Button<'a>>,
    run: Option<Button<'a>>,
    pause: Option<Button<'a>>,
    undone: Option<(TroubleBox<'a>, &'a Undone, Button<'a>)>,
    plan: Button<'a>,
    verify: Button<'a>,
    repair: Button<'a>,
    refresh: Button<'a>,
    missing: Option<Button<'a>>,
    replay: Option<Button<'a>>,
    step: Option<Step>,
    stack: Option<Stack>,
    calendar: Option<Calendar>,
    gaps: Vec<String>,
    more_gaps: usize,
    runs: Vec<Listed<'a>>,
    more_runs: Option<String>,
    reshaped: Option<Ago>,
    changes: Vec<Changed<'a>>,
    more_rejects: Option<String>,
}

impl Page<'_> {
    fn trouble_box(&self) -> Option<TroubleBox<'_>> {
        let trouble = self.trouble.as_deref()?;
        Some(TroubleBox::new(trouble, self.view.card.standing.class() == "warn", self.now))
    }
}

/// A run of the list.
pub(super) struct Listed<'a> {
    pub(super) id: &'a str,
    pub(super) badge: Badge,
    pub(super) began: Ago,
    pub(super) load: &'a str,
    pub(super) brought: String,
    pub(super) read: String,
    pub(super) took: String,
    mark: &'a str,
    pub(super) code: Option<&'a str>,
    pub(super) why: Option<&'a str>,
}

impl<'a> Listed<'a> {
    pub(super) fn new(run: &'a RunLine, now: DateTime<Utc>) -> Listed<'a> {
        Listed {
            id: &run.id,
            badge: run.ended.into(),
            began: Ago::new(run.began, now),
            load: &run.load,
            brought: words::brought(&run.rows, run.ended),
            read: grouped(run.rows.read),
            took: run.over.map(|over| words::took((over - run.began).as_seconds_f64())).unwrap_or_default(),
            mark: run.mark.as_deref().unwrap_or(""),
            code: run.trouble.as_ref().and_then(|trouble| trouble.code.as_deref()),
            why: run.trouble.as_ref().map(|trouble| trouble.what.as_str()),
        }
    }
}

/// What became of a column, in a line.
struct Changed<'a> {
    at: Ago,
    run: &'a str,
    column: &'a str,
    became: String,
}

impl<'a> Changed<'a> {
    fn new(change: &'a ColumnChange, now: DateTime<Utc>) -> Changed<'a> {
        let became = match &change.became {
            Became::Added(data_type) => format!("new, {data_type}"),
            Became::Retyped(from, to) => format!("{from} → {to}"),
            Became::Decided(data_type) => format!("first value: {data_type}"),
            Became::Removed => "no column any more".to_owned(),
        };
        Changed { at: Ago::new(change.at, now), run: &change.run, column: &change.column, became }
    }
}

/// The page.
pub(crate) fn pipeline(frame: &Frame, view: &Pipeline) -> String {
    let now = frame.now;
    let card = &view.card;
    let name = card.name.as_str();
    let new = |act, label: &str| Button::new(frame, name, act, label);
    let runs_now = card.standing == Standing::Running;
    let can_run = card.standing != Standing::Broken;
    let loaded = Loaded::new(card, now);
    let column = card.mark.as_ref().map_or("", |mark| mark.column.as_str());
    let missing = view.coverage.as_ref().map(|covered| covered.grid.missing.as_slice()).unwrap_or_default();
    let paused = matches!(card.next, Next::Paused(_));
    let by_itself = view.schedule.is_some() || !view.after.is_empty();
    let more = view.runs.len().saturating_sub(LISTED);
    let page = Page {
        frame,
        view,
        badge: card.standing.into(),
        now,
        loaded,
        last: card.last.as_ref().map(|last| Listed::new(last, now)),
        next: Soon::new(&card.next, now),
        trouble: trouble(card, now),
        works: card.jobs.iter().map(|job| Work::new(frame, name, job, true)).collect(),
        // What goes on has its own.
        button: remedy::button(frame, card)
            .filter(|_| ![Standing::Paused, Standing::Running].contains(&card.standing) && card.rejects == 0),
        run: (can_run && !runs_now && (card.standing == Standing::Paused || card.rejects > 0))
            .then(|| new(Act::Run, "Run now")),
        pause: match (can_run && by_itself, paused) {
            (_, true) => Some(new(Act::Resume, "Resume")),
            (true, false) => Some(new(Act::Pause, "Pause")),
            (false, false) => None,
        },
        undone: card.undone.as_ref().map(|undone| {
            let again = new(Act::Again, "Retry").of(&undone.id).loud();
            (TroubleBox::new(&undone.trouble, false, now), undone, again)
        }),
        plan: new(Act::Plan, "Plan"),
        verify: new(Act::Verify, "Verify"),
        repair: new(Act::Repair, "Verify and repair").sure(REPAIR),
        refresh: new(Act::FullRefresh, "Load everything again").sure(RELOAD),
        missing: view.coverage.as_ref().filter(|_| !missing.is_empty()).map(|covered| {
            let label = format!("Fill {}", count(missing.len() as u64, "gap"));
            Button::new(frame, name, Act::Missing, label).within(&covered.grid.range).loud()
        }),
        replay: (card.rejects > 0).then(|| {
            let label = format!("Replay {}", count(card.rejects, "reject"));
            Button::new(frame, name, Act::Replay, label).loud()
        }),
        step: Step::new(column, &view.runs, now),
        stack: Stack::new(&view.runs, now),
        calendar: view.coverage.as_ref().and_then(Calendar::new),
        gaps: missing.iter().take(GAPS).map(ToString::to_string).collect(),
        more_gaps: missing.len().saturating_sub(GAPS),
        runs: view.runs.iter().take(LISTED).map(|run| Listed::new(run, now)).collect(),
        more_runs: (more > 0)
            .then(|| if view.older { format!("{more} older, and those before them") } else { format!("{more} older") }),
        reshaped: view.reshaped.map(|at| Ago::new(at, now)),
        changes: view.changes.iter().map(|change| Changed::new(change, now)).collect(),
        more_rejects: (card.rejects > view.rejects.len() as u64)
            .then(|| grouped(card.rejects - view.rejects.len() as u64)),
    };
    super::rendered(&page)
}
