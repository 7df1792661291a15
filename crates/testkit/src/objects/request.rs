//! What a request asks a store for.

use super::{
    http::{Message, decoded},
    protocol::Protocol,
};

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The keys below a prefix.
    List,
    /// What is told of an object without it.
    Head,
    /// A whole object.
    Get,
    /// A part of an object.
    Range,
    /// A put in the place of what may be there.
    Put,
    /// A put where nothing of that name is (`If-None-Match: *`).
    PutNew,
    /// The beginning of an upload in parts.
    Begin,
    /// A part of it.
    Part,
    /// Its end, which makes the object.
    Complete,
    /// Its end without one.
    Abort,
    /// One object or several.
    Delete,
    /// Anything else.
    Other,
}

/// A request, understood.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    /// The object, the prefix of a list, or the keys of a delete.
    pub(super) key: String,
    query: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn of(request: &Message, protocol: Protocol) -> Asked {
        let mut words = request.first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (decoded(name), decoded(&value.replace('+', " "))))
            .collect();
        let has = |name: &str| query.iter().any(|(known, _)| known == name);
        let does = |what: &str| query.iter().any(|(name, value)| name == "comp" && value == what);
        let path = path.strip_prefix(&protocol.before()).unwrap_or(path);
        let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
        let kind = match method {
            "GET" if has("list-type") || does("list") => Kind::List,
            "GET" if request.header("range").is_some() => Kind::Range,
            "GET" if !key.is_empty() => Kind::Get,
            "HEAD" if !key.is_empty() => Kind::Head,
            "PUT" if has("partNumber") || does("block") => Kind::Part,
            "PUT" if does("blocklist") => Kind::Complete,
            "PUT" if request.header("if-none-match").is_some() => Kind::PutNew,
            "PUT" if !key.is_empty() => Kind::Put,
            "POST" if has("uploads") => Kind::Begin,
            "POST" if has("uploadId") => Kind::Complete,
            "DELETE" if has("uploadId") => Kind::Abort,
            "POST" if has("delete") || does("batch") => Kind::Delete,
            "DELETE" if !key.is_empty() => Kind::Delete,
            _ => Kind::Other,
        };
        let mut asked = Asked { kind, key: decoded(key), query };
        match kind {
            Kind::List => asked.key = asked.parameter("prefix").unwrap_or_default().to_owned(),
            Kind::Delete if method == "POST" => asked.key = String::from_utf8_lossy(&request.body).into_owned(),
            _ => {}
        }
        asked
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let told = |protocol, first: &str, header: Option<&str>| {
            let headers = header.map(|name| (name.to_owned(), "x".to_owned())).into_iter().collect();
            let asked = Asked::of(&Message { first: first.to_owned(), headers, body: Vec::new() }, protocol);
            (asked.kind, asked.key)
        };
        let asked = |first: &str, header| told(Protocol::S3, first, header);
        let is = |kind, key: &str| (kind, key.to_owned());
        assert_eq!(asked("GET /b?list-type=2&prefix=a%2Fb+c HTTP/1.1", None), is(Kind::List, "a/b c"));
        assert_eq!(asked("GET /b/a%20b HTTP/1.1", None), is(Kind::Get, "a b"));
        assert_eq!(asked("GET /b/a HTTP/1.1", Some("Range")), is(Kind::Range, "a"));
        assert_eq!(asked("PUT /b/a HTTP/1.1", None), is(Kind::Put, "a"));
        assert_eq!(asked("PUT /b/a HTTP/1.1", Some("If-None-Match")), is(Kind::PutNew, "a"));
        assert_eq!(asked("PUT /b/a?partNumber=1&uploadId=x HTTP/1.1", None), is(Kind::Part, "a"));
        assert_eq!(asked("POST /b/a?uploads HTTP/1.1", None), is(Kind::Begin, "a"));
        assert_eq!(asked("POST /b/a?uploadId=x HTTP/1.1", None), is(Kind::Complete, "a"));
        assert_eq!(asked("DELETE /b/a HTTP/1.1", None), is(Kind::Delete, "a"));
        assert_eq!(asked("PUT /b HTTP/1.1", None), is(Kind::Other, ""));
        let asked = |first: &str| told(Protocol::Azure, &format!("{first} HTTP/1.1"), None);
        assert_eq!(asked("GET /devstoreaccount1/b?restype=container&comp=list&prefix=a"), is(Kind::List, "a"));
        assert_eq!(asked("GET /devstoreaccount1/b/a"), is(Kind::Get, "a"));
        assert_eq!(asked("PUT /devstoreaccount1/b/a?comp=block&blockid=x"), is(Kind::Part, "a"));
        assert_eq!(asked("PUT /devstoreaccount1/b/a?comp=blocklist"), is(Kind::Complete, "a"));
        assert_eq!(asked("POST /devstoreaccount1/b/?restype=container&comp=batch"), is(Kind::Delete, ""));
    }
}
