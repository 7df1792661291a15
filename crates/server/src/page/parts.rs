//! The small parts that pages are made of.

use super::{
    prose::{self, Line},
    view::{Ended, Frame, Job, Standing, Trouble},
    words,
};
use askama::{Template, filters::HtmlSafe};
use chrono::{DateTime, Utc};
use floodmark_core::{interval::Interval, wording::grouped};

/// A moment: how long ago, and in full where one points at it. `app.js` counts it on.
#[derive(Template)]
#[template(ext = "html", source = r#"<time datetime="{{ machine }}" title="{{ full }}" data-ago>{{ told }}</time>"#)]
pub(crate) struct Ago {
    machine: String,
    full: String,
    told: String,
}

impl HtmlSafe for Ago {}

impl Ago {
    pub(crate) fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Ago {
        Ago { machine: words::machine(at), full: words::moment(at), told: words::ago(at, now) }
    }
}

/// A moment by the clock, with how long ago where one points at it.
#[derive(Template)]
#[template(ext = "html", source = r#"<time datetime="{{ machine }}" title="{{ full }}">{{ told }}</time>"#)]
pub(crate) struct Clock {
    machine: String,
    full: String,
    told: String,
}

impl HtmlSafe for Clock {}

impl Clock {
    pub(crate) fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Clock {
        let full = format!("{}, {}", words::moment(at), words::ago(at, now));
        Clock { machine: words::machine(at), full, told: words::clock(at, now) }
    }
}

/// How something stands, by a sign and a word.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<span class="badge {{ class }}"><span class="sign" aria-hidden="true">{{ sign }}</span>{{ word }}</span>"#
)]
pub(crate) struct Badge {
    class: &'static str,
    sign: &'static str,
    word: &'static str,
}

impl HtmlSafe for Badge {}

impl From<Standing> for Badge {
    fn from(standing: Standing) -> Self {
        Badge { class: standing.class(), sign: standing.sign(), word: standing.word() }
    }
}

impl From<Ended> for Badge {
    fn from(ended: Ended) -> Self {
        Badge { class: ended.class(), sign: ended.sign(), word: ended.word() }
    }
}

impl Badge {
    pub(crate) fn of(class: &'static str, sign: &'static str, word: &'static str) -> Badge {
        Badge { class, sign, word }
    }
}

/// What a button has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Run,
    Replay,
    Verify,
    Repair,
    FullRefresh,
    Plan,
    Missing,
    Pause,
    Resume,
    Cancel,
    /// The same work once more.
    Again,
}

impl Act {
    /// As the end of the path that a form leads to.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Act::Run => "run",
            Act::Replay => "replay",
            Act::Verify => "verify",
            Act::Repair => "repair",
            Act::FullRefresh => "refresh",
            Act::Plan => "plan",
            Act::Missing => "backfill",
            Act::Pause => "pause",
            Act::Resume => "resume",
            Act::Cancel => "cancel",
            Act::Again => "retry",
        }
    }

    /// Whether it is done for what it prints.
    fn is_read(self) -> bool {
        matches!(self, Act::Plan | Act::Verify | Act::Repair)
    }
}

/// What is asked before everything is loaded again.
pub(crate) const RELOAD: &str = "State and rows are forgotten, and everything is loaded again.";
/// What is asked before a table is mended.
pub(crate) const REPAIR: &str = "Rows of the table that differ from the source are loaded again.";

/// A form that is one button. It works without a script; with one the page stays where it is.
#[derive(Template)]
#[template(path = "page/button.html")]
pub(crate) struct Button<'a> {
    frame: &'a Frame,
    pipeline: &'a str,
    job: Option<&'a str>,
    act: Act,
    label: String,
    class: &'static str,
    /// What is asked before it is done.
    sure: Option<&'static str>,
    /// Whether one wants to read what comes of it.
    goes: bool,
    /// Of what part of an axis, from its first value to the first that is not in it.
    range: Option<(String, String)>,
}

impl HtmlSafe for Button<'_> {}

impl<'a> Button<'a> {
    pub(crate) fn new(frame: &'a Frame, pipeline: &'a str, act: Act, label: impl Into<String>) -> Button<'a> {
        Button {
            frame,
            pipeline,
            job: None,
            act,
            label: label.into(),
            class: "",
            sure: None,
            goes: act.is_read(),
            range: None,
        }
    }

    /// Of one piece of work.
    pub(crate) fn of(self, job: &'a str) -> Button<'a> {
        Button { job: Some(job), ..self }
    }

    /// The one to press.
    pub(crate) fn loud(self) -> Button<'a> {
        Button { class: "loud", ..self }
    }

    /// Of a part of an axis.
    pub(crate) fn within(self, range: &Interval) -> Button<'a> {
        Button { range: Some((range.from.to_string(), range.until.to_string())), ..self }
    }

    pub(crate) fn sure(self, question: &'static str) -> Button<'a> {
        Button { sure: Some(question), ..self }
    }
}

/// What went wrong, in what state the data is, what to do.
#[derive(Template)]
#[template(path = "page/trouble.html")]
pub(crate) struct TroubleBox<'a> {
    code: Option<&'a str>,
    what: Line<'static>,
    state: Option<Line<'static>>,
    help: Vec<Line<'static>>,
    again: Option<Ago>,
    since: Option<Ago>,
    warn: bool,
}

impl HtmlSafe for TroubleBox<'_> {}

impl<'a> TroubleBox<'a> {
    pub(crate) fn new(trouble: &'a Trouble, warn: bool, now: DateTime<Utc>) -> TroubleBox<'a> {
        TroubleBox {
            code: trouble.code.as_deref(),
            what: prose::told(&trouble.what),
            state: trouble.state.as_deref().map(prose::told),
            help: trouble.help.iter().map(|one| prose::told(one)).collect(),
            again: trouble.again.map(|at| Ago::new(at, now)),
            since: trouble.since.map(|at| Ago::new(at, now)),
            warn,
        }
    }
}

/// What of a piece of work is done, or what it waits for. `app.js` counts it on.
#[derive(Template)]
#[template(path = "page/progress.html")]
pub(crate) struct Progress<'a> {
    job: &'a Job,
    done: String,
    all: Option<String>,
    since: Option<Ago>,
    /// Whether its own page is another one.
    elsewhere: bool,
}

impl HtmlSafe for Progress<'_> {}

impl<'a> Progress<'a> {
    pub(crate) fn new(job: &'a Job, elsewhere: bool, now: DateTime<Utc>) -> Progress<'a> {
        Progress {
            job,
            elsewhere,
            done: grouped(job.done),
            all: job.all.map(grouped),
            since: job.began.map(|at| Ago::new(at, now)),
        }
    }
}

/// A piece of work with the button that ends it.
pub(crate) struct Work<'a> {
    pub(crate) progress: Progress<'a>,
    pub(crate) button: Option<Button<'a>>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(frame: &'a Frame, pipeline: &'a str, job: &'a Job, elsewhere: bool) -> Work<'a> {
        let label = if job.runs { "Stop" } else { "Cancel" };
        Work {
            progress: Progress::new(job, elsewhere, frame.now),
            button: (!job.ending).then(|| Button::new(frame, pipeline, Act::Cancel, label).of(&job.id)),
        }
    }
}
