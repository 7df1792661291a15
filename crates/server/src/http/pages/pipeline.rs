//! A pipeline: where its watermark was when, what its runs did, which ranges were filled, what could not be loaded.

use super::{
    Asked, Shell, act, link, message, overview, rendered,
    runs::{Line, Work},
    word,
};
use crate::{
    board::Entry,
    http::{
        App, books, chart,
        view::{self, RunView},
        words,
    },
};
use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::Response,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use floodmark_core::{Value, error::shorten, state::IntervalEntry, wording};
use std::fmt::Write as _;

/// Runs in the chart, and in the list.
const CHARTED: usize = 40;
const LISTED: usize = 20;

#[derive(Template)]
#[template(path = "pipeline.html")]
struct Page {
    shell: Shell,
    name: String,
    base: String,
    status: &'static str,
    word: String,
    why: Option<String>,
    why_run: Option<String>,
    acts: Vec<(String, String, &'static str)>,
    jobs: Vec<Work>,
    facts: Vec<(&'static str, String)>,
    mark_chart: Option<String>,
    mark_name: String,
    stacks: String,
    legend: Vec<(&'static str, &'static str)>,
    runs: Vec<Line>,
    calendar: Option<String>,
    rejects: Vec<RejectRow>,
    rejects_told: String,
    replay: String,
    columns: Vec<(String, String)>,
    more: Vec<(String, &'static str)>,
    refresh: String,
}

struct RejectRow {
    place: String,
    reason: String,
    raw: String,
}

pub(super) async fn page(State(app): State<App>, Path(name): Path<String>, Query(told): Asked) -> Response {
    if app.shared.board().entry(&name).is_none() {
        return message(&app, StatusCode::NOT_FOUND, "There is no such pipeline", &name);
    }
    // What cannot be read now is told by the pipeline's status.
    let shelf = books::shelf(&app, &name).await.unwrap_or_default();
    let shell = Shell::new(&app, "overview", &told);
    let now = app.shared.clock.now();
    let page = {
        let board = app.shared.board();
        let Some(entry) = board.entry(&name) else {
            drop(board);
            return message(&app, StatusCode::NOT_FOUND, "There is no such pipeline", &name);
        };
        made(&view::pipeline(&board, entry, now), entry, &shelf, shell, now)
    };
    rendered(&page)
}

fn made(view: &view::PipelineView, entry: &Entry, shelf: &books::Shelf, shell: Shell, now: DateTime<Utc>) -> Page {
    let base = link(&view.name);
    let records = entry.known.as_ref().map(|known| known.runs.as_slice()).unwrap_or_default();
    let bars: Vec<chart::Bar<'_>> = records.iter().take(CHARTED).rev().map(overview::bar).collect();
    let legend = chart::OUTCOMES.iter().filter(|(_, _, of)| bars.iter().any(|bar| of(bar.counts) > 0));
    let failed = view.last_run.as_ref().filter(|_| view.status == "failed").map(|run| run.run.clone());
    let mut acts: Vec<(String, String, &'static str)> = Vec::new();
    let main = act(view).filter(|(_, label)| label != "Resume");
    acts.extend(main.map(|(action, label)| (action, label, "main")));
    let scheduled = view.schedule.is_some() || !view.after.is_empty();
    match view.paused_since {
        Some(_) => acts.push((format!("{base}/resume"), "Resume".into(), "main")),
        None if scheduled => acts.push((format!("{base}/pause"), "Pause".into(), "")),
        None => {}
    }
    let schema = entry.known.as_ref().and_then(|known| known.schema.as_ref());
    let reject = |kept: &floodmark_connect::destination::KeptReject| RejectRow {
        place: format!("{}:{}", kept.reject.slice, kept.reject.line),
        reason: kept.reject.reason.clone(),
        raw: shorten(&kept.reject.raw),
    };
    Page {
        status: view.status,
        word: word(view.status).to_owned(),
        why: view.message.clone(),
        why_run: failed,
        acts,
        jobs: view.jobs.iter().map(Work::from).collect(),
        facts: facts(view, now),
        mark_chart: marks(records),
        mark_name: view.watermark.as_ref().map(|mark| format!("{} ({})", mark.column, mark.r#type)).unwrap_or_default(),
        stacks: chart::stacks(&bars),
        legend: legend.map(|(class, word, _)| (*class, *word)).collect(),
        runs: records.iter().take(LISTED).map(|run| Line::new(&RunView::from(run), now)).collect(),
        calendar: coverage(&shelf.intervals),
        rejects: shelf.rejects.iter().map(reject).collect(),
        rejects_told: rejects_told(shelf),
        replay: format!("{base}/replay"),
        columns: schema
            .map(|schema| schema.columns.iter().map(|c| (c.name.clone(), c.data_type.to_string())).collect())
            .unwrap_or_default(),
        more: vec![
            (format!("{base}/plan"), "Show what a run would do"),
            (format!("{base}/verify"), "Compare with the source"),
            (format!("{base}/repair"), "Compare, and mend what differs"),
        ],
        refresh: format!("{base}/refresh"),
        name: view.name.clone(),
        base,
        shell,
    }
}

fn rejects_told(shelf: &books::Shelf) -> String {
    let all = wording::count(shelf.all_rejects as u64, "row");
    let kept = wording::verb(shelf.all_rejects as u64, "is", "are");
    if shelf.all_rejects > shelf.rejects.len() {
        return format!("{all} {kept} kept aside; these are the oldest {}.", shelf.rejects.len());
    }
    format!("{all} {kept} kept aside until they load.")
}

fn facts(view: &view::PipelineView, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Loaded", overview::loaded(view, now))];
    facts.extend(view.source.clone().map(|source| ("From", source)));
    if let (Some(destination), Some(table)) = (&view.destination, &view.table) {
        facts.push(("Into", format!("{table} in {destination}")));
    }
    facts.extend(view.load.map(|load| ("How", load.to_owned())));
    if let Some(schedule) = &view.schedule {
        let zone = view.timezone.as_deref().filter(|_| !schedule.starts_with("@every")).unwrap_or_default();
        facts.push(("Schedule", format!("{schedule} {zone}").trim().to_owned()));
    }
    if !view.after.is_empty() {
        facts.push(("After", view.after.join(", ")));
    }
    if let Some(at) = view.next_run {
        facts.push(("Next run", format!("{} ({})", words::minute(at.0), words::ago(at.0, now))));
    }
    if let Some(seconds) = view.freshness {
        facts.push(("Freshness", words::span(TimeDelta::milliseconds((seconds * 1000.0) as i64))));
    }
    if let Some(at) = view.paused_since {
        facts.push(("Paused", words::ago(at.0, now)));
    }
    facts
}

/// Where the watermark stood after each run, where it is a time or a number.
fn marks(records: &[floodmark_core::state::RunRecord]) -> Option<String> {
    let mut points = Vec::new();
    let mut column = "";
    for run in records.iter().rev() {
        let Some(mark) = &run.watermark else { continue };
        let (Some(after), Some(at)) = (&mark.after, run.finished_at) else { continue };
        // Another column is another axis.
        if mark.column != column {
            points.clear();
            column = &mark.column;
        }
        points.push((at, place(after)?, after.clone()));
    }
    chart::steps(&points, column)
}

/// A value's place on its axis.
fn place(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    let moment = |at: NaiveDateTime| at.and_utc().timestamp_millis() as f64;
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Some(moment(day.and_time(chrono::NaiveTime::MIN)));
    }
    let plain = text.trim_end_matches("+00:00").trim_end_matches('Z').replace(' ', "T");
    plain.parse::<NaiveDateTime>().ok().map(moment)
}

fn on_axis(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Date(days) => Some(f64::from(*days)),
        Value::Timestamp(nanos) | Value::TimestampTz(nanos) => Some(*nanos as f64),
        _ => None,
    }
}

/// The ranges that backfills loaded, along their axis.
fn coverage(intervals: &[IntervalEntry]) -> Option<String> {
    const WIDE: f64 = 900.0;
    let column = &intervals.first()?.column;
    let of = |entry: &&IntervalEntry| entry.column == *column;
    let ends: Option<Vec<(f64, f64, &IntervalEntry)>> = intervals
        .iter()
        .filter(of)
        .map(|entry| Some((on_axis(&entry.interval.from)?, on_axis(&entry.interval.until)?, entry)))
        .collect();
    let mut ends = ends?;
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let low = ends.first()?.0;
    let high = ends.iter().map(|end| end.1).fold(low, f64::max);
    if high <= low {
        return None;
    }
    let x = |at: f64| (at - low) / (high - low) * WIDE;
    let mut out = format!(
        "<svg class=\"coverage\" viewBox=\"0 0 {WIDE} 46\" role=\"img\" aria-label=\"ranges of {} that backfills loaded\"><rect class=\"gap\" x=\"0\" y=\"2\" width=\"{WIDE}\" height=\"24\" rx=\"3\"/>",
        chart::escaped(column)
    );
    for (from, until, entry) in &ends {
        let class = if entry.settled { "settled" } else { "open" };
        let told = format!(
            "{} … {}: {} rows, loaded {}",
            entry.interval.from,
            entry.interval.until,
            words::number(entry.rows),
            words::minute(entry.loaded_at)
        );
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{:.2}\" y=\"2\" width=\"{:.2}\" height=\"24\"><title>{}</title></rect>",
            x(*from),
            (x(*until) - x(*from) - 0.6).max(0.6),
            chart::escaped(&told)
        );
    }
    let (first, last) = (
        &ends.first()?.2.interval.from,
        ends.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|end| &end.2.interval.until)?,
    );
    let _ = write!(
        out,
        "<text class=\"label\" x=\"0\" y=\"42\">{}</text><text class=\"label\" x=\"{WIDE}\" y=\"42\" text-anchor=\"end\">{}</text></svg>",
        chart::escaped(&first.to_string()),
        chart::escaped(&last.to_string())
    );
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_has_a_place_on_its_axis() {
        assert_eq!(place("42"), Some(42.0));
        assert_eq!(place("1970-01-02"), Some(86_400_000.0));
        assert_eq!(place("1970-01-01T00:00:01"), Some(1000.0));
        assert_eq!(place("1970-01-01 00:00:01.5+00:00"), Some(1500.0));
        assert_eq!(place("orange"), None);
        assert_eq!(place("NaN"), None);
    }
}
