//! A certificate: a line for the pipeline, a table of the trials, then what there is to say of some of them.

use super::{
    json, layout, preview,
    terminal::{self, clean, count, number, style},
};
use floodmark_core::{fingerprint::Fingerprint, pipeline::Load};
use floodmark_engine::prove::{Break, Certificate, Trial, Verdict};
use serde_json::{Value, json};
use std::{fmt::Write as _, time::Duration};

/// Characters of a fingerprint that are shown of a table that differs; eight digits tell two tables apart.
const SHORT: usize = 8;

/// What a promise is called.
fn promise(number: &str) -> &str {
    match number {
        "P1" => "P1 re-run",
        "P2" => "P2 crash",
        "P3" => "P3 double fire",
        "P5" => "P5 no regress",
        "P7" => "P7 backfill",
        "P8" => "P8 determinism",
        "P9" => "P9 accounting",
        other => other,
    }
}

/// For people.
pub(crate) fn text(found: &Certificate) -> String {
    let outcome = &found.reference;
    let (word, colour) = ending(found);
    let print = found.fingerprint.unwrap_or_default();
    let lead = format!("{}  {colour}{word}{}  ", terminal::title(&outcome.pipeline), style::RESET);
    let parts = [
        format!("{} into {}", outcome.load.map_or("", Load::name), clean(&found.table)),
        count(print.rows, "row"),
        print.to_string(),
        terminal::seconds(found.elapsed),
    ];
    let mut out = layout::flow(&lead, &parts, 2);
    let rows: Vec<Vec<String>> = found.trials.iter().map(|trial| row(trial, print)).collect();
    out.push_str(&layout::table(&["promise", "trial", "rows", "fingerprint", "verdict", "time"], &rows, 1));
    remarks(&mut out, &found.trials);
    out.push('\n');
    out
}

fn ending(found: &Certificate) -> (&'static str, anstyle::Style) {
    match () {
        () if found.failed().is_some() => ("failed", style::ERROR),
        () if found.broken() => ("broken", style::ERROR),
        () => ("proven", style::GOOD),
    }
}

fn row(trial: &Trial, reference: Fingerprint) -> Vec<String> {
    let print = match trial.fingerprint {
        None => String::new(),
        Some(print) if print == reference => "equal".to_owned(),
        Some(print) => format!("{:.SHORT$}…", format!("{:032x}", print.sum)),
    };
    let rows = trial.fingerprint.map(|print| number(print.rows)).unwrap_or_default();
    let verdict = match &trial.verdict {
        Verdict::Held(None) => "held",
        Verdict::Held(Some(_)) => "held *",
        Verdict::Broken(_) => "broken",
        Verdict::NotPromised(_) => "not promised *",
        Verdict::NotTried(_) => "not tried *",
        Verdict::Failed(_) => "failed",
    };
    let time = if trial.elapsed.is_zero() { String::new() } else { terminal::seconds(trial.elapsed) };
    vec![promise(trial.promise).to_owned(), trial.what.clone(), rows, print, verdict.to_owned(), time]
}

/// What the table has no room for: a reason once, with the promises it is about, then what is broken.
fn remarks(out: &mut String, trials: &[Trial]) {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for trial in trials {
        if let Verdict::Held(Some(why)) | Verdict::NotPromised(why) | Verdict::NotTried(why) = &trial.verdict {
            let at = reasons.iter().position(|(known, _)| known == why).unwrap_or_else(|| {
                reasons.push((why, Vec::new()));
                reasons.len() - 1
            });
            let promises = &mut reasons[at].1;
            if !promises.contains(&trial.promise) {
                promises.push(trial.promise);
            }
        }
    }
    for (why, promises) in reasons {
        let line = format!("{}* {}{}: {}", style::FAINT, promises.join(", "), style::RESET, clean(why));
        out.push_str(&layout::hanging(&line, 2));
    }
    for trial in trials {
        if let Verdict::Broken(broken) = &trial.verdict {
            let name = format!("{} ({})", promise(trial.promise), clean(&trial.what));
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}broken{}: {name}", style::ERROR, style::RESET);
            difference(out, broken);
        }
    }
}

/// What is different, and what to do.
fn difference(out: &mut String, Break { message, differences, advice }: &Break) {
    let indented = |line: &str| layout::hanging(&format!("  {line}"), 4);
    out.push_str(&indented(&clean(message)));
    for sample in &differences.samples {
        out.push_str(&indented(&preview::sample(sample)));
    }
    let more = differences.rows.saturating_sub(differences.samples.len() as u64);
    if more > 0 && !differences.samples.is_empty() {
        let _ = writeln!(out, "  … and {} more", number(more));
    }
    for help in advice {
        out.push_str(&indented(&format!("{}help{}: {}", style::HINT, style::RESET, clean(help))));
    }
}

/// The last line: how many pipelines are proven, or which are not.
pub(crate) fn total(found: &[Certificate], elapsed: Duration) -> String {
    let named = |word: &str| {
        let names: Vec<String> =
            found.iter().filter(|c| ending(c).0 == word).map(|c| clean(&c.reference.pipeline)).collect();
        (!names.is_empty()).then(|| format!("{word}: {}", names.join(", ")))
    };
    let proven = found.iter().filter(|c| ending(c).0 == "proven").count();
    let time = terminal::seconds(elapsed);
    let others: Vec<String> = [named("broken"), named("failed")].into_iter().flatten().collect();
    match others.is_empty() {
        true => format!("{} proven · {time}\n", count(proven as u64, "pipeline")),
        false => {
            format!("{proven} of {} proven · {} · {time}\n", count(found.len() as u64, "pipeline"), others.join("; "))
        }
    }
}

/// For programs.
pub(crate) fn object(found: &Certificate) -> Value {
    let outcome = &found.reference;
    let mut value = json!({
        "pipeline": outcome.pipeline,
        "status": ending(found).0,
        "load": outcome.load.map(Load::name),
        "table": Some(&found.table).filter(|table| !table.is_empty()),
        "rows": json::rows(&outcome.counts),
        "fingerprint": found.fingerprint.map(|print| print.to_string()),
        "trials": found.trials.iter().map(trial_object).collect::<Vec<_>>(),
        "seconds": json::seconds(found.elapsed),
    });
    if let Some(error) = &outcome.error {
        value["error"] = json::error(error);
    }
    value
}

fn trial_object(trial: &Trial) -> Value {
    let mut value = json!({
        "promise": trial.promise,
        "trial": trial.what,
        "verdict": trial.verdict.name(),
        "note": Value::Null,
        "rows": trial.fingerprint.map(|print| print.rows),
        "fingerprint": trial.fingerprint.map(|print| print.to_string()),
        "seconds": json::seconds(trial.elapsed),
    });
    match &trial.verdict {
        Verdict::Held(None) => {}
        Verdict::Held(Some(why)) | Verdict::NotPromised(why) | Verdict::NotTried(why) => value["note"] = json!(why),
        Verdict::Failed(error) => value["error"] = json::error(error),
        Verdict::Broken(broken) => {
            let Break { message, differences, advice } = broken.as_ref();
            value["note"] = json!(message);
            let samples: Vec<Value> =
                differences.samples.iter().map(|s| preview::sample_object(s, "removed")).collect();
            value["differences"] = json!({"rows": differences.rows, "samples": samples});
            value["help"] = json!(advice);
        }
    }
    value
}
