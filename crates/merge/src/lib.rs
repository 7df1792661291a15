//! What becomes of a batch of rows beside those that a server holds for its keys.
//!
//! A server's connector looks up what the table and the ledgers hold for the keys of a batch ([`slots`]); the rule of
//! `floodmark_core::merge` decides row after row, in memory ([`fold`]); and the connector writes what differs, as set
//! statements. Cells are bytes on the way ([`cell`]), so that no row is ever made into single values. Nothing here knows a
//! server.

pub mod cell;
pub mod fold;
pub mod fresh;
pub mod gather;
pub mod history;
pub mod incoming;
pub mod lineage;
pub mod memories;
mod sieve;
pub mod slots;
pub mod standings;
