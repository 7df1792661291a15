//! `verify`: what a pipeline's table holds, held against what it should hold.

use super::{
    Context, Failure, diff,
    plan::DIFFERENCES,
    run::{self, Hearers, Runner},
};
use crate::{
    args::VerifyArgs,
    project,
    render::{
        Told,
        comparison::{self, Words},
        html, json, terminal,
        verdicts::{self, Verdict},
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
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const WORDS: Words = Words { first: "source", second: "table" };

/// `floodmark verify`. One pipeline after the other: each comparison keeps both databases at work.
pub(super) fn verify(cx: &Context, args: &VerifyArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = std::path::absolute(&scratch)
        .map_err(|e| Error::new(Code::BadArgument, format!("there is no folder {}", scratch.display())).cause(e))?;
    let works = work::select(&project, &args.names, &cx.printer, false)?;
    if args.delete_extra && !args.dry_run {
        confirm_deletes(cx, &works)?;
    }
    let began = Instant::now();
    let runner = Runner::start(cx, &run::names(&works), Told::AsWritten, Arc::new(SystemClock), Hearers::of(&project))?;
    let mut teller = Teller { cx, args, several: works.len() > 1, verdicts: Vec::new(), sections: Vec::new() };
    let mut stopped = None;
    for work in works {
        if let Err(error) = cx.stop.check() {
            stopped = Some(error.exit_code());
            break;
        }
        teller.one(&runner, work, &scratch)?;
    }
    teller.end(began.elapsed())?;
    Ok(run::worst(teller.verdicts.iter().map(|verdict| verdict.code).chain(stopped)))
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

/// What became of a pipeline.
enum Looked {
    At(Verification),
    Planned(Verification, Intent),
    Repaired(Box<Repaired>),
}

/// Tells of one pipeline after the other, and in the end of all.
struct Teller<'a> {
    cx: &'a Context,
    args: &'a VerifyArgs,
    several: bool,
    verdicts: Vec<Verdict>,
    /// Of the page that was asked for.
    sections: Vec<html::Section>,
}

impl Teller<'_> {
    fn one(&mut self, runner: &Runner, work: Work, scratch: &Path) -> Result<()> {
        let (cx, args, name) = (self.cx, self.args, work.name.clone());
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
                self.tell(&found, None)?;
                if found.report.counts.all() > 0 {
                    hint(cx, &name, &found);
                }
                Ok(())
            }
            Ok(Looked::Planned(found, intent)) => {
                let repair = json!({"status": "planned", "intent": comparison::intent_object(&intent)});
                self.tell(&found, Some(repair))?;
                if !cx.printer.json() {
                    cx.printer.note(&format!("{}: {}", terminal::clean(&name), comparison::intended(&intent)));
                    cx.printer.note("this was a plan: nothing was written");
                }
                Ok(())
            }
            Ok(Looked::Repaired(repaired)) => self.repaired(*repaired),
            Err(error) => {
                if cx.printer.json() {
                    cx.printer.object(&json!({"pipeline": name, "status": "failed", "error": json::error(&error)}))?;
                }
                self.failed(&name, &error);
                Ok(())
            }
        }
    }

    /// A repair: what differed, what was done, and what differs now.
    fn repaired(&mut self, repaired: Repaired) -> Result<()> {
        let Repaired { outcome, before, intent, after } = repaired;
        let printer = &self.cx.printer;
        let mut object = json::outcome(&outcome);
        object["intent"] = comparison::intent_object(&intent);
        object["before"] = json!(before.as_ref().map(|found| comparison::counts_object(&found.report.counts)));
        if let Some(error) = &outcome.error {
            if printer.json() {
                object["repair"] = object.clone();
                printer.object(&object)?;
            } else {
                before.iter().try_for_each(|found| printer.done(&comparison::verified(found, WORDS)))?;
            }
            self.failed(&outcome.pipeline, error);
            return Ok(());
        }
        let Some(last) = after.as_ref().or(before.as_ref()) else { return Ok(()) };
        if !printer.json() && after.is_some() {
            before.iter().try_for_each(|found| printer.done(&comparison::verified(found, WORDS)))?;
            let word = if outcome.counts.changed() { "repaired" } else { "no change" };
            let line = terminal::line(&outcome, (word, terminal::style::GOOD), outcome.pipeline.chars().count());
            printer.done(&format!("\n{line}\n"))?;
        }
        self.tell(last, Some(object))?;
        if let (Some(why), false) = (&intent.why, self.cx.printer.json()) {
            let rows = terminal::agree(intent.stay, "row", "stays", "stay");
            let name = terminal::clean(&outcome.pipeline);
            self.cx.printer.note(&format!("{name}: {rows} that the source does not hold: {why}"));
        }
        crash::reached(Point::Reported)
    }

    fn tell(&mut self, found: &Verification, repair: Option<serde_json::Value>) -> Result<()> {
        let printer = &self.cx.printer;
        if printer.json() {
            let mut object = comparison::verified_object(found, WORDS);
            if let Some(repair) = repair {
                object["repair"] = repair;
            }
            printer.object(&object)?;
        } else {
            let gap = if self.several { "\n" } else { "" };
            let text = format!("{}{gap}", comparison::verified(found, WORDS));
            // That tables are equal went well; how they differ is what was asked for.
            if found.differs() { printer.text(&text) } else { printer.done(&text) }?;
            found.notes.iter().for_each(|note| printer.note(&format!("{}: {note}", terminal::clean(&found.pipeline))));
        }
        self.verdicts.push(Verdict::found(found, DIFFERENCES));
        self.sections.push(html::section(&found.report, WORDS, &found.pipeline, found.differs(), &found.notes));
        Ok(())
    }

    fn failed(&mut self, name: &str, error: &Error) {
        if !self.cx.printer.json() {
            self.cx.printer.error(self.several.then_some(name), error);
        }
        self.verdicts.push(Verdict::failed(name, error));
        self.sections.push(html::failed(name, &error.to_string()));
    }

    /// What became of all of them, on a line and on the page.
    fn end(&self, elapsed: Duration) -> Result<()> {
        if self.several && !self.cx.printer.json() {
            self.cx.printer.done(&verdicts::total(&self.verdicts, elapsed))?;
        }
        // Of one comparison that failed there is nothing to show.
        let shows = self.several || self.verdicts.iter().any(Verdict::compared);
        match self.args.how.html.as_ref().filter(|_| shows) {
            Some(path) => {
                let page = html::page(&self.sections, &verdicts::line(&self.verdicts), Utc::now());
                diff::written(self.cx, path, &page)
            }
            None => Ok(()),
        }
    }
}

/// What to do about differences.
fn hint(cx: &Context, name: &str, found: &Verification) {
    if cx.printer.json() {
        return;
    }
    let file = cx.global.file.as_ref().map(|file| format!(" -f {}", quote(&file.display().to_string())));
    let command = format!("floodmark verify {} --repair{}", quote(name), file.unwrap_or_default());
    let counts = &found.report.counts;
    cx.printer.note(&if counts.missing + counts.different > 0 {
        format!("load these rows again: {command} (--dry-run says what it would do)")
    } else {
        format!("what becomes of rows that the source does not hold: {command} --dry-run")
    });
}
