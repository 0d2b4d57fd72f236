use std::sync::Arc;

use tokio::time::Instant;

use super::{hub_of, publication, snapshots};
use crate::hub::{Event, Hub};
use crate::model::Version;
use crate::store::Reading;

fn v(sequence: u64) -> Version {
    Version::new(7, sequence)
}

/// A hub that has passed on the first publications of these endpoints, in order.
fn hub_with(published: &[&str]) -> Arc<Hub> {
    let hub = hub_of(&["a", "b", "c"]);
    let reading = Reading { version: v(0), ..Reading::default() };
    hub.pass_on_reading(reading, Instant::now());
    for (endpoint, sequence) in published.iter().zip(1..) {
        publish(&hub, endpoint, v(sequence), "0");
    }
    hub
}

fn publish(hub: &Hub, endpoint: &str, version: Version, body: &str) {
    hub.hear(publication(endpoint, version, body).json().clone()).expect("a break");
}

fn versions(events: &[Event]) -> Vec<u64> {
    let sequence = |(_, version): (_, Version)| version.sequence;
    snapshots(events).into_iter().map(sequence).collect()
}

#[tokio::test]
async fn a_client_that_says_what_it_has_gets_nothing_older() {
    let hub = hub_with(&["a", "b", "c"]);
    let mut subscriber = hub.subscribe(["a", "b", "c"], v(2)).unwrap();
    assert_eq!(versions(&subscriber.next().await), [3]);
    let mut ahead = hub.subscribe(["a"], v(4)).unwrap();
    publish(&hub, "a", v(4), "0");
    assert!(ahead.gather().is_empty());
    publish(&hub, "a", v(5), "0");
    assert_eq!(versions(&ahead.next().await), [5]);
}

#[tokio::test]
async fn a_slow_subscriber_gets_the_newest_in_place_of_its_backlog() {
    let hub = hub_with(&["a", "b"]);
    let mut subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    for sequence in 3..=100 {
        let endpoint = if sequence % 3 == 0 { "a" } else { "b" };
        publish(&hub, endpoint, v(sequence), "0");
    }
    assert_eq!(versions(&subscriber.next().await), [99, 100]);
    assert!(subscriber.gather().is_empty());
}

#[tokio::test]
async fn large_snapshots_are_gathered_one_by_one_and_conflated_meanwhile() {
    let hub = hub_with(&[]);
    let large = format!("\"{}\"", "x".repeat(100_000));
    publish(&hub, "a", v(1), &large);
    publish(&hub, "b", v(2), &large);
    let mut subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    assert_eq!(versions(&subscriber.next().await), [1]);
    publish(&hub, "b", v(3), &large);
    publish(&hub, "a", v(4), &large);
    assert_eq!(versions(&subscriber.next().await), [3]);
    assert_eq!(versions(&subscriber.next().await), [4]);
    assert!(subscriber.gather().is_empty());
}

#[tokio::test]
async fn an_endpoint_asked_for_twice_counts_once_and_others_are_not_sent() {
    let hub = hub_with(&["a", "b"]);
    let mut subscriber = hub.subscribe(["a", "a"], Version::NONE).unwrap();
    assert_eq!(versions(&subscriber.next().await), [1]);
    assert!(subscriber.gather().is_empty());
}

#[test]
fn an_unknown_endpoint_is_named() {
    let hub = hub_with(&["a"]);
    let unknown = |names: &[&'static str]| {
        hub.subscribe(names.iter().copied(), Version::NONE).err().map(|error| error.0)
    };
    assert_eq!(unknown(&["y", "x"]).as_deref(), Some("y"));
    assert_eq!(unknown(&["a", "no name"]).as_deref(), Some("no name"));
    assert_eq!(unknown(&["a", "x"]), None);
}

#[test]
fn a_superseded_snapshot_is_kept_by_nobody() {
    let hub = hub_with(&["a"]);
    let subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    let held = Arc::downgrade(&hub.endpoint("a").unwrap().snapshot.unwrap());
    publish(&hub, "a", v(2), "0");
    assert!(held.upgrade().is_none(), "a waiting subscriber keeps a backlog");
    drop(subscriber);
}

#[test]
fn a_subscriber_that_left_is_forgotten() {
    let hub = hub_with(&["a"]);
    let subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    drop(subscriber);
    assert_eq!(Arc::strong_count(&hub), 1);
    assert!(hub.board.read().entries.iter().all(|entry| entry.watchers() == 0));
}
