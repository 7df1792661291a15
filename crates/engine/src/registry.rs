//! From a URL or a source's settings to a connector.

use floodmark_connect::{Destination, Source};
use floodmark_core::{Code, Error, Result, pipeline::SourceSpec, url::ConnectionUrl};

/// Opens the source a pipeline names.
pub fn source(spec: &SourceSpec) -> Result<Box<dyn Source>> {
    let _ = spec;
    Err(Error::internal("not built yet"))
}

/// Opens a destination by URL. Nothing is created or locked yet.
pub fn destination(url: &ConnectionUrl) -> Result<Box<dyn Destination>> {
    Err(Error::new(Code::BadUrl, format!("{url} is no destination that is known"))
        .help("destinations known here: sqlite:"))
}
