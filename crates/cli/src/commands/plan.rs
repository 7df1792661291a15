//! `plan`: what a run would do, and nothing done.

use super::{
    Context, Failure,
    run::{self, Runner},
};
use crate::{
    args::PlanArgs,
    project,
    render::{Told, preview},
};
use floodmark_core::clock::SystemClock;
use std::{sync::Arc, time::Instant};

/// The exit code for "there is something to do", as `verify` and `prove` have it for "there are differences".
pub(super) const DIFFERENCES: u8 = 4;

/// `floodmark plan`. One pipeline after the other: in one database they would wait for each other anyway.
pub(super) fn plan(cx: &Context, args: &PlanArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let pipelines = run::some(&project, &args.names)?;
    let began = Instant::now();
    let width = pipelines.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
    let runner = Runner::start(cx, width, Told::AsWritten, Arc::new(SystemClock))?;
    let mut plans = Vec::new();
    let mut codes = Vec::new();
    for pipeline in &pipelines {
        if let Err(error) = cx.stop.check() {
            codes.push(error.exit_code());
            break;
        }
        let previewed = runner.plan(cx, pipeline, args.wait.time(), usize::from(args.samples))?;
        codes.push(match run::exit_code(&previewed.outcome) {
            0 if args.detailed_exitcode && previewed.changes() => DIFFERENCES,
            code => code,
        });
        plans.push(previewed);
    }
    if !cx.printer.json() {
        if pipelines.len() > 1 {
            cx.printer.text(&preview::total(&plans, began.elapsed()))?;
        }
        cx.printer.note("this was a plan: nothing was written");
    }
    Ok(run::worst(codes))
}
