//! The trace of one poll: a root span from its start to its publication, below it a span for each
//! request and one for the publication.
//!
//! Most polls have none, and then nothing here does anything. Whatever becomes of a poll, its spans
//! end with it: where nobody says how it ended, it was cancelled, or its publication abandoned.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::failure::PollFailure;
use crate::config::EndpointConfig;
use crate::model::Version;
use crate::store::StoreError;
use crate::telemetry::Traces;

tokio::task_local! {
    /// Below what the requests of the present poll belong. It goes beside the
    /// [`Fetch`](super::Fetch) trait, which is none of it.
    static POLL: Parent;
}

/// A span that others belong below.
#[derive(Clone, Debug)]
pub(super) struct Parent {
    tracer: SdkTracer,
    context: Context,
}

impl Parent {
    /// That of the poll which this is called from, if it is traced.
    pub(super) fn of_this_poll() -> Option<Self> {
        POLL.try_with(Self::clone).ok()
    }

    /// Starts a span below it.
    pub(super) fn child(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
    ) -> Context {
        let span = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        Context::new().with_span(span.start_with_context(&self.tracer, &self.context))
    }
}

/// The trace of one poll, or none.
#[derive(Debug, Default)]
pub(super) struct PollTrace(Option<Box<Root>>);

#[derive(Debug)]
struct Root {
    parent: Parent,
    endpoint: String,
    store: &'static str,
    progress: Progress,
}

/// How far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Polling,
    Changed,
    Done,
}

impl PollTrace {
    /// Begins one if it is drawn, for a poll of `endpoint` in `term` that starts `late`.
    pub(super) fn begin(
        traces: &Traces,
        endpoint: &EndpointConfig,
        term: u64,
        late: Duration,
    ) -> Self {
        let Some(tracer) = traces.draw() else { return Self::default() };
        let endpoint = endpoint.name.to_string();
        let root = tracer.span_builder(format!("poll {endpoint}")).with_attributes([
            KeyValue::new("pollux.endpoint", endpoint.clone()),
            KeyValue::new("pollux.term", number(term)),
            KeyValue::new("pollux.schedule_lag", late.as_secs_f64()),
        ]);
        let root = root.start_with_context(&tracer, &Context::new());
        let parent = Parent { tracer, context: Context::new().with_span(root) };
        let store = traces.store();
        Self(Some(Box::new(Root { parent, endpoint, store, progress: Progress::Polling })))
    }

    /// Its id in hex, for logs; `None` where there is no trace.
    pub(super) fn id(&self) -> Option<String> {
        let root = self.0.as_ref()?;
        Some(root.parent.context.span().span_context().trace_id().to_string())
    }

    /// Runs a poll, whose requests then belong to the trace.
    pub(super) async fn scope<F: Future>(&self, poll: F) -> F::Output {
        match &self.0 {
            Some(root) => POLL.scope(root.parent.clone(), poll).await,
            None => poll.await,
        }
    }

    /// The poll is over with `outcome`, as in `pollux_polls_total`.
    pub(super) fn checked(mut self, outcome: &'static str) {
        if let Some(root) = &mut self.0 {
            root.poll_ends(outcome, Progress::Done);
        }
    }

    /// The poll brought a change, which is to be published.
    pub(super) fn changed(mut self) -> Self {
        if let Some(root) = &mut self.0 {
            root.poll_ends("changed", Progress::Changed);
        }
        self
    }

    /// The poll failed.
    pub(super) fn failed(mut self, failure: &PollFailure) {
        if let Some(root) = &mut self.0 {
            root.poll_ends("failed", Progress::Done);
            let span = root.parent.context.span();
            span.set_attribute(KeyValue::new("error.type", failure.kind.as_str()));
            // Its message quotes the answer, which stays in the log: traces go to others.
            span.set_status(Status::error(failure.kind.as_str()));
        }
    }

    /// A newer change of the same endpoint was there before this one was sent.
    pub(super) fn superseded(mut self) {
        if let Some(root) = &mut self.0 {
            root.publication_ends("superseded");
        }
    }
}

impl Root {
    fn poll_ends(&mut self, outcome: &'static str, progress: Progress) {
        self.progress = progress;
        self.parent.context.span().set_attribute(KeyValue::new("pollux.poll.outcome", outcome));
    }

    fn publication_ends(&mut self, outcome: &'static str) {
        self.progress = Progress::Done;
        let outcome = KeyValue::new("pollux.publication.outcome", outcome);
        self.parent.context.span().set_attribute(outcome);
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        match self.progress {
            Progress::Polling => self.poll_ends("cancelled", Progress::Done),
            Progress::Changed => self.publication_ends("abandoned"),
            Progress::Done => {}
        }
        self.parent.context.span().end();
    }
}

/// The traced publications of one batch: a span for each, below its poll, with the time of the
/// batch. Links from one span of the batch would leave each trace without its end.
#[derive(Debug, Default)]
pub(super) struct BatchTrace(Vec<Publishing>);

#[derive(Debug)]
struct Publishing {
    root: Box<Root>,
    span: Context,
}

impl BatchTrace {
    /// Adds a publication that goes with the batch.
    pub(super) fn add(&mut self, poll: PollTrace, version: Version) {
        let PollTrace(Some(root)) = poll else { return };
        let name = format!("publish {}", root.endpoint);
        let span = root.parent.child(
            name,
            SpanKind::Producer,
            vec![
                KeyValue::new("db.system.name", root.store),
                KeyValue::new("messaging.system", root.store),
                KeyValue::new("messaging.operation.name", "publish"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.destination.name", root.endpoint.clone()),
                KeyValue::new("messaging.message.id", version.to_string()),
                KeyValue::new("pollux.endpoint", root.endpoint.clone()),
                KeyValue::new("pollux.term", number(version.term)),
                KeyValue::new("pollux.version", version.to_string()),
            ],
        );
        self.0.push(Publishing { root, span });
    }

    /// Sending it failed, and is tried again.
    pub(super) fn failed(&self, error: &StoreError) {
        for Publishing { span, .. } in &self.0 {
            let kind = KeyValue::new("error.type", error.kind.as_str());
            span.span().add_event("pollux.publish.failed", vec![kind]);
        }
    }

    /// The store refused it.
    pub(super) fn fenced(&mut self) {
        for Publishing { root, span } in &mut self.0 {
            span.span().set_attribute(KeyValue::new("error.type", "fenced"));
            span.span().set_status(Status::error("fenced: the record is another leadership's"));
            root.publication_ends("fenced");
        }
        self.0.clear();
    }

    /// It took effect, with so many publications.
    pub(super) fn accepted(&mut self, publications: usize) {
        for Publishing { root, span } in &mut self.0 {
            // By the conventions, a message that goes alone is no batch.
            if publications > 1 {
                let count = number(publications as u64);
                span.span().set_attribute(KeyValue::new("messaging.batch.message_count", count));
            }
            root.publication_ends("accepted");
        }
        self.0.clear();
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.span.span().end();
    }
}

/// OpenTelemetry has no unsigned numbers.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
