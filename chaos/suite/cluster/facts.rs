//! What is recorded beside what happens: what processes use, and how everything stands at the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::node::Node;
use super::{Cluster, Replica};
use crate::history::{Event, Function, History, Kind};
use crate::run::Outcome;

const EVERY: Duration = Duration::from_secs(1);
/// The metrics that are held against the history.
const METRICS: [&str; 7] = [
    "pollux_is_leader",
    "pollux_has_leader",
    "pollux_term",
    "pollux_leader_changes_total",
    "pollux_publications_total",
    "pollux_polls_total",
    "pollux_leadership_lost_total",
];

/// Records what processes use, once a second, and finds out that one has ended.
pub(super) async fn sample(nodes: Vec<Arc<Node>>, history: History) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for node in nodes.iter().filter(|node| node.is_running()) {
            let Some((resident, files)) = node.usage() else { continue };
            let usage = |what: &str, value| {
                Event::new(&node.name, Kind::Info, Function::Usage).note(what).value(value)
            };
            history.record(usage("resident", resident as f64));
            history.record(usage("files", files as f64));
        }
    }
}

/// Records what the primary holds, and what replicas say of themselves. Who does not answer is left out.
pub(super) async fn record_final(cluster: &Cluster) {
    // Nothing recorded: that is what there is to know of a Redis that is not there.
    record_redis(cluster).await.ok();
    for replica in cluster.replicas() {
        if let Ok(text) = replica.metrics().await {
            record_metrics(replica, &text, &cluster.history);
        }
    }
}

async fn record_redis(cluster: &Cluster) -> Outcome<()> {
    let server = cluster.redis.primary().await?.name();
    let event = |f| Event::new(server, Kind::Info, f);
    for each in cluster.snapshots().await? {
        let snapshot = event(Function::Snapshot).endpoint(&each.endpoint);
        cluster.history.record(snapshot.version(each.version).hash(each.hash));
    }
    if let Some(standing) = cluster.standing().await {
        let record = event(Function::Record).term(standing.term).note(standing.replica);
        cluster.history.record(record);
    }
    Ok(())
}

fn record_metrics(replica: &Replica, text: &str, history: &History) {
    for line in text.lines() {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let metric = name.split('{').next().unwrap_or_default();
        if METRICS.contains(&metric)
            && let Ok(value) = value.parse()
        {
            let event = Event::new(replica.name(), Kind::Info, Function::Metric);
            history.record(event.note(name).value(value));
        }
    }
}
