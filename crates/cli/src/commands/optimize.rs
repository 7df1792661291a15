//! `optimize`.

use super::{Context, Failure};
use crate::{args::OptimizeArgs, project, render::terminal::bytes, work};
use floodmark_config::lasting;
use floodmark_connect::destination::Tidied;
use floodmark_core::{Code, Error, Result, pipeline::DestinationSpec, url::ConnectionUrl, wording::count};
use floodmark_engine::registry;
use serde_json::json;

/// How large files become where nobody says it.
const FILE_SIZE: u64 = 128 << 20;

/// `floodmark optimize`
pub(super) fn optimize(cx: &Context, args: &OptimizeArgs) -> Result<u8, Failure> {
    let keep = args.keep.as_deref().map(lasting).transpose().map_err(|why| {
        Error::new(Code::BadArgument, format!("--keep {:?}: {why}", args.keep.as_deref().unwrap_or_default()))
            .state("nothing was done")
    })?;
    for DestinationSpec { url, table, file_size, .. } in tables(cx, args)? {
        let size = args.file_size.map(|size| size as u64).or(file_size).unwrap_or(FILE_SIZE);
        let tidied = registry::optimize(&url, &table, size, keep)?;
        if cx.printer.json() {
            cx.printer.object(&json!({
                "table": table,
                "files_compacted": tidied.compacted,
                "files_written": tidied.into,
                "files_deleted": tidied.deleted,
                "bytes_deleted": tidied.freed,
            }))?;
        } else {
            cx.printer.text(&format!("{table}: {}\n", told(&tidied)))?;
        }
    }
    Ok(0)
}

/// The table named, or those that a pipeline loads.
fn tables(cx: &Context, args: &OptimizeArgs) -> Result<Vec<DestinationSpec>, Failure> {
    if let Some(table) = args.table.clone() {
        let url = ConnectionUrl::parse(&args.lake)?;
        return Ok(vec![DestinationSpec { url, table, partition_by: Vec::new(), file_size: None }]);
    }
    if args.lake.contains("://") {
        return Err(Error::new(Code::BadArgument, "no table is named")
            .state("nothing was done")
            .help(format!("name it behind the lake: floodmark optimize {} TABLE", args.lake))
            .into());
    }
    let project = project::open_or(&cx.global, "or name lake and table: floodmark optimize delta:///lake orders")?;
    let works = work::select(&project, std::slice::from_ref(&args.lake), &cx.printer, false)?;
    let tables: Result<_> = works.into_iter().map(|work| work.pipeline.map(|pipeline| pipeline.destination)).collect();
    Ok(tables?)
}

fn told(tidied: &Tidied) -> String {
    let file = |n| count(n, "file");
    let compacted =
        (tidied.compacted > 0).then(|| format!("{} written into {}", file(tidied.compacted), file(tidied.into)));
    let deleted = (tidied.deleted > 0).then(|| format!("{} deleted ({})", file(tidied.deleted), bytes(tidied.freed)));
    match (compacted, deleted) {
        (None, None) => "nothing to do".to_owned(),
        (compacted, deleted) => compacted.into_iter().chain(deleted).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_done_is_told() {
        let tidied = |compacted, into, deleted| Tidied { compacted, into, deleted, freed: 10 * deleted };
        assert_eq!(told(&tidied(0, 0, 0)), "nothing to do");
        assert_eq!(told(&tidied(5, 1, 0)), "5 files written into 1 file");
        assert_eq!(told(&tidied(0, 0, 1)), "1 file deleted (10 bytes)");
        assert_eq!(told(&tidied(5, 2, 3)), "5 files written into 2 files, 3 files deleted (30 bytes)");
    }
}
