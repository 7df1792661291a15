//! Buckets of a server that speaks S3's protocol (`FLOODMARK_TEST_S3`), and a network to it that fails where a test says so.

mod bucket;
mod http;
mod listing;
mod proxy;
mod request;

pub use bucket::Bucket;
pub use listing::Listed;
pub use proxy::{Fault, Proxy, Rule, Seen};
pub use request::Kind;
