//! What happens during a run: a bar on a terminal, log lines elsewhere when asked for, warnings always.

use super::{Printer, terminal};
use floodmark_core::event::{Event, Observer};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    collections::HashMap,
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Reads the engine's events for a person who watches.
pub(crate) struct Progress {
    printer: Printer,
    bars: MultiProgress,
    by_pipeline: Mutex<HashMap<String, ProgressBar>>,
}

impl Progress {
    /// Bars are drawn on a terminal only, and not between log lines.
    pub(crate) fn new(printer: Printer, logging: bool) -> Self {
        let drawn = std::io::stderr().is_terminal() && !printer.quiet() && !logging;
        let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Progress { printer, bars: MultiProgress::with_draw_target(target), by_pipeline: Mutex::default() }
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

    fn bar(&self, pipeline: &str) -> ProgressBar {
        let mut bars = self.by_pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let bar = self.bars.add(ProgressBar::no_length());
            bar.set_style(spinner());
            bar.set_prefix(terminal::clean(pipeline));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        bars.entry(pipeline.to_owned()).or_insert_with(new).clone()
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event) {
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
                bar.set_message("loading");
                if let Some(rows) = rows.filter(|r| *r > 0) {
                    bar.set_length(rows);
                    bar.set_style(filling());
                }
            }
            Event::Progress { pipeline, rows } => {
                tracing::trace!(pipeline, rows, "progress");
                self.bar(pipeline).set_position(*rows);
            }
            Event::Committed { pipeline, counts } => {
                tracing::info!(pipeline, ?counts, "committed");
                self.bar(pipeline).set_message("loading, part of it committed");
            }
            Event::Warning { pipeline, message } => {
                tracing::warn!(pipeline, message, "warning");
                let text = format!("{}: {message}", terminal::clean(pipeline));
                self.suspend(|| self.printer.warning(&text));
            }
            Event::Finished { pipeline } => {
                tracing::info!(pipeline, "finished");
                self.close(pipeline);
            }
            other => tracing::debug!(?other, "event"),
        }
    }
}

// A template is constant; were it wrong, the plain style is as good.
fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}  {msg}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn filling() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix}  {bar:30}  {human_pos} of {human_len} rows  {msg}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
