use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::server::Server;
use super::{endpoint, follow, next, until};
use crate::hub::{Event, Hub, Subscriber};
use crate::model::Version;

const LIMIT: Duration = Duration::from_secs(5);

fn hub() -> Arc<Hub> {
    Hub::new(&[endpoint("a", LIMIT)])
}

/// The next change of freshness: whether stale, and the age.
async fn told(subscriber: &mut Subscriber) -> (bool, Duration) {
    loop {
        for event in next(subscriber).await {
            if let Event::Freshness { stale, age, .. } = event {
                return (stale, age.unwrap());
            }
        }
    }
}

/// Beats every second, for so long.
async fn beat_for(server: &Server, seconds: u32, checked: &[&str]) {
    let start = Instant::now();
    for second in 0..seconds {
        server.beat(checked);
        sleep_until(start + Duration::from_secs(1) * (second + 1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn staleness_is_told_within_a_second_and_freshness_with_the_next_check() {
    let (hub, server) = (hub(), Server::new());
    server.publish("a", Version::new(7, 1));
    let published = Instant::now();
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    let beats = beat_for(&server, 20, &[]);
    let staleness = async {
        let (stale, age) = told(&mut subscriber).await;
        let late = published.elapsed() - LIMIT;
        assert!(stale && age > LIMIT && late <= Duration::from_secs(1), "{age:?} {late:?}");
        server.beat(&["a"]);
        let (stale, age) = told(&mut subscriber).await;
        assert!(!stale && age < Duration::from_secs(1), "{age:?}");
    };
    tokio::select! {
        () = beats => panic!("nothing was told"),
        () = staleness => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_checked_stays_fresh() {
    let (hub, server) = (hub(), Server::new());
    server.publish("a", Version::new(7, 1));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    until(&mut subscriber, Version::new(7, 1)).await;
    beat_for(&server, 30, &["a"]).await;
    assert!(subscriber.gather().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_told_as_staleness() {
    let (hub, server) = (hub(), Server::new());
    server.publish("a", Version::new(7, 1));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    until(&mut subscriber, Version::new(7, 1)).await;
    server.go_down();
    assert!(told(&mut subscriber).await.0);
    server.come_back();
    server.publish_unheard("a", Version::new(7, 2));
    assert!(!told(&mut subscriber).await.0);
}

#[tokio::test(start_paused = true)]
async fn those_who_come_while_it_is_stale_are_told_after_the_snapshot() {
    let (hub, server) = (hub(), Server::new());
    server.publish("a", Version::new(7, 1));
    let (_task, _shutdown) = follow(&hub, &server);
    sleep(LIMIT * 2).await;
    let mut late = hub.subscribe(["a"], Version::NONE).unwrap();
    let events = next(&mut late).await;
    let kinds = [Event::is_snapshot, |event: &Event| !event.is_snapshot()];
    assert_eq!(events.len(), 2);
    assert!(events.iter().zip(kinds).all(|(event, kind)| kind(event)), "{events:?}");
    let mut resumed = hub.subscribe(["a"], Version::new(7, 1)).unwrap();
    assert!(told(&mut resumed).await.0);
}

#[tokio::test(start_paused = true)]
async fn the_age_in_the_store_counts_for_a_gateway_that_starts() {
    let (hub, server) = (hub(), Server::new());
    server.publish("a", Version::new(7, 1));
    sleep(Duration::from_secs(4)).await;
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    until(&mut subscriber, Version::new(7, 1)).await;
    let age = hub.endpoint("a").unwrap().age.unwrap();
    assert!((4000..4100).contains(&age.as_millis()), "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_never_fetched_becomes_stale_without_an_age() {
    let (hub, server) = (hub(), Server::new());
    let (_task, _shutdown) = follow(&hub, &server);
    let seen = || {
        let view = hub.endpoint("a").unwrap();
        (view.age, view.stale, view.version())
    };
    assert_eq!(seen(), (None, false, None));
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    let events = next(&mut subscriber).await;
    assert!(matches!(events[..], [Event::Freshness { stale: true, age: None, .. }]), "{events:?}");
    assert_eq!(seen(), (None, true, None));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_a_late_beat_tells_of_is_as_old_as_the_store_says() {
    let (hub, server) = (hub(), Server::new());
    server.publish("a", Version::new(7, 1));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    until(&mut subscriber, Version::new(7, 1)).await;
    server.beat(&["a"]);
    // So long was the beat held up that tells of a check made right after the one before.
    sleep(Duration::from_millis(1500)).await;
    server.send(r#"{"beat":"7-1","checked":["a"]}"#);
    sleep(Duration::from_millis(10)).await;
    let age = hub.endpoint("a").unwrap().age.unwrap();
    assert!(age >= Duration::from_millis(1500), "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn checks_of_a_leadership_that_was_passed_elsewhere_make_nothing_fresh() {
    let (hub, server) = (hub(), Server::new());
    server.publish("a", Version::new(7, 1));
    let (_task, _shutdown) = follow(&hub, &server);
    let mut subscriber = hub.subscribe(["a"], Version::NONE).unwrap();
    until(&mut subscriber, Version::new(7, 1)).await;
    // The store goes on where an older leadership left it, which checks on.
    server.roll_back(Version::new(5, 9));
    tokio::select! {
        () = beat_for(&server, 20, &["a"]) => panic!("nothing was told"),
        (stale, age) = told(&mut subscriber) => {
            assert!(stale && age > LIMIT, "{age:?}");
        }
    }
}
