//! What is written for the client to ask, before it does: over a text that makes no request it panics.

use floodmark_core::{Code, Error, Result};
use url::Url;

/// Of a server that is asked in place of the cloud's own.
pub(super) fn check(endpoint: &str) -> Result<()> {
    check_named("the endpoint", endpoint)
}

/// Of one that is called so.
pub(super) fn check_named(name: &str, endpoint: &str) -> Result<()> {
    if is_address(endpoint) {
        return Ok(());
    }
    // Neither what stands before an `@` nor a query has any business there, and both may be secret.
    let shown = endpoint.rsplit_once('@').map_or(endpoint, |(_, host)| host).split('?').next().unwrap_or_default();
    let bare = shown.trim();
    let is_scheme = |text: &str| text.chars().all(|c| c.is_ascii_alphabetic());
    let host = bare.split_once(":/").filter(|(scheme, _)| is_scheme(scheme)).map_or(bare, |(_, host)| host);
    let host = host.trim_matches('/');
    let help = match format!("http://{host}") {
        whole if is_address(&whole) => format!("write {whole}, or https:// where the server has TLS"),
        _ => "write http://HOST:PORT or https://HOST, or leave it out to ask the cloud itself".to_owned(),
    };
    Err(refused(format!("{name} {shown:?} is no address")).help(help))
}

/// Of a server that is named without `http://`.
pub(super) fn check_host(name: &str, host: &str) -> Result<()> {
    if is_address(&format!("http://{host}")) {
        return Ok(());
    }
    Err(refused(format!("{name} {host:?} is no host"))
        .help("write it as HOST or HOST:PORT, or unset it to ask the cloud itself"))
}

/// Of a web server that a source names.
pub(super) fn check_web(url: &str) -> Result<()> {
    match Url::parse(url) {
        Ok(parsed) if parsed.host_str().is_some_and(is_plain) => Ok(()),
        _ => Err(refused(format!("{url} is no address of a web server")).help("write it as https://HOST/FILE")),
    }
}

/// The names of hosts and what is sent in headers: `None` where nothing is said.
pub(super) fn check_word(name: &str, word: Option<String>, takes: impl Fn(char) -> bool) -> Result<()> {
    if word.is_none_or(|word| word.chars().all(takes)) {
        return Ok(());
    }
    Err(refused(format!("{name} has a character that there is in none"))
        .help("see that it was copied whole, and that no quotes, blanks or line ends came with it"))
}

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.starts_with('/') && !rest.contains("://") && is_plain(rest))
        && Url::parse(text).is_ok()
}

/// Whether nothing in it is written otherwise in a request.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/[]".contains(c))
}

fn refused(what: String) -> Error {
    Error::new(Code::BadUrl, what).state("nothing was read or written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_whole_address() {
        for good in ["http://127.0.0.1:5055", "https://minio.shop.example/store/", "http://[::1]:9000", "http://a_b:1"]
        {
            check(good).unwrap();
        }
        for (bad, shown, help) in [
            ("127.0.0.1:5055", "127.0.0.1:5055", "write http://127.0.0.1:5055,"),
            ("localhost:5055", "localhost:5055", "write http://localhost:5055,"),
            ("http:/127.0.0.1:5055/", "http:/127.0.0.1:5055/", "write http://127.0.0.1:5055,"),
            ("ftp://shop", "ftp://shop", "write http://shop,"),
            ("HTTP://shop", "HTTP://shop", "write http://shop,"),
            ("http:///shop", "http:///shop", "write http://shop,"),
            (" http://shop\n", " http://shop\\n", "write http://shop,"),
            ("http://a:geheim@shop?geheim", "shop", "write http://shop,"),
            ("", "", "leave it out"),
            ("http://", "http://", "leave it out"),
            ("http://shop:99999", "http://shop:99999", "leave it out"),
            ("http://sh op", "http://sh op", "leave it out"),
            ("http://1.2.3.400", "http://1.2.3.400", "leave it out"),
        ] {
            let error = check(bad).unwrap_err();
            assert_eq!(error.code(), Code::BadUrl);
            assert_eq!(error.message(), format!("the endpoint \"{shown}\" is no address"));
            assert!(error.advice()[0].contains(help), "{error:?}");
        }
    }

    #[test]
    fn a_host_is_no_more_than_that() {
        for good in ["metadata.shop.example", "127.0.0.1:8080", "[::1]:80"] {
            check_host("GCE_METADATA_HOST", good).unwrap();
        }
        for bad in ["", "a b", "a\n", "\t", "höst", "{a}", "http://a", "a:99999", "/a"] {
            let error = check_host("GCE_METADATA_HOST", bad).unwrap_err();
            assert_eq!(error.message(), format!("GCE_METADATA_HOST {bad:?} is no host"));
        }
    }
}
