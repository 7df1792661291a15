//! Pages: from what there is to know (`view`) to HTML, without input or output. They are whole without a script; with one
//! (`assets/app.js`) figures stay as new as they are, and buttons leave the page where it is.
//!
//! Each button is a form of its own, to `POST /pipelines/NAME/WHAT` (`run`, `refresh`, `plan`, `verify`, `repair`, `replay`,
//! `backfill`, `pause`, `resume`) or `POST /jobs/ID/cancel`, `…/retry`, with `form` (that it is one of these pages'). `backfill` has `from`,
//! `to`, `by` (empty where not given), and `missing` where only gaps are to be filled. `POST /login` has `token` and `next`,
//! `POST /logout` only `form`, `POST /alerts/test` has `channel`. `POST /try` and `POST /try/ID` have `load`, `key`, `watermark`, `first`,
//! `second`, `do` (`run`, `kill`, `anew`) and `at`. Pages are `/` (`?q=WORDS&is=STATE`), `/pipelines/NAME`, `/runs`, `/runs/ID`,
//! `/jobs/ID`, `/alerts`, `/errors/CODE`, `/help`, `/login`, `/try`, `/try/ID`.

mod alerts;
mod assets;
mod chart;
mod overview;
mod parts;
mod pipeline;
mod plain;
mod prose;
mod remedy;
mod run;
mod runs;
mod trial;
pub(crate) mod view;
mod words;

#[cfg(test)]
mod made_up;
#[cfg(test)]
mod tests;

pub(crate) use alerts::alerts;
pub(crate) use assets::{KEPT, asset};
pub(crate) use overview::overview;
pub(crate) use pipeline::pipeline;
pub(crate) use plain::{error_code, help, inside, login, problem};
pub(crate) use prose::section;
pub(crate) use run::run;
pub(crate) use runs::runs;
pub(crate) use trial::trial;
pub(crate) use words::brought;

/// The text of a template. Writing to a string fails for no reason a template here has; were there one, the page would say so.
fn rendered(template: &impl askama::Template) -> String {
    template.render().unwrap_or_else(|error| format!("<!doctype html><title>Floodmark</title><p>{error}</p>"))
}
