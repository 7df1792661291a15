//! A pipeline's last runs in the space of a few words: bars of rows, or a line of durations.

use super::{Rect, at, full};
use crate::page::{view::Past, words};
use askama::{Template, filters::HtmlSafe};
use floodmark_core::wording::{count, grouped, verb};

/// Runs that are drawn: the newest.
const RUNS: usize = 24;
/// The room of one.
const STEP: f64 = 5.0;
/// Of bars, and of the line below them.
const HEIGHT: f64 = 26.0;
const LINE: f64 = 16.0;

/// The picture.
#[derive(Template)]
#[template(path = "page/chart/spark.html")]
pub(crate) struct Spark {
    kind: &'static str,
    height: f64,
    title: &'static str,
    told: String,
    bars: Vec<Rect>,
    /// Runs that did not end well: a cross each.
    crosses: Vec<f64>,
    line: String,
    /// The newest.
    dot: Option<(f64, f64)>,
    /// What the newest is, beside the picture.
    newest: String,
}

impl HtmlSafe for Spark {}

/// Where the runs of a picture begin: the newest is always at its right.
fn places(past: &[Past]) -> (&[Past], f64) {
    let shown = &past[past.len().saturating_sub(RUNS)..];
    (shown, (RUNS - shown.len()) as f64 * STEP)
}

fn crosses(shown: &[Past], left: f64) -> Vec<f64> {
    shown
        .iter()
        .enumerate()
        .filter(|(_, past)| past.ended.is_bad())
        .map(|(n, _)| at(left + n as f64 * STEP + 2.0))
        .collect()
}

fn failed(n: usize) -> String {
    if n == 0 { String::new() } else { format!("; {n} did not end well") }
}

impl Spark {
    /// Rows that runs wrote; oldest run first.
    pub(crate) fn rows(past: &[Past]) -> Option<Spark> {
        let (shown, left) = places(past);
        let newest = shown.last()?;
        let most = shown.iter().map(|past| past.rows).max().unwrap_or(0);
        let top = full(shown.iter().map(|past| past.rows));
        let bars = shown.iter().enumerate().filter(|(_, past)| past.ended.is_good() || past.rows > 0);
        let bars = bars.map(|(n, past)| {
            let share = if top == 0 { 0.0 } else { (past.rows as f64 / top as f64).min(1.0) };
            let high = if past.rows == 0 { 1.0 } else { (share * HEIGHT).max(2.0) };
            Rect::new(left + n as f64 * STEP, HEIGHT - high, STEP - 1.0, high)
        });
        let crosses = crosses(shown, left);
        let least = shown.iter().map(|past| past.rows).min().unwrap_or(0);
        let told = format!(
            "{}, oldest first: {} to {} rows; the newest {}{}",
            count(shown.len() as u64, "run"),
            grouped(least),
            grouped(most),
            grouped(newest.rows),
            failed(crosses.len())
        );
        Some(Spark {
            kind: "rows",
            height: HEIGHT + 1.0,
            title: "Rows written by the last runs",
            told,
            bars: bars.collect(),
            crosses,
            line: String::new(),
            dot: None,
            newest: format!("{} {}", words::short(newest.rows), verb(newest.rows, "row", "rows")),
        })
    }

    /// How long runs took; oldest run first.
    pub(crate) fn durations(past: &[Past]) -> Option<Spark> {
        let (shown, left) = places(past);
        let newest = shown.last()?;
        let finite = |past: &Past| if past.seconds.is_finite() { past.seconds.max(0.0) } else { 0.0 };
        let most = shown.iter().map(finite).fold(0.0, f64::max);
        let least = shown.iter().map(finite).fold(f64::INFINITY, f64::min);
        let place = |(n, past): (usize, &Past)| {
            let share = if most > 0.0 { finite(past) / most } else { 0.0 };
            (at(left + n as f64 * STEP + 2.0), at(LINE - 2.5 - share * (LINE - 5.0)))
        };
        let places: Vec<(f64, f64)> = shown.iter().enumerate().map(place).collect();
        let line: Vec<String> = places.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let told = format!(
            "{}, oldest first: {} to {}; the newest {}",
            count(shown.len() as u64, "run"),
            words::took(least),
            words::took(most),
            words::took(finite(newest))
        );
        Some(Spark {
            kind: "took",
            height: LINE,
            title: "How long the last runs took",
            told,
            bars: Vec::new(),
            crosses: Vec::new(),
            line: line.join(" "),
            dot: places.last().copied(),
            newest: words::took(finite(newest)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::view::Ended;

    fn past(rows: u64, seconds: f64, ended: Ended) -> Past {
        Past { ended, rows, seconds }
    }

    #[test]
    fn of_no_run_there_is_no_picture() {
        assert!(Spark::rows(&[]).is_none() && Spark::durations(&[]).is_none());
    }

    #[test]
    fn of_a_hundred_thousand_runs_the_newest_are_drawn() {
        let mut all = vec![past(1_000_000, 9.0, Ended::Ok); 100_000];
        all.push(past(4, 0.5, Ended::Ok));
        let rows = Spark::rows(&all).unwrap();
        assert_eq!(rows.bars.len(), RUNS);
        assert_eq!(rows.bars.last().unwrap(), &Rect::new(115.0, 24.0, 4.0, 2.0), "few rows are seen beside many");
        assert!(Spark::durations(&all).unwrap().line.split(' ').count() == RUNS);
    }

    #[test]
    fn runs_that_are_all_the_same_or_did_nothing_are_a_flat_picture() {
        let none = Spark::rows(&[past(0, 0.0, Ended::NothingNew); 3]).unwrap();
        assert!(none.bars.iter().all(|bar| bar.height == 1.0), "{:?}", none.bars);
        let flat = Spark::durations(&[past(0, 0.0, Ended::NothingNew), past(0, f64::NAN, Ended::Failed)]).unwrap();
        assert_eq!(flat.line, "112,13.5 117,13.5");
        assert_eq!(Spark::durations(&[past(7, 2.0, Ended::Ok); 2]).unwrap().line, "112,2.5 117,2.5");
    }

    #[test]
    fn a_run_that_failed_is_a_cross_and_no_bar() {
        let rows = Spark::rows(&[past(5, 1.0, Ended::Ok), past(0, 1.0, Ended::Failed)]).unwrap();
        assert_eq!((rows.bars.len(), rows.crosses.len()), (1, 1));
        assert!(rows.told.ends_with("1 did not end well"), "{}", rows.told);
    }
}
