//! `lineage:` → who is told of runs.

use crate::{
    diagnostics::Findings,
    record::{Given, Value},
};
use floodmark_core::{
    Code,
    outlet::{Endpoint, LineageSpec},
};
use std::path::Path;

/// What the file says; what is missing is reported.
pub(crate) fn spec(given: &Given, base: &Path, out: &mut Findings) -> Option<LineageSpec> {
    let Some(Value::Record(record)) = &given.value else { return None };
    if !record.has("url") && !record.has("file") {
        out.add(Code::ConfigInvalid, given.key, "`lineage` has neither `url` nor `file`")
            .label("needed here")
            .help("give `url:` with the address that events are posted to, or `file:` with a path");
    }
    let endpoint = record.web("url").map(|url| Endpoint { url: url.clone(), token: record.secret("token").cloned() });
    Some(LineageSpec {
        namespace: record.text("namespace")?.to_owned(),
        endpoint,
        file: record.text("file").map(|file| base.join(file)),
    })
}
