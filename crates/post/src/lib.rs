//! What is posted to an address of the web: alerts, events of lineage, traces. One attempt, within a time; whether to try again is
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

/// So much of an answer is read.
const ANSWER: u64 = 64 << 10;

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
    let bearer = token.map(|token| format!("Bearer {}", token.written()));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    let answer = send(url, &headers, body.to_string().as_bytes(), within)?;
    answer.refusal(url).map_or(Ok(()), Err)
}

/// Posts bytes with these headers, and brings the answer, whatever its status. Nothing is followed.
///
/// # Errors
/// Where nobody answers in time, or not as a web server does.
pub fn send(url: &WebUrl, headers: &[(&str, &str)], body: &[u8], within: Duration) -> Result<Answer, Unsent> {
    let unsent = |error: &ureq::Error| Unsent { message: format!("{url}: {}", why(error, within)) };
    let mut request = agent().post(url.written());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer =
        request.config().timeout_global(Some(within)).build().send(body).map_err(|error| unsent(&error))?;
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Nobody is waited for who answers without end.
    let short = answer.body().content_length().is_some_and(|length| (1..=ANSWER).contains(&length));
    let body = if short { answer.body_mut().read_to_vec().unwrap_or_default() } else { Vec::new() };
    Ok(Answer { status, retry_after, body })
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// When it wants to be asked again, as it says it.
    pub retry_after: Option<String>,
    /// What it sent; empty where that was long, or of no known length.
    pub body: Vec<u8>,
}

impl Answer {
    /// Why it is no success; `None` where it is one.
    pub fn refusal(&self, url: &WebUrl) -> Option<Unsent> {
        let unsent = |why: String| Some(Unsent { message: format!("{url}: {why}") });
        match self.status {
            200..=299 => None,
            status @ 300..=399 => {
                unsent(format!("it answered {status}, which leads elsewhere: name that address in its place"))
            }
            status => unsent(format!("it answered {status}")),
        }
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
