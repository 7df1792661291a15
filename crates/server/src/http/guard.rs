//! Who may ask what. Every request comes through here, and every answer leaves with the same headers.

use super::App;
use crate::Options;
use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use floodmark_core::{Code, Error, Result};
use futures::StreamExt;
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use serde_json::json;
use std::{net::IpAddr, time::Duration};

/// A shorter token is guessed too soon.
const SHORTEST: usize = 16;
/// How long somebody stays logged in.
const LASTS: TimeDelta = TimeDelta::days(30);
/// An answer that is not a stream of events takes no longer.
const ANSWER: Duration = Duration::from_secs(30);
/// A request has at most so many bytes.
const BODY: usize = 64 << 10;
/// Of one that has more, so many are taken before it is refused.
const HEARD: usize = 1 << 20;
/// The cookie of who has logged in.
const COOKIE: &str = "floodmark";

/// Nothing is loaded from elsewhere, nothing is said inline, and no other page may show this one.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What is asked of a request.
pub(crate) struct Gate {
    /// Signs with the token; `None` where there is none.
    token: Option<(String, hmac::Key)>,
    hosts: Vec<String>,
    /// What a form of these pages brings, and one of another site cannot know.
    pub(crate) form: String,
}

impl Gate {
    /// Refuses to be open to others without a token.
    pub(crate) fn new(options: &Options) -> Result<Gate> {
        let wrong = |message: &str| Error::new(Code::BadArgument, message).state("nothing was started");
        if options.token.is_none() && !options.listen.ip().is_loopback() {
            return Err(wrong("an address that others can reach needs a token")
                .help("name the environment variable that holds one: --token-env FLOODMARK_TOKEN")
                .help("or listen on this machine alone: --listen 127.0.0.1:8765"));
        }
        if options.token.as_ref().is_some_and(|token| token.len() < SHORTEST || token.trim() != token) {
            return Err(wrong("the token has fewer than 16 characters, or blanks around it")
                .help("make one: openssl rand -hex 32"));
        }
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("there is no randomness"))?;
        let token = options.token.clone().map(|token| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
            (token, key)
        });
        Ok(Gate {
            token,
            hosts: options.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            form: hex(&bytes),
        })
    }

    /// Whether there is a token at all.
    pub(crate) fn asks(&self) -> bool {
        self.token.is_some()
    }

    /// Whether this is the token. It takes as long whether much of it is right or little.
    pub(crate) fn is_token(&self, given: &str) -> bool {
        let Some((token, key)) = &self.token else { return true };
        let right = hmac::sign(key, token.as_bytes());
        hmac::verify(key, given.as_bytes(), right.as_ref()).is_ok()
    }

    /// Whether a form is one of these pages'.
    pub(crate) fn is_form(&self, given: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.form.as_bytes());
        hmac::verify(&key, given.as_bytes(), hmac::sign(&key, self.form.as_bytes()).as_ref()).is_ok()
    }

    /// What a browser keeps of a login: until when, signed with the token. Another token ends it.
    pub(crate) fn cookie(&self, now: DateTime<Utc>, secure: bool) -> Option<String> {
        let (_, key) = self.token.as_ref()?;
        let until = (now + LASTS).timestamp().to_string();
        let signed = hex(hmac::sign(key, format!("login {until}").as_bytes()).as_ref());
        let secure = if secure { "; Secure" } else { "" };
        let seconds = LASTS.num_seconds();
        Some(format!("{COOKIE}={until}.{signed}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"))
    }

    /// What ends it.
    pub(crate) fn no_cookie(&self) -> String {
        format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
    }

    fn is_cookie(&self, value: &str, now: DateTime<Utc>) -> bool {
        let Some((_, key)) = &self.token else { return false };
        let Some((until, signed)) = value.split_once('.') else { return false };
        let Some(signed) = unhex(signed) else { return false };
        let right = hmac::verify(key, format!("login {until}").as_bytes(), &signed).is_ok();
        right && until.parse::<i64>().is_ok_and(|until| now.timestamp() < until)
    }

    fn lets_in(&self, headers: &HeaderMap, now: DateTime<Utc>) -> bool {
        if self.token.is_none() {
            return true;
        }
        let bearer = text(headers, header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        if let Some(token) = bearer {
            return self.is_token(token);
        }
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        cookies.any(|(name, value)| name == COOKIE && self.is_cookie(value, now))
    }

    /// Whether a browser may know this machine by that name. A name that somebody else's page has made to mean this machine
    /// is none of them.
    fn knows_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(host.as_str(), |(name, port)| {
                if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host.as_str() }
            }),
        };
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.hosts.iter().any(|known| known == name)
    }
}

/// Whether a request that changes something comes from these pages, or from no page at all. A browser says where from.
fn own(headers: &HeaderMap) -> bool {
    let host = text(headers, header::HOST).unwrap_or_default();
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    match text(headers, header::ORIGIN) {
        None => true,
        Some(origin) => origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
    }
}

/// Looks at a request, has it answered, and puts the headers on the answer.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = checked(&app, request, next).await;
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Without any, browsers hide where a form comes from.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn checked(app: &App, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !text(headers, header::HOST).is_some_and(|host| app.gate.knows_host(host)) {
        return refused(StatusCode::MISDIRECTED_REQUEST, "this server is not known by that name; see --host");
    }
    let path = request.uri().path();
    let open = matches!(path, "/healthz" | "/readyz" | "/login") || path.starts_with("/assets/");
    if !open && !app.gate.lets_in(headers, app.shared.clock.now()) {
        return outside(request.method(), headers, request.uri());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && !own(headers) {
        return refused(StatusCode::FORBIDDEN, "this request comes from another site");
    }
    let streams = text(headers, header::ACCEPT).is_some_and(|accept| accept.contains("text/event-stream"))
        || path.ends_with("/events");
    if streams {
        return next.run(request).await;
    }
    let answer = async {
        match whole(request).await {
            Ok(request) => next.run(request).await,
            Err(refusal) => refusal,
        }
    };
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(response) => response,
        Err(_) => refused(StatusCode::GATEWAY_TIMEOUT, "the answer took too long"),
    }
}

