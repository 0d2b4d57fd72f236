//! Traces of polls, for OpenTelemetry: off unless they are configured.
//!
//! A poll is drawn or not when it starts; one that is not costs a glance at a lock and a random
//! number. Spans that have ended wait in a bounded queue, from which one task posts them in batches,
//! so that a collector that is slow or away holds nothing up: what finds no room is dropped, and so
//! is what the collector did not take.
//!
//! Only the configuration counts: the variables `OTEL_*` do not, except that the SDK says so in its
//! own words where they are malformed.

mod collector;
mod export;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanLimits, SpanProcessor};
use parking_lot::RwLock;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use self::collector::Collector;
use crate::config::{Config, TracesConfig};

/// How long [`Traces::shutdown`] may take.
const MOST_FAREWELL: Duration = Duration::from_secs(2);

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client cannot be built, as a rule for want of root certificates.
    #[error(
        "cannot set up the export of traces: {0}; an https collector needs the system's root \
         certificates (on Linux, install ca-certificates or set SSL_CERT_FILE)"
    )]
    Client(String),
}

/// Whose traces they are.
#[derive(Clone, Debug, Default, PartialEq)]
struct Traced {
    /// The replica's name, which becomes `service.instance.id`.
    replica: String,
    /// The cluster's name.
    cluster: String,
    /// What publications go through, which becomes `db.system.name`: `redis` or `embedded`.
    store: &'static str,
}

impl Traced {
    fn of(config: &Config) -> Self {
        Self {
            replica: config.replica.clone(),
            cluster: config.cluster.to_string(),
            store: if config.redis.is_some() { "redis" } else { "embedded" },
        }
    }

    fn resource(&self) -> Resource {
        let attributes = [
            KeyValue::new("service.name", "pollux"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", self.replica.clone()),
            KeyValue::new("pollux.cluster", self.cluster.clone()),
        ];
        // Not the usual builder: that one reads variables.
        Resource::builder_empty().with_attributes(attributes).build()
    }
}

/// The traces of one replica. Its clones are one and the same; the default one is off for good
/// unless it is told otherwise by [`Traces::apply`].
#[derive(Clone, Default)]
pub struct Traces(Arc<Shared>);

#[derive(Default)]
struct Shared {
    active: RwLock<Option<Active>>,
    exports: TaskTracker,
}

/// One configuration that is in force. Its export ends by itself once the last span of its tracer
/// has ended.
struct Active {
    config: TracesConfig,
    whose: Traced,
    tracer: SdkTracer,
}

impl fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let active = self.0.active.read();
        formatter
            .debug_tuple("Traces")
            .field(&active.as_ref().map(|active| &active.config))
            .finish()
    }
}

impl Traces {
    /// Starts tracing as configured, which may be not at all. To be called within a runtime.
    ///
    /// A collector that cannot be reached is no error: spans are dropped until it can.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn start(config: &Config) -> Result<Self, TracesError> {
        let traces = Self::default();
        traces.apply(config)?;
        Ok(traces)
    }

    /// Goes on with another configuration, for polls that start from now on; nothing happens where
    /// it does not differ. Polls that are traced already keep the one they started with, and what
    /// has ended is still sent to where it was meant to go. To be called within a runtime.
    ///
    /// # Errors
    /// When the HTTP client cannot be built: nothing has changed then.
    pub fn apply(&self, config: &Config) -> Result<(), TracesError> {
        let next = config.traces.as_ref().map(|traces| (traces, Traced::of(config)));
        let same = {
            let active = self.0.active.read();
            let present = active.as_ref().map(|active| (&active.config, &active.whose));
            present == next.as_ref().map(|(traces, whose)| (*traces, whose))
        };
        if !same {
            let next = next.map(|(traces, whose)| self.activate(traces, whose)).transpose()?;
            *self.0.active.write() = next;
        }
        Ok(())
    }

    fn activate(&self, config: &TracesConfig, whose: Traced) -> Result<Active, TracesError> {
        let collector = Collector::new(config)?;
        let (queue, waiting) = export::queue();
        let resource = whose.resource();
        self.0.exports.spawn(export::run(waiting, collector, (&resource).into()));
        Ok(Active { config: config.clone(), tracer: tracer(resource, queue), whose })
    }

    /// Traces everything, into `processor`.
    #[cfg(test)]
    pub(crate) fn ending_in(processor: impl SpanProcessor + 'static) -> Self {
        let traces = Self::default();
        let url = "http://collector.example/".parse().unwrap();
        let config = TracesConfig { url, ratio: 1.0, headers: Vec::new() };
        let whose = Traced::default();
        let tracer = tracer(whose.resource(), processor);
        *traces.0.active.write() = Some(Active { config, whose, tracer });
        traces
    }

    /// Draws whether something is traced: by what, if it is, and what publications go through.
    pub(crate) fn draw(&self) -> Option<(SdkTracer, &'static str)> {
        let active = self.0.active.read();
        let Active { config, whose, tracer } = active.as_ref()?;
        (fastrand::f64() < config.ratio).then(|| (tracer.clone(), whose.store))
    }

    /// Traces nothing more, and sends what has ended: within two seconds, or not at all.
    pub async fn shutdown(&self) {
        *self.0.active.write() = None;
        self.0.exports.close();
        if timeout(MOST_FAREWELL, self.0.exports.wait()).await.is_err() {
            tracing::warn!("the collector did not take the last traces in time: leaving without");
        }
    }
}

/// What makes spans, which go to `processor` when they end.
fn tracer(resource: Resource, processor: impl SpanProcessor + 'static) -> SdkTracer {
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        // What is to be traced has been drawn before it gets a span.
        .with_sampler(Sampler::AlwaysOn)
        .with_span_limits(SpanLimits::default())
        .with_span_processor(processor)
        .build();
    provider.tracer("pollux")
}
