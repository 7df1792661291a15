//! PostgreSQL against the suite every destination must pass, and what is its own. A server must be there:
//! `cargo xtask services up` starts one and says what to set.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that panics is a test that fails")]

mod conformance;
mod database;
mod probe;
mod source;
