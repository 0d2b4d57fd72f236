use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;

use super::server::Server;
use super::{Hub, endpoint, follow, hub_of, name, next, snapshots, until};
use crate::hub::{Event, Subscriber};
use crate::model::{Gone, Version};

const LIMIT: Duration = Duration::from_secs(3600);

fn v(sequence: u64) -> Version {
    Version::new(7, sequence)
}

fn reconfigure(hub: &Arc<Hub>, names: &[&str]) {
    hub.reconfigure(&names.iter().map(|name| endpoint(name, LIMIT)).collect::<Vec<_>>());
}

/// Which endpoints are gone, as of which version.
fn gone(events: &[Event]) -> Vec<Gone> {
    let gone = |event: &Event| match event {
        Event::Gone(gone) => Some(gone.clone()),
        _ => None,
    };
    events.iter().filter_map(gone).collect()
}

fn departure(endpoint: &str, version: Version) -> Gone {
    Gone { endpoint: name(endpoint), version }
}

/// A hub that follows a server with `a` in version 1 and `b` in version 2, and a subscriber that has
/// both.
async fn both() -> (Arc<Hub>, Arc<Server>, Subscriber) {
    let (hub, server) = (hub_of(&["a", "b"]), Server::new());
    server.publish("a", v(1));
    server.publish("b", v(2));
    let (task, shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    until(&mut subscriber, v(2)).await;
    // The hub follows until the runtime of the test ends.
    drop((task, shutdown));
    (hub, server, subscriber)
}

fn names(hub: &Hub) -> Vec<String> {
    hub.endpoints().iter().map(|view| view.name.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_the_leader_gave_up_is_told_as_gone_and_served_on_as_stale() {
    let (hub, server, mut subscriber) = both().await;
    server.take_leave("a", v(3));
    assert_eq!(gone(&next(&mut subscriber).await), [departure("a", v(3))]);
    let view = hub.endpoint("a").unwrap();
    assert_eq!((view.version(), view.stale, view.age), (Some(v(1)), true, None));
    let mut newcomer = hub.subscribe(["a"], Version::NONE).unwrap();
    let events = next(&mut newcomer).await;
    let has = (vec![("a".to_owned(), v(1))], vec![departure("a", v(3))]);
    assert_eq!((snapshots(&events), gone(&events)), has);
    assert_eq!(hub.version(), v(3));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_is_served_to_those_who_had_asked_for_it() {
    let (hub, server, mut subscriber) = both().await;
    server.take_leave("a", v(3));
    next(&mut subscriber).await;
    server.publish("a", v(4));
    assert_eq!(snapshots(&next(&mut subscriber).await), [("a".to_owned(), v(4))]);
    assert_eq!(names(&hub), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_published_before_an_endpoint_went_does_not_bring_it_back() {
    let (hub, server, mut subscriber) = both().await;
    server.take_leave("a", v(3));
    next(&mut subscriber).await;
    // Its snapshot is kept for a day, and so it is read again.
    reconfigure(&hub, &["a", "b", "c"]);
    server.publish("b", v(4));
    let events = next(&mut subscriber).await;
    assert_eq!(snapshots(&events), [("b".to_owned(), v(4))]);
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(hub.endpoint("a").unwrap().stale);
}

/// What passed a gateway by while it did not know of the endpoint is below what its streams have.
#[tokio::test(start_paused = true)]
async fn whoever_may_lack_what_was_published_of_an_endpoint_that_is_back_starts_over() {
    let (hub, server, mut subscriber) = both().await;
    reconfigure(&hub, &["b"]);
    next(&mut subscriber).await;
    server.publish("a", v(3));
    server.publish("b", v(4));
    until(&mut subscriber, v(4)).await;
    reconfigure(&hub, &["a", "b"]);
    let starts_over = |event: &Event| matches!(event, Event::StartOver);
    while !next(&mut subscriber).await.iter().any(starts_over) {}
    let mut anew = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    assert_eq!(until(&mut anew, v(4)).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_gets_a_newer_version_of_an_endpoint_that_is_back_needs_not_start_over() {
    let (hub, server, mut subscriber) = both().await;
    reconfigure(&hub, &["b"]);
    next(&mut subscriber).await;
    server.publish("a", v(3));
    reconfigure(&hub, &["a", "b"]);
    let mut events = Vec::new();
    while snapshots(&events).is_empty() {
        events.extend(next(&mut subscriber).await);
    }
    assert_eq!(snapshots(&events), [("a".to_owned(), v(3))]);
    assert!(!events.iter().any(|event| matches!(event, Event::StartOver)), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_no_longer_configured_is_told_as_gone_once() {
    let (hub, server, mut subscriber) = both().await;
    reconfigure(&hub, &["b"]);
    assert_eq!(gone(&next(&mut subscriber).await), [departure("a", v(2))]);
    assert_eq!(names(&hub), ["b"]);
    server.take_leave("a", v(3));
    server.publish("b", v(4));
    let events = next(&mut subscriber).await;
    assert_eq!((gone(&events), snapshots(&events)), (vec![], vec![("b".to_owned(), v(4))]));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_added_is_read_at_once_on_the_same_subscription() {
    let (hub, server, mut subscriber) = both().await;
    server.publish("c", v(3));
    server.publish("b", v(4));
    until(&mut subscriber, v(4)).await;
    reconfigure(&hub, &["c", "b", "a"]);
    assert_eq!(names(&hub), ["c", "b", "a"]);
    let mut newcomer = hub.subscribe(["c"], Version::NONE).unwrap();
    assert_eq!(until(&mut newcomer, v(3)).await, [("c".to_owned(), v(3))]);
    assert_eq!(server.subscriptions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_changed_applies_at_once() {
    let (hub, _server, mut subscriber) = both().await;
    hub.reconfigure(&["a", "b"].map(|name| endpoint(name, Duration::from_millis(1))));
    let stale = |event: &Event| matches!(event, Event::Freshness { stale: true, .. });
    assert!(next(&mut subscriber).await.iter().any(stale));
}

#[test]
fn an_endpoint_that_went_has_no_age_in_the_metrics() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let hub = hub_of(&["a", "b"]);
    metrics::with_local_recorder(&recorder, || reconfigure(&hub, &["b"]));
    let text = recorder.handle().render();
    assert!(text.contains("pollux_endpoint_age_seconds{endpoint=\"a\"} NaN"), "{text}");
    assert!(!text.contains("endpoint=\"b\""), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_configured_here_is_told_as_gone_beside_what_is() {
    let (hub, server, _subscriber) = both().await;
    let mut asked_for_more = hub.subscribe(["a", "c"], Version::NONE).unwrap();
    let events = next(&mut asked_for_more).await;
    let has = (vec![("a".to_owned(), v(1))], vec![departure("c", v(2))]);
    assert_eq!((snapshots(&events), gone(&events)), has);
    assert!(!asked_for_more.is_complete());
    server.publish("a", v(3));
    assert!(gone(&next(&mut asked_for_more).await).is_empty(), "told once");
    reconfigure(&hub, &["a", "b", "c"]);
    let events = next(&mut asked_for_more).await;
    assert!(matches!(events[..], [Event::StartOver]), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_what_was_published_before_an_endpoint_went_and_came_back_goes_on() {
    let (hub, server, mut subscriber) = both().await;
    reconfigure(&hub, &["b"]);
    next(&mut subscriber).await;
    server.publish("b", v(3));
    until(&mut subscriber, v(3)).await;
    assert!(!subscriber.is_complete());
    reconfigure(&hub, &["a", "b"]);
    while !subscriber.is_complete() {
        let events = next(&mut subscriber).await;
        assert!(!events.iter().any(|event| matches!(event, Event::StartOver)), "{events:?}");
        server.publish("b", Version::new(7, hub.version().sequence + 1));
    }
}

/// The leader gave it up first, and then this gateway's configuration did.
#[tokio::test(start_paused = true)]
async fn whoever_was_told_by_the_leader_may_lack_what_passed_the_gateway_by_all_the_same() {
    let (hub, server, mut subscriber) = both().await;
    server.take_leave("a", v(3));
    next(&mut subscriber).await;
    reconfigure(&hub, &["b"]);
    server.publish("a", v(4));
    server.publish("b", v(5));
    until(&mut subscriber, v(5)).await;
    assert!(!subscriber.is_complete());
    reconfigure(&hub, &["a", "b"]);
    let starts_over = |event: &Event| matches!(event, Event::StartOver);
    while !next(&mut subscriber).await.iter().any(starts_over) {}
}
