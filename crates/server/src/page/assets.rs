//! Files that pages load. Their paths hold a hash of what is in them, so that they are kept for good.

use std::sync::LazyLock;
use xxhash_rust::xxh3::xxh3_64;

/// A file.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Where it is: `/assets/app-HASH.css`.
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'static str,
}

/// What is said of how long a file may be kept: what is at its path never changes.
pub(crate) const KEPT: &str = "public, max-age=31536000, immutable";

static ALL: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    let asset = |name: &str, ending: &str, content_type, body: &'static str| Asset {
        path: format!("/assets/{name}-{:016x}.{ending}", xxh3_64(body.as_bytes())),
        content_type,
        body,
    };
    [
        asset("app", "css", "text/css; charset=utf-8", include_str!("assets/app.css")),
        asset("app", "js", "text/javascript; charset=utf-8", include_str!("assets/app.js")),
        asset("mark", "svg", "image/svg+xml", include_str!("assets/mark.svg")),
    ]
});

/// The file at a path; `None` where there is none.
pub(crate) fn asset(path: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.path == path)
}

/// Where the style is.
pub(crate) fn css() -> &'static str {
    &ALL[0].path
}

/// Where the script is.
pub(crate) fn js() -> &'static str {
    &ALL[1].path
}

/// Where the sign of the browser's tab is.
pub(crate) fn mark() -> &'static str {
    &ALL[2].path
}

/// All of them.
#[cfg(test)]
pub(crate) fn all() -> &'static [Asset] {
    ALL.as_slice()
}
