//! The hub against a store that the test plays.

mod departures;
mod following;
mod freshness;
mod interleaving;
mod server;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Event, Hub, Subscriber};
use crate::config::{EndpointConfig, Expectation};
use crate::model::{Body, EndpointName, Publication, Version};
use server::Server;

/// Longer than anything a hub does of itself; on a paused clock it costs nothing.
const DEADLINE: Duration = Duration::from_secs(60);

fn name(text: &str) -> EndpointName {
    EndpointName::new(text).unwrap()
}

pub(super) fn endpoint(text: &str, stale_after: Duration) -> EndpointConfig {
    EndpointConfig {
        name: name(text),
        url: format!("http://{text}.test/").parse().unwrap(),
        every: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        max_body: 1024,
        stale_after,
        headers: Vec::new(),
        expect: Expectation::Json,
    }
}

fn hub_of(names: &[&str]) -> Arc<Hub> {
    let limit = Duration::from_secs(3600);
    let endpoints: Vec<_> = names.iter().map(|name| endpoint(name, limit)).collect();
    Hub::new(&endpoints)
}

pub(super) fn publication(endpoint: &str, version: Version, body: &str) -> Publication {
    Publication::new(
        name(endpoint),
        version,
        0,
        "application/json".into(),
        Body::json(body.to_owned().into()).unwrap(),
    )
}

fn follow(hub: &Arc<Hub>, server: &Arc<Server>) -> (JoinHandle<()>, CancellationToken) {
    let shutdown = CancellationToken::new();
    let (hub, store, token) = (Arc::clone(hub), Arc::clone(server), shutdown.clone());
    let task = tokio::spawn(async move { hub.follow(store, token).await });
    (task, shutdown)
}

/// The endpoints and versions of the snapshots among events.
fn snapshots(events: &[Event]) -> Vec<(String, Version)> {
    let snapshot = |event: &Event| match event {
        Event::Snapshot(snapshot) => {
            let endpoint = snapshot.publication().endpoint.to_string();
            Some((endpoint, snapshot.version()))
        }
        Event::Freshness { .. } | Event::Gone(_) | Event::StartOver => None,
    };
    events.iter().filter_map(snapshot).collect()
}

async fn next(subscriber: &mut Subscriber) -> Vec<Event> {
    timeout(DEADLINE, subscriber.next()).await.expect("nothing arrived")
}

/// What arrives until a version is there, in order.
async fn until(subscriber: &mut Subscriber, version: Version) -> Vec<(String, Version)> {
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, last)| *last < version) {
        seen.extend(snapshots(&next(subscriber).await));
    }
    seen
}
