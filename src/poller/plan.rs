use std::collections::HashMap;
use std::sync::Arc;

use metrics::gauge;
use tokio::sync::watch;
use xxhash_rust::xxh3::Xxh3;

use super::schedule::Schedule;
use super::tracked::PollMetrics;
use crate::config::EndpointConfig;
use crate::model::{ClusterName, EndpointName};
use crate::telemetry::EndpointLabels;

/// What a poller polls, and how: it is replaced as a whole when the configuration changes.
pub struct Plan<F> {
    pub(super) fetcher: Arc<F>,
    pub(super) endpoints: Vec<Planned>,
    /// How many publications the store keeps.
    pub(super) history: u64,
    labels: EndpointLabels,
}

/// One endpoint of a plan.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) config: Arc<EndpointConfig>,
    pub(super) schedule: Schedule,
    /// What tells its request from others': see [`request_tag`].
    pub(super) request: Arc<str>,
    pub(super) metrics: Arc<PollMetrics>,
}

impl<F> Plan<F> {
    /// Plans to poll `endpoints` with a fetcher that was made for them; `history` is how many
    /// publications the store keeps.
    pub fn new(
        fetcher: F,
        cluster: &ClusterName,
        endpoints: &[EndpointConfig],
        history: u64,
    ) -> Self {
        Self::with_metrics(fetcher, cluster, endpoints, history, |_, _| None)
    }

    /// A plan in place of this one. Endpoints that stay keep their time series; those that went have no
    /// interval any more.
    #[must_use]
    pub fn succeeded_by(
        &self,
        fetcher: F,
        cluster: &ClusterName,
        endpoints: &[EndpointConfig],
        history: u64,
    ) -> Self {
        let known: HashMap<&EndpointName, &Planned> =
            self.endpoints.iter().map(|planned| (&planned.config.name, planned)).collect();
        let next = Self::with_metrics(fetcher, cluster, endpoints, history, |config, labels| {
            let known = known.get(&config.name).filter(|_| labels == self.labels)?;
            // Of those with a label of their own, the series of another host is another one.
            let same = known.config.url.host_str() == config.url.host_str();
            (same || labels == EndpointLabels::Endpoint).then(|| Arc::clone(&known.metrics))
        });
        let kept: HashMap<_, _> =
            next.endpoints.iter().map(|planned| (planned.metrics.label(), ())).collect();
        for gone in self.endpoints.iter().map(|planned| planned.metrics.label()) {
            if !kept.contains_key(gone) {
                gauge!("pollux_endpoint_interval_seconds", vec![gone.clone()]).set(f64::NAN);
            }
        }
        next
    }

    fn with_metrics(
        fetcher: F,
        cluster: &ClusterName,
        endpoints: &[EndpointConfig],
        history: u64,
        known: impl Fn(&EndpointConfig, EndpointLabels) -> Option<Arc<PollMetrics>>,
    ) -> Self {
        let labels = EndpointLabels::for_count(endpoints.len());
        let plan = |config: &EndpointConfig| {
            let metrics =
                known(config, labels).unwrap_or_else(|| Arc::new(PollMetrics::new(config, labels)));
            if labels == EndpointLabels::Endpoint {
                metrics.interval(config.every);
            }
            Planned {
                config: Arc::new(config.clone()),
                schedule: Schedule::new(cluster, &config.name, config.every),
                request: request_tag(config).into(),
                metrics,
            }
        };
        let endpoints = endpoints.iter().map(plan).collect();
        Self { fetcher: Arc::new(fetcher), endpoints, history, labels }
    }

    /// What it polls with.
    pub fn fetcher(&self) -> &F {
        &self.fetcher
    }

    /// The names of all its endpoints.
    pub(super) fn names(&self) -> Vec<EndpointName> {
        self.endpoints.iter().map(|planned| planned.config.name.clone()).collect()
    }

    /// A plan that is never replaced.
    pub fn fixed(self) -> watch::Receiver<Arc<Self>> {
        watch::channel(Arc::new(self)).1
    }
}

/// Eight hex digits which differ where another resource may be asked for: a successor whose
/// configuration differs must not ask with the validators of another URL. So few digits that they
/// tell little of a secret among them.
fn request_tag(config: &EndpointConfig) -> String {
    let mut hash = Xxh3::new();
    hash.update(config.url.as_str().as_bytes());
    for (name, value) in &config.headers {
        for part in [name.as_str(), value.expose()] {
            hash.update(&[0]);
            hash.update(part.as_bytes());
        }
    }
    format!("{:08x}", hash.digest() >> 32)
}

/// Whether polls of the one ask for the same as those of the other, and judge the answer alike.
pub(super) fn asks_alike(one: &EndpointConfig, other: &EndpointConfig) -> bool {
    (&one.url, &one.headers, &one.expect, one.max_body)
        == (&other.url, &other.headers, &other.expect, other.max_body)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::config::{Expectation, Secret};

    fn endpoint(name: &str, every: u64) -> EndpointConfig {
        let every = Duration::from_secs(every);
        EndpointConfig {
            name: EndpointName::new(name).unwrap(),
            url: format!("http://{name}.test/").parse().unwrap(),
            every,
            timeout: every,
            connect_timeout: every,
            max_body: 1000,
            stale_after: every * 3,
            headers: Vec::new(),
            expect: Expectation::Json,
        }
    }

    fn plan(endpoints: &[EndpointConfig]) -> Plan<()> {
        Plan::new((), &ClusterName::new("tests").unwrap(), endpoints, 0)
    }

    #[test]
    fn a_request_is_known_by_its_url_and_headers() {
        let plain = endpoint("a", 1);
        let other_pace = endpoint("a", 2);
        let header = |value: &str| EndpointConfig {
            headers: vec![("Accept".to_owned(), Secret::new(value.to_owned()))],
            ..plain.clone()
        };
        assert_eq!(request_tag(&plain), request_tag(&other_pace));
        let tags = [plain.clone(), header("a"), header("b"), endpoint("b", 1)]
            .map(|config| request_tag(&config));
        let distinct: std::collections::HashSet<_> = tags.iter().collect();
        assert_eq!(distinct.len(), 4, "{tags:?}");
    }

    #[test]
    fn the_time_series_of_an_endpoint_that_stays_goes_on() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let before = plan(&[endpoint("a", 1), endpoint("b", 1)]);
            let open = before.endpoints[0].metrics.breaker_open.clone();
            open.increment(1.0);
            let cluster = ClusterName::new("tests").unwrap();
            let after = [endpoint("a", 5), endpoint("c", 1)];
            drop(before.succeeded_by((), &cluster, &after, 0));
        });
        let text = recorder.handle().render();
        for line in [
            "pollux_breaker_open{endpoint=\"a\"} 1",
            "pollux_endpoint_interval_seconds{endpoint=\"a\"} 5",
            "pollux_endpoint_interval_seconds{endpoint=\"b\"} NaN",
            "pollux_endpoint_interval_seconds{endpoint=\"c\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
