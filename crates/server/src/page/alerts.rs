//! Whom alerts go to, whether they arrive, and what was told.

use super::{
    parts::Ago,
    view::{Alerts, ChannelLine, Frame, Reach, ToldLine},
};
use askama::Template;
use chrono::{DateTime, Utc};

#[derive(Template)]
#[template(path = "page/alerts.html")]
struct Page<'a> {
    frame: &'a Frame,
    tells: bool,
    channels: Vec<Channel<'a>>,
}

struct Channel<'a> {
    line: &'a ChannelLine,
    class: &'static str,
    sign: &'static str,
    word: &'static str,
    off: bool,
    since: Option<Ago>,
    last: Option<Ago>,
    told: Vec<Told<'a>>,
}

struct Told<'a> {
    line: &'a ToldLine,
    since: Ago,
    at: Ago,
}

impl<'a> Channel<'a> {
    fn new(line: &'a ChannelLine, now: DateTime<Utc>) -> Channel<'a> {
        let (class, sign, word) = match line.reach {
            Reach::Ok if line.last.is_none() => ("rest", "…", "not tried yet"),
            Reach::Ok => ("good", "✓", "arrives"),
            Reach::Failing => ("bad", "✕", "does not arrive"),
            Reach::Off => ("rest", "‖", "off"),
        };
        let told = |line| Told { line, since: Ago::new(line.since, now), at: Ago::new(line.told, now) };
        Channel {
            line,
            class,
            sign,
            word,
            off: line.reach == Reach::Off,
            since: line.since.map(|at| Ago::new(at, now)),
            last: line.last.map(|at| Ago::new(at, now)),
            told: line.told.iter().map(told).collect(),
        }
    }
}

/// The page.
pub(crate) fn alerts(frame: &Frame, view: &Alerts) -> String {
    let channels = view.channels.iter().map(|line| Channel::new(line, frame.now)).collect();
    super::rendered(&Page { frame, tells: view.tells, channels })
}
