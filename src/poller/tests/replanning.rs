use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ground::{Ground, endpoint, name, wait_for};
use crate::store::Store as _;

/// An answer that takes so long that a test can act meanwhile.
const SLOW: Duration = Duration::from_secs(3);

fn news(endpoint: &str, data: &str) -> (String, String) {
    (endpoint.to_owned(), data.to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_added_is_polled_at_once_under_the_same_term() {
    let mut ground = Ground::start(&[endpoint("a", "a", 5)]).await;
    assert_eq!(ground.news().await, news("a", "a"));
    let term = ground.term().await;
    let before = Instant::now();
    ground.replan(&[endpoint("b", "b", 3600), endpoint("a", "a", 5)]);
    assert_eq!(ground.news().await, news("b", "b"));
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(ground.term().await, term);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_taken_out_is_told_as_gone_and_not_polled_any_more() {
    let mut ground = Ground::start(&[endpoint("a", "a", 1), endpoint("b", "b", 1)]).await;
    ground.news().await;
    ground.news().await;
    ground.replan(&[endpoint("b", "b", 1)]);
    assert_eq!(ground.news().await, news("a", "gone"));
    let asked = ground.backend.asked("a").len();
    let others = ground.backend.asked("b").len();
    wait_for(|| ground.backend.asked("b").len() > others + 10).await;
    assert_eq!(ground.backend.asked("a").len(), asked);
    assert_eq!(ground.store.known().await.unwrap(), [name("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_under_way_of_an_endpoint_that_stays_is_not_disturbed() {
    let ground = Ground::start(&[endpoint("a", "a", 5)]).await;
    ground.backend.delays.lock().insert("a".to_owned(), SLOW);
    let answered = ground.backend.answered("a");
    let asked = ground.backend.asked("a").len();
    wait_for(|| ground.backend.asked("a").len() > asked).await;
    let under_way = ground.backend.asked("a").len();
    ground.replan(&[endpoint("b", "b", 5), endpoint("a", "a", 5)]);
    wait_for(|| ground.backend.answered("b") > 0).await;
    assert_eq!(ground.backend.asked("a").len(), under_way);
    wait_for(|| ground.backend.answered("a") > answered).await;
    assert_eq!(ground.backend.asked("a").len(), under_way, "it was answered, not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_poll_under_way_of_another_request_is_given_up_and_its_answer_never_published() {
    let mut ground = Ground::start(&[endpoint("a", "old", 5)]).await;
    ground.backend.delays.lock().insert("old".to_owned(), SLOW);
    wait_for(|| !ground.backend.asked("old").is_empty()).await;
    let before = Instant::now();
    ground.replan(&[endpoint("a", "new", 5)]);
    assert_eq!(ground.news().await, news("a", "new"));
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    sleep(SLOW * 2).await;
    assert_eq!(ground.backend.answered("old"), 0);
}

#[tokio::test(start_paused = true)]
async fn another_request_is_never_made_with_the_validators_of_the_old_one() {
    let mut ground = Ground::start(&[endpoint("a", "old", 5)]).await;
    ground.news().await;
    ground.replan(&[endpoint("a", "new", 5)]);
    assert_eq!(ground.news().await, news("a", "new"));
    assert_eq!(ground.backend.asked("new")[0].etag, None);
}

#[tokio::test(start_paused = true)]
async fn a_successor_with_another_request_leaves_the_validators_of_the_old_one() {
    let mut ground = Ground::start(&[endpoint("a", "old", 5)]).await;
    ground.news().await;
    ground.hand_over(&[endpoint("a", "new", 5)]).await;
    assert_eq!(ground.news().await, news("a", "new"));
    assert_eq!(ground.backend.asked("new")[0].etag, None);
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_asks_alike_goes_on_with_the_validators() {
    let mut ground = Ground::start(&[endpoint("a", "a", 5)]).await;
    ground.news().await;
    let asked = ground.backend.asked("a").len();
    ground.hand_over(&[endpoint("a", "a", 7)]).await;
    wait_for(|| ground.backend.asked("a").len() > asked).await;
    assert_eq!(ground.backend.asked("a")[asked].etag.as_deref(), Some("\"same\""));
}

#[tokio::test(start_paused = true)]
async fn another_interval_applies_at_once_and_keeps_the_validators() {
    let mut ground = Ground::start(&[endpoint("a", "a", 3600)]).await;
    ground.news().await;
    let before = Instant::now();
    ground.replan(&[endpoint("a", "a", 2)]);
    wait_for(|| ground.backend.asked("a").len() > 3).await;
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    assert!(ground.backend.asked("a")[1].etag.is_some());
    let asked = ground.backend.asked("a");
    assert_eq!((asked[3].at - asked[2].at).as_secs(), 2, "one schedule, not two");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_is_published_again() {
    let mut ground = Ground::start(&[endpoint("a", "a", 5), endpoint("b", "b", 5)]).await;
    ground.news().await;
    ground.news().await;
    ground.replan(&[endpoint("b", "b", 5)]);
    assert_eq!(ground.news().await, news("a", "gone"));
    ground.replan(&[endpoint("b", "b", 5), endpoint("a", "a", 5)]);
    assert_eq!(ground.news().await, news("a", "a"));
}

#[tokio::test(start_paused = true)]
async fn what_a_predecessor_published_beyond_the_configuration_is_told_as_gone_after_a_while() {
    let mut ground = Ground::start(&[endpoint("a", "a", 5), endpoint("b", "b", 5)]).await;
    ground.news().await;
    ground.news().await;
    ground.hand_over(&[endpoint("b", "b", 5)]).await;
    let before = Instant::now();
    assert_eq!(ground.news().await, news("a", "gone"));
    assert!(before.elapsed() > Duration::from_secs(50), "{:?}", before.elapsed());
    assert_eq!(ground.store.known().await.unwrap(), [name("b")]);
}

/// A departure may be on its way to the store, which then forgets what it knows.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_added_is_published_even_if_the_store_knows_its_body() {
    let mut ground = Ground::start(&[endpoint("a", "a", 5), endpoint("b", "b", 5)]).await;
    ground.news().await;
    ground.news().await;
    ground.hand_over(&[endpoint("b", "b", 5)]).await;
    let asked = ground.backend.asked("b").len();
    wait_for(|| ground.backend.asked("b").len() > asked).await;
    ground.replan(&[endpoint("b", "b", 5), endpoint("a", "a", 5)]);
    assert_eq!(ground.news().await, news("a", "a"));
}
