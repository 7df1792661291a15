//! One pipeline: up to where it is loaded, its runs, what of its history is in, its columns, rejects and text.

use super::{
    chart::{Calendar, Stack, Step},
    overview::{Loaded, Soon, trouble},
    parts::{Act, Ago, Badge, Button, Clock, Progress, TroubleBox},
    prose, remedy,
    view::{Frame, Lint, Pipeline, RunLine, Standing, Trouble},
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
    progress: Option<Progress<'a>>,
    button: Option<Button<'a>>,
    run: Option<Button<'a>>,
    pause: Option<Button<'a>>,
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
    reshaped: Vec<(Clock, &'a [String], Option<&'a str>)>,
    more_rejects: Option<String>,
    lines: Vec<TextLine<'a>>,
    lints: &'a [Lint],
}

impl Page<'_> {
    fn trouble_box(&self) -> Option<TroubleBox<'_>> {
        let trouble = self.trouble.as_deref()?;
        Some(TroubleBox::new(trouble, self.view.card.standing.class() == "warn", self.now))
    }
}

/// A run of the list.
struct Listed<'a> {
    id: &'a str,
    badge: Badge,
    began: Ago,
    load: &'a str,
    brought: String,
    read: String,
    took: String,
    mark: &'a str,
    code: Option<&'a str>,
    why: Option<&'a str>,
}

impl<'a> Listed<'a> {
    fn new(run: &'a RunLine, now: DateTime<Utc>) -> Listed<'a> {
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

/// A line of the file, with whether something is to be said of it.
struct TextLine<'a> {
    number: usize,
    text: &'a str,
    /// `mistake` or `lint`.
    class: &'static str,
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
    let paused = matches!(card.next, super::view::Next::Paused(_));
    let lines = view.file.as_ref().map_or(Vec::new(), |file| {
        let numbered = file.text.lines().enumerate().map(|(n, text)| (n + file.first, text));
        numbered
            .map(|(number, text)| {
                let class = match file.lints.iter().find(|lint| lint.line == Some(number)) {
                    Some(lint) if lint.mistake => "mistake",
                    Some(_) => "lint",
                    None => "",
                };
                TextLine { number, text, class }
            })
            .collect()
    });
    let all = view.all_runs.unwrap_or(view.runs.len() as u64);
    let listed = view.runs.len().min(LISTED);
    let page = Page {
        frame,
        view,
        badge: card.standing.into(),
        now,
        loaded,
        last: card.last.as_ref().map(|last| Listed::new(last, now)),
        next: Soon::new(&card.next, now),
        trouble: trouble(card, now),
        progress: card.jobs.iter().find(|job| job.runs).map(|job| Progress::new(job, true, now)),
        button: remedy::button(frame, card).filter(|_| card.standing != Standing::Paused && card.rejects == 0),
        run: (can_run && !runs_now && (card.standing == Standing::Paused || card.rejects > 0))
            .then(|| new(Act::Run, "Run now")),
        pause: can_run.then(|| if paused { new(Act::Resume, "Resume") } else { new(Act::Pause, "Pause") }),
        plan: new(Act::Plan, "Plan"),
        verify: new(Act::Verify, "Verify"),
        repair: new(Act::Repair, "Verify and repair")
            .sure("Rows of the table that differ from the source are loaded again."),
        refresh: new(Act::FullRefresh, "Load everything again")
            .sure("State and rows are forgotten, and everything is loaded again."),
        missing: (!missing.is_empty()).then(|| {
            let label = format!("Fill {}", count(missing.len() as u64, "gap"));
            Button::new(frame, name, Act::Missing, label).loud()
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
        more_runs: (all > listed as u64).then(|| grouped(all - listed as u64)),
        reshaped: view
            .reshaped
            .iter()
            .map(|shape| (Clock::new(shape.at, now), shape.what.as_slice(), shape.run.as_deref()))
            .collect(),
        more_rejects: (card.rejects > view.rejects.len() as u64)
            .then(|| grouped(card.rejects - view.rejects.len() as u64)),
        lines,
        lints: view.file.as_ref().map(|file| file.lints.as_slice()).unwrap_or_default(),
    };
    super::rendered(&page)
}
