//! All pipelines: what is loaded up to when, what failed and why, and a button to put it right.

use super::{
    chart::Spark,
    parts::{Ago, Badge, Button, Progress, TroubleBox},
    remedy,
    view::{Card, Ended, Frame, Mark, Next, Overview, Standing, Trouble},
    words,
};
use askama::Template;
use chrono::{DateTime, Utc};
use floodmark_core::wording::{grouped, verb};
use std::borrow::Cow;

/// Names of one kind that the sentence at the top has.
const NAMED: usize = 3;

#[derive(Template)]
#[template(path = "page/overview.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a Overview,
    headline: Headline<'a>,
    chips: Vec<Chip>,
    rows: Vec<Row<'a>>,
    next: Option<(&'a str, Ago)>,
}

/// A filter.
struct Chip {
    name: &'static str,
    word: &'static str,
    many: usize,
    chosen: bool,
}

/// The sentence for all: what stands before names, and names.
struct Headline<'a> {
    lead: String,
    parts: Vec<Part<'a>>,
    /// Whether everything is as it should be.
    good: bool,
}

struct Part<'a> {
    text: String,
    names: Vec<&'a str>,
    more: usize,
}

struct Row<'a> {
    card: &'a Card,
    /// Its table, where that has another name.
    table: Option<&'a str>,
    badge: Badge,
    class: &'static str,
    loaded: Loaded,
    last: Option<Last<'a>>,
    next: Soon<'a>,
    rows: Option<Spark>,
    took: Option<Spark>,
    trouble: Option<Cow<'a, Trouble>>,
    now: DateTime<Utc>,
    button: Option<Button<'a>>,
    progress: Option<Progress<'a>>,
    waits: Option<&'a str>,
}

impl Row<'_> {
    fn trouble_box(&self) -> Option<TroubleBox<'_>> {
        let trouble = self.trouble.as_deref()?;
        Some(TroubleBox::new(trouble, self.class == "warn", self.now))
    }
}

/// Up to where rows are loaded.
pub(super) struct Loaded {
    pub(super) value: String,
    /// The whole value with its column, where one points at it.
    pub(super) title: String,
    /// How old that is.
    pub(super) age: Option<String>,
    /// Since when it counts, for `app.js`.
    pub(super) since: Option<String>,
    /// Whether that is as `freshness` wants it, and in words.
    pub(super) fresh: Option<(bool, String)>,
}

impl Loaded {
    pub(super) fn new(card: &Card, now: DateTime<Utc>) -> Loaded {
        let fresh = card.freshness.map(|limit| {
            let limit = words::limit(limit);
            if card.late { (false, format!("late: limit {limit}")) } else { (true, format!("ok, limit {limit}")) }
        });
        let since = card.mark.as_ref().map_or(card.last_good, |mark| mark.until.or(card.last_good));
        let age =
            since.map(|at| if at > now { "current".to_owned() } else { format!("{} old", words::span(now - at)) });
        let (value, title) = match &card.mark {
            Some(mark) => (shown(mark), format!("{} {}", mark.column, mark.value)),
            None if card.last_good.is_some() => ("all of the source".to_owned(), "it has no watermark".to_owned()),
            None => ("nothing yet".to_owned(), "no run ended well".to_owned()),
        };
        Loaded { value, title, age, since: since.filter(|at| *at <= now).map(words::machine), fresh }
    }
}

/// A moment without the parts of a second that nobody reads; all else as it is.
fn shown(mark: &Mark) -> String {
    match mark.until {
        Some(_) => mark.value.chars().take(19).collect::<String>().replace('T', " "),
        None => mark.value.clone(),
    }
}

struct Last<'a> {
    id: &'a str,
    ago: Ago,
    brought: String,
    class: &'static str,
}

pub(super) enum Soon<'a> {
    At(Ago),
    After(&'a [String]),
    Paused(Ago),
    Asked,
}

