//! What puts a pipeline right, where one button can.

use super::{
    parts::{Act, Button},
    view::{Card, Frame, Standing},
};

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
