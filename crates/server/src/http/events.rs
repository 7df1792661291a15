//! What happens, as it happens: server-sent events.

use super::{
    App,
    api::{
        ApiError,
        page::{Asked, Within},
    },
    view::{EventView, JobView, job_status},
};
use crate::scheduler::{Shared, Told};
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use utoipa::{IntoParams, ToSchema};

/// Whoever hears nothing for so long is told that all is well, so that nothing between takes the connection for dead.
const QUIET: Duration = Duration::from_secs(15);

/// How long somebody listens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listening {
    /// For so many seconds; without it, as long as there is something to be heard.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 86400)]
    seconds: Option<Seconds>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u64")]
struct Seconds(u64);

impl TryFrom<u64> for Seconds {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        let fits = (1..=86_400).contains(&seconds);
        fits.then_some(Seconds(seconds)).ok_or("seconds is a number from 1 to 86400")
    }
}

impl Listening {
    /// Until that time is over.
    async fn over(self) {
        match self.seconds {
            Some(Seconds(seconds)) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    }
}

/// An event, as its fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is described here, and sent as a text")]
struct SentView {
    /// What it is about.
    event: String,
    /// An object, as JSON.
    data: String,
    /// What is sent as `Last-Event-ID` by whoever comes again.
    id: Option<String>,
}

type Answer<S> = Sse<axum::response::sse::KeepAliveStream<S>>;

fn event(kind: &str, data: &impl Serialize) -> Event {
    // What is told is made of texts and numbers.
    Event::default().event(kind).data(serde_json::to_string(data).unwrap_or_default())
}

fn kept_alive<S: Stream<Item = Result<Event, Infallible>> + Send + 'static>(stream: S) -> Answer<S> {
    Sse::new(stream).keep_alive(KeepAlive::new().interval(QUIET))
}

/// The next news; `None` when the server stops. Whoever was too slow goes on with what is new.
async fn next(news: &mut Receiver<Told>) -> Option<Told> {
    loop {
        match news.recv().await {
            Ok(Told::Over) | Err(RecvError::Closed) => return None,
            Ok(told) => return Some(told),
            Err(RecvError::Lagged(_)) => {}
        }
    }
}

/// Of all: `job` (a piece of work began, ended or waits for something else), `pipeline` (more is known of it) and `project` (the
/// pipeline file was read anew: its mistakes, or null).
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "events",
    params(Listening),
    responses((status = 200, description = "Server-sent events.", body = SentView, content_type = "text/event-stream"))
)]
pub(super) async fn all(
    State(app): State<App>,
    Asked(listening): Asked<Listening>,
) -> Answer<impl Stream<Item = Result<Event, Infallible>>> {
    let start = (app.shared.told.subscribe(), Arc::clone(&app.shared));
    let events = stream::unfold(start, async |(mut news, shared)| {
        loop {
            let event = match next(&mut news).await? {
                Told::Job(id) => {
                    let board = shared.board();
                    let Some(job) = board.jobs.get(&id) else { continue };
                    event(
                        "job",
                        &json!({"id": id, "pipeline": job.pipeline, "status": job_status(job), "run": job.run}),
                    )
                }
                Told::Pipeline(name) => event("pipeline", &json!({ "pipeline": name })),
                Told::Project => event("project", &json!({ "mistakes": shared.board().mistakes })),
                Told::Over => continue,
            };
            return Some((Ok(event), (news, shared)));
        }
    });
    kept_alive(events.take_until(Box::pin(listening.over())))
}

/// Where a reader of one piece of work is.
struct Reader {
    shared: Arc<Shared>,
    news: Receiver<Told>,
    said: Receiver<String>,
    id: String,
    /// The number of the last event that was told.
    told: u64,
    over: bool,
}

impl Reader {
    /// Whether what happens next is about this piece of work; `None` when the server stops.
    async fn heard(&mut self) -> Option<bool> {
        tokio::select! {
            told = next(&mut self.news) => Some(matches!(told?, Told::Job(id) if id == self.id)),
            said = self.said.recv() => match said {
                Ok(id) => Some(id == self.id),
                // Whoever was too slow looks at what there is.
                Err(RecvError::Lagged(_)) => Some(true),
                Err(RecvError::Closed) => None,
            },
        }
    }

    /// What there is to tell now.
    fn news(&mut self) -> Vec<Event> {
        let board = self.shared.board();
        let Some(job) = board.jobs.get(&self.id) else {
            self.over = true;
            return Vec::new();
        };
        let mut out: Vec<Event> = Vec::new();
        for said in job.events.iter().filter(|said| said.number > self.told) {
            out.push(event("said", &EventView::from(said)).id(said.number.to_string()));
        }
        self.told = job.told;
        self.over = job.end().is_some();
        out.push(event("job", &JobView::from(job)));
        out
    }
}

/// Of one piece of work, from its beginning (or behind `Last-Event-ID`) to its end: `said` with each event, `job` with where
/// it stands.
#[utoipa::path(
    get,
    path = "/jobs/{id}/events",
    operation_id = "job_events",
    params(("id" = String, Path), Listening),
    responses(
        (status = 200, description = "Server-sent events.", body = SentView, content_type = "text/event-stream"),
        (status = 404, description = "There is no such work.", body = super::api::ErrorView)
    )
)]
pub(super) async fn of_job(
    State(app): State<App>,
    Within(id): Within<String>,
    Asked(listening): Asked<Listening>,
    headers: HeaderMap,
) -> Result<Answer<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let (news, said) = (app.shared.told.subscribe(), app.shared.said.subscribe());
    if !app.shared.board().jobs.contains_key(&id) {
        return Err(ApiError::unknown(format!("there is no work {id:?}")));
    }
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    let reader = Reader { shared: app.shared, news, said, id, told: last.unwrap_or(0), over: false };
    let parts = stream::unfold((reader, true), async |(mut reader, first)| {
        if reader.over {
            return None;
        }
        // At first there is what has been told already.
        let mut heard = first;
        while !heard {
            heard = reader.heard().await?;
        }
        let events = reader.news();
        Some((stream::iter(events.into_iter().map(Ok)), (reader, false)))
    });
    Ok(kept_alive(parts.flatten().take_until(Box::pin(listening.over()))))
}