impl<'a> Soon<'a> {
    pub(super) fn new(next: &'a Next, now: DateTime<Utc>) -> Soon<'a> {
        match next {
            Next::At(at) => Soon::At(Ago::new(*at, now)),
            Next::After(names) => Soon::After(names),
            Next::Paused(at) => Soon::Paused(Ago::new(*at, now)),
            Next::Asked => Soon::Asked,
        }
    }
}

/// What is wrong, also where nothing failed.
pub(super) fn trouble<'a>(card: &'a Card, now: DateTime<Utc>) -> Option<Cow<'a, Trouble>> {
    if let Some(trouble) = card.trouble.as_ref().filter(|_| card.standing != Standing::Ok) {
        return Some(Cow::Borrowed(trouble));
    }
    if card.standing != Standing::Late {
        return None;
    }
    let loaded = Loaded::new(card, now);
    let limit = card.freshness.map(words::limit).unwrap_or_default();
    let age = loaded.age.unwrap_or_else(|| "too old".to_owned());
    let quiet = card.last.as_ref().is_some_and(|last| last.ended == Ended::NothingNew || !last.rows.changed());
    let ran = card.last_good.and_then(|at| (now - at).to_std().ok());
    let help = if quiet {
        "the last run found nothing new: look whether the source still gets rows"
    } else if ran.zip(card.freshness).is_some_and(|(ago, limit)| ago <= limit) {
        "the last run loaded all there was, a short while ago: look whether the source still gets new rows"
    } else {
        "a run loads what has come since"
    };
    Some(Cow::Owned(Trouble {
        what: format!("what is loaded is {age}; freshness allows {limit}"),
        state: Some("the table is as the last run left it".to_owned()),
        help: vec![help.to_owned()],
        ..Trouble::default()
    }))
}

/// The same, or what is left of its history where that is all that is wrong.
fn told<'a>(card: &'a Card, now: DateTime<Utc>) -> Option<Cow<'a, Trouble>> {
    let Some(undone) = card.undone.as_ref().filter(|_| remedy::is_all_that_is_wrong(card)) else {
        return trouble(card, now);
    };
    let what = format!("{} {}: {}", undone.task, undone.how, undone.trouble.what);
    Some(Cow::Owned(Trouble { what, ..undone.trouble.clone() }))
}

/// Whether its table holds what it should, as far as is known.
fn is_up_to_date(card: &Card) -> bool {
    let resting = matches!(card.standing, Standing::Running | Standing::Waiting | Standing::Paused);
    let good = card.last.as_ref().is_some_and(|last| last.ended.is_good() || last.ended == Ended::Running);
    card.standing == Standing::Ok || (resting && good && !card.late)
}

fn headline(cards: &[Card]) -> Headline<'_> {
    let all = cards.len() as u64;
    let good = cards.iter().filter(|card| is_up_to_date(card)).count() as u64;
    let lead = match (good, all) {
        (_, 0) => "There are no pipelines yet".to_owned(),
        (1, 1) => "The table is up to date".to_owned(),
        (good, all) if good == all => format!("All {} tables are up to date", grouped(all)),
        (good, all) => {
            format!("{} of {} tables {} up to date", grouped(good), grouped(all), verb(good, "is", "are"))
        }
    };
    let kinds = [
        (Standing::Failed, "failed", "failed"),
        (Standing::Broken, "cannot run", "cannot run"),
        (Standing::Unknown, "is not known", "are not known"),
        (Standing::Late, "is late", "are late"),
        (Standing::New, "was never run", "were never run"),
        (Standing::Running, "is being loaded", "are being loaded"),
        (Standing::Waiting, "waits", "wait"),
        (Standing::Paused, "is paused", "are paused"),
    ];
    let mut parts = Vec::new();
    for (kind, one, many) in kinds {
        let told = |card: &&Card| card.standing == kind && (kind < Standing::Running || !is_up_to_date(card));
        let names: Vec<&str> = cards.iter().filter(told).map(|card| card.name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let n = names.len() as u64;
        let text = format!("{} {}", grouped(n), verb(n, one, many));
        let more = names.len().saturating_sub(NAMED);
        parts.push(Part { text, names: names.into_iter().take(NAMED).collect(), more });
    }
    let undone: Vec<&str> =
        cards.iter().filter(|card| remedy::is_all_that_is_wrong(card)).map(|card| card.name.as_str()).collect();
    if !undone.is_empty() {
        let (n, more) = (undone.len() as u64, undone.len().saturating_sub(NAMED));
        let text = format!(
            "{} {}",
            grouped(n),
            verb(n, "has a backfill that is not done", "have backfills that are not done")
        );
        parts.push(Part { text, names: undone.into_iter().take(NAMED).collect(), more });
    }
    let good = cards.iter().all(|card| card.standing > Standing::Late && !remedy::is_all_that_is_wrong(card));
    Headline { lead, parts, good }
}

