//! P2: runs that are killed at each step of a commit, and run again to their end.

use super::{
    Break, Found, Proof, Verdict,
    bench::{Bench, Copy, Reference, beside},
    order,
};
use floodmark_connect::crash::Point;
use floodmark_core::{Error, Result, fingerprint::Fingerprint, wording};
use std::{collections::HashMap, fs};

/// Steps of a run at which it is killed when it first meets them.
const STEPS: &[Point] =
    &[Point::TakeCommit, Point::Surveyed, Point::MidChunk, Point::Sealed, Point::Committed, Point::Released];

/// At most so many commits are disturbed, spread over all of them.
const COMMITS: u64 = 6;

/// A place at which a run dies.
struct Place {
    point: Point,
    after: bool,
    /// The how-manieth time it is met.
    nth: u64,
}

impl Place {
    fn specification(&self) -> String {
        format!("{}:{}:{}=abort", self.point.name(), if self.after { "after" } else { "before" }, self.nth)
    }

    fn told(&self) -> String {
        let side = if self.after { "after" } else { "before" };
        match self.nth {
            1 => format!("{side} {:?}", self.point.name()),
            n => format!("{side} {:?} for the {n}th time", self.point.name()),
        }
    }
}

/// Kills at each step, then one run killed twice.
pub(super) fn killed(proof: &mut Proof<'_, '_>, reference: &Reference) -> Result<()> {
    let bench = proof.bench;
    let (each, twice) = ("killed at each step of its commits, then run again", "killed twice in a row, then run again");
    if let (Some(first), Some(second)) = (proof.unsteady(), proof.unsteady()) {
        proof.leave("P2", each, first);
        proof.leave("P2", twice, second);
        return Ok(());
    }
    let mut met = HashMap::new();
    proof.trial("P2", each, || {
        met = trace(bench, reference)?;
        let places = places(&met);
        for (n, place) in places.iter().enumerate() {
            bench.tell(&format!("P2: killed {}, {} of {}", place.told(), n + 1, places.len()));
            let found = resumed(bench, reference, &[place])?;
            if !matches!(found.1, Verdict::Held(_)) {
                let what = format!("killed {}, then run again", place.told());
                return Ok(Found { what, fingerprint: Some(found.0), verdict: found.1 });
            }
        }
        let commits = met.get(Point::LoadCommit.name()).copied().unwrap_or(0);
        let what = format!(
            "killed at {} of {}, then run again",
            wording::count(places.len() as u64, "step"),
            wording::count(commits, "commit")
        );
        Ok(Found { what, fingerprint: Some(reference.fingerprint), verdict: Verdict::Held(None) })
    })?;
    proof.trial("P2", twice, || {
        let first = Place { point: Point::LoadCommit, after: false, nth: commits_met(&met).div_ceil(2).max(1) };
        let second = Place { point: Point::MidChunk, after: false, nth: 1 };
        let (fingerprint, verdict) = resumed(bench, reference, &[&first, &second])?;
        Ok(Found { what: twice.to_owned(), fingerprint: Some(fingerprint), verdict })
    })
}

fn commits_met(met: &HashMap<String, u64>) -> u64 {
    met.get(Point::LoadCommit.name()).copied().unwrap_or(0)
}

/// How often a run meets each point.
fn trace(bench: &Bench<'_>, reference: &Reference) -> Result<HashMap<String, u64>> {
    let copy = bench.fresh()?;
    let file = beside(&copy, "trace");
    let chunk = order::small_chunk(reference);
    let traced = bench.start(&copy, "traced", Some(chunk), Some(&format!("trace={}", file.display())))?;
    let ended = bench.end(traced)?;
    if ended.code() != Some(0) {
        return Err(ended.error("in a process of its own should end as the reference did"));
    }
    let text = fs::read_to_string(&file).map_err(|e| Error::internal("the trace of a run cannot be read").cause(e))?;
    let mut met = HashMap::new();
    for point in text.lines().filter_map(|line| line.strip_suffix(":before")) {
        *met.entry(point.to_owned()).or_insert(0) += 1;
    }
    bench.audit(&copy)?;
    Ok(met)
}

fn places(met: &HashMap<String, u64>) -> Vec<Place> {
    let mut places: Vec<Place> = STEPS
        .iter()
        .filter(|point| met.contains_key(point.name()))
        .map(|point| Place { point: *point, after: false, nth: 1 })
        .collect();
    let commits = commits_met(met);
    let spread = commits.min(COMMITS);
    for n in 0..spread {
        // The first, the last, and what lies evenly between.
        let nth = if spread == 1 { 1 } else { 1 + n * (commits - 1) / (spread - 1) };
        for after in [false, true] {
            places.push(Place { point: Point::LoadCommit, after, nth });
        }
    }
    places
}

/// Kills a run at each of the places in turn, runs it to its end, and compares all it leaves with the reference.
fn resumed(bench: &Bench<'_>, reference: &Reference, places: &[&Place]) -> Result<(Fingerprint, Verdict)> {
    let mut copy = bench.fresh()?;
    let chunk = order::small_chunk(reference);
    for (n, place) in places.iter().enumerate() {
        let child = bench.start(&copy, &format!("killed-{n}"), Some(chunk), Some(&place.specification()))?;
        let ended = bench.end(child)?;
        // A second run may have nothing left to be killed at.
        if !ended.killed() && (n == 0 || ended.code() != Some(0)) {
            return Err(ended.error(&format!("was to be killed {}", place.told())));
        }
    }
    copy.pipeline.commit_every = chunk;
    let how = super::disorder::Disorder { cut: usize::try_from(chunk).ok(), ..Default::default() };
    bench.run(&copy, Some(how))?;
    judge(bench, reference, &copy)
}

fn judge(bench: &Bench<'_>, reference: &Reference, copy: &Copy) -> Result<(Fingerprint, Verdict)> {
    let (fingerprint, verdict) = bench.compare(reference, copy, false)?;
    let differ = match verdict {
        Verdict::Held(_) => reference.remains.differ(&copy.remains()?),
        _ => None,
    };
    Ok(match differ {
        Some(message) => (fingerprint, Verdict::Broken(Box::new(Break { message, ..Break::default() }))),
        None => (fingerprint, verdict),
    })
}
