//! Log lines: to stderr, and only when asked for.

use crate::{args::LogFormat, env};
use std::fmt::{self, Debug};
use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::format::{Writer, debug_fn},
};

/// Starts logging. `verbose` counts the `-v`s; `FLOODMARK_LOG` is more exact and wins. Returns whether anything
/// will be logged, since a progress bar and log lines do not share a terminal well.
pub(crate) fn start(verbose: u8, format: LogFormat) -> bool {
    let level = match verbose {
        0 => None,
        1 => Some("info"),
        2 => Some("debug"),
        _ => Some("trace"),
    };
    let Some(filter) = env::lookup(env::LOG).or_else(|| level.map(expand)) else { return false };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(matches!(anstream::AutoStream::choice(&std::io::stderr()), anstream::ColorChoice::Always));
    // A second subscriber in one process is the only way to fail, and then the first one logs.
    let started = match format {
        // Where in the program a line comes from says nothing to who runs it.
        LogFormat::Text => builder.with_target(false).fmt_fields(debug_fn(field).delimited(" ")).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.is_ok()
}

/// A field as `key=value`; text is quoted where blanks or quotes in it would hide where it ends.
fn field(out: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let text = format!("{value:?}");
    if field.name() == "message" {
        return out.write_str(&text);
    }
    let inside = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let plain = inside.filter(|t| !t.is_empty() && !t.contains([' ', '"', '\\', '=']));
    write!(out, "{}={}", field.name(), plain.unwrap_or(&text))
}

/// The crates of the workspace are named `floodmark_…`, each a target of its own.
fn expand(level: &str) -> String {
    ["floodmark", "floodmark_engine", "floodmark_files", "floodmark_sqlite", "floodmark_config"]
        .map(|target| format!("{target}={level}"))
        .join(",")
}
