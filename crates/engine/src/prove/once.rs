//! The same once more: the same input from the beginning, a second run, everything replayed, two runs at once.

use super::{
    Break, Found, Proof, Verdict,
    bench::{EXACTLY_ONCE, Reference},
    disorder::Disorder,
    order,
};
use floodmark_connect::destination::StateChange;
use floodmark_core::{
    Error, Result,
    pipeline::{Load, Pipeline},
    state::State,
    wording,
};
use std::sync::Arc;

/// P8, P1 and P5: one copy is loaded, run again, and loaded again over the finished table.
pub(super) fn twice(proof: &mut Proof<'_, '_>, reference: &Reference) -> Result<()> {
    let bench = proof.bench;
    let pipeline = bench.pipeline;
    let copy = bench.fresh()?;
    proof.trial("P8", "the same input from the beginning", || {
        let what = "the same input from the beginning".to_owned();
        bench.run(&copy, None)?;
        let (fingerprint, verdict) = bench.compare(reference, &copy, false)?;
        let calls: Vec<&str> = reference.unsteady.by_time.iter().map(String::as_str).collect();
        let verdict = match verdict {
            Verdict::Broken(mut broken) if !calls.is_empty() => {
                broken.message.push_str(&format!(": the pipeline calls {}", calls.join(", ")));
                broken
                    .advice
                    .push(format!("leave {} out, or take the value from a column of the source", calls.join(" and ")));
                Verdict::Broken(broken)
            }
            Verdict::Held(_) if !calls.is_empty() => Verdict::Held(Some(format!(
                "at this moment; it calls {}, which may differ at another",
                calls.join(", ")
            ))),
            other => other,
        };
        Ok(Found { what, fingerprint: Some(fingerprint), verdict })
    })?;
    proof.steady = !proof.trials.iter().any(|t| matches!(t.verdict, Verdict::Broken(_)));
    proof.trial("P1", "run again", || {
        let what = "run again".to_owned();
        let before = copy.fingerprint()?;
        let counts = bench.run(&copy, None)?.counts;
        bench.audit(&copy)?;
        let fingerprint = copy.fingerprint()?;
        let rewrites = pipeline.load == Load::Overwrite && pipeline.key.is_empty();
        let verdict = if fingerprint == before && counts.changed() && rewrites {
            Verdict::Held(Some("equal rows were written anew, as an overwrite without a key does".to_owned()))
        } else if fingerprint == before && !counts.changed() {
            Verdict::Held(None)
        } else {
            let differences = reference.copy.destination()?.differences(copy.url(), pipeline, super::SAMPLES)?;
            let changes = [
                (counts.inserted, "inserted"),
                (counts.updated, "updated"),
                (counts.deleted, "deleted"),
                (counts.removed, "removed"),
            ];
            let changes: Vec<String> = changes
                .iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, word)| format!("{} {word}", wording::grouped(*n)))
                .collect();
            let message = format!("a second run over the same input changed the table: {}", changes.join(", "));
            let advice = pipeline.at_least_once.then(|| EXACTLY_ONCE.to_owned()).into_iter().collect();
            Verdict::Broken(Box::new(Break { message, differences, advice }))
        };
        Ok(Found { what, fingerprint: Some(fingerprint), verdict })
    })?;
    let what = "all replayed over the table, last file first";
    if let Some(verdict) = proof.unsteady().or_else(|| no_replay(pipeline)) {
        proof.leave("P5", what, verdict);
        return Ok(());
    }
    proof.trial("P5", what, || {
        let mut ledger = copy.destination()?.ledger()?;
        let name = &pipeline.name;
        let seen = ledger.state(name)?.ok_or_else(|| Error::internal("a finished load left no state"))?;
        let to = State { watermark: None, pending: None, files: Arc::default(), ..seen.clone() };
        ledger.change_state(name, StateChange::Move { seen: &seen, to: &to })?;
        drop(ledger);
        bench.run(&copy, Some(Disorder { reverse: true, ..Disorder::default() }))?;
        let (fingerprint, verdict) = bench.compare(reference, &copy, true)?;
        Ok(Found { what: what.to_owned(), fingerprint: Some(fingerprint), verdict: order::advise(verdict, reference) })
    })
}

/// Why a replay over the finished table says nothing.
fn no_replay(pipeline: &Pipeline) -> Option<Verdict> {
    let not = |why: &str| Some(Verdict::NotPromised(why.to_owned()));
    match pipeline.load {
        Load::Append => {
            not("append knows its rows by the ledger, and a replay forgets it; P1 reads the same files again")
        }
        Load::Overwrite => not("every run of an overwrite reads everything; there is nothing older to replay"),
        Load::DeleteInsert => not("what is delivered replaces, whatever its age"),
        Load::InsertOnly => None,
        Load::Upsert | Load::Scd2 => order::last_wins(pipeline),
    }
}

/// P3: two processes run the pipeline at the same moment.
pub(super) fn fired(proof: &mut Proof<'_, '_>, reference: &Reference) -> Result<()> {
    let bench = proof.bench;
    let what = "two runs fired at once";
    if let Some(verdict) = proof.unsteady() {
        proof.leave("P3", what, verdict);
        return Ok(());
    }
    proof.trial("P3", what, || {
        let copy = bench.fresh()?;
        let one = bench.start(&copy, "first", None, None)?;
        let other = bench.start(&copy, "second", None, None)?;
        let (one, other) = (bench.end(one)?, bench.end(other)?);
        let mut codes = [one.code(), other.code()];
        codes.sort_unstable();
        let ends = match codes {
            [Some(0), Some(0)] => "one loaded, and the other found nothing left",
            [Some(0), Some(3)] => "one loaded, and the other left at once with exit code 3",
            _ => {
                let wrong = if matches!(one.code(), Some(0 | 3)) && codes != [Some(3), Some(3)] { other } else { one };
                return Err(wrong.error("fired together with another should load, or find it at work"));
            }
        };
        let (fingerprint, mut verdict) = bench.compare(reference, &copy, false)?;
        let runs = copy.destination()?.ledger()?.runs(Some(&bench.pipeline.name), 1000)?;
        let inserted: u64 = runs.iter().filter(|r| r.started_at == bench.at).map(|r| r.counts.inserted).sum();
        if matches!(verdict, Verdict::Held(_)) && inserted != reference.counts.inserted {
            verdict = Verdict::Broken(Box::new(Break {
                message: format!(
                    "the two runs inserted {} in place of {}",
                    wording::count(inserted, "row"),
                    wording::grouped(reference.counts.inserted)
                ),
                ..Break::default()
            }));
        }
        if let Verdict::Held(note) = &mut verdict {
            *note = Some(ends.to_owned());
        }
        Ok(Found { what: what.to_owned(), fingerprint: Some(fingerprint), verdict })
    })
}
