//! `verify`: what a pipeline's table holds, held against what it should hold.

use super::{
    Context, Failure, diff,
    plan::DIFFERENCES,
    run::{self, Runner},
};
use crate::{
    args::VerifyArgs,
    project,
    render::{
        Told,
        comparison::{self, Words},
        html, json, terminal,
    },
    shell::quote,
    work::{self, Work},
};
use chrono::Utc;
use floodmark_connect::crash::{self, Point};
use floodmark_core::{Code, Error, Result, clock::SystemClock};
use floodmark_engine::{
    Intent, RepairOptions, Repaired,
    verify::{Request, Verification},
};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

const WORDS: Words = Words { first: "source", second: "table" };

/// `floodmark verify`. One pipeline after the other: each comparison keeps both databases at work.
pub(super) fn verify(cx: &Context, args: &VerifyArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = std::path::absolute(&scratch)
        .map_err(|e| Error::new(Code::BadArgument, format!("there is no folder {}", scratch.display())).cause(e))?;
    let works = work::select(&project, &args.names, &cx.printer, false)?;
    let several = works.len() > 1;
    if args.delete_extra && !args.dry_run {
        confirm_deletes(cx, &works)?;
    }
    let runner = Runner::start(cx, &run::names(&works), Told::AsWritten, Arc::new(SystemClock))?;
    let mut codes = Vec::new();
    for work in works {
        if let Err(error) = cx.stop.check() {
            codes.push(error.exit_code());
            break;
        }
        codes.push(one(cx, args, &runner, work, &scratch, several)?);
    }
    Ok(run::worst(codes))
}

/// What the pipeline leaves in the table may be nowhere else.
fn confirm_deletes(cx: &Context, works: &[Work]) -> Result<()> {
    let pipelines = works.iter().filter_map(|work| work.pipeline.as_ref().ok());
    let tables: Vec<&str> = pipelines.map(|p| p.destination.table.as_str()).collect();
    if tables.is_empty() {
        return Ok(());
    }
    let what = format!("rows of {} that the source does not hold are taken out", tables.join(", "));
    cx.printer.confirm(&what, cx.global.yes)
}

fn one(cx: &Context, args: &VerifyArgs, runner: &Runner, work: Work, scratch: &Path, several: bool) -> Result<u8> {
    let name = work.name.clone();
    let looked = work.pipeline.and_then(|pipeline| {
        let cursor = pipeline.cursor().map(|w| w.column.clone());
        let request = Request {
            columns: args.how.columns.clone(),
            condition: args.how.condition.clone(),
            by: args.how.by(cursor.as_deref(), pipeline.timezone),
            sampling: args.how.sampling(),
            limit: args.how.limit,
            late: args.late,
            whole: false,
            scratch,
        };
        let options = RepairOptions { delete_extra: args.delete_extra, wait: args.wait.time() };
        Ok(match (args.repair, args.dry_run) {
            (false, _) => Looked::At(runner.verify(&pipeline, &request)?),
            (true, true) => {
                let (found, intent) = runner.repair_plan(&pipeline, &request, &options)?;
                Looked::Planned(found, intent)
            }
            (true, false) => Looked::Repaired(Box::new(runner.repair(&pipeline, &request, &options))),
        })
    });
    match looked {
        Ok(Looked::At(found)) => {
            tell(cx, args, &found, None, several)?;
            if found.report.counts.all() > 0 {
                hint(cx, &name);
            }
            Ok(code(&found))
        }
        Ok(Looked::Planned(found, intent)) => {
            tell(
                cx,
                args,
                &found,
                Some(json!({"status": "planned", "intent": comparison::intent_object(&intent)})),
                several,
            )?;
            if !cx.printer.json() {
                cx.printer.note(&format!("{}: {}", terminal::clean(&name), comparison::intended(&intent)));
                cx.printer.note("this was a plan: nothing was written");
            }
            Ok(code(&found))
        }
        Ok(Looked::Repaired(repaired)) => told(cx, args, *repaired, several),
        Err(error) => {
            if cx.printer.json() {
                cx.printer.object(&json!({"pipeline": name, "status": "failed", "error": json::error(&error)}))?;
            } else {
                cx.printer.error(several.then_some(name.as_str()), &error);
            }
            Ok(error.exit_code())
        }
    }
}

