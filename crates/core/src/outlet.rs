//! Where something is sent to beside a destination: whom alerts go to, and who is told of runs. Addresses of the web and what
//! opens them are secrets, and print as little of themselves as tells which one is meant.

use std::{fmt, path::PathBuf, time::Duration};

/// Something that is written as `${…}` may be missing: whoever runs pipelines need not have what alerts need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<T> {
    /// It is there.
    Is(T),
    /// Nothing was put in its place: it is switched off.
    Empty,
    /// There is no such thing, and why, in a sentence without a full stop.
    Unset(String),
}

impl<T> Given<T> {
    /// It, where it is there.
    pub fn get(&self) -> Option<&T> {
        if let Given::Is(value) = self { Some(value) } else { None }
    }
}

/// An address of the web that is posted to. `Display` and `Debug` show scheme and host: what follows is often the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WebUrl(String);

impl WebUrl {
    /// Reads one.
    ///
    /// # Errors
    /// What to write, where it is none.
    pub fn parse(text: &str) -> Result<WebUrl, &'static str> {
        const HELP: &str = "write an address such as https://hooks.example.com/T0/B0";
        let url = WebUrl(text.to_owned());
        let odd = text.chars().any(|c| c.is_whitespace() || c.is_control());
        let (scheme, host) = url.parts();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        if known && !host.is_empty() && !odd { Ok(url) } else { Err(HELP) }
    }

    /// All of it.
    pub fn written(&self) -> &str {
        &self.0
    }

    /// Scheme and host with its port, without whom it is opened for.
    fn parts(&self) -> (&str, &str) {
        let Some((scheme, rest)) = self.0.split_once("://") else { return ("", "") };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        (scheme, authority.rsplit_once('@').map_or(authority, |(_, host)| host))
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = self.parts();
        write!(f, "{scheme}://{host}/…")
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What opens something. It never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// This one.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for whoever opens something with it.
    pub fn written(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A command: its program and the words it is given, which may be secrets. Only the program is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// What is started.
    pub program: String,
    /// What it is given.
    pub words: Vec<String>,
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is posted to, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub url: Given<WebUrl>,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<Given<Secret>>,
}

impl Endpoint {
    /// The address and the token where all of it is there; `Ok(None)` where it is switched off.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub fn ready(&self) -> Result<Option<(&WebUrl, Option<&Secret>)>, String> {
        let url = match &self.url {
            Given::Is(url) => url,
            Given::Empty => return Ok(None),
            Given::Unset(why) => return Err(why.clone()),
        };
        match &self.token {
            Some(Given::Unset(why)) => Err(why.clone()),
            Some(Given::Is(token)) => Ok(Some((url, Some(token)))),
            Some(Given::Empty) | None => Ok(Some((url, None))),
        }
    }
}

/// What alerts are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A run failed, and is not tried again by itself.
    Failed,
    /// What is loaded is older than `freshness`.
    Late,
}

impl Trouble {
    /// As written in the pipeline file, with the value.
    pub const NAMES: &[(&str, Trouble)] = &[("failed", Trouble::Failed), ("late", Trouble::Late)];

    /// As written in the pipeline file.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::Failed => "failed",
            Trouble::Late => "late",
        }
    }
}

/// How an alert gets to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It is posted.
    Webhook(Endpoint),
    /// A program is started with it.
    Command {
        /// The program and its words.
        line: Given<CommandLine>,
        /// The folder it is started in.
        folder: PathBuf,
    },
}

/// Whom alerts go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name in the pipeline file.
    pub name: String,
    /// How an alert gets there.
    pub way: Way,
    /// What it is told of.
    pub on: Vec<Trouble>,
    /// Pipelines and families it is told of; empty means all.
    pub pipelines: Vec<String>,
    /// What goes on is told again after this time.
    pub remind: Duration,
    /// What is over is told once it has been over for so long.
    pub steady: Duration,
}

impl Channel {
    /// Whether it is switched off in the file.
    pub fn is_off(&self) -> bool {
        match &self.way {
            Way::Webhook(endpoint) => matches!(endpoint.ready(), Ok(None)),
            Way::Command { line, .. } => *line == Given::Empty,
        }
    }

    /// Why nothing can be sent as the file is.
    pub fn unready(&self) -> Option<String> {
        match &self.way {
            Way::Webhook(endpoint) => endpoint.ready().err(),
            Way::Command { line: Given::Unset(why), .. } => Some(why.clone()),
            Way::Command { .. } => None,
        }
    }
}

/// The default of `Channel::remind`.
pub const REMIND: Duration = Duration::from_secs(24 * 3600);
/// The default of `Channel::steady`.
pub const STEADY: Duration = Duration::from_secs(300);

/// Who is told of runs, in the words of OpenLineage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageSpec {
    /// What jobs belong to: pipelines of one name in two projects are two jobs.
    pub namespace: String,
    /// Where events are posted.
    pub endpoint: Option<Endpoint>,
    /// A file to which they are added, a line each.
    pub file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_more_than_its_host() {
        for (written, shown) in [
            ("https://hooks.slack.example/services/T0/B0/s3cret", "https://hooks.slack.example/…"),
            ("http://me:s3cret@127.0.0.1:8080?token=s3cret", "http://127.0.0.1:8080/…"),
            ("HTTPS://[::1]:9/x", "HTTPS://[::1]:9/…"),
        ] {
            let url = WebUrl::parse(written).unwrap();
            assert_eq!(format!("{url}"), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(url.written(), written);
        }
        for wrong in ["", "ftp://a", "https://", "https:///x", "https://u@/x", "hooks.example.com", "https://a b"] {
            assert!(WebUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_secret_prints_itself() {
        let channel = Channel {
            name: "ops".into(),
            way: Way::Webhook(Endpoint {
                url: Given::Is(WebUrl::parse("https://a.example/s3cret").unwrap()),
                token: Some(Given::Is(Secret::new("s3cret"))),
            }),
            on: vec![Trouble::Failed],
            pipelines: Vec::new(),
            remind: REMIND,
            steady: STEADY,
        };
        let line = CommandLine { program: "./page.sh".into(), words: vec!["s3cret".into()] };
        assert!(!format!("{channel:?} {line} {line:?}").contains("s3cret"));
    }
}
