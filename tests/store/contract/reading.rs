use std::time::Duration;

use pollux::model::Version;
use pollux::store::{Batch, ReleaseReason, Store};
use tokio::sync::watch;

use crate::setup::{batch, lead, name, on_every_store, publish, read, request};
on_every_store!(
    an_empty_store_reads_as_nothing,
    what_was_published_is_read,
    only_what_is_asked_for_is_read,
    many_endpoints_are_read_at_once,
    the_version_read_is_from_before_the_snapshots,
    ages_count_from_the_last_good_check,
    what_the_last_leader_left_is_resumed,
    what_was_never_published_is_not_resumed,
    the_history_has_the_newest_publications_of_an_endpoint,
    without_a_history_nothing_is_found_in_it,
);

async fn an_empty_store_reads_as_nothing(store: &dyn Store) {
    let reading = read(store, &["a"]).await;
    assert_eq!(reading.version, Version::NONE);
    assert!(reading.snapshots.is_empty() && reading.ages.is_empty());
    assert!(store.resume(&[name("a")]).await.unwrap().is_empty());
}

async fn what_was_published_is_read(store: &dyn Store) {
    let claim = lead(store).await;
    let sent = batch(&claim, 0, &["a"]);
    publish(store, &claim, &sent).await;
    let reading = read(store, &["a"]).await;
    assert_eq!(reading.version, Version::new(claim.term, 1));
    assert_eq!(reading.snapshots, [sent.items[0].publication.clone()]);
    assert_eq!(reading.snapshots[0].json(), sent.items[0].publication.json());
}

async fn only_what_is_asked_for_is_read(store: &dyn Store) {
    let claim = lead(store).await;
    publish(store, &claim, &batch(&claim, 0, &["a", "b", "c"])).await;
    let reading = read(store, &["c", "unknown"]).await;
    let names: Vec<_> = reading.snapshots.iter().map(|read| read.endpoint.as_str()).collect();
    assert_eq!(names, ["c"]);
    assert_eq!(reading.ages.len(), 1);
}

async fn many_endpoints_are_read_at_once(store: &dyn Store) {
    let claim = lead(store).await;
    let names: Vec<String> = (0..300).map(|number| format!("e{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    publish(store, &claim, &batch(&claim, 0, &names)).await;
    let reading = read(store, &names).await;
    assert!(reading.snapshots.iter().map(|read| read.endpoint.as_str()).eq(names.iter().copied()));
    assert_eq!(reading.ages.len(), names.len());
}

/// One endpoint is published again and again: a snapshot older than the version read along with it
/// would be missing what that version counts.
async fn the_version_read_is_from_before_the_snapshots(store: &dyn Store) {
    let claim = lead(store).await;
    publish(store, &claim, &batch(&claim, 0, &["a"])).await;
    let (done, publishing) = watch::channel(());
    let publish_on = async {
        for after in 1..300 {
            publish(store, &claim, &batch(&claim, after, &["a"])).await;
        }
        drop(done);
    };
    let read_on = async {
        while publishing.has_changed().is_ok() {
            let reading = read(store, &["a"]).await;
            assert!(reading.snapshots[0].version >= reading.version);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(publish_on, read_on);
}

async fn ages_count_from_the_last_good_check(store: &dyn Store) {
    let claim = lead(store).await;
    let ago = Duration::from_secs(3600);
    let checked = vec![(name("a"), claim.now - 3_600_000), (name("b"), claim.now + 3_600_000)];
    publish(store, &claim, &Batch { checked, ..Batch::default() }).await;
    let ages = read(store, &["a", "b"]).await.ages;
    let age = |text: &str| ages.iter().find(|(of, _)| *of == name(text)).unwrap().1;
    assert!(age("a") >= ago && age("a") < ago * 2, "{ages:?}");
    assert_eq!(age("b"), Duration::ZERO);
}

async fn what_the_last_leader_left_is_resumed(store: &dyn Store) {
    let first = lead(store).await;
    let sent = batch(&first, 0, &["a", "b"]);
    publish(store, &first, &sent).await;
    store.release(&first, ReleaseReason::Asked).await.unwrap();
    lead(store).await;
    let resumed = store.resume(&["b", "a"].map(name)).await.unwrap();
    for (left, item) in resumed.iter().zip([&sent.items[1], &sent.items[0]]) {
        assert_eq!(left.endpoint, item.publication.endpoint);
        assert_eq!(left.state, item.state);
        assert_eq!(left.checked_at, Some(first.now));
    }
    assert_eq!(resumed.len(), 2);
}

async fn what_was_never_published_is_not_resumed(store: &dyn Store) {
    let claim = lead(store).await;
    publish(store, &claim, &batch(&claim, 0, &["a"])).await;
    let again = store.claim(&request(claim.lease())).await.unwrap();
    assert!(again.is_some());
    let resumed = store.resume(&["unknown", "a"].map(name)).await.unwrap();
    assert_eq!(resumed.len(), 1);
    assert_eq!(resumed[0].endpoint, name("a"));
}

async fn the_history_has_the_newest_publications_of_an_endpoint(store: &dyn Store) {
    let claim = lead(store).await;
    // More of others than are read at once lie between those of `a`.
    let mut names = vec!["a"; 2];
    names.extend(["aa"; 40]);
    names.push("a");
    names.extend(["b"; 3]);
    let sent = batch(&claim, 0, &names);
    publish(store, &claim, &sent).await;
    let found = store.history(&name("a"), 2).await.unwrap();
    assert_eq!(found, [42, 1].map(|at| sent.items[at].publication.clone()));
    assert_eq!(store.history(&name("a"), 9).await.unwrap().len(), 3);
    assert!(store.history(&name("unknown"), 2).await.unwrap().is_empty());
}

async fn without_a_history_nothing_is_found_in_it(store: &dyn Store) {
    let claim = lead(store).await;
    publish(store, &claim, &Batch { history: 0, ..batch(&claim, 0, &["a"]) }).await;
    assert!(store.history(&name("a"), 2).await.unwrap().is_empty());
}
