//! Whom alerts go to.

use super::{Asked, frame};
use crate::{
    http::{App, alerts},
    page::{
        self,
        view::{Alerts, ChannelLine, Reach, ToldLine},
    },
};
use axum::{
    extract::{Query, State},
    response::Html,
};

pub(super) async fn page(State(app): State<App>, Query(told): Asked) -> Html<String> {
    let frame = frame(&app, &told);
    let view = alerts::view(&app);
    let line = |channel: alerts::ChannelView| ChannelLine {
        reach: match channel.status {
            "ok" => Reach::Ok,
            "off" => Reach::Off,
            _ => Reach::Failing,
        },
        name: channel.name,
        to: channel.to.unwrap_or_else(|| channel.kind.to_owned()),
        message: channel.message,
        since: channel.failing_since.map(|at| at.0),
        last: channel.last_arrived.map(|at| at.0),
        on: channel.on,
        pipelines: channel.pipelines,
        told: channel
            .told
            .into_iter()
            .map(|told| ToldLine {
                pipeline: told.pipeline,
                trouble: told.trouble,
                since: told.since.0,
                told: told.told_at.0,
            })
            .collect(),
    };
    let alerts = Alerts { tells: view.tells, channels: view.items.into_iter().map(line).collect() };
    Html(page::alerts(&frame, &alerts))
}
