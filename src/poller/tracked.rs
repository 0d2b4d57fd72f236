use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};
use tokio::task::AbortHandle;

use super::breaker::Breaker;
use super::failure::{PollFailure, PollFailureKind};
use super::fetch::Validators;
use super::plan::{Planned, asks_alike};
use super::schedule::Schedule;
use super::trace::PollTrace;
use crate::config::EndpointConfig;
use crate::store::PollState;
use crate::telemetry::EndpointLabels;

/// What a leader knows of one endpoint.
pub(super) struct Tracked {
    pub(super) config: Arc<EndpointConfig>,
    pub(super) schedule: Schedule,
    /// What tells its request from others'.
    pub(super) request: Arc<str>,
    /// The hash of the published snapshot; empty when it is to be published whatever it is.
    pub(super) hash: String,
    pub(super) validators: Validators,
    /// The poll under way.
    pub(super) in_flight: Option<AbortHandle>,
    /// It is no longer polled.
    pub(super) retired: bool,
    pub(super) breaker: Breaker,
    /// Whether the breaker is shown as open.
    pub(super) shown: ShownBreaker,
    /// The kind of the last failure; none after a good poll, nor where the last leader saw it.
    pub(super) failing: Option<PollFailureKind>,
    pub(super) metrics: Arc<PollMetrics>,
}

impl Tracked {
    /// An endpoint as it was left: `base` is the first term of the store's present history.
    pub(super) fn resume(planned: &Planned, state: &PollState, base: u64, now: u64) -> Self {
        let Planned { config, schedule, request, metrics } = planned.clone();
        let PollState { failures, retry_at, rest_until, .. } = *state;
        let breaker = Breaker::resume(failures, retry_at, rest_until, schedule, now);
        let (mut hash, mut validators) = (state.hash.clone(), Validators::default());
        // An older snapshot may have come back with a rolled-back store: readers may hold
        // a newer one, so it is published again under a version above theirs.
        if state.version.term < base {
            hash.clear();
        } else if state.request.is_empty() || *state.request == *request {
            validators.etag.clone_from(&state.etag);
            validators.last_modified.clone_from(&state.last_modified);
        }
        Self {
            config,
            schedule,
            request,
            hash,
            validators,
            in_flight: None,
            retired: false,
            breaker,
            shown: ShownBreaker::new(metrics.breaker_open.clone(), breaker.is_open()),
            failing: None,
            metrics,
        }
    }

    /// Goes on as planned now. Where that asks for something else, nothing of before counts any more.
    /// Returns whether it still asks alike.
    pub(super) fn replan(&mut self, planned: &Planned, now: u64) -> bool {
        let asks_alike = asks_alike(&planned.config, &self.config);
        let Planned { config, schedule, request, metrics } = planned.clone();
        if !Arc::ptr_eq(&metrics, &self.metrics) {
            self.shown = ShownBreaker::new(metrics.breaker_open.clone(), self.breaker.is_open());
        }
        (self.config, self.schedule) = (config, schedule);
        (self.request, self.metrics) = (request, metrics);
        if !asks_alike {
            self.forget();
            self.breaker = Breaker::default();
            self.failing = None;
            self.shown.set(false);
        } else {
            self.breaker = self.breaker.rescheduled(self.schedule, now);
            self.shown.set(self.breaker.is_open());
        }
        asks_alike
    }

    /// Lets the next good poll be published, whatever it brings.
    pub(super) fn forget(&mut self) {
        self.hash.clear();
        self.validators = Validators::default();
    }

