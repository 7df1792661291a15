//! `plan`: what a run would do, and nothing done.

use super::{
    Context, Failure,
    run::{self, Hearers, Runner},
};
use crate::{
    args::PlanArgs,
    project,
    render::{Told, preview},
    work,
};
use floodmark_core::clock::SystemClock;
use std::{sync::Arc, time::Instant};

/// The exit code for "there is something to do", as `verify` and `prove` have it for "there are differences".
pub(super) const DIFFERENCES: u8 = 4;

/// `floodmark plan`. One pipeline after the other: in one database they would wait for each other anyway.
pub(super) fn plan(cx: &Context, args: &PlanArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let began = Instant::now();
    // A plan changes no file, and to ask a database what it remembers may leave one beside it.
    let works = work::select(&project, &args.names, &cx.printer, false)?;
    let all = works.len();
    let runner = Runner::start(cx, &run::names(&works), Told::AsWritten, Arc::new(SystemClock), Hearers::NOBODY)?;
    let mut plans = Vec::new();
    let mut codes = Vec::new();
    for work in works {
        if let Err(error) = cx.stop.check() {
            codes.push(error.exit_code());
            break;
        }
        let previewed = runner.plan(cx, work, args.wait.time(), usize::from(args.samples))?;
        codes.push(match run::exit_code(&previewed.outcome) {
            0 if args.detailed_exitcode && previewed.changes() => DIFFERENCES,
            code => code,
        });
        plans.push(previewed);
    }
    if !cx.printer.json() {
        if all > 1 {
            cx.printer.text(&preview::total(&plans, began.elapsed()))?;
        }
        cx.printer.note("this was a plan: nothing was written");
    }
    Ok(run::worst(codes))
}
