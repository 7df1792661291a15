//! What happens during a run: a bar on a terminal, log lines elsewhere when asked for, warnings always.

use super::{Printer, Told, events::Teller, terminal};
use crate::env;
use floodmark_core::{
    event::{Event, Observer},
    state::Reject,
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Characters of a pipeline's name in front of its bar.
const NAME: usize = 20;

/// Reads the engine's events for a person who watches.
pub(crate) struct Progress {
    printer: Printer,
    told: Told,
    bars: MultiProgress,
    by_pipeline: Mutex<HashMap<String, ProgressBar>>,
    /// Pipelines whose bar counts intervals, and not rows.
    filling: Mutex<HashSet<String>>,
    /// The first reject of each pipeline's run.
    rejected: Mutex<HashMap<String, Reject>>,
    /// Where a server has started this.
    teller: Option<Teller>,
}

impl Progress {
    /// Bars are drawn on a terminal only, and not between log lines.
    pub(crate) fn new(printer: Printer, logging: bool, told: Told) -> Self {
        let drawn = std::io::stderr().is_terminal() && !printer.quiet() && !logging && printer.host().is_none();
        let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        Progress {
            printer,
            told,
            bars,
            by_pipeline: Mutex::default(),
            filling: Mutex::default(),
            rejected: Mutex::default(),
            teller: env::lookup(env::EVENTS).map(|_| Teller::default()),
        }
    }

    /// The first row that the pipeline's run set aside, once.
    pub(crate) fn rejected(&self, pipeline: &str) -> Option<Reject> {
        self.rejected.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline)
    }

    /// Prints with the bars out of the way.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bars.suspend(print)
    }

    /// Takes a pipeline's bar away. A run that ends before it began sends no event for it.
    pub(crate) fn close(&self, pipeline: &str) {
        let bar = self.by_pipeline.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline);
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    fn fills(&self, pipeline: &str) -> bool {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner).contains(pipeline)
    }

    fn bar(&self, pipeline: &str) -> ProgressBar {
        let mut bars = self.by_pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let bar = self.bars.add(ProgressBar::no_length());
            bar.set_style(spinner());
            bar.set_prefix(named(pipeline));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        bars.entry(pipeline.to_owned()).or_insert_with(new).clone()
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event) {
        if let Some(host) = self.printer.host() {
            host.event(event);
        }
        if let Some(line) = self.teller.as_ref().and_then(|teller| teller.line(event)) {
            // Without a server there is nobody to tell, and the run goes on.
            drop(self.printer.object(&line));
        }
        match event {
            Event::Started { pipeline, run } => {
                tracing::info!(pipeline, run, "started");
                self.bar(pipeline).set_message("looking for what is new");
            }
            Event::Surveying { pipeline, bytes } => {
                tracing::info!(pipeline, bytes, "reading types");
                self.bar(pipeline).set_message(format!("reading types from {}", terminal::bytes(*bytes)));
            }
            Event::Planned { pipeline, slices, rows } => {
                tracing::info!(pipeline, slices, rows, "planned");
                let bar = self.bar(pipeline);
                if let Some(rows) = rows.filter(|r| *r > 0) {
                    bar.set_length(rows);
                    bar.set_style(filling());
                }
                bar.set_message(doing(&bar, false));
            }
            Event::Intervals { pipeline, column, intervals, step, from, until } => {
                tracing::info!(pipeline, column, intervals, step, from, until, "intervals");
                let text = planned(pipeline, column, *intervals, step.as_deref(), from, until);
                self.suspend(|| self.printer.note(&text));
            }
            Event::Filling { pipeline, from, until, done, intervals } => {
                tracing::info!(pipeline, from, until, done, intervals, "interval");
                let bar = self.bar(pipeline);
                if self.filling.lock().unwrap_or_else(PoisonError::into_inner).insert(pipeline.clone()) {
                    bar.set_style(filling_intervals());
                    // What is left is told by intervals alone, and not by the time it took to plan them.
                    bar.reset_eta();
                }
                bar.set_length(*intervals);
                bar.set_position(*done);
                bar.set_message(format!("{} … {}", terminal::clean(from), terminal::clean(until)));
            }
            Event::Progress { pipeline, rows } => {
                tracing::trace!(pipeline, rows, "progress");
                if !self.fills(pipeline) {
                    let bar = self.bar(pipeline);
                    bar.set_message(doing(&bar, false));
                    bar.set_position(*rows);
                }
            }
            Event::Sealed { pipeline } => {
                tracing::trace!(pipeline, "sealed");
                if !self.fills(pipeline) {
                    let bar = self.bar(pipeline);
                    bar.set_message(doing(&bar, true));
                }
            }
            Event::Committed { pipeline, counts } => {
                let c = counts;
                tracing::info!(
                    pipeline,
                    read = c.read,
                    transformed = c.transformed,
                    inserted = c.inserted,
                    updated = c.updated,
                    deleted = c.deleted,
                    unchanged = c.unchanged,
                    superseded = c.superseded,
                    stale = c.stale,
                    skipped = c.skipped,
                    rejected = c.rejected,
                    delete_noop = c.delete_noop,
                    removed = c.removed,
                    "committed"
                );
            }
            Event::Warning { pipeline, message } => {
                // Another program logs what it is told.
                if self.printer.host().is_none() {
                    tracing::warn!(pipeline, "{message}");
                }
                let text = format!("{}: {}", terminal::clean(pipeline), self.told.tell(message));
                self.suspend(|| self.printer.warning(&text));
            }
            Event::Rejected { pipeline, first } => {
                tracing::info!(
                    pipeline,
                    file = first.slice,
                    line = first.line,
                    reason = first.reason,
                    "first rejected row"
                );
                self.rejected.lock().unwrap_or_else(PoisonError::into_inner).insert(pipeline.clone(), first.clone());
            }
            Event::Trial { pipeline, what } => {
                tracing::info!(pipeline, what, "trial");
                let bar = self.bar(pipeline);
                bar.set_style(spinner());
                bar.set_message(what.clone());
            }
            Event::Finished { pipeline } => {
                tracing::info!(pipeline, "finished");
                self.close(pipeline);
            }
            // An event of a later engine has no words here yet.
            _ => {}
        }
    }
}

