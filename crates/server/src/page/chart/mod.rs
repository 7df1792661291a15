//! Pictures: where things lie is worked out here, templates draw it. Shapes are stretched to the width there is, so what is
//! written stands beside them and not in them; a line is as thick whatever its picture's size.

mod calendar;
mod flow;
mod spark;
mod stack;
mod step;

pub(crate) use calendar::Calendar;
pub(crate) use flow::Flow;
pub(crate) use spark::Spark;
pub(crate) use stack::Stack;
pub(crate) use step::Step;

/// A coordinate, in few digits.
fn at(value: f64) -> f64 {
    let rounded = (value * 10.0).round() / 10.0;
    // Neither a negative zero nor what is no number comes into a picture.
    if rounded.is_finite() && rounded != 0.0 { rounded } else { 0.0 }
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Rect {
    fn new(x: f64, y: f64, width: f64, height: f64) -> Rect {
        Rect { x: at(x), y: at(y), width: at(width.max(0.0)), height: at(height.max(0.0)) }
    }
}

/// What the full height of a picture stands for, and above which bars are cut: a first load or a backfill that brought ten
/// times what anything else did would leave nothing to see of all others.
fn full(values: impl Iterator<Item = u64>) -> u64 {
    const FAR: u64 = 10;
    const CUT: usize = 3;
    let mut highest: Vec<u64> = values.collect();
    highest.sort_unstable_by(|a, b| b.cmp(a));
    let stands_out = |pair: &&[u64]| pair[1] > 0 && pair[0] / FAR > pair[1];
    let cut = highest.windows(2).take(CUT).take_while(stands_out).count();
    highest.get(cut).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_out_alone_is_cut_and_nothing_else() {
        let full = |values: &[u64]| full(values.iter().copied());
        assert_eq!(full(&[]), 0);
        assert_eq!(full(&[7]), 7);
        assert_eq!(full(&[0, 7]), 7);
        assert_eq!(full(&[5, 1_000_000, 9]), 9);
        assert_eq!(full(&[5, 90, 9]), 90);
        assert_eq!(full(&[10, 10, 500, 500]), 500);
        assert_eq!(full(&[1, 100, 10_000, 1_000_000, 100_000_000]), 100, "three at most");
    }

    #[test]
    fn what_is_no_number_is_nowhere() {
        assert_eq!([f64::NAN, f64::INFINITY, -0.0, 1.26].map(at), [0.0, 0.0, 0.0, 1.3]);
    }
}