/// Whether a card holds every word that is looked for.
fn is_found(card: &Card, search: &str) -> bool {
    let texts = [Some(&card.name), card.family.as_ref(), card.source.as_ref(), card.table.as_ref()];
    let texts: Vec<String> = texts.into_iter().flatten().map(|text| text.to_lowercase()).collect();
    search.to_lowercase().split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
}

fn row<'a>(card: &'a Card, frame: &'a Frame) -> Row<'a> {
    let now = frame.now;
    let last = card.last.as_ref().map(|last| Last {
        id: &last.id,
        ago: Ago::new(last.over.unwrap_or(last.began), now),
        brought: match last.ended {
            ended if ended.is_bad() => format!("{}, {}", ended.word(), words::brought(&last.rows, ended)),
            ended => words::brought(&last.rows, ended),
        },
        class: if last.ended.is_good() { "" } else { last.ended.class() },
    });
    Row {
        card,
        table: card.table.as_deref().filter(|table| *table != card.name),
        badge: card.standing.into(),
        class: if remedy::is_all_that_is_wrong(card) { "warn" } else { card.standing.class() },
        loaded: Loaded::new(card, now),
        last,
        next: Soon::new(&card.next, now),
        rows: Spark::rows(&card.past),
        took: Spark::durations(&card.past),
        trouble: told(card, now),
        now,
        button: remedy::first(frame, card),
        progress: card.jobs.iter().find(|job| job.runs).map(|job| Progress::new(job, true, now)),
        waits: card.jobs.iter().find_map(|job| job.waits.as_deref()),
    }
}

/// The page.
pub(crate) fn overview(frame: &Frame, view: &Overview) -> String {
    let filters = [
        ("", "All"),
        ("failed", "Failed"),
        ("late", "Late"),
        ("running", "Running"),
        ("paused", "Resting"),
        ("ok", "Up to date"),
    ];
    let chosen = filters.iter().map(|(name, _)| *name).find(|name| *name == view.filter).unwrap_or("");
    let found: Vec<&Card> = view.cards.iter().filter(|card| is_found(card, &view.search)).collect();
    let of = |name: &str| found.iter().filter(|card| name.is_empty() || card.standing.filter() == name).count();
    let chips = filters
        .into_iter()
        .map(|(name, word)| Chip { name, word, many: of(name), chosen: name == chosen })
        .filter(|chip| chip.many > 0 || chip.chosen || chip.name.is_empty());
    let mut cards: Vec<&Card> =
        found.iter().copied().filter(|card| chosen.is_empty() || card.standing.filter() == chosen).collect();
    // What needs somebody comes first; all else stays in the order of the file.
    let needs = |card: &Card| match card.standing.min(Standing::Running) {
        Standing::Running if remedy::is_all_that_is_wrong(card) => (Standing::Late, true),
        standing => (standing, false),
    };
    cards.sort_by_key(|card| needs(card));
    let next = view.cards.iter().filter_map(|card| match card.next {
        Next::At(at) => Some((at, card.name.as_str())),
        _ => None,
    });
    let next = next.min_by_key(|(at, _)| *at).map(|(at, name)| (name, Ago::new(at, frame.now)));
    let page = Page {
        frame,
        view,
        headline: headline(&view.cards),
        chips: chips.collect(),
        rows: cards.into_iter().map(|card| row(card, frame)).collect(),
        next,
    };
    super::rendered(&page)
}
