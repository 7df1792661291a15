//! Every environment variable Floodmark itself reads, once. (Those a pipeline file names in `${…}` are the file's, and those of
//! OpenTelemetry are read by `floodmark_trace`.)

/// The pipeline file, in place of `./floodmark.yaml`.
pub(crate) const FILE: &str = "FLOODMARK_FILE";
/// `text` or `json`.
pub(crate) const FORMAT: &str = "FLOODMARK_FORMAT";
/// A destination URL, in place of a pipeline file.
pub(crate) const DESTINATION: &str = "FLOODMARK_DESTINATION";
/// What to log, as a filter: `floodmark=debug`.
pub(crate) const LOG: &str = "FLOODMARK_LOG";
/// Where this process is to die, fail or stop, for tests and for who tries it: see `floodmark_connect::crash`.
pub(crate) const CRASH: &str = floodmark_server::CRASH;
/// Set by `serve`: what happens is told as lines of JSON among the results.
pub(crate) const EVENTS: &str = floodmark_server::EVENTS;
/// `text` or `json` log lines.
pub(crate) const LOG_FORMAT: &str = "FLOODMARK_LOG_FORMAT";
/// How many characters a line of the output may have, as shells and other tools have it.
pub(crate) const COLUMNS: &str = "COLUMNS";

/// A variable as text; one that is not UTF-8 counts as missing.
pub(crate) fn lookup(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
