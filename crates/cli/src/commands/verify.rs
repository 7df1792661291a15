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
    work::{self, Work},
};
use floodmark_core::{Code, Error, Result, clock::SystemClock};
use floodmark_engine::verify::{Request, Verification};
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

fn one(cx: &Context, args: &VerifyArgs, runner: &Runner, work: Work, scratch: &Path, several: bool) -> Result<u8> {
    let name = work.name.clone();
    let found = work.pipeline.and_then(|pipeline| {
        let cursor = pipeline.cursor().map(|w| w.column.clone());
        let request = Request {
            columns: args.how.columns.clone(),
            condition: args.how.condition.clone(),
            by: args.how.by(cursor.as_deref()),
            sampling: args.how.sampling(),
            limit: args.how.limit,
            late: args.late,
            scratch,
        };
        runner.verify(&pipeline, &request)
    });
    match found {
        Ok(found) => {
            tell(cx, args, &found, several)?;
            Ok(if found.differs() { DIFFERENCES } else { 0 })
        }
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

fn tell(cx: &Context, args: &VerifyArgs, found: &Verification, several: bool) -> Result<()> {
    if cx.printer.json() {
        cx.printer.object(&comparison::verified_object(found, WORDS))?;
    } else {
        let gap = if several { "\n" } else { "" };
        cx.printer.text(&format!("{}{gap}", comparison::verified(found, WORDS)))?;
        found.notes.iter().for_each(|note| cx.printer.note(&format!("{}: {note}", terminal::clean(&found.pipeline))));
    }
    match &args.how.html {
        Some(path) => diff::written(&page(path, &found.pipeline, several), &html::page(&found.report, WORDS)),
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
