//! What puts a pipeline right, where one button can.

use super::{
    parts::{Act, Button},
    view::{Card, Frame, Standing},
};

/// The one button of a pipeline where there is room for one: what is left of its history comes before another run, where that
/// is all that is wrong.
pub(crate) fn first<'a>(frame: &'a Frame, card: &'a Card) -> Option<Button<'a>> {
    match &card.undone {
        Some(undone) if is_all_that_is_wrong(card) => {
            Some(Button::new(frame, &card.name, Act::Again, "Retry backfill").of(&undone.id).loud())
        }
        _ => button(frame, card),
    }
}

/// Whether nothing is wrong but that a backfill is not all in.
pub(crate) fn is_all_that_is_wrong(card: &Card) -> bool {
    card.undone.is_some()
        && matches!(card.standing, Standing::Ok | Standing::Waiting | Standing::New | Standing::Paused)
}

/// The one button of a pipeline, as its state asks for it; `None` where a person has to change something first.
pub(crate) fn button<'a>(frame: &'a Frame, card: &'a Card) -> Option<Button<'a>> {
    let running = card.jobs.iter().find(|job| job.runs);
    let new = |act, label: &str| Button::new(frame, &card.name, act, label);
    match card.standing {
        Standing::Broken => None,
        Standing::Running => running.filter(|job| !job.ending).map(|job| new(Act::Cancel, "Stop").of(&job.id)),
        Standing::Failed => Some(new(Act::Run, "Retry").loud()),
        Standing::Unknown => Some(new(Act::Run, "Try again").loud()),
        Standing::Late => Some(new(Act::Run, "Run now").loud()),
        Standing::New => Some(new(Act::Run, "Run first time")),
        Standing::Paused => Some(new(Act::Resume, "Resume")),
        Standing::Waiting | Standing::Ok if card.rejects > 0 => {
            let label = match card.rejects {
                1 => "Replay 1 reject".to_owned(),
                n => format!("Replay {} rejects", floodmark_core::wording::grouped(n)),
            };
            Some(Button::new(frame, &card.name, Act::Replay, label))
        }
        Standing::Waiting | Standing::Ok => Some(new(Act::Run, "Run now")),
    }
}
