//! MySQL and MariaDB as a source and destination.

#![expect(dead_code, reason = "the source and the destination are made of it")]

mod address;
mod failure;
mod greet;
mod link;
mod literal;
mod packets;
mod source;
mod tls;
mod wire;

pub use source::MysqlSource;
