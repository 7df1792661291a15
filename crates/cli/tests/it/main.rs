//! The real program, its real output.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that panics is a test that fails")]

mod alerts;
mod browser;
mod check;
mod compare;
mod deploy;
mod from_mysql;
mod from_postgres;
mod help;
mod hook;
#[cfg(feature = "lake")]
mod lakes;
#[cfg(feature = "lake")]
mod lakes_hostile;
mod lineage;
mod load;
mod pages;
mod plan;
mod prove;
mod rejects;
mod run;
mod serve;
mod server;
mod shop;
mod signals;
mod state;
mod support;
mod tables;
mod tools;
mod traces;
mod try_it;
mod wide;
