//! Gets spans to where they are wanted, from the thread of OpenTelemetry's batches, so that no run waits: the library's
//! encoder over the client that alerts and lineage are posted with.

use async_trait::async_trait;
use floodmark_core::outlet::WebUrl;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use prost::Message;
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// How long a collector may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What became of what was sent.
#[derive(Debug)]
pub(crate) struct Delivery {
    url: WebUrl,
    /// When all is to be over, once that is known.
    by: OnceLock<Instant>,
    so_far: Mutex<SoFar>,
}

#[derive(Debug, Default)]
struct SoFar {
    /// Spans that did not arrive.
    lost: u64,
    /// Why the first of them did not.
    first: Option<String>,
    /// Why the last attempt failed; `None` where it did not.
    why: Option<String>,
}

impl Delivery {
    pub(crate) fn to(url: WebUrl) -> Arc<Delivery> {
        Arc::new(Delivery { url, by: OnceLock::new(), so_far: Mutex::default() })
    }

    /// What is not there by then is given up.
    pub(crate) fn end_by(&self, by: Instant) {
        self.by.get_or_init(|| by);
    }

    /// What did not arrive, and why, in a sentence without a full stop. `in_time`: whether the last of it was heard of.
    pub(crate) fn lost(&self, in_time: bool) -> Option<String> {
        let so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let why = so_far.first.clone().or_else(|| so_far.why.clone());
        let why = why.or_else(|| (!in_time).then(|| format!("{}: no answer in time", self.url)))?;
        let spans = match so_far.lost {
            0 => "spans were".to_owned(),
            lost => floodmark_core::wording::agree(lost, "span", "was", "were"),
        };
        Some(format!("traces: {spans} not sent; no load is touched by it: {why}"))
    }

    fn attempted(&self, why: Option<String>) {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner).why = why;
    }

    /// Notes a batch that is over, with all of its attempts.
    fn over(&self, lost: u64) {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        if lost == 0 {
            return;
        }
        so_far.lost += lost;
        let why = so_far.why.clone().unwrap_or_else(|| format!("{}: they cannot be sent", self.url));
        tracing::warn!(spans = lost, why, "spans of traces were not sent");
        so_far.first.get_or_insert(why);
    }

    /// What encodes and sends.
    ///
    /// # Errors
    /// Where the address is one that cannot be posted to.
    pub(crate) fn exporter(self: &Arc<Delivery>) -> Result<Exporter, String> {
        let otlp = Otlp::builder()
            .with_http()
            .with_http_client(Client(Arc::clone(self)))
            .with_endpoint(self.url.written())
            .build();
        // What it says of the address may repeat what is secret in it.
        let otlp = otlp.map_err(|_| format!("{}: the address cannot be posted to", self.url))?;
        Ok(Exporter { otlp, delivery: Arc::clone(self) })
    }
}

/// The library's, and what became of each batch.
#[derive(Debug)]
pub(crate) struct Exporter {
    otlp: Otlp,
    delivery: Arc<Delivery>,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let sent = self.otlp.export(batch).await;
        self.delivery.over(if sent.is_err() { spans } else { 0 });
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.otlp.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

/// Posts what is encoded. It is asked on the thread of the batches, which has nothing else to do than wait.
#[derive(Debug)]
struct Client(Arc<Delivery>);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let delivery = &self.0;
        let left = delivery.by.get().map_or(ANSWER, |by| by.saturating_duration_since(Instant::now()).min(ANSWER));
        if left.is_zero() {
            return Err("time is up".into());
        }
        let headers: Vec<(&str, &str)> =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let answer = floodmark_post::send(&delivery.url, &headers, request.body(), left).inspect_err(|unsent| {
            delivery.attempted(Some(unsent.to_string()));
        })?;
        delivery.attempted(answer.refusal(&delivery.url).map(|refusal| refusal.to_string()));
        let refused = ExportTraceServiceResponse::decode(answer.body.as_slice()).ok().filter(|_| answer.status == 200);
        let refused = refused.and_then(|answer| answer.partial_success).map_or(0, |partial| partial.rejected_spans);
        if let Some(refused) = u64::try_from(refused).ok().filter(|refused| *refused > 0) {
            delivery.attempted(Some(format!("{}: it took the others and refused these", delivery.url)));
            delivery.over(refused);
        }
        let mut response = Response::builder().status(answer.status);
        if let Some(after) = answer.retry_after {
            response = response.header("Retry-After", after);
        }
        Ok(response.body(Bytes::from(answer.body))?)
    }
}
