//! The watermark over time: how high rows were loaded, when.

use super::at;
use crate::page::{
    view::{Ended, RunLine},
    words,
};
use askama::{Template, filters::HtmlSafe};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// Steps that are drawn at most.
const STEPS: usize = 400;
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 180.0;

/// The picture.
#[derive(Template)]
#[template(path = "page/chart/step.html")]
pub(crate) struct Step {
    width: f64,
    height: f64,
    line: String,
    area: String,
    /// Where it stands now.
    end: (f64, f64),
    /// Runs that did not end well.
    failed: Vec<f64>,
    pub(crate) column: String,
    told: String,
    highest: String,
    lowest: String,
    from: String,
    until: String,
}

impl HtmlSafe for Step {}

/// Where a value lies on its axis: numbers, dates and moments do.
pub(crate) fn position(value: &str) -> Option<f64> {
    let value = value.trim();
    if let Ok(number) = value.parse::<f64>() {
        return number.is_finite().then_some(number);
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(value) {
        return Some(moment.timestamp() as f64);
    }
    let plain = value.strip_suffix('Z').unwrap_or(value).trim_end_matches(" UTC");
    for form in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
        if let Ok(moment) = NaiveDateTime::parse_from_str(plain, form) {
            return Some(moment.and_utc().timestamp() as f64);
        }
    }
    for form in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"] {
        if let Ok(moment) = DateTime::parse_from_str(value, form) {
            return Some(moment.timestamp() as f64);
        }
    }
    let day = NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp() as f64)
}

impl Step {
    /// Of runs, newest first; `None` where none of them has a watermark that lies on an axis.
    pub(crate) fn new(column: &str, runs: &[RunLine], now: DateTime<Utc>) -> Option<Step> {
        let marks = runs.iter().rev().filter_map(|run| {
            let mark = run.mark.as_deref()?;
            Some((run.over.unwrap_or(run.began), position(mark)?, mark))
        });
        let mut marks: Vec<(DateTime<Utc>, f64, &str)> = marks.collect();
        // Clocks are set back; the picture goes on to the right.
        marks.sort_by_key(|(when, _, _)| *when);
        let each = marks.len().div_ceil(STEPS).max(1);
        let marks: Vec<_> = marks.chunks(each).filter_map(<[_]>::last).copied().collect();
        let (first, last) = (*marks.first()?, *marks.last()?);
        let low = marks.iter().map(|(_, y, _)| *y).fold(f64::INFINITY, f64::min);
        let high = marks.iter().map(|(_, y, _)| *y).fold(f64::NEG_INFINITY, f64::max);
        let (from, until) = (first.0, now.max(last.0));
        let long = (until - from).num_seconds().max(1) as f64;
        let x = |when: DateTime<Utc>| at((when - from).num_seconds() as f64 / long * WIDTH);
        let y = |value: f64| {
            // Where it never moved, its line is in the middle.
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            at(HEIGHT - 10.0 - share * (HEIGHT - 20.0))
        };
        let mut line = format!("M{} {}", x(first.0), y(first.1));
        for (when, value, _) in &marks[1..] {
            line.push_str(&format!("H{}V{}", x(*when), y(*value)));
        }
        line.push_str(&format!("H{}", at(WIDTH)));
        let area = format!("{line}V{HEIGHT}H{}Z", x(first.0));
        let bad = |run: &&RunLine| matches!(run.ended, Ended::Failed | Ended::Interrupted);
        let text = |value: f64| marks.iter().find(|(_, y, _)| *y == value).map_or("", |(_, _, text)| *text).to_owned();
        let (lowest, highest) = (text(low), text(high));
        let mut failed: Vec<f64> = runs.iter().filter(bad).map(|run| x(run.began.max(from))).collect();
        failed.dedup();
        Some(Step {
            width: WIDTH,
            height: HEIGHT,
            end: (at(WIDTH), y(last.1)),
            line,
            area,
            failed,
            column: column.to_owned(),
            told: format!("from {} ({}) to {} ({})", first.2, words::moment(first.0), last.2, words::moment(last.0)),
            highest,
            lowest,
            from: words::clock(from, now),
            until: words::clock(until, now),
        })
    }

    fn is_flat(&self) -> bool {
        self.lowest == self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::made_up;

    #[test]
    fn values_lie_on_their_axis_exactly_as_far_apart_as_they_are() {
        let day = 86_400.0;
        let at = |text: &str| position(text).unwrap();
        assert_eq!(at("2024-01-02") - at("2024-01-01"), day);
        assert_eq!(at("2024-01-02 00:00:00") - at("2024-01-01T12:00:00.5Z"), day / 2.0);
        assert_eq!(at("2024-01-01 02:00:00+02:00"), at("2024-01-01"));
        assert_eq!(at("-12.5"), -12.5);
        for text in ["", "abc", "NaN", "inf", "2024-13-01"] {
            assert_eq!(position(text), None, "{text}");
        }
    }

    #[test]
    fn of_no_watermark_there_is_no_picture_and_of_one_a_flat_line() {
        let now = made_up::now();
        assert!(Step::new("id", &[], now).is_none());
        let one = made_up::runs(1);
        let flat = Step::new("id", &one, now).unwrap();
        assert!(flat.is_flat() && flat.line.starts_with("M0 90"), "{}", flat.line);
    }

    #[test]
    fn many_steps_are_drawn_by_few() {
        let now = made_up::now();
        let all = Step::new("id", &made_up::runs(100_000), now).unwrap();
        assert!(all.line.matches('H').count() <= STEPS + 1);
        assert!(!all.is_flat() && !all.line.contains("NaN"));
    }
}
