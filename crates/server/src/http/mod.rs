//! Requests and answers.

mod alerts;
mod api;
mod books;
mod events;
mod forms;
mod guard;
mod metrics;
mod pages;
mod view;

pub(crate) use guard::Gate;
pub(crate) use pages::link;

use crate::{sandbox::Sandbox, scheduler::Shared};
use axum::{Router, extract::State, http::StatusCode, middleware, routing::get};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

/// Connections at a time.
const CONNECTIONS: usize = 512;
/// A request's head comes within that time and in that much.
const HEAD: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 32 << 10;
/// The loop went round within this time, or the server is not well.
const PULSE: i64 = 60;

/// What every answer is made of.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) shared: Arc<Shared>,
    pub(crate) gate: Arc<Gate>,
    /// `None` where there is nothing to try.
    pub(crate) sandbox: Option<Arc<Sandbox>>,
}

/// Answers until `over`.
pub(crate) async fn listen(
    listener: TcpListener,
    shared: Arc<Shared>,
    gate: Gate,
    sandbox: Option<Arc<Sandbox>>,
    over: impl Future<Output = ()>,
) {
    let app = router(App { shared, gate: Arc::new(gate), sandbox });
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    tokio::pin!(over);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut over => break,
        };
        // A connection that was gone before it was taken, or too many open files, which some end will mend.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
        // Events are small and wanted now.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(app.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // Whoever hung up hears nothing more.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .merge(pages::router())
        .merge(forms::router())
        .nest("/api/v1", api::router())
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

/// Whether it lives: the loop goes round.
async fn healthy(State(app): State<App>) -> (StatusCode, &'static str) {
    let still = (app.shared.clock.now() - app.shared.pulse()).num_seconds();
    if still < PULSE {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the scheduler stands still\n")
    }
}

/// Whether it knows what it speaks of: every ledger was looked at.
async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    let board = app.shared.board();
    let unread =
        board.entries.iter().filter(|entry| entry.declared.pipeline.is_ok()).any(|entry| entry.known.is_none());
    match (board.stopping, unread) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        (false, true) => (StatusCode::SERVICE_UNAVAILABLE, "ledgers are being read\n"),
        (false, false) => (StatusCode::OK, "ok\n"),
    }
}
