use std::time::Duration;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

use crate::store::FailureKind;

/// Buckets for what takes from a fraction of a millisecond to seconds.
const SHORT: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];
/// Buckets for takeovers, dense around the promised 50 ms and 300 ms.
const TAKEOVER: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];

/// Where the metrics of this process are collected.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// All metrics in Prometheus's text format, with what the process needs at this moment.
    pub fn render(&self) -> String {
        Collector::default().collect();
        self.0.render()
    }

    /// Tidies up what has been collected. To be called every few seconds: a histogram keeps each
    /// sample until then, or until it is rendered.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// How often [`Recorder::upkeep`] is due.
pub const UPKEEP: Duration = Duration::from_secs(5);

/// Collects the metrics of this process from now on.
///
/// # Errors
/// When the process collects them elsewhere already.
pub fn install() -> Result<Recorder, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets(SHORT)?
        .set_buckets_for_metric(Matcher::Full("pollux_takeover_seconds".into()), TAKEOVER)?
        .install_recorder()?;
    describe();
    Collector::default().describe();
    start_at_zero();
    gauge!("pollux_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(Recorder(handle))
}

/// Shows what is alerted on before it happens: from a series that begins with its first increment
/// Prometheus sees no increase.
fn start_at_zero() {
    gauge!("pollux_is_leader").set(0.0);
    counter!("pollux_leader_changes_total").absolute(0);
    for reason in ["released", "deadline", "fenced", "lost"] {
        counter!("pollux_leadership_lost_total", "reason" => reason).absolute(0);
    }
    for outcome in ["accepted", "fenced", "failed"] {
        counter!("pollux_publications_total", "outcome" => outcome).absolute(0);
    }
    for kind in FailureKind::ALL {
        counter!("pollux_redis_failures_total", "kind" => kind.as_str()).absolute(0);
    }
    counter!("pollux_redis_failures_total", "kind" => "contention").absolute(0);
    for purpose in ["lease", "probe", "publish", "read", "presence"] {
        counter!("pollux_redis_commands_total", "purpose" => purpose).absolute(0);
    }
    for result in ["applied", "unchanged", "refused"] {
        counter!("pollux_config_reloads_total", "result" => result).absolute(0);
    }
    gauge!("pollux_config_refused").set(0.0);
    // A histogram is shown, empty, once somebody has a handle to it.
    for cause in ["released", "crashed", "expired"] {
        let _shown = histogram!("pollux_takeover_seconds", "cause" => cause);
    }
    for result in ["held", "lost", "unknown"] {
        let _shown = histogram!("pollux_lease_renew_seconds", "result" => result);
    }
}

fn describe() {
    describe_gauge!("pollux_is_leader", "1 on the replica that leads, 0 on the others");
    describe_gauge!("pollux_has_leader", "1 if a replica holds the lease, as this one sees it");
    describe_gauge!("pollux_term", "The highest term that this replica has seen");
    describe_counter!(
        "pollux_leader_changes_total",
        "Claims seen after the first; take the maximum over replicas"
    );
    describe_counter!(
        "pollux_leadership_lost_total",
        "Leaderships of this replica that ended, by reason"
    );
    describe_histogram!(
        "pollux_lease_renew_seconds",
        Unit::Seconds,
        "Renewals of the lease, by result"
    );
    describe_gauge!(
        "pollux_lease_remaining_seconds",
        Unit::Seconds,
        "How long the lease is still held, as this replica sees it"
    );
    describe_gauge!(
        "pollux_lease_duration_seconds",
        Unit::Seconds,
        "The configured duration of the lease: without a renewal it ends after that"
    );
    describe_gauge!(
        "pollux_lease_renew_deadline_seconds",
        Unit::Seconds,
        "The configured deadline: a leader that could not renew for that long stops"
    );
    describe_histogram!(
        "pollux_takeover_seconds",
        Unit::Seconds,
        "From a release, the last pulse of a crashed leader, or the last renewal of a lost one, to this \
         replica's claim"
    );
    describe_counter!(
        "pollux_redis_failures_total",
        "Requests to Redis without an answer, by kind; contention: races for the lease lost"
    );
    describe_gauge!(
        "pollux_redis_shortcoming",
        "1 if Redis lacks something, by kind; pollux preflight says more"
    );
    describe_counter!("pollux_redis_commands_total", "Requests to Redis, by purpose");
    describe_counter!("pollux_polls_total", "Polls, by outcome");
    describe_counter!("pollux_poll_failures_total", "Failed polls, by kind");
    describe_histogram!("pollux_poll_seconds", Unit::Seconds, "Polls, from request to whole body");
    describe_histogram!("pollux_schedule_lag_seconds", Unit::Seconds, "How late polls start");
    describe_gauge!(
        "pollux_breaker_open",
        "Endpoints that the leader polls less often, since their polls keep failing"
    );
    describe_gauge!("pollux_endpoint_interval_seconds", Unit::Seconds, "The configured interval");
    describe_counter!("pollux_publications_total", "Publications, by outcome");
    describe_gauge!(
        "pollux_endpoint_age_seconds",
        Unit::Seconds,
        "Time since the last good check, as this gateway sees it"
    );
    describe_gauge!("pollux_endpoint_stale", "1 if the age exceeds stale_after");
    describe_gauge!("pollux_gateway_clients", "Open streams, by transport");
    describe_histogram!(
        "pollux_delivery_seconds",
        Unit::Seconds,
        "From a publication's arrival at this gateway to its frame being handed to a stream's \
         connection; measured on one stream in sixteen"
    );
    describe_counter!("pollux_gateway_reads_total", "Answered reads, by status");
    describe_counter!(
        "pollux_gateway_deliveries_total",
        "Publications sent on streams, by transport"
    );
    describe_counter!(
        "pollux_gateway_conflated_total",
        "Publications that a slow stream skipped for a newer one"
    );
    describe_counter!("pollux_gateway_closed_total", "Closed streams, by reason");
    describe_counter!("pollux_gateway_resyncs_total", "Re-reads of all snapshots, by cause");
    describe_counter!(
        "pollux_config_reloads_total",
        "Configurations read anew while running, by result"
    );
    describe_gauge!(
        "pollux_config_refused",
        "1 while the configuration in place was refused and the one before is run on with"
    );
    describe_gauge!("pollux_build_info", "1, with the version of this program");
}
