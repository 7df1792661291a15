//! The first page: what is loaded up to when, what failed and why, and a button that puts it right.

use super::{Asked, Shell, When, act, link, rendered, word};
use crate::{
    at::At,
    board::Board,
    http::{
        App, chart,
        view::{self, PipelineView},
        words,
    },
};
use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use floodmark_core::wording;

/// Runs of a sparkline.
const ROOM: usize = 24;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    headline: String,
    mood: &'static str,
    detail: String,
    needs: Vec<Need>,
    rows: Vec<Row>,
    room: usize,
}

/// A pipeline that somebody should look at.
struct Need {
    name: String,
    link: String,
    status: &'static str,
    word: String,
    why: String,
    loaded: String,
    since_word: &'static str,
    since: Option<When>,
    run: Option<String>,
    act: Option<(String, String)>,
}

struct Last {
    id: String,
    outcome: String,
    at: When,
}

struct Row {
    name: String,
    link: String,
    status: &'static str,
    word: String,
    route: String,
    watermark: Option<String>,
    until: Option<When>,
    loaded: Option<When>,
    mark_class: &'static str,
    last: Option<Last>,
    rejects: usize,
    progress: Option<String>,
    waits: Option<String>,
    next: Option<When>,
    no_next: &'static str,
    spark: String,
    act: Option<(String, String)>,
}

pub(super) async fn page(State(app): State<App>, Query(told): Asked) -> Response {
    let shell = Shell::new(&app, "overview", &told);
    let now = app.shared.clock.now();
    let page = made(&app.shared.board(), shell, now);
    rendered(&page)
}

