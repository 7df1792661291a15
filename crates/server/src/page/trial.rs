//! Where visitors try things: what they may choose, what happened, what the table holds.

use super::{
    parts::{Badge, TroubleBox},
    view::{Ended, Frame, Trial, Trouble},
    words,
};
use crate::sandbox::{self, Attempt, Deed, Held, How, Moment, Recipe, Side, Table};
use askama::Template;
use floodmark_core::wording::{count, grouped};
use serde_json::Value;

/// Characters of a fingerprint that tell it apart here.
const SHORT: usize = 14;

#[derive(Template)]
#[template(path = "page/trial.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Trial,
    recipe: &'a Recipe,
    loads: Vec<&'static str>,
    moments: [(&'static str, &'static str); 3],
    /// What both tables hold.
    both: Option<(String, String)>,
    /// The newest first.
    lines: Vec<Line<'a>>,
    table: Option<&'a Table>,
    more: u64,
    fingerprint: Option<&'a str>,
    file: String,
    bytes: usize,
    kib: usize,
    most_lines: usize,
    minutes: u64,
}

/// An attempt.
struct Line<'a> {
    number: usize,
    what: String,
    edited: bool,
    badge: Option<Badge>,
    brought: String,
    /// It was to be killed, and had ended.
    missed: bool,
    trouble: Option<TroubleBox<'a>>,
    holds: String,
    fingerprint: Option<&'a str>,
    /// Its beginning.
    short: String,
    /// The number of the first attempt after which the table was the same.
    same: Option<usize>,
    naive: String,
}

/// The page.
pub(crate) fn trial(frame: &Frame, view: &Trial) -> String {
    let attempts = &view.known.attempts;
    let last = attempts.last().and_then(|last| last.sides.as_ref());
    let held = last.and_then(|[ours, _]| ours.holds.as_ref());
    let table = view.known.table.as_ref();
    let troubles: Vec<Option<Trouble>> = attempts.iter().map(failure).collect();
    let lines = attempts.iter().zip(&troubles).rev();
    super::rendered(&Page {
        frame,
        view,
        recipe: &view.known.recipe,
        loads: Recipe::loads().collect(),
        moments: Moment::NAMES.map(|(name, moment)| (name, when(moment))),
        both: last.map(|[ours, naive]| (holds(ours), holds(naive))),
        lines: lines.map(|(attempt, trouble)| Line::new(attempt, trouble.as_ref(), attempts, frame)).collect(),
        table,
        more: match (held, table) {
            (Some(held), Some(table)) => held.rows.saturating_sub(table.rows.len() as u64),
            _ => 0,
        },
        fingerprint: held.map(|held| held.fingerprint.as_str()),
        file: view.known.recipe.file(),
        bytes: sandbox::BYTES,
        kib: sandbox::BYTES >> 10,
        most_lines: sandbox::LINES,
        minutes: sandbox::KEPT.as_secs() / 60,
    })
}

impl<'a> Line<'a> {
    fn new(attempt: &'a Attempt, trouble: Option<&'a Trouble>, all: &[Attempt], frame: &Frame) -> Line<'a> {
        let ours = attempt.sides.as_ref().map(|[ours, _]| ours);
        let naive = attempt.sides.as_ref().map(|[_, naive]| naive);
        let is = held(attempt);
        let missed = matches!(attempt.deed, Deed::Kill(_)) && ours.is_some_and(|ours| ours.how != How::Killed);
        let same = all.iter().find(|earlier| is.is_some() && held(earlier) == is);
        Line {
            number: attempt.number,
            what: match attempt.deed {
                Deed::Run => "run".to_owned(),
                Deed::Kill(moment) => format!("run, {}killed {}", if missed { "to be " } else { "" }, at(moment)),
                Deed::Anew => "started over: the tables are gone".to_owned(),
            },
            edited: attempt.edited,
            badge: ours.map(|ours| badge(ours.how)),
            brought: ours.map(brought).unwrap_or_default(),
            missed,
            trouble: trouble.map(|trouble| TroubleBox::new(trouble, false, frame.now)),
            holds: ours.map(holds).unwrap_or_default(),
            fingerprint: is.map(|held| held.fingerprint.as_str()),
            short: is.map(|held| held.fingerprint.chars().take(SHORT).collect()).unwrap_or_default(),
            same: same.map(|same| same.number).filter(|number| *number != attempt.number),
            naive: naive.map(holds).unwrap_or_default(),
        }
    }
}

fn held(attempt: &Attempt) -> Option<&Held> {
    attempt.sides.as_ref().and_then(|[ours, _]| ours.holds.as_ref())
}

fn holds(side: &Side) -> String {
    side.holds.as_ref().map_or_else(|| "no table".to_owned(), |held| count(held.rows, "row"))
}

fn brought(side: &Side) -> String {
    match side.how {
        How::Ok | How::NothingNew if side.rows.read == 0 => words::brought(&side.rows, Ended::NothingNew),
        How::Ok | How::NothingNew => accounted(side),
        // Nothing of what it had read and not committed is there.
        How::Killed | How::TooLong if side.rows.read == 0 => "nothing".to_owned(),
        How::Killed | How::TooLong => format!("{}, committed before", accounted(side)),
        How::Failed => String::new(),
    }
}

/// What became of every row.
fn accounted(side: &Side) -> String {
    let parts = words::outcomes(&side.rows).into_iter().filter(|(_, n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(word, n, _)| format!("{} {word}", grouped(n))).collect();
    let removed = match side.rows.removed {
        0 => String::new(),
        removed => format!("; {} removed before", count(removed, "row")),
    };
    format!("{} read: {}{removed}", grouped(side.rows.read), parts.join(", "))
}

fn badge(how: How) -> Badge {
    match how {
        How::Ok => Ended::Ok.into(),
        How::NothingNew => Ended::NothingNew.into(),
        How::Failed => Ended::Failed.into(),
        How::Killed => Badge::of("warn", "✕", "killed"),
        How::TooLong => Badge::of("bad", "✕", "took too long"),
    }
}

/// As it stands behind *when*.
fn when(moment: Moment) -> &'static str {
    match moment {
        Moment::First => "it writes the first file",
        Moment::Middle => "the first file is in, and it writes the second",
        Moment::End => "all is in, and it has not said so",
    }
}

/// As it stands behind *killed*.
fn at(moment: Moment) -> &'static str {
    match moment {
        Moment::First => "while it wrote the first file",
        Moment::Middle => "while it wrote the second file",
        Moment::End => "when all was in, before it could say so",
    }
}

/// What the program printed of a failure.
fn failure(attempt: &Attempt) -> Option<Trouble> {
    let error = attempt.sides.as_ref()?[0].error.as_ref()?;
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    let place = &error["place"];
    let file = place["file"].as_str().map(|file| match place["line"].as_u64() {
        Some(line) => format!(" ({file}:{line})"),
        None => format!(" ({file})"),
    });
    Some(Trouble {
        code: text("code").filter(|code| super::view::is_code(code)),
        what: format!("{}{}", text("message").unwrap_or_default(), file.unwrap_or_default()),
        state: text("state"),
        help: error["help"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        ..Trouble::default()
    })
}
