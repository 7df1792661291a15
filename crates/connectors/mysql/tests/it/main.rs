//! MySQL and MariaDB on a real server. One must be there: `cargo xtask services up` starts a MariaDB and says what to set.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that panics is a test that fails")]

mod conformance;
mod source;
