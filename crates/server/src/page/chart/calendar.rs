//! What of an axis is in, a cell for each part.

use super::at;
use crate::page::view::Coverage;
use askama::{Template, filters::HtmlSafe};
use floodmark_core::coverage::Stands;

const SIZE: f64 = 15.0;
const TOP: f64 = 18.0;
/// Of a character of a row's name.
const LETTER: f64 = 7.0;
/// Longer names are cut: they stand in each cell, too.
const NAME: usize = 24;
/// Rows that are drawn: the last ones.
const ROWS: usize = 60;

/// The picture.
#[derive(Template)]
#[template(path = "page/chart/calendar.html")]
pub(crate) struct Calendar {
    width: f64,
    height: f64,
    left: f64,
    size: f64,
    heads: Vec<(f64, String)>,
    rows: Vec<Row>,
    legend: Vec<(Stands, usize)>,
    told: String,
    cell: String,
    /// Rows before those that are drawn.
    earlier: usize,
    pub(crate) column: String,
}

impl HtmlSafe for Calendar {}

struct Row {
    name: String,
    y: f64,
    cells: Vec<Square>,
}

struct Square {
    x: f64,
    stands: Stands,
    told: String,
}

impl Calendar {
    /// `None` where the axis has no part.
    pub(crate) fn new(covered: &Coverage) -> Option<Calendar> {
        let grid = &covered.grid;
        let most = grid.rows.iter().map(|(_, cells)| cells.len()).max().filter(|most| *most > 0)?;
        let letters = grid.rows.iter().map(|(name, _)| name.chars().count().min(NAME)).max().unwrap_or(0);
        let left = letters as f64 * LETTER + 10.0;
        let all = || grid.rows.iter().flat_map(|(_, cells)| cells);
        let count = |kind: Stands| all().filter(|(stands, _)| *stands == kind).count();
        let legend: Vec<(Stands, usize)> = grid.met().into_iter().map(|kind| (kind, count(kind))).collect();
        let told: Vec<String> = legend.iter().map(|(kind, n)| format!("{n} {}", kind.word())).collect();
        let earlier = grid.rows.len().saturating_sub(ROWS);
        let rows = grid.rows[earlier..].iter().enumerate().map(|(n, (name, cells))| Row {
            name: name.chars().take(NAME).collect(),
            y: at(TOP + n as f64 * SIZE),
            cells: cells
                .iter()
                .enumerate()
                .filter(|(_, (stands, _))| *stands != Stands::Beyond)
                .map(|(n, (stands, part))| Square {
                    x: at(left + n as f64 * SIZE),
                    stands: *stands,
                    told: format!("{part}: {}", stands.word()),
                })
                .collect(),
        });
        let heads = grid.columns.iter().enumerate().filter(|(n, _)| *n == 0 || (n + 1) % 5 == 0 || most <= 12);
        let middle = |n: usize| at(left + n as f64 * SIZE + SIZE / 2.0 - 1.0);
        Some(Calendar {
            width: left + most as f64 * SIZE + 4.0,
            height: TOP + (grid.rows.len() - earlier) as f64 * SIZE + 2.0,
            left: left - 8.0,
            size: SIZE - 2.0,
            heads: heads.map(|(n, head)| (middle(n), head.clone())).collect(),
            rows: rows.collect(),
            legend,
            told: told.join(", "),
            cell: grid.cell.clone(),
            earlier,
            column: covered.column.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::made_up;

    #[test]
    fn gaps_are_counted_and_what_lies_beyond_is_not_drawn() {
        let mut covered = made_up::coverage();
        let drawn = Calendar::new(&covered).unwrap();
        assert_eq!(drawn.rows[0].cells.len(), 21, "of November the days from the tenth on");
        assert!(drawn.told.ends_with("5 missing"), "{}", drawn.told);
        let month = covered.grid.rows[0].clone();
        covered.grid.rows = vec![month; 25_000];
        let long = Calendar::new(&covered).unwrap();
        assert_eq!((long.rows.len(), long.earlier), (ROWS, 24_940));
        covered.grid.rows.clear();
        assert!(Calendar::new(&covered).is_none());
    }
}
