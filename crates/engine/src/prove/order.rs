//! The same rows in another order, cut into other chunks, in several deliveries.

use super::{Found, Proof, Verdict, bench::Reference, disorder::Disorder};
use floodmark_core::{
    Code, Result,
    pipeline::{LateRows, Load, Pipeline},
    wording,
};

/// A load is cut into about so many chunks.
pub(super) const CHUNKS: u64 = 5;

/// Rows of a batch that is cut small: far less than a source gives at once, and no round number.
const SMALL_BATCH: u64 = 997;

/// At most so many deliveries, of some slices each.
const DELIVERIES: usize = 5;

/// The seed of every shuffle: the same data gives the same certificate.
const SEED: u64 = 20_240_107;

/// Why the order of rows is a part of their meaning, if it is.
pub(super) fn last_wins(pipeline: &Pipeline) -> Option<Verdict> {
    let keyed = !pipeline.key.is_empty() && pipeline.load != Load::Append;
    (keyed && pipeline.version.is_none()).then(|| {
        Verdict::NotPromised(
            "of two rows with one key the later one wins; name a `version:` column to make their order irrelevant"
                .into(),
        )
    })
}

/// Rows in a chunk of the trials.
pub(super) fn small_chunk(reference: &Reference) -> u64 {
    reference.counts.read.div_ceil(CHUNKS).max(1)
}

/// Says what in the pipeline's SQL is behind a difference that came with another order or split.
pub(super) fn advise(verdict: Verdict, reference: &Reference) -> Verdict {
    let Verdict::Broken(mut broken) = verdict else { return verdict };
    let list = |of: &std::collections::BTreeSet<String>| of.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let found = &reference.unsteady;
    if !found.by_order.is_empty() {
        broken.message.push_str(&format!(": the transform depends on the order of rows in {}", list(&found.by_order)));
        broken.advice.push("give it an ORDER BY that leaves no ties".to_owned());
    } else if !found.by_company.is_empty() {
        broken
            .message
            .push_str(&format!(": the transform looks at several rows at once ({})", list(&found.by_company)));
        broken.advice.push(
            "a run sees only what is new to it: use `load: overwrite`, which reads everything, or keep the rows as they \
             are and sum them up in a view"
                .to_owned(),
        );
    }
    Verdict::Broken(broken)
}

/// P8: other batches and chunks.
pub(super) fn recut(proof: &mut Proof<'_, '_>, reference: &Reference) -> Result<()> {
    let bench = proof.bench;
    let chunk = small_chunk(reference);
    let cut = chunk.min(SMALL_BATCH);
    let chunks = match bench.pipeline.whole() {
        true => "one chunk".to_owned(),
        false => format!("chunks of {}", wording::grouped(chunk)),
    };
    let what = format!("batches of {}, {chunks}", wording::count(cut, "row"));
    if let Some(verdict) = proof.unsteady() {
        proof.leave("P8", &what, verdict);
        return Ok(());
    }
    proof.trial("P8", &what, || {
        let mut copy = bench.fresh()?;
        copy.pipeline.commit_every = chunk;
        bench.run(&copy, Some(Disorder { cut: usize::try_from(cut).ok(), ..Disorder::default() }))?;
        let (fingerprint, verdict) = bench.compare(reference, &copy, false)?;
        Ok(Found { what: what.clone(), fingerprint: Some(fingerprint), verdict: advise(verdict, reference) })
    })
}

/// P5 and P7: the order of slices, and of rows within a window of some thousands.
pub(super) fn shuffled(proof: &mut Proof<'_, '_>, reference: &Reference) -> Result<()> {
    let bench = proof.bench;
    let what = "rows and files in shuffled order";
    if let Some(verdict) = proof.unsteady().or_else(|| last_wins(bench.pipeline)) {
        proof.leave("P5", what, verdict);
        return Ok(());
    }
    proof.trial("P5", what, || {
        let copy = bench.fresh()?;
        bench.run(&copy, Some(Disorder { shuffle: Some(SEED), ..Disorder::default() }))?;
        let (fingerprint, verdict) = bench.compare(reference, &copy, true)?;
        Ok(Found { what: what.to_owned(), fingerprint: Some(fingerprint), verdict: advise(verdict, reference) })
    })
}

/// Why one delivery after the other is not promised to be as all at once.
fn not_in_parts(pipeline: &Pipeline, reference: &Reference) -> Option<Verdict> {
    let not = |why: &str| Some(Verdict::NotPromised(why.to_owned()));
    let marked = pipeline.watermark.is_some();
    match pipeline.load {
        _ if reference.slices < 2 => {
            let what = if pipeline.source.files().is_some() { "one file" } else { "read as a whole" };
            Some(Verdict::NotTried(format!("the source is {what}")))
        }
        _ if pipeline.full_read() => not("every run takes all files together: what one of them lacks counts as gone"),
        Load::InsertOnly => not("a row that is there is left alone, so that the first delivery of a key stays"),
        Load::DeleteInsert => not("what is delivered last replaces what it covers"),
        _ if marked && pipeline.late_rows() == LateRows::Skip => not("`late_rows: skip` leaves out what comes late"),
        _ if reference.counts.rejected > 0 && pipeline.max_rejects.is_some() => {
            not("`max_rejects` is counted by the run, and a delivery may hold most of them")
        }
        _ => last_wins(pipeline),
    }
}

/// P7: files delivered in the opposite order, the last by name first, one run after each.
pub(super) fn last_first(proof: &mut Proof<'_, '_>, reference: &Reference) -> Result<()> {
    let bench = proof.bench;
    let deliveries = reference.slices.min(DELIVERIES);
    let what = match reference.slices {
        0 | 1 => "files delivered one by one, last file first".to_owned(),
        slices => format!("{} in {deliveries} deliveries, last file first", wording::count(slices as u64, "file")),
    };
    if let Some(verdict) = proof.unsteady().or_else(|| not_in_parts(bench.pipeline, reference)) {
        proof.leave("P7", &what, verdict);
        return Ok(());
    }
    proof.trial("P7", &what, || {
        let copy = bench.fresh()?;
        let mut before = None;
        for delivery in 1..=deliveries {
            let last = (reference.slices * delivery).div_ceil(deliveries);
            let how = Disorder { last: Some(last), reverse: true, ..Disorder::default() };
            let outcome = bench.outcome(&copy.pipeline, Some(how))?;
            match outcome.error {
                None => before = Some(copy.fingerprint()?),
                Some(error) if error.code() == Code::LateRows && before.is_some() => {
                    bench.audit(&copy)?;
                    let fingerprint = copy.fingerprint()?;
                    if before == Some(fingerprint) {
                        let told =
                            "older files are refused, and nothing is lost or doubled (`late_rows: fail`)".to_owned();
                        let verdict = Verdict::Held(Some(told));
                        return Ok(Found { what: what.clone(), fingerprint: Some(fingerprint), verdict });
                    }
                    return Err(error);
                }
                Some(error) => return Err(error),
            }
        }
        let (fingerprint, verdict) = bench.compare(reference, &copy, true)?;
        Ok(Found { what: what.clone(), fingerprint: Some(fingerprint), verdict: advise(verdict, reference) })
    })
}
