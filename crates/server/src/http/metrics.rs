//! `/metrics`, in the text form of Prometheus.

use super::{App, view};
use crate::board::Board;
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use std::fmt::Write as _;

/// What a pipeline's status may be, each a line of its own.
pub(super) const STATUSES: [&str; 9] =
    ["ok", "failed", "late", "running", "waiting", "paused", "new", "broken", "unknown"];

pub(super) async fn metrics(State(app): State<App>) -> Response {
    let text = text(&app.shared.board(), app.shared.clock.now());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// One metric with all its lines.
struct Metric {
    out: String,
}

impl Metric {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.out, "{name}{labels} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn text(board: &Board, now: DateTime<Utc>) -> String {
    let mut m = Metric { out: String::new() };
    let views: Vec<_> = board.entries.iter().map(|entry| (entry, view::pipeline(board, entry, now))).collect();
    let jobs =
        |running: bool| board.jobs.values().filter(|j| if running { j.is_running() } else { j.is_waiting() }).count();
    m.head("floodmark_jobs", "gauge", "Pieces of work of this server, by where they stand.");
    m.line("floodmark_jobs", &[("state", "running")], jobs(true) as f64);
    m.line("floodmark_jobs", &[("state", "waiting")], jobs(false) as f64);
    m.head("floodmark_project_mistakes", "gauge", "Whether the pipeline file, as it is now, cannot be read.");
    m.line("floodmark_project_mistakes", &[], f64::from(u8::from(board.mistakes.is_some())));
    m.head("floodmark_alerts_total", "counter", "Messages of alerts by whether they arrived, tests among them.");
    for station in &board.desk.stations {
        let name = station.channel.name.as_str();
        m.line("floodmark_alerts_total", &[("channel", name), ("result", "arrived")], station.arrived as f64);
        m.line("floodmark_alerts_total", &[("channel", name), ("result", "lost")], station.lost as f64);
    }
    m.head("floodmark_alerts_failing", "gauge", "Whether messages do not arrive there now.");
    for station in &board.desk.stations {
        let failing = station.failing.is_some() || station.channel.unready().is_some();
        m.line("floodmark_alerts_failing", &[("channel", &station.channel.name)], f64::from(u8::from(failing)));
    }
    m.head("floodmark_pipeline_status", "gauge", "1 for what a pipeline's status is.");
    for (_, view) in &views {
        for status in STATUSES {
            let is = f64::from(u8::from(view.status == status));
            m.line("floodmark_pipeline_status", &[("pipeline", &view.name), ("status", status)], is);
        }
    }
    let seconds = |at: DateTime<Utc>| at.timestamp_millis() as f64 / 1000.0;
    type Gauge = (&'static str, &'static str, fn(&view::PipelineView) -> Option<DateTime<Utc>>);
    let moments: [Gauge; 3] = [
        (
            "floodmark_loaded_until_timestamp_seconds",
            "Up to when rows are loaded, where the watermark is a time.",
            |v| v.loaded_until.map(|at| at.0),
        ),
        ("floodmark_last_success_timestamp_seconds", "When the last good run ended.", |v| {
            v.last_success.map(|at| at.0)
        }),
        ("floodmark_next_run_timestamp_seconds", "When it runs next by itself.", |v| v.next_run.map(|at| at.0)),
    ];
    for (name, help, of) in moments {
        m.head(name, "gauge", help);
        for (_, view) in &views {
            if let Some(at) = of(view) {
                m.line(name, &[("pipeline", &view.name)], seconds(at));
            }
        }
    }
    m.head("floodmark_watermark_age_seconds", "gauge", "How long ago that is up to which rows are loaded.");
    for (_, view) in &views {
        if let Some(at) = view.loaded_until {
            m.line("floodmark_watermark_age_seconds", &[("pipeline", &view.name)], (now - at.0).as_seconds_f64());
        }
    }
    m.head("floodmark_rejects", "gauge", "Rejected rows that are kept.");
    for (_, view) in &views {
        m.line("floodmark_rejects", &[("pipeline", &view.name)], view.rejects as f64);
    }
    m.head("floodmark_runs_total", "counter", "Runs that ended since the server is there, by how.");
    for (entry, view) in &views {
        for (status, runs) in &entry.totals.runs {
            m.line("floodmark_runs_total", &[("pipeline", &view.name), ("status", status)], *runs as f64);
        }
    }
    m.head("floodmark_run_seconds_total", "counter", "How long these took.");
    for (entry, view) in &views {
        m.line("floodmark_run_seconds_total", &[("pipeline", &view.name)], entry.totals.seconds);
    }
    m.head("floodmark_rows_total", "counter", "Rows of these by outcome.");
    for (entry, view) in &views {
        let rows = serde_json::to_value(entry.totals.rows).unwrap_or_default();
        for (outcome, rows) in rows.as_object().into_iter().flatten() {
            if let Some(rows) = rows.as_f64() {
                m.line("floodmark_rows_total", &[("pipeline", &view.name), ("outcome", outcome)], rows);
            }
        }
    }
    m.out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Declared, Limits};
    use std::{collections::BTreeMap, time::Duration};

    #[test]
    fn a_name_ends_no_label() {
        let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let mut board = Board::new(Limits { jobs: 1, grace: Duration::ZERO }, now);
        let odd = Declared { name: "a\"b\\c\nd".into(), family: None, pipeline: Err("no such table".into()) };
        board.declare(vec![odd], &BTreeMap::new(), now);
        let text = text(&board, now);
        assert!(text.contains(r#"floodmark_pipeline_status{pipeline="a\"b\\c\nd",status="broken"} 1"#), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}");
        }
    }
}