    /// Ends: it is no longer polled.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        self.shown.set(false);
    }

    /// When the endpoint is polled if a slot comes at `due`.
    pub(super) fn not_before_retry(&self, due: u64) -> u64 {
        self.breaker.retry_at().map_or(due, |retry_at| retry_at.max(due))
    }

    /// Ends a row of failures, and logs it; `false` if there was none.
    pub(super) fn recovered(&mut self, trace: &PollTrace) -> bool {
        let (failures, was_open) = (self.breaker.failures(), self.breaker.is_open());
        self.failing = None;
        if failures == 0 {
            return false;
        }
        self.breaker.succeeded();
        self.shown.set(false);
        let (endpoint, trace_id) = (&self.config.name, trace.id());
        match was_open {
            true => tracing::info!(
                %endpoint, failures, trace_id, "polled again, at every interval from now"
            ),
            false => tracing::info!(%endpoint, failures, trace_id, "polled again"),
        }
        true
    }

    /// Counts a failure that ended at `now_ms` and logs it, the first of its kind in a row where
    /// everybody sees it.
    pub(super) fn failed(&mut self, failure: &PollFailure, now_ms: u64, trace: &PollTrace) {
        self.metrics.failure(failure.kind);
        let (known, was_open) = (self.breaker.failures() > 0, self.breaker.is_open());
        self.breaker.failed(failure.retry_after, self.schedule, now_ms);
        let failures = self.breaker.failures();
        let (endpoint, kind) = (&self.config.name, failure.kind.as_str());
        let (last, trace_id) = (self.failing.replace(failure.kind), trace.id());
        // What the last leader saw fail, it has told.
        if last.map_or(!known, |last| last != failure.kind) {
            tracing::warn!(
                %endpoint, kind, trace_id, "poll failed, keeping the last good snapshot: {failure}"
            );
        } else {
            tracing::debug!(%endpoint, kind, failures, trace_id, "poll failed: {failure}");
        }
        let opened = self.breaker.is_open() && !was_open;
        if let Some(rest) = failure.retry_after.filter(|_| opened && self.breaker.is_resting()) {
            let seconds = rest.as_secs();
            tracing::warn!(
                %endpoint, kind, failures, trace_id, seconds, "not polling while the backend asks for rest"
            );
        } else if opened {
            tracing::warn!(
                %endpoint, kind, failures, trace_id, "polling less often until a poll succeeds"
            );
        }
        self.shown.set(self.breaker.is_open());
    }
}

/// An endpoint's share in the gauge of open breakers, which ends with its leadership.
pub(super) struct ShownBreaker {
    gauge: Gauge,
    open: bool,
}

impl ShownBreaker {
    pub(super) fn new(gauge: Gauge, open: bool) -> Self {
        let mut shown = Self { gauge, open: false };
        shown.set(open);
        shown
    }

    fn set(&mut self, open: bool) {
        match (std::mem::replace(&mut self.open, open), open) {
            (false, true) => self.gauge.increment(1.0),
            (true, false) => self.gauge.decrement(1.0),
            _ => {}
        }
    }
}

impl Drop for ShownBreaker {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// The time series of one endpoint, looked up once.
pub(super) struct PollMetrics {
    label: Label,
    pub(super) changed: Counter,
    pub(super) unchanged: Counter,
    pub(super) not_modified: Counter,
    pub(super) failed: Counter,
    pub(super) skipped: Counter,
    pub(super) seconds: Histogram,
    /// How many of those that share the label have an open breaker.
    pub(super) breaker_open: Gauge,
}

impl PollMetrics {
    pub(super) fn new(endpoint: &EndpointConfig, labels: EndpointLabels) -> Self {
        let label = labels.label(endpoint);
        let polls = |outcome: &'static str| {
            counter!("pollux_polls_total", vec![label.clone(), Label::new("outcome", outcome)])
        };
        // Endpoints that share the label share the series.
        let breaker_open = gauge!("pollux_breaker_open", vec![label.clone()]);
        breaker_open.increment(0.0);
        Self {
            breaker_open,
            changed: polls("changed"),
            unchanged: polls("unchanged"),
            not_modified: polls("not_modified"),
            failed: polls("failed"),
            skipped: polls("skipped"),
            seconds: histogram!("pollux_poll_seconds", vec![label.clone()]),
            label,
        }
    }

    /// The label of all its series.
    pub(super) fn label(&self) -> &Label {
        &self.label
    }

    /// Tells how often the endpoint is polled, which has the label for itself.
    pub(super) fn interval(&self, every: Duration) {
        gauge!("pollux_endpoint_interval_seconds", vec![self.label.clone()])
            .set(every.as_secs_f64());
    }

    pub(super) fn failure(&self, kind: PollFailureKind) {
        let labels = vec![self.label.clone(), Label::new("kind", kind.as_str())];
        counter!("pollux_poll_failures_total", labels).increment(1);
        self.failed.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn endpoints_that_share_a_gauge_are_counted_while_they_are_open() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let gauge = metrics::with_local_recorder(&recorder, || gauge!("open"));
        let shown = || recorder.handle().render().lines().any(|line| line == "open 2");
        let resumed = ShownBreaker::new(gauge.clone(), true);
        let mut opened = ShownBreaker::new(gauge.clone(), false);
        opened.set(true);
        opened.set(true);
        let closed = ShownBreaker::new(gauge, false);
        assert!(shown());
        drop((resumed, opened, closed));
        let text = recorder.handle().render();
        assert!(text.contains("open 0"), "none once the leadership is over: {text}");
    }
}
