use std::sync::Arc;

use metrics::{Counter, Histogram, Label, counter, gauge, histogram};

use super::failure::PollFailureKind;
use super::fetch::Validators;
use super::schedule::Schedule;
use crate::config::EndpointConfig;
use crate::telemetry::EndpointLabels;

/// What a leader knows of one endpoint.
pub(super) struct Tracked {
    pub(super) config: Arc<EndpointConfig>,
    pub(super) schedule: Schedule,
    /// The hash of the published snapshot; empty when it is to be published whatever it is.
    pub(super) hash: String,
    pub(super) validators: Validators,
    pub(super) in_flight: bool,
    /// Failures in a row.
    pub(super) failures: u32,
    /// The kind of the last one.
    pub(super) failing: Option<PollFailureKind>,
    pub(super) metrics: PollMetrics,
}

/// The time series of one endpoint, looked up once.
#[derive(Clone)]
pub(super) struct PollMetrics {
    label: Label,
    pub(super) changed: Counter,
    pub(super) unchanged: Counter,
    pub(super) not_modified: Counter,
    pub(super) failed: Counter,
    pub(super) skipped: Counter,
    pub(super) seconds: Histogram,
}

impl PollMetrics {
    pub(super) fn new(endpoint: &EndpointConfig, labels: EndpointLabels) -> Self {
        let label = labels.label(endpoint);
        let polls = |outcome: &'static str| {
            counter!("pollux_polls_total", vec![label.clone(), Label::new("outcome", outcome)])
        };
        if labels == EndpointLabels::Endpoint {
            gauge!("pollux_endpoint_interval_seconds", vec![label.clone()])
                .set(endpoint.every.as_secs_f64());
        }
        Self {
            changed: polls("changed"),
            unchanged: polls("unchanged"),
            not_modified: polls("not_modified"),
            failed: polls("failed"),
            skipped: polls("skipped"),
            seconds: histogram!("pollux_poll_seconds", vec![label.clone()]),
            label,
        }
    }

    pub(super) fn failure(&self, kind: PollFailureKind) {
        let labels = vec![self.label.clone(), Label::new("kind", kind.as_str())];
        counter!("pollux_poll_failures_total", labels).increment(1);
        self.failed.increment(1);
    }
}
