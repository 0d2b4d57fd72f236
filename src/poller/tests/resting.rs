use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ground::{Ground, endpoint, name, wait_for};
use crate::store::Store as _;

const REST: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_secs(2);

/// Starts a replica whose backend then asks for rest; tells when it did.
async fn resting() -> (Ground, Instant) {
    let mut ground = Ground::start(&[endpoint("a", "a", 2)]).await;
    ground.news().await;
    let answered = ground.backend.answered("a");
    ground.backend.rests.lock().insert("a".to_owned(), REST);
    wait_for(|| ground.backend.answered("a") > answered).await;
    ground.backend.rests.lock().clear();
    let asked = ground.backend.asked("a")[answered].at;
    // The next beat tells the store of it.
    sleep(Duration::from_secs(1)).await;
    (ground, asked)
}

/// Waits for the next poll; how long after the rest was asked for it came.
async fn next(ground: &Ground, asked: Instant) -> Duration {
    let polls = ground.backend.asked("a").len();
    wait_for(|| ground.backend.asked("a").len() > polls).await;
    ground.backend.asked("a")[polls].at - asked
}

#[track_caller]
fn assert_rested(waited: Duration) {
    assert!(waited >= REST && waited <= REST + EVERY, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_asks_for_rest_is_not_polled_before_it_is_over() {
    let (ground, asked) = resting().await;
    let first = next(&ground, asked).await;
    assert_rested(first);
    assert_eq!(next(&ground, asked).await - first, EVERY, "one good poll ends it");
}

#[tokio::test(start_paused = true)]
async fn a_successor_lets_the_backend_rest() {
    let (mut ground, asked) = resting().await;
    ground.hand_over(&[endpoint("a", "a", 2)]).await;
    assert_rested(next(&ground, asked).await);
    sleep(Duration::from_secs(1)).await;
    let left = ground.store.resume(&[name("a")]).await.unwrap().remove(0).state;
    assert_eq!((left.failures, left.rest_until), (0, None), "one good poll ends it");
}

#[tokio::test(start_paused = true)]
async fn another_interval_does_not_shorten_the_rest() {
    let (ground, asked) = resting().await;
    ground.replan(&[endpoint("a", "a", 1)]);
    assert_rested(next(&ground, asked).await);
}
