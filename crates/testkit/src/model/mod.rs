//! The model-based test: random histories on the real program and on a small plain model, compared after each step.
//!
//! `generate` draws a `history`; `world` (with `reading`, `merge` and `scd2`) is what the specification makes of it; `trial`
//! plays both sides and compares table, watermark and accounting. A history that fails is made small by `shrink` and printed
//! by `write` as a case. `fills` draws histories with backfills, and `fill` is what the manual makes of them. `orders` and
//! `splits` need no model: they load the same rows in several ways. What is left out on purpose stands in `exclusions`.

mod axis;
mod exclusions;
mod fill;
mod fills;
mod generate;
mod history;
mod merge;
mod orders;
mod origin;
mod parquet;
mod pipelines;
mod process;
mod random;
mod reading;
mod row;
mod scd2;
mod settings;
mod shrink;
mod splits;
mod trial;
mod world;
mod write;

pub use origin::Origin;

use crate::store::Destination;
use std::time::{Duration, Instant};

/// How long a failing history is made smaller.
const SHRINKING: Duration = Duration::from_secs(60);

/// A history on which program and model differ.
#[derive(Debug)]
pub struct Disagreement {
    /// Makes the history again: `FLOODMARK_SEED`.
    pub seed: u64,
    /// The smallest history found, as a case, and what was different.
    pub case: String,
}

/// Plays the history of one seed into a database. The error is the harness's own, never a finding.
pub fn play(seed: u64, on: Destination) -> Result<Option<Disagreement>, String> {
    let allowed = exclusions::allowed();
    judge(seed, generate::history(seed, &allowed), &allowed, on)
}

/// Plays the history with backfills of one seed into a database (P7).
pub fn fill(seed: u64, on: Destination) -> Result<Option<Disagreement>, String> {
    let allowed = exclusions::allowed();
    judge(seed, fills::history(seed, &allowed), &allowed, on)
}

fn judge(
    seed: u64,
    history: history::History,
    allowed: &[String],
    on: Destination,
) -> Result<Option<Disagreement>, String> {
    let Some(finding) = trial::play(&history, on)? else { return Ok(None) };
    // What chance brought about may shrink into something else, so the history as it was drawn is told as well.
    let drawn = format!("{}\n{}", write::case(&history, "As it was drawn."), finding.message);
    let (small, finding) = shrink::shrink(history, finding, allowed, SHRINKING, on);
    let case = write::case(&small, &format!("Found by the model, seed {seed}."));
    Ok(Some(Disagreement { seed, case: format!("{case}\n{}\n\n────\n\n{drawn}", finding.message) }))
}

/// Delivers the rows of one seed in several orders and splits, which must end in one table (P7, P8).
pub fn deliver(seed: u64, on: Destination) -> Result<Option<Disagreement>, String> {
    Ok(orders::differ(seed, SHRINKING, on)?.map(|case| Disagreement { seed, case }))
}

/// Loads the source of one seed at once, and by backfills of its parts in any order, beside runs, killed and replayed: the
/// tables must be equal (P7).
pub fn split(seed: u64, from: Origin, on: Destination) -> Result<Option<Disagreement>, String> {
    Ok(splits::differ(seed, from, on, SHRINKING)?.map(|case| Disagreement { seed, case }))
}

/// Plays histories from `seed` on until the time is over; how many, and where program and model differ.
///
/// Stops after `most` disagreements: more are likely the same again.
pub fn soak(seed: u64, on: Destination, time: Duration, most: usize) -> Result<(u64, Vec<Disagreement>), String> {
    let start = Instant::now();
    let (mut played, mut found) = (0, Vec::new());
    while start.elapsed() < time && found.len() < most {
        let seed = seed.wrapping_add(played);
        found.extend(play(seed, on)?);
        found.extend(fill(seed, on)?);
        found.extend(split(seed, Origin::of(seed), on)?);
        if played % 5 == 0 {
            found.extend(deliver(seed, on)?);
        }
        played += 1;
    }
    Ok((played, found))
}

/// What is left out, and why: a name, which switches it on in `FLOODMARK_MODEL_ALLOW`, and a reason.
pub fn left_out() -> impl Iterator<Item = (&'static str, &'static str)> {
    exclusions::EXCLUSIONS.iter().map(|e| (e.name, e.reason))
}
