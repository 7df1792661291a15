//! Buckets of servers that speak the protocols of S3 (`FLOODMARK_TEST_S3`) and of Azure (`FLOODMARK_TEST_AZURE`), and a network
//! to them that fails where a test says so.

mod bucket;
mod http;
mod listing;
mod protocol;
mod proxy;
mod request;

pub use bucket::Bucket;
pub use listing::Listed;
pub use protocol::Protocol;
pub use proxy::{Fault, Proxy, Rule, Seen};
pub use request::Kind;
