//! `backfill`: a range of a pipeline's axis, interval by interval.

use super::{
    Context, Failure,
    run::{Hearers, Runner, exit_code},
};
use crate::{
    args::BackfillArgs,
    project,
    render::{Told, coverage, json},
    work,
};
use floodmark_core::{Code, Error, clock::SystemClock};
use floodmark_engine::{BackfillOptions, Engine};
use std::sync::Arc;

/// `floodmark backfill`
pub(super) fn backfill(cx: &Context, args: &BackfillArgs) -> Result<u8, Failure> {
    let project = project::open(&cx.global)?;
    let mut works = work::select(&project, std::slice::from_ref(&args.name), &cx.printer, true)?;
    let (Some(work), true) = (works.pop(), works.is_empty()) else {
        return Err(Error::new(Code::BadArgument, format!("{} is several pipelines", args.name))
            .state("nothing was written")
            .help("fill one of them at a time: name it as `floodmark check` lists it")
            .into());
    };
    let pipeline = work.pipeline?;
    if args.status {
        let covered = Engine::default().coverage(&pipeline, args.column.as_deref())?;
        let picture = coverage::Picture::new(&covered, args.from.as_deref(), args.to.as_deref())?;
        if let Some(file) = &args.svg {
            // A file that was asked for is there, and is a picture, also of nothing.
            let drawn = picture.as_ref().map_or_else(
                || coverage::nothing(&pipeline.name, &covered.column),
                |picture| picture.svg(&pipeline.name, &covered.column),
            );
            std::fs::write(file, drawn)
                .map_err(|e| Error::new(Code::Output, "the picture cannot be written").in_file(file).cause(e))?;
            cx.printer.note(&format!("The picture is in {}.", file.display()));
        }
        match (cx.printer.json(), &picture) {
            (true, _) => cx.printer.object(&coverage::object(&pipeline.name, &covered, picture.as_ref()))?,
            (false, Some(picture)) => cx.printer.text(&picture.text(&pipeline.name, &covered))?,
            (false, None) => cx.printer.note(&match &covered.watermark {
                Some(mark) => {
                    format!(
                        "Nothing of {} was backfilled; its runs have loaded it up to {mark}, from its beginning.",
                        pipeline.name
                    )
                }
                None => format!("Nothing of {} is loaded yet.", pipeline.name),
            }),
        }
        return Ok(0);
    }
    let options = BackfillOptions {
        from: args.from.clone(),
        until: args.to.clone(),
        column: args.column.clone(),
        step: args.by,
        jobs: usize::from(args.jobs),
        missing: args.missing,
        force: args.force,
        wait: args.wait.time(),
    };
    let runner = Runner::start(cx, &[&pipeline.name], Told::AsWritten, Arc::new(SystemClock), Hearers::of(&project))?;
    let filled = runner.backfill(&pipeline, &options);
    if cx.printer.json() {
        let mut object = json::outcome(&filled.outcome);
        object["backfill"] = serde_json::json!({
            "column": filled.column, "intervals": filled.units, "loaded": filled.loaded, "open": filled.open,
        });
        cx.printer.object(&object)?;
    } else {
        runner.report_fill(cx, &pipeline, &filled)?;
    }
    Ok(exit_code(&filled.outcome))
}
