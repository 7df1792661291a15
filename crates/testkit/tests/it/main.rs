//! Cases, lessons and the shop, played against the real program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that panics is a test that fails")]

mod backfill;
mod cases;
mod clock;
mod crash;
mod diff;
#[cfg(feature = "lake")]
mod faults;
mod kill;
mod lesson;
mod model;
#[cfg(unix)]
mod mysql;
#[cfg(feature = "lake")]
mod outside;
mod partitions;
#[cfg(feature = "lake")]
mod patched;
#[cfg(unix)]
mod postgres;
mod pruned;
mod repair;
#[cfg(unix)]
mod servers;
#[cfg(feature = "lake")]
mod strangers;
mod types;
mod verify;
