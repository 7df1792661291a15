//! Texts that stand where an address, a region, an account or a key should.

use super::source;
use floodmark_connect::{Source, Stop};
use floodmark_core::{Code, url::ConnectionUrl};
use futures::{FutureExt, StreamExt};
use object_store::{ObjectStoreExt, path::Path};
use tokio::runtime::Builder;

const ODD: [&str; 37] = [
    "",
    ":",
    "/",
    "//",
    "[",
    "a b",
    "a:b",
    "é",
    "a\u{7f}",
    "a%0Ab",
    "127.0.0.1:1",
    "localhost:1",
    "http:/127.0.0.1:1",
    "http://",
    "http://:1",
    "http://-",
    "http://.",
    "http://a..b",
    "http://h:",
    "http://h:99999",
    "http://h//",
    "http://h/a b",
    "http://h/?a",
    "http://h/%25zz",
    "http://h\\a",
    "http://[::1",
    "http://[]",
    "http://a\"b",
    "http://a{b}",
    "http://a|b",
    "http://a@b@c",
    "http://ho%2541st",
    "http://xn--a",
    "http://1.2.3.400",
    "http://bücher",
    "ftp://127.0.0.1:1",
    "mailto:x",
];

/// The client panics over some of them, when something is asked of it.
#[test]
fn no_text_is_too_odd_for_a_setting() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let (here, keys) = ("endpoint=http://127.0.0.1:1", "access_key_id=a&secret_access_key=b");
    let mut asked = 0;
    for odd in ODD {
        for url in [
            format!("s3://shop?endpoint={odd}&region=eu&{keys}"),
            format!("s3://shop?region={odd}&{keys}"),
            format!("s3://shop?{here}&region=eu&access_key_id={odd}&secret_access_key=b"),
            format!("s3://shop?{here}&region=eu&{keys}&session_token={odd}"),
            format!("s3://{odd}?virtual_hosted=true&region=eu&{keys}"),
            format!("gs://shop?endpoint={odd}&anonymous=true"),
            format!("gs://{odd}?anonymous=true"),
            format!("az://shop?endpoint={odd}&account=a&account_key=Z2VoZWlt"),
            format!("az://shop?account={odd}&account_key=Z2VoZWlt"),
            format!("az://shop?{here}&account=a&sas_token={odd}"),
            format!("az://{odd}?account=a&account_key=Z2VoZWlt"),
        ] {
            let Ok((store, _)) = floodmark_objects::open_root(&ConnectionUrl::parse(&url).unwrap()) else { continue };
            // What is sent is made before the first answer is waited for.
            let _ = store.head(&Path::from("a b/c")).now_or_never();
            let _ = store.list(Some(&Path::from("a b"))).next().now_or_never();
            asked += 1;
        }
    }
    assert!(asked > 50, "only {asked} were good enough to ask for anything");
    runtime.shutdown_background();
}

#[test]
fn an_endpoint_that_is_no_address_is_told() {
    let keys = "region=eu&access_key_id=a&secret_access_key=geheim";
    for url in [
        format!("s3://shop?endpoint=127.0.0.1:1&{keys}"),
        "gs://shop?endpoint=127.0.0.1:1&anonymous=true".to_owned(),
        "az://shop?endpoint=127.0.0.1:1&account=a&account_key=Z2VoZWlt".to_owned(),
    ] {
        let pattern = format!("{}/*.csv", url.split('?').next().unwrap());
        let error = source(&[&pattern], Some(&url)).slices(&Stop::default()).unwrap_err();
        assert_eq!(error.code(), Code::BadUrl, "{error:?}");
        assert_eq!(error.message(), "the endpoint \"127.0.0.1:1\" is no address");
        assert!(error.advice()[0].starts_with("write http://127.0.0.1:1,"), "{error:?}");
    }
    for host in ["a\"b", "a{b}", "a|b", "h:99999", "1.2.3.400", "", "ho%41st:x"] {
        let error = source(&[&format!("http://{host}/a.csv")], None).slices(&Stop::default()).unwrap_err();
        assert_eq!(error.code(), Code::BadUrl, "{error:?}");
    }
}

#[test]
fn what_names_no_bucket_or_no_object_is_told() {
    let keys = "region=eu&access_key_id=a&secret_access_key=b";
    for url in ["s3:///lk", "s3:/b/lk", "gs://", "az:///c"] {
        let error = floodmark_objects::open_root(&ConnectionUrl::parse(&format!("{url}?{keys}")).unwrap()).unwrap_err();
        assert_eq!(error.code(), Code::BadUrl, "{error:?}");
        assert!(error.message().contains(" names no bucket") || url.starts_with("az"), "{error:?}");
        assert!(error.message().contains(" names no container") || !url.starts_with("az"), "{error:?}");
    }
    for (pattern, help) in [("s3://shop", "s3://shop/**/*.csv"), ("s3://shop/in/", "s3://shop/in/**/*.csv")] {
        let error = source(&[pattern], Some(&format!("s3://shop?{keys}"))).slices(&Stop::default()).unwrap_err();
        assert!(error.message().ends_with(" names no object"), "{error:?}");
        assert!(error.advice()[0].ends_with(help), "{error:?}");
    }
}
