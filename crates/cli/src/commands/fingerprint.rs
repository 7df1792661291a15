//! `fingerprint`.

use super::{Context, Failure};
use crate::args::FingerprintArgs;
use floodmark_core::url::ConnectionUrl;
use floodmark_engine::registry;
use serde_json::json;

/// `floodmark fingerprint`
pub(super) fn fingerprint(cx: &Context, args: &FingerprintArgs) -> Result<u8, Failure> {
    let url = ConnectionUrl::parse(&args.url)?;
    let fingerprint = registry::destination(&url)?.fingerprint(&args.table)?;
    if cx.printer.json() {
        cx.printer.object(&json!({
            "table": args.table,
            "rows": fingerprint.rows,
            "fingerprint": fingerprint.to_string(),
        }))?;
    } else {
        cx.printer.text(&format!("{fingerprint}\n"))?;
    }
    Ok(0)
}