fn made(board: &Board, shell: Shell, now: DateTime<Utc>) -> Overview {
    let views: Vec<PipelineView> = board.entries.iter().map(|entry| view::pipeline(board, entry, now)).collect();
    let needs: Vec<Need> = views.iter().filter_map(|view| need(view, now)).collect();
    let all = views.len() as u64;
    let count = |status: &str| views.iter().filter(|view| view.status == status).count() as u64;
    let troubled = needs.len() as u64;
    let (mood, headline) = match (all, troubled) {
        (0, _) => ("calm", "There is no pipeline".to_owned()),
        (1, 0) => ("good", "The pipeline is well".to_owned()),
        (_, 0) => ("good", format!("All {all} pipelines are well")),
        (_, n) if n == all => ("bad", format!("{} your attention", wording::agree(n, "pipeline", "needs", "need"))),
        (_, n) => ("bad", format!("{n} of {all} pipelines {} your attention", wording::verb(n, "needs", "need"))),
    };
    let parts = [
        (count("running"), "running"),
        (count("waiting"), "waiting"),
        (count("failed"), "failed"),
        (count("late"), "late"),
        (count("broken"), "cannot run"),
        (count("unknown"), "not reachable"),
        (count("paused"), "paused"),
        (count("new"), "never run"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let next = views.iter().filter_map(|view| view.next_run.map(|at| (at, &view.name))).min();
    let next = next.map(|(at, name)| format!("next run: {name}, {}", words::ago(at.0, now)));
    let detail = parts.into_iter().chain(next).collect::<Vec<_>>().join(" · ");
    let rows = views.iter().zip(&board.entries).map(|(view, entry)| {
        let runs = entry.known.as_ref().map(|known| known.runs.as_slice()).unwrap_or_default();
        let bars: Vec<chart::Bar<'_>> = runs.iter().take(ROOM).rev().map(bar).collect();
        row(view, chart::sparkline(&bars, ROOM), now)
    });
    Overview { shell, headline, mood, detail, needs, rows: rows.collect(), room: ROOM }
}

/// A run as charts see it.
pub(super) fn bar(run: &floodmark_core::state::RunRecord) -> chart::Bar<'_> {
    chart::Bar {
        run: &run.run,
        at: run.started_at,
        status: &run.status,
        counts: &run.counts,
        seconds: run.finished_at.map(|end| (end - run.started_at).as_seconds_f64()),
    }
}

/// Up to when it is loaded, in words.
pub(super) fn loaded(view: &PipelineView, now: DateTime<Utc>) -> String {
    match (&view.watermark, view.loaded_until, view.last_success) {
        (Some(mark), Some(at), _) => format!("up to {} ({})", mark.value, words::ago(at.0, now)),
        (Some(mark), None, _) => format!("up to {} {}", mark.column, mark.value),
        (None, _, Some(At(at))) => format!("all of it, {}", words::ago(at, now)),
        (None, _, None) => "nothing yet".into(),
    }
}

fn need(view: &PipelineView, now: DateTime<Utc>) -> Option<Need> {
    let troubled = matches!(view.status, "failed" | "late" | "broken" | "unknown");
    // A run is on its way to mend it.
    let mending = matches!(view.status, "running" | "waiting");
    if !troubled && (view.rejects == 0 || mending) {
        return None;
    }
    let link = link(&view.name);
    let mut act = act(view);
    let why = match view.status {
        "late" => {
            let fresh = view.freshness.map_or(String::new(), |seconds| {
                words::span(chrono::TimeDelta::milliseconds((seconds * 1000.0) as i64))
            });
            format!("What is loaded is older than the {fresh} that `freshness` allows.")
        }
        _ if !troubled => {
            act = Some((format!("{link}/replay"), "Load them again".into()));
            format!(
                "{} could not be loaded and {} kept aside.",
                wording::count(view.rejects as u64, "row"),
                wording::verb(view.rejects as u64, "is", "are")
            )
        }
        _ => view.message.clone().unwrap_or_else(|| "Its last run did not end well.".into()),
    };
    let failed = view.last_run.as_ref().filter(|_| view.status == "failed");
    Some(Need {
        name: view.name.clone(),
        status: if troubled { view.status } else { "late" },
        word: if troubled { word(view.status).to_owned() } else { "rejected rows".into() },
        why,
        loaded: format!("Loaded: {}", loaded(view, now)),
        since_word: "failed",
        since: failed.map(|run| When::new(run.finished_at.unwrap_or(run.started_at).0, now)),
        run: failed.map(|run| run.run.clone()),
        act,
        link,
    })
}

fn row(view: &PipelineView, spark: String, now: DateTime<Utc>) -> Row {
    let running = view.jobs.iter().find(|job| job.progress.is_some());
    let progress = running.and_then(|job| job.progress.as_ref()).map(|progress| match progress.all {
        Some(all) if all > 0 => format!("{} %", progress.done.saturating_mul(100) / all),
        _ if progress.done > 0 => format!("{} {}", words::number(progress.done), progress.unit),
        _ => "running".into(),
    });
    let waits = view
        .jobs
        .iter()
        .find(|job| job.status == "waiting")
        .map(|job| job.message.as_ref().map_or("about to begin".to_owned(), |message| format!("waits: {message}")));
    let moment = |at: Option<At>| at.map(|at| When::new(at.0, now));
    Row {
        name: view.name.clone(),
        link: link(&view.name),
        status: view.status,
        word: word(view.status).to_owned(),
        route: match (&view.source, &view.table) {
            (Some(source), Some(table)) => format!("{source} → {table}"),
            _ => String::new(),
        },
        watermark: view.watermark.as_ref().map(|mark| mark.value.clone()),
        until: moment(view.loaded_until),
        loaded: moment(view.last_success),
        mark_class: if view.late { "late" } else { "faint" },
        last: view.last_run.as_ref().map(|run| Last {
            id: run.run.clone(),
            outcome: match run.status.as_str() {
                "ok" | "partial" => words::outcome(&run.rows.into()),
                other => word(other).to_owned(),
            },
            at: When::new(run.started_at.0, now),
        }),
        rejects: view.rejects,
        progress,
        waits,
        next: moment(view.next_run),
        no_next: match (&view.schedule, view.after.is_empty()) {
            _ if view.paused_since.is_some() => "paused",
            (None, false) => "after others",
            (None, true) => "by hand",
            (Some(_), _) => "",
        },
        spark,
        act: act(view),
    }
}
