//! `optimize`.

use super::{Context, Failure};
use crate::{args::OptimizeArgs, render::terminal::bytes};
use floodmark_config::lasting;
use floodmark_core::{Code, Error, url::ConnectionUrl, wording::count};
use floodmark_engine::registry;
use serde_json::json;

/// `floodmark optimize`
pub(super) fn optimize(cx: &Context, args: &OptimizeArgs) -> Result<u8, Failure> {
    let url = ConnectionUrl::parse(&args.url)?;
    let keep = args.keep.as_deref().map(lasting).transpose().map_err(|why| {
        Error::new(Code::BadArgument, format!("--keep {:?}: {why}", args.keep.as_deref().unwrap_or_default()))
            .state("nothing was done")
    })?;
    let tidied = registry::optimize(&url, &args.table, args.file_size as u64, keep)?;
    if cx.printer.json() {
        cx.printer.object(&json!({
            "table": args.table,
            "files_compacted": tidied.compacted,
            "files_written": tidied.into,
            "files_deleted": tidied.deleted,
            "bytes_deleted": tidied.freed,
        }))?;
    } else {
        let (compacted, into) = (count(tidied.compacted, "file"), tidied.into);
        let (deleted, freed) = (count(tidied.deleted, "file"), bytes(tidied.freed));
        cx.printer.text(&format!("{}: {compacted} written into {into}, {deleted} deleted ({freed})\n", args.table))?;
    }
    Ok(0)
}
