//! Runs as stacked bars: what became of their rows.

use super::{Rect, at, full};
use crate::page::{
    view::{Ended, RunLine},
    words,
};
use askama::{Template, filters::HtmlSafe};
use chrono::{DateTime, Utc};
use floodmark_core::{Counts, wording::grouped};

/// Bars at most; more runs than that share one.
const BARS: usize = 60;
/// There is room for so many at least: two bars are not as wide as the page.
const ROOM: usize = 30;
const STEP: f64 = 10.0;
const HEIGHT: f64 = 140.0;

/// The picture.
#[derive(Template)]
#[template(path = "page/chart/stack.html")]
pub(crate) struct Stack {
    width: f64,
    height: f64,
    bars: Vec<Bar>,
    /// Outcomes that there are, with all rows of each.
    legend: Vec<(&'static str, String)>,
    told: String,
    highest: String,
    oldest: String,
    newest: String,
    /// Whether a bar is higher than the picture.
    cut: bool,
    /// Runs that share a bar.
    each: usize,
}

impl HtmlSafe for Stack {}

struct Bar {
    /// The run it leads to.
    run: String,
    told: String,
    /// All of its height, so that a short bar is as easily hit.
    whole: Rect,
    parts: Vec<(&'static str, Rect)>,
    /// Where it is torn, when it is higher than the picture.
    torn: Option<f64>,
    /// Where its cross is, when a run of it did not end well.
    cross: Option<f64>,
}

impl Stack {
    /// Of runs, newest first; `None` where there are none.
    pub(crate) fn new(runs: &[RunLine], now: DateTime<Utc>) -> Option<Stack> {
        let (newest, oldest) = (runs.first()?, runs.last()?);
        let each = runs.len().div_ceil(BARS);
        // Whole groups of the newest: only the oldest bar may be of fewer.
        let groups: Vec<(&[RunLine], Counts)> = runs
            .chunks(each)
            .map(|group| {
                let mut all = Counts::default();
                group.iter().for_each(|run| all.add(&run.rows));
                (group, all)
            })
            .collect();
        let top = full(groups.iter().map(|(_, all)| all.accounted()));
        let slots = groups.len().max(ROOM);
        let bars: Vec<Bar> = groups
            .iter()
            .enumerate()
            .map(|(n, (group, all))| bar(group, all, (slots - 1 - n) as f64 * STEP, top, now))
            .rev()
            .collect();
        let mut sum = Counts::default();
        runs.iter().for_each(|run| sum.add(&run.rows));
        let met = words::outcomes(&sum).into_iter().filter(|(_, n, _)| *n > 0);
        let legend: Vec<(&'static str, String)> = met.map(|(word, n, _)| (word, grouped(n))).collect();
        let outcomes: Vec<String> = legend.iter().map(|(word, n)| format!("{n} {word}")).collect();
        Some(Stack {
            width: slots as f64 * STEP,
            height: HEIGHT,
            told: format!("{} runs, oldest first. In all: {}.", grouped(runs.len() as u64), outcomes.join(", ")),
            bars,
            legend,
            cut: groups.iter().any(|(_, all)| all.accounted() > top),
            highest: grouped(top),
            oldest: words::clock(oldest.began, now),
            newest: words::clock(newest.began, now),
            each,
        })
    }
}

fn bar(group: &[RunLine], all: &Counts, x: f64, top: u64, now: DateTime<Utc>) -> Bar {
    let rows = all.accounted();
    let share = if top == 0 { 0.0 } else { (rows as f64 / top as f64).min(1.0) };
    let ground = HEIGHT - 6.0;
    let high = if rows == 0 { 0.0 } else { (share * (ground - 4.0)).max(3.0) };
    let mut y = ground;
    let mut parts: Vec<(&'static str, Rect)> = Vec::new();
    for (word, n, _) in words::outcomes(all).into_iter().filter(|(_, n, _)| *n > 0) {
        let part = (high * n as f64 / rows as f64).max(1.0);
        y -= part;
        parts.push((word, Rect::new(x + 1.0, y.max(0.0), STEP - 2.0, part)));
    }
    let bad = group.iter().any(|run| run.ended.is_bad());
    let told = match group {
        [one] => {
            let rows = words::brought(&one.rows, one.ended);
            format!("{}, {}: {rows}", words::clock(one.began, now), one.ended.word())
        }
        several => {
            let (newest, oldest) = (&several[0], &several[several.len() - 1]);
            let from = words::clock(oldest.began, now);
            let ended = if bad { Ended::Failed } else { Ended::Ok };
            let ends = if bad { ", not all of them well" } else { "" };
            let rows = words::brought(all, ended);
            format!("{} runs, {from} to {}{ends}: {rows}", several.len(), words::clock(newest.began, now))
        }
    };
    Bar {
        run: group.first().map(|run| run.id.clone()).unwrap_or_default(),
        told,
        whole: Rect::new(x, 0.0, STEP, HEIGHT),
        parts,
        torn: (rows > top).then(|| at(x)),
        cross: bad.then(|| at(x + STEP / 2.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::made_up;

    #[test]
    fn bars_are_never_more_than_fit_and_never_wider_than_a_bar() {
        let now = made_up::now();
        assert!(Stack::new(&[], now).is_none());
        let one = Stack::new(&made_up::runs(1), now).unwrap();
        assert_eq!((one.bars.len(), one.width), (1, 300.0));
        let many = Stack::new(&made_up::runs(100_000), now).unwrap();
        assert_eq!((many.bars.len(), many.each), (60, 1_667));
        let last = many.bars.last().unwrap();
        assert_eq!(last.whole.x + last.whole.width, many.width, "the newest is at the right");
    }

    #[test]
    fn parts_of_a_bar_lie_on_each_other_and_inside() {
        let now = made_up::now();
        for n in [1, 2, 61, 500] {
            for bar in Stack::new(&made_up::runs(n), now).unwrap().bars {
                let inside = |rect: &Rect| rect.y >= 0.0 && rect.y + rect.height <= HEIGHT;
                assert!(bar.parts.iter().all(|(_, rect)| inside(rect)), "{:?}", bar.parts);
            }
        }
    }
}