/// What became of a pipeline.
enum Looked {
    At(Verification),
    Planned(Verification, Intent),
    Repaired(Box<Repaired>),
}

fn code(found: &Verification) -> u8 {
    if found.differs() { DIFFERENCES } else { 0 }
}

/// What to do about differences.
fn hint(cx: &Context, name: &str) {
    if cx.printer.json() {
        return;
    }
    let file = cx.global.file.as_ref().map(|file| format!(" -f {}", quote(&file.display().to_string())));
    let command = format!("floodmark verify {} --repair{}", quote(name), file.unwrap_or_default());
    cx.printer.note(&format!("load these rows again: {command} (--dry-run says what it would do)"));
}

/// A repair: what differed, what was done, and what differs now.
fn told(cx: &Context, args: &VerifyArgs, repaired: Repaired, several: bool) -> Result<u8> {
    let Repaired { outcome, before, intent, after } = repaired;
    let mut object = json::outcome(&outcome);
    object["intent"] = comparison::intent_object(&intent);
    object["before"] = json!(before.as_ref().map(|found| comparison::counts_object(&found.report.counts)));
    if let Some(error) = &outcome.error {
        if cx.printer.json() {
            object["repair"] = object.clone();
            cx.printer.object(&object)?;
        } else {
            before.iter().try_for_each(|found| cx.printer.text(&comparison::verified(found, WORDS)))?;
            cx.printer.error(several.then_some(outcome.pipeline.as_str()), error);
        }
        return Ok(error.exit_code());
    }
    let Some(last) = after.as_ref().or(before.as_ref()) else { return Ok(0) };
    if !cx.printer.json() && after.is_some() {
        before.iter().try_for_each(|found| cx.printer.text(&comparison::verified(found, WORDS)))?;
        let word = if outcome.counts.changed() { "repaired" } else { "no change" };
        let line = terminal::line(&outcome, (word, terminal::style::GOOD), outcome.pipeline.chars().count());
        cx.printer.text(&format!("\n{line}\n"))?;
    }
    tell(cx, args, last, Some(object), several)?;
    if let (Some(why), false) = (&intent.why, cx.printer.json()) {
        let rows = terminal::agree(intent.stay, "row", "stays", "stay");
        cx.printer
            .note(&format!("{}: {rows} that the source does not hold: {why}", terminal::clean(&outcome.pipeline)));
    }
    crash::reached(Point::Reported)?;
    Ok(code(last))
}

fn tell(
    cx: &Context,
    args: &VerifyArgs,
    found: &Verification,
    repair: Option<serde_json::Value>,
    several: bool,
) -> Result<()> {
    if cx.printer.json() {
        let mut object = comparison::verified_object(found, WORDS);
        if let Some(repair) = repair {
            object["repair"] = repair;
        }
        cx.printer.object(&object)?;
    } else {
        let gap = if several { "\n" } else { "" };
        cx.printer.text(&format!("{}{gap}", comparison::verified(found, WORDS)))?;
        found.notes.iter().for_each(|note| cx.printer.note(&format!("{}: {note}", terminal::clean(&found.pipeline))));
    }
    match &args.how.html {
        Some(path) => diff::written(
            cx,
            &page(path, &found.pipeline, several),
            &html::page(&found.report, WORDS, &found.pipeline, Utc::now()),
        ),
        None => Ok(()),
    }
}

/// Where the report of a pipeline goes; of several each has a file of its own.
fn page(path: &Path, pipeline: &str, several: bool) -> PathBuf {
    if !several {
        return path.to_owned();
    }
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let name = pipeline.replace(['/', '\\'], "_");
    let extension = path.extension().map_or_else(|| "html".into(), |e| e.to_string_lossy().into_owned());
    path.with_file_name(format!("{stem}-{name}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_reports_has_its_own_file() {
        assert_eq!(page("out/v.html".as_ref(), "a/b", true), Path::new("out/v-a_b.html"));
        assert_eq!(page("v".as_ref(), "orders", true), Path::new("v-orders.html"));
        assert_eq!(page("v".as_ref(), "orders", false), Path::new("v"));
    }
}
