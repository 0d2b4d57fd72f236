use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::server::Server;
use super::{DEADLINE, follow, hub_of, name, next, publication, snapshots, until};
use crate::hub::follow::Break;
use crate::model::{Beat, Version};
use crate::store::Reading;

const T: u64 = 7;

fn v(sequence: u64) -> Version {
    Version::new(T, sequence)
}

fn pairs(expected: &[(&str, Version)]) -> Vec<(String, Version)> {
    expected.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect()
}

/// Advances the paused clock until something holds.
async fn wait_for(what: impl Fn() -> bool) {
    let polling = async {
        while !what() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, polling).await.expect("it never held");
}

#[tokio::test(start_paused = true)]
async fn what_is_read_comes_first_and_then_what_is_published() {
    let (hub, server) = (hub_of(&["a", "b"]), Server::new());
    server.publish("b", v(1));
    server.publish("a", v(2));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    assert_eq!(snapshots(&next(&mut subscriber).await), pairs(&[("b", v(1)), ("a", v(2))]));
    server.publish("b", v(3));
    assert_eq!(snapshots(&next(&mut subscriber).await), pairs(&[("b", v(3))]));
}

#[tokio::test(start_paused = true)]
async fn nothing_published_between_subscribing_and_reading_is_lost_or_out_of_order() {
    let (hub, server) = (hub_of(&["a", "b"]), Server::new());
    server.publish("a", v(1));
    server.publish("b", v(2));
    server.publish_amid_reading("a", v(3));
    server.publish_amid_reading("b", v(4));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    let seen = until(&mut subscriber, v(4)).await;
    assert!(seen.is_sorted_by(|one, other| one.1 < other.1), "{seen:?}");
    assert_eq!(hub.endpoint("a").unwrap().version(), Some(v(3)));
    assert_eq!(server.reads(), 1);
}