/// The request with all of its body. One that is too large is heard out for a while before it is refused: who is still
/// writing when the connection ends gets no answer, only a broken connection.
async fn whole(request: Request) -> std::result::Result<Request, Response> {
    let (parts, body) = request.into_parts();
    let (mut stream, mut bytes, mut seen) = (body.into_data_stream(), Vec::new(), 0);
    while let Some(chunk) = stream.next().await {
        let Ok(chunk) = chunk else {
            return Err(refused(StatusCode::BAD_REQUEST, "the request broke off"));
        };
        seen += chunk.len();
        if seen <= BODY {
            bytes.extend_from_slice(&chunk);
        } else if seen > HEARD {
            break;
        }
    }
    if seen > BODY {
        return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "the request has more than 64 KiB"));
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Who is not let in: a person is shown the form, a program the header.
fn outside(method: &Method, headers: &HeaderMap, uri: &Uri) -> Response {
    let person = text(headers, header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    if person && method == Method::GET {
        let next = uri.path_and_query().map_or("/", |path| path.as_str());
        let next: String = next
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        return (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/login?next={next}"))]).into_response();
    }
    let mut response = refused(StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer …");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// An error as the API tells it.
pub(super) fn refused(status: StatusCode, message: &str) -> Response<Body> {
    (status, Json(json!({ "error": { "message": message } }))).into_response()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123";

    fn options(listen: &str, token: Option<&str>) -> Options {
        Options {
            listen: listen.parse().unwrap(),
            token: token.map(str::to_owned),
            hosts: vec!["Warehouse.internal".into()],
            jobs: 1,
            grace: Duration::from_secs(1),
            sandbox: true,
            traces: None,
        }
    }

    fn gate(token: Option<&str>) -> Gate {
        Gate::new(&options("127.0.0.1:0", token)).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token_that_is_long_enough() {
        for open in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1"] {
            assert!(Gate::new(&options(open, None)).is_err(), "{open}");
            assert!(Gate::new(&options(open, Some("short"))).is_err(), "{open}");
            assert!(Gate::new(&options(open, Some(TOKEN))).is_ok(), "{open}");
        }
        assert!(Gate::new(&options("[::1]:1", None)).is_ok());
        assert!(Gate::new(&options("127.0.0.1:1", Some("0123456789abcdef "))).is_err());
    }

    #[test]
    fn a_token_comes_by_header_or_by_a_cookie_that_it_signed() {
        let now = Utc::now();
        let gate = gate(Some(TOKEN));
        let lets = |pairs: &[(&'static str, &str)]| gate.lets_in(&headers(pairs), now);
        assert!(lets(&[("authorization", &format!("Bearer {TOKEN}"))]));
        assert!(lets(&[("authorization", &format!("bearer {TOKEN}"))]));
        for wrong in ["", "Bearer", "Bearer ", "Bearer 0123456789abcdef012", "Basic 0123456789abcdef0123", TOKEN] {
            assert!(!lets(&[("authorization", wrong)]), "{wrong}");
        }
        assert!(!lets(&[]));
        let cookie = gate.cookie(now, true).unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Secure"));
        let pair = cookie.split(';').next().unwrap();
        assert!(!cookie.contains(TOKEN));
        assert!(lets(&[("cookie", &format!("a=b; {pair}"))]));
        assert!(!gate.lets_in(&headers(&[("cookie", pair)]), now + LASTS));
        let other = super::Gate::new(&options("127.0.0.1:0", Some("another-token-of-some-length"))).unwrap();
        assert!(!other.lets_in(&headers(&[("cookie", pair)]), now));
        let (until, signed) = pair.split_once('.').unwrap();
        let later =
            format!("floodmark={}.{signed}", until.trim_start_matches("floodmark=").parse::<i64>().unwrap() + 1);
        assert!(!lets(&[("cookie", &later)]));
        for odd in ["floodmark=", "floodmark=.", "floodmark=9.ü", "floodmark=9.0", "floodmark"] {
            assert!(!lets(&[("cookie", odd)]), "{odd}");
        }
    }

    #[test]
    fn a_name_that_somebody_else_gave_this_machine_is_not_known() {
        let gate = gate(None);
        for known in
            ["localhost", "LOCALHOST:8765", "127.0.0.1:8765", "[::1]:8765", "10.0.0.7", "warehouse.internal:80"]
        {
            assert!(gate.knows_host(known), "{known}");
        }
        for unknown in ["evil.example", "localhost.evil.example:8765", "127.0.0.1.evil.example", "", "[", "a:b"] {
            assert!(!gate.knows_host(unknown), "{unknown}");
        }
    }

    #[test]
    fn a_change_comes_from_these_pages_or_from_no_page() {
        let own = |pairs: &[(&'static str, &str)]| own(&headers(pairs));
        assert!(own(&[("host", "localhost:1")]));
        assert!(own(&[("host", "localhost:1"), ("origin", "http://localhost:1"), ("sec-fetch-site", "same-origin")]));
        for (name, value) in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:2"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(!own(&[("host", "localhost:1"), (name, value)]), "{name} {value}");
        }
    }

    #[test]
    fn a_form_of_these_pages_is_known() {
        let gate = gate(None);
        assert!(gate.is_form(&gate.form));
        assert!(!gate.is_form("") && !gate.is_form(&self::gate(None).form));
    }
}
