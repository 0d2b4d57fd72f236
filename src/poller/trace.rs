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
use crate::model::{EndpointName, Version};
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
        endpoint: &EndpointName,
        term: u64,
        late: Duration,
    ) -> Self {
        let Some((tracer, store)) = traces.draw() else { return Self::default() };
        let endpoint = endpoint.to_string();
        let root = tracer.span_builder(format!("poll {endpoint}")).with_attributes([
            KeyValue::new("pollux.endpoint", endpoint.clone()),
            KeyValue::new("pollux.term", number(term)),
            KeyValue::new("pollux.schedule_lag", late.as_secs_f64()),
        ]);
        let root = root.start_with_context(&tracer, &Context::new());
        let parent = Parent { tracer, context: Context::new().with_span(root) };
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

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
    use parking_lot::Mutex;

    use super::*;

    /// Keeps the spans that have ended.
    #[derive(Clone, Debug, Default)]
    pub(in crate::poller) struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Ended {
        fn on_start(&self, _span: &mut Span, _context: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    impl Ended {
        /// The trace of a poll that brought a change, and where its spans end.
        pub(in crate::poller) fn changed() -> (PollTrace, Self) {
            let (trace, ended) = Self::polling();
            (trace.changed(), ended)
        }

        fn polling() -> (PollTrace, Self) {
            let ended = Self::default();
            let traces = Traces::ending_in(ended.clone());
            let name = EndpointName::new("prices").unwrap();
            (PollTrace::begin(&traces, &name, 7, Duration::ZERO), ended)
        }

        /// The names of all spans that have ended, each with the value of an attribute.
        pub(in crate::poller) fn values(&self, attribute: &str) -> Vec<(String, String)> {
            let value = |span: &SpanData| {
                let found = span.attributes.iter().find(|pair| pair.key.as_str() == attribute);
                found.map(|pair| pair.value.as_str().into_owned()).unwrap_or_default()
            };
            self.0.lock().iter().map(|span| (span.name.to_string(), value(span))).collect()
        }

        fn publication(&self) -> Vec<(String, String)> {
            self.values("pollux.publication.outcome")
        }
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn a_poll_of_which_nobody_says_how_it_ended_was_cancelled() {
        let (trace, ended) = Ended::polling();
        drop(trace);
        assert_eq!(ended.values("pollux.poll.outcome"), pairs([("poll prices", "cancelled")]));
    }

    #[test]
    fn a_trace_without_a_publication_ends_with_its_poll() {
        let (trace, ended) = Ended::polling();
        trace.checked("unchanged");
        assert_eq!(ended.values("pollux.poll.outcome"), pairs([("poll prices", "unchanged")]));
    }

    #[test]
    fn the_spans_of_a_batch_end_when_it_took_effect() {
        let (trace, ended) = Ended::changed();
        let mut batch = BatchTrace::default();
        batch.add(trace, Version::new(7, 1));
        batch.add(PollTrace::default(), Version::new(7, 2));
        assert!(ended.publication().is_empty());
        batch.accepted(2);
        let spans = pairs([("publish prices", ""), ("poll prices", "accepted")]);
        assert_eq!(ended.publication(), spans);
        assert_eq!(ended.values("messaging.batch.message_count")[0].1, "2");
        assert_eq!(ended.values("pollux.version")[0].1, "7-1");
    }

    #[test]
    fn a_fenced_publication_says_so() {
        let (trace, ended) = Ended::changed();
        let mut batch = BatchTrace::default();
        batch.add(trace, Version::new(7, 1));
        batch.fenced();
        let spans = pairs([("publish prices", ""), ("poll prices", "fenced")]);
        assert_eq!(ended.publication(), spans);
        assert_eq!(ended.values("error.type")[0].1, "fenced");
    }

    #[test]
    fn a_batch_that_is_given_up_leaves_abandoned_publications() {
        let (trace, ended) = Ended::changed();
        let mut batch = BatchTrace::default();
        batch.add(trace, Version::new(7, 1));
        drop(batch);
        let spans = pairs([("publish prices", ""), ("poll prices", "abandoned")]);
        assert_eq!(ended.publication(), spans);
    }
}
