//! The browser that pages are tested in.

use crate::shell::{self, has};
use std::env;

/// What it is called where; the tests look for the same.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Installs it where there is none.
pub(crate) fn tools() -> Result<(), String> {
    if env::var_os("FLOODMARK_TEST_CHROMIUM").is_some() || NAMES.into_iter().any(has) {
        return Ok(());
    }
    shell::install("chromium", "Chromium, in which pages are tested,")
}