#[test]
fn a_snapshot_beyond_the_record_that_was_read_is_left_to_the_channel() {
    let hub = hub_of(&["a", "b"]);
    let reading = Reading {
        version: v(2),
        snapshots: vec![publication("a", v(3), "3"), publication("b", v(2), "2")],
        ages: Vec::new(),
    };
    hub.pass_on_reading(reading, Instant::now());
    assert_eq!(hub.endpoint("a").unwrap().version(), None);
    assert_eq!(hub.endpoint("b").unwrap().version(), Some(v(2)));
    assert_eq!(hub.version(), v(2));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_reading_covers_changes_nothing() {
    let hub = hub_of(&["a"]);
    let reading = Reading {
        version: v(2),
        snapshots: vec![publication("a", v(2), "2")],
        ages: vec![(name("a"), Duration::from_secs(9))],
    };
    hub.pass_on_reading(reading, Instant::now());
    for sequence in 1..=2 {
        let message = publication("a", v(sequence), "0").json().clone();
        assert!(hub.hear(message).is_ok());
    }
    let view = hub.endpoint("a").unwrap();
    assert_eq!((hub.version(), view.version()), (v(2), Some(v(2))));
    assert_eq!(view.age, Some(Duration::from_secs(9)));
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_filled_by_reading_again() {
    let (hub, server) = (hub_of(&["a", "b"]), Server::new());
    server.publish("a", v(1));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    until(&mut subscriber, v(1)).await;
    server.publish_unheard("b", v(2));
    server.publish("a", v(3));
    assert_eq!(until(&mut subscriber, v(3)).await, pairs(&[("b", v(2)), ("a", v(3))]));
    assert_eq!((server.reads(), server.subscriptions()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_term_is_read_in_whole() {
    let (hub, server) = (hub_of(&["a", "b"]), Server::new());
    server.publish("a", v(1));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    until(&mut subscriber, v(1)).await;
    server.publish_unheard("b", v(2));
    let of_next_term = Version::new(T + 1, 1);
    server.publish("a", of_next_term);
    let seen = until(&mut subscriber, of_next_term).await;
    assert_eq!(seen, pairs(&[("b", v(2)), ("a", of_next_term)]));
    assert_eq!(server.reads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_beat_beyond_what_is_held_makes_it_read_again() {
    let (hub, server) = (hub_of(&["a"]), Server::new());
    let (_task, _shutdown) = follow(&hub, &server);
    wait_for(|| hub.ready()).await;
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    server.publish_unheard("a", v(1));
    server.beat(&[]);
    assert_eq!(until(&mut subscriber, v(1)).await, pairs(&[("a", v(1))]));
    server.beat(&[]);
    wait_for(|| server.reads() == 2).await;
}

#[test]
fn a_beat_at_what_is_held_is_no_break() {
    let hub = hub_of(&["a"]);
    let reading = Reading { version: v(2), ..Reading::default() };
    hub.pass_on_reading(reading, Instant::now());
    let beat = |last| Beat { last, checked: Vec::new() }.json();
    assert!(hub.hear(beat(v(2))).is_ok());
    assert!(hub.hear(beat(v(1))).is_ok());
    assert!(matches!(hub.hear(beat(v(3))), Err(Break::Behind)));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_makes_it_read_again() {
    let (hub, server) = (hub_of(&["a"]), Server::new());
    let (_task, _shutdown) = follow(&hub, &server);
    wait_for(|| hub.ready()).await;
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    server.publish_unheard("a", v(1));
    server.send("{\"endpoint\":17}");
    until(&mut subscriber, v(1)).await;
    assert_eq!(server.subscriptions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_subscription_is_renewed_at_once_and_what_was_missed_is_read() {
    let (hub, server) = (hub_of(&["a"]), Server::new());
    let (_task, _shutdown) = follow(&hub, &server);
    wait_for(|| hub.ready()).await;
    server.beat(&[]);
    wait_for(|| server.subscriptions() == 1).await;
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    server.disconnect();
    let lost = Instant::now();
    server.publish_unheard("a", v(1));
    until(&mut subscriber, v(1)).await;
    assert!(lost.elapsed() < Duration::from_millis(50), "{:?}", lost.elapsed());
    assert_eq!(server.subscriptions(), 2);
}

#[tokio::test(start_paused = true)]
async fn three_missed_beats_make_it_subscribe_anew() {
    let (hub, server) = (hub_of(&["a"]), Server::new());
    let (_task, _shutdown) = follow(&hub, &server);
    wait_for(|| hub.ready()).await;
    let silent_since = Instant::now();
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    server.publish_unheard("a", v(1));
    until(&mut subscriber, v(1)).await;
    let after = silent_since.elapsed();
    assert!((2900..3200).contains(&after.as_millis()), "{after:?}");
    assert_eq!(server.subscriptions(), 2);
}

#[tokio::test(start_paused = true)]
async fn endpoints_of_others_count_but_are_not_kept() {
    let (hub, server) = (hub_of(&["a"]), Server::new());
    let (_task, _shutdown) = follow(&hub, &server);
    wait_for(|| hub.ready()).await;
    server.publish("a", Version::new(T, 1));
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    until(&mut subscriber, v(1)).await;
    let reads = server.reads();
    server.publish("elsewhere", v(2));
    server.publish("a", v(3));
    assert_eq!(until(&mut subscriber, v(3)).await, pairs(&[("a", v(3))]));
    assert_eq!(server.reads(), reads);
}

#[tokio::test(start_paused = true)]
async fn a_hub_is_ready_once_the_store_was_read_and_stays_so() {
    let (hub, server) = (hub_of(&["a"]), Server::new());
    server.go_down();
    let (_task, _shutdown) = follow(&hub, &server);
    wait_for(|| server.subscriptions() > 5).await;
    assert!(!hub.ready());
    server.come_back();
    wait_for(|| hub.ready()).await;
    let before = server.subscriptions();
    server.go_down();
    wait_for(|| server.subscriptions() > before + 5).await;
    assert!(hub.ready());
}

#[tokio::test(start_paused = true)]
async fn tries_go_on_for_ever_at_most_a_second_apart() {
    let (hub, server) = (hub_of(&["a"]), Server::new());
    server.go_down();
    let (_task, _shutdown) = follow(&hub, &server);
    sleep(Duration::from_secs(600)).await;
    let tries = server.subscriptions();
    assert!((600..1300).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_went_back_is_followed_but_nothing_older_is_taken() {
    let (hub, server) = (hub_of(&["a", "b"]), Server::new());
    server.publish("a", v(4));
    server.publish("b", v(5));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a", "b"], Version::NONE).unwrap();
    until(&mut subscriber, v(5)).await;
    server.publish_unheard("a", v(2));
    server.roll_back(v(2));
    server.disconnect();
    wait_for(|| hub.version() == v(2)).await;
    server.publish("b", v(3));
    wait_for(|| hub.version() == v(3)).await;
    assert_eq!(hub.endpoint("a").unwrap().version(), Some(v(4)));
    assert_eq!(hub.endpoint("b").unwrap().version(), Some(v(5)));
    assert!(snapshots(&subscriber.gather()).is_empty());
    let passing = Version::new(T + 1, 1);
    server.publish("a", passing);
    assert_eq!(until(&mut subscriber, passing).await, pairs(&[("a", passing)]));
}

#[tokio::test(start_paused = true)]
async fn following_ends_on_shutdown_with_and_without_a_store() {
    for down in [false, true] {
        let (hub, server) = (hub_of(&["a"]), Server::new());
        if down {
            server.go_down();
        }
        let (task, shutdown) = follow(&hub, &server);
        wait_for(|| server.subscriptions() > 0).await;
        shutdown.cancel();
        timeout(DEADLINE, task).await.expect("it goes on").unwrap();
    }
}
