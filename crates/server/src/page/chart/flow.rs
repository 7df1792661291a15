//! A run's accounting: rows flow from where they were read to what became of them.

use super::at;
use crate::page::words;
use askama::{Template, filters::HtmlSafe};
use floodmark_core::{Counts, wording::grouped};

/// All of the flow is so wide.
const WIDE: f64 = 104.0;
/// However few rows flow somewhere, they are seen.
const LEAST: f64 = 2.0;
/// The room of a line, and of one with much of the flow.
const LOW: f64 = 40.0;
const TALL: f64 = 112.0;

/// The picture.
#[derive(Template)]
#[template(path = "page/chart/flow.html")]
pub(crate) struct Flow {
    height: f64,
    read: String,
    transformed: Option<String>,
    removed: Option<String>,
    /// Where the flow begins, from where to where.
    source: (f64, f64),
    lines: Vec<Line>,
    told: String,
}

impl HtmlSafe for Flow {}

struct Line {
    word: &'static str,
    rows: String,
    share: String,
    meaning: &'static str,
    tall: bool,
    path: String,
}

impl Flow {
    /// Of a run; `None` where no row was read.
    pub(crate) fn new(rows: &Counts) -> Option<Flow> {
        let all = rows.accounted();
        let met: Vec<(&'static str, u64, &'static str)> =
            words::outcomes(rows).into_iter().filter(|(_, n, _)| *n > 0).collect();
        if met.is_empty() {
            return None;
        }
        let wide = |n: u64| (n as f64 / all as f64 * WIDE).max(LEAST);
        let room = |n: u64| if wide(n) > LOW - 8.0 { TALL } else { LOW };
        let height: f64 = met.iter().map(|(_, n, _)| room(*n)).sum();
        let flow: f64 = met.iter().map(|(_, n, _)| wide(*n)).sum();
        let top = (height - flow) / 2.0;
        let (mut from, mut to) = (top, 0.0);
        let mut lines = Vec::new();
        for (word, n, meaning) in &met {
            let (wide, room) = (wide(*n), room(*n));
            let end = to + (room - wide) / 2.0;
            let (a, b) = (at(from), at(from + wide));
            let (c, d) = (at(end), at(end + wide));
            lines.push(Line {
                word,
                rows: grouped(*n),
                share: words::percent(*n, all),
                meaning,
                tall: room == TALL,
                path: format!("M0 {a}C50 {a} 50 {c} 100 {c}V{d}C50 {d} 50 {b} 0 {b}Z"),
            });
            from += wide;
            to += room;
        }
        let told: Vec<String> = met.iter().map(|(word, n, _)| format!("{} {word}", grouped(*n))).collect();
        Some(Flow {
            height,
            read: grouped(rows.read),
            transformed: rows.transformed.map(grouped),
            removed: (rows.removed > 0).then(|| grouped(rows.removed)),
            source: (at(top), at(flow)),
            lines,
            told: told.join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_among_a_billion_is_seen() {
        let flow =
            Flow::new(&Counts { read: 1_000_000_001, inserted: 1_000_000_000, rejected: 1, ..Counts::default() })
                .unwrap();
        assert_eq!(flow.lines.len(), 2);
        assert_eq!((flow.lines[1].share.as_str(), flow.lines[1].tall), ("<0.1 %", false));
        assert_eq!(flow.source.1, WIDE + LEAST);
        assert_eq!(flow.height, TALL + LOW);
    }

    #[test]
    fn where_no_row_was_read_nothing_flows() {
        assert!(Flow::new(&Counts::default()).is_none());
    }

    #[test]
    fn all_outcomes_alike_have_a_line_each() {
        let flow = Flow::new(&Counts {
            read: 9,
            skipped: 1,
            rejected: 1,
            superseded: 1,
            stale: 1,
            unchanged: 1,
            inserted: 1,
            updated: 1,
            deleted: 1,
            delete_noop: 1,
            ..Counts::default()
        })
        .unwrap();
        assert_eq!((flow.lines.len(), flow.height), (9, 9.0 * LOW));
    }
}