/// What is going on: the word of a line without a bar, and what stands behind the rows of a bar. A lake's files are written
/// when all rows were read, and for a while a bar that is full would be all there is to see.
fn doing(bar: &ProgressBar, commits: bool) -> &'static str {
    match (bar.length(), commits) {
        (None, false) => "loading",
        (None, true) => "committing",
        (Some(_), false) => "",
        (Some(_), true) => ", committing",
    }
}

// A template is constant; were it wrong, the plain style is as good.
fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}  {msg}{took}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("took", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A style has nowhere to report to.
            let _ = out.write_str(&took(state.elapsed()));
        })
}

fn filling() -> ProgressStyle {
    // The bar takes what the rest leaves of the line.
    ProgressStyle::with_template("{spinner} {prefix}  {wide_bar}  {human_pos} of {human_len} rows{left}{msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = out.write_str(&left(state.elapsed(), state.eta()));
        })
}

fn filling_intervals() -> ProgressStyle {
    ProgressStyle::with_template(
        "{spinner} {prefix}  {wide_bar}  {human_pos} of {human_len} intervals{left}, now {msg}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
    .with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = out.write_str(&left(state.elapsed(), state.eta()));
    })
}

/// What a backfill is about to load, the step in words: `1m` is easily taken for a month.
fn planned(pipeline: &str, column: &str, intervals: u64, step: Option<&str>, from: &str, until: &str) -> String {
    let of = step.map(|step| format!(" of {step}")).unwrap_or_default();
    let [pipeline, column, from, until] = [pipeline, column, from, until].map(terminal::clean);
    format!("{pipeline}: {}{of} along {column}, from {from} to {until}", terminal::count(intervals, "interval"))
}

/// A name, cut short where the rest of the line would not fit beside it.
fn named(pipeline: &str) -> String {
    let name = terminal::clean(pipeline);
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// How long it has taken, once that is long enough to wonder about.
fn took(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(2) { String::new() } else { format!(", {} so far", whole(elapsed)) }
}

/// What is left, once there is enough behind it to tell by.
fn left(elapsed: Duration, eta: Duration) -> String {
    let telling = elapsed >= Duration::from_secs(2) && eta >= Duration::from_secs(1);
    if telling { format!(", about {} left", whole(eta)) } else { String::new() }
}

/// `8 s`, `3 min 20 s`: a running clock has no use for hundredths.
fn whole(time: Duration) -> String {
    match time.as_secs() {
        s if s < 60 => format!("{s} s"),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_leaves_room_for_the_numbers() {
        assert_eq!(named("orders"), "orders");
        assert_eq!(named("a_name_of_25_characters_x"), "a_name_of_25_charact…");
    }

    #[test]
    fn what_comes_behind_the_last_row_is_told() {
        let (line, bar) = (ProgressBar::hidden(), ProgressBar::hidden());
        line.unset_length();
        bar.set_length(3);
        assert_eq!([doing(&line, false), doing(&line, true)], ["loading", "committing"]);
        assert_eq!([doing(&bar, false), doing(&bar, true)], ["", ", committing"]);
    }

    #[test]
    fn the_step_of_a_backfill_is_told_in_words() {
        let text = planned("orders", "day", 1, Some("1 month"), "2024-01-01", "2024-02-01");
        assert_eq!(text, "orders: 1 interval of 1 month along day, from 2024-01-01 to 2024-02-01");
        let text = planned("orders", "id", 2, None, "0", "7");
        assert_eq!(text, "orders: 2 intervals along id, from 0 to 7");
    }

    #[test]
    fn no_time_is_told_before_it_says_something() {
        let s = Duration::from_secs;
        assert_eq!([took(s(0)), took(s(1)), took(s(8)), took(s(200))], ["", "", ", 8 s so far", ", 3 min 20 s so far"]);
        assert_eq!(left(s(0), s(50)), "");
        assert_eq!(left(s(5), Duration::from_millis(900)), "");
        assert_eq!(left(s(5), s(75)), ", about 1 min 15 s left");
    }
}
