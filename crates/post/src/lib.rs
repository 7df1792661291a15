//! JSON, posted to an address of the web: alerts and events of lineage. One attempt, within a time; whether to try again is
//! the caller's to decide. What is said of a failure never holds the address or the answer, in which the address may stand.

use floodmark_core::outlet::{Secret, WebUrl};
use serde_json::Value;
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

/// Why something did not arrive, in a sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    message: String,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unsent {}

/// Posts `body`. Waits for the answer, at most `within`; an answer that leads elsewhere is not followed: whoever that is was
/// not named by the pipeline file.
///
/// # Errors
/// Where nobody answers in time, or not with a status of success.
pub fn post(url: &WebUrl, token: Option<&Secret>, body: &Value, within: Duration) -> Result<(), Unsent> {
    let unsent = |why: String| Unsent { message: format!("{url}: {why}") };
    let mut request = agent().post(url.written()).header("Content-Type", "application/json");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {}", token.written()));
    }
    let sent = request.config().timeout_global(Some(within)).build().send(body.to_string());
    match sent.map(|answer| answer.status().as_u16()) {
        Ok(200..=299) => Ok(()),
        Ok(status @ 300..=399) => {
            Err(unsent(format!("it answered {status}, which leads elsewhere: name that address in its place")))
        }
        Ok(status) => Err(unsent(format!("it answered {status}"))),
        Err(error) => Err(unsent(why(&error, within))),
    }
}

/// What went wrong, in words that are chosen here: those of others may repeat what is secret.
fn why(error: &ureq::Error, within: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", within.as_secs_f64()),
        ureq::Error::HostNotFound => "there is no such host".into(),
        ureq::Error::Io(error) => format!("it cannot be reached: {}", error.kind()),
        ureq::Error::ConnectionFailed => "it cannot be reached".into(),
        ureq::Error::Rustls(error) => format!("TLS failed: {error}"),
        ureq::Error::Tls(why) => format!("TLS failed: {why}"),
        ureq::Error::Http(_) => "the address or the token cannot be sent as it is written".into(),
        ureq::Error::InvalidProxyUrl => "the proxy that the environment names is none".into(),
        _ => "it did not answer as a web server does".into(),
    }
}

/// Connections are made anew after a while, and certificates are read once in a process.
fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let authorities = rustls_native_certs::load_native_certs().certs;
        let authorities: RootCerts = authorities.iter().map(|der| Certificate::from_der(der).to_owned()).into();
        let tls = TlsConfig::builder()
            .root_certs(authorities)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("floodmark/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
        sync::mpsc,
        thread,
        time::Instant,
    };

    const WITHIN: Duration = Duration::from_millis(700);

    /// A server that answers once, and tells what it was asked.
    fn server(answer: Option<&'static str>) -> (WebUrl, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/services/s3cret?key=s3cret", listener.local_addr().unwrap());
        let (asked, rx) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = Vec::new();
            let mut part = [0; 4096];
            while !text.ends_with(b"\"}") {
                let n = stream.read(&mut part).unwrap();
                text.extend_from_slice(&part[..n]);
            }
            asked.send(String::from_utf8(text).unwrap()).unwrap();
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                None => thread::sleep(Duration::from_secs(30)),
            }
        });
        (WebUrl::parse(&url).unwrap(), rx)
    }

    fn body() -> Value {
        serde_json::json!({ "text": "orders failed" })
    }

    #[test]
    fn it_arrives_with_its_token() {
        let (url, asked) = server(Some("HTTP/1.1 204 No Content\r\n\r\n"));
        post(&url, Some(&Secret::new("t0ken")), &body(), WITHIN).unwrap();
        let asked = asked.recv().unwrap();
        assert!(asked.starts_with("POST /services/s3cret?key=s3cret HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("authorization: bearer t0ken\r\n"), "{asked}");
        assert!(asked.ends_with("{\"text\":\"orders failed\"}"), "{asked}");
    }

    #[test]
    fn what_does_not_arrive_is_told_without_a_secret() {
        let moved = "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/s3cret\r\ncontent-length: 0\r\n\r\n";
        let failed = "HTTP/1.1 500 Oh\r\ncontent-length: 6\r\n\r\ns3cret";
        for (answer, told) in [
            (Some(moved), "it answered 307, which leads elsewhere"),
            (Some(failed), "it answered 500"),
            (Some("s3cret\r\n\r\n"), "it did not answer as a web server does"),
            (None, "no answer within 0.7 s"),
        ] {
            let (url, _asked) = server(answer);
            let began = Instant::now();
            let why = post(&url, None, &body(), WITHIN).unwrap_err().to_string();
            assert!(why.contains(told), "{why}");
            assert!(!why.contains("s3cret"), "{why}");
            assert!(began.elapsed() < Duration::from_secs(5));
        }
        let nobody = WebUrl::parse("http://127.0.0.1:1/s3cret").unwrap();
        let why = post(&nobody, None, &body(), WITHIN).unwrap_err().to_string();
        assert!(why.contains("cannot be reached") && !why.contains("s3cret"), "{why}");
    }
}
