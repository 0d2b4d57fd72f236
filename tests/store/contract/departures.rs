use pollux::model::{Gone, Version};
use pollux::store::{Batch, Claim, Published, ReleaseReason, Store};

use crate::setup::{batch, lead, name, next, on_every_store, publish, read, updates};

on_every_store!(
    an_endpoint_that_is_gone_is_told_of_in_order_and_counts_in_the_sequence,
    of_an_endpoint_that_is_gone_the_snapshot_alone_is_kept,
    an_endpoint_that_comes_back_is_known_again,
    a_deposed_leader_sends_no_endpoint_away,
);

/// A batch that publishes `a` and sends `b` away, after `after`.
fn farewell(claim: &Claim, after: u64) -> Batch {
    let version = Version::new(claim.term, after + 2);
    let gone = vec![Gone { endpoint: name("b"), version }];
    Batch { gone, ..batch(claim, after, &["a"]) }
}

async fn known(store: &dyn Store) -> Vec<String> {
    let mut known: Vec<String> =
        store.known().await.unwrap().iter().map(ToString::to_string).collect();
    known.sort();
    known
}

async fn an_endpoint_that_is_gone_is_told_of_in_order_and_counts_in_the_sequence(
    store: &dyn Store,
) {
    let claim = lead(store).await;
    publish(store, &claim, &batch(&claim, 0, &["b"])).await;
    let mut updates = updates(store).await;
    let sent = farewell(&claim, 1);
    publish(store, &claim, &sent).await;
    assert_eq!(next(&mut updates).await, *sent.items[0].publication.json());
    assert_eq!(next(&mut updates).await, sent.gone[0].json());
    assert_eq!(read(store, &["a"]).await.version, Version::new(claim.term, 3));
    publish(store, &claim, &batch(&claim, 3, &["a"])).await;
}

async fn of_an_endpoint_that_is_gone_the_snapshot_alone_is_kept(store: &dyn Store) {
    let claim = lead(store).await;
    publish(store, &claim, &batch(&claim, 0, &["b"])).await;
    assert_eq!(known(store).await, ["b"]);
    publish(store, &claim, &farewell(&claim, 1)).await;
    assert_eq!(known(store).await, ["a"]);
    assert!(store.resume(&[name("b")]).await.unwrap().is_empty());
    let reading = read(store, &["b"]).await;
    assert_eq!((reading.snapshots.len(), reading.ages.len()), (1, 0));
}

async fn an_endpoint_that_comes_back_is_known_again(store: &dyn Store) {
    let claim = lead(store).await;
    publish(store, &claim, &farewell(&claim, 0)).await;
    publish(store, &claim, &batch(&claim, 2, &["b"])).await;
    assert_eq!(known(store).await, ["a", "b"]);
    assert_eq!(read(store, &["b"]).await.ages.len(), 1);
}

async fn a_deposed_leader_sends_no_endpoint_away(store: &dyn Store) {
    let deposed = lead(store).await;
    publish(store, &deposed, &batch(&deposed, 0, &["b"])).await;
    store.release(&deposed, ReleaseReason::Asked).await.unwrap();
    let successor = lead(store).await;
    let answer = store.publish(&deposed, &farewell(&deposed, 1)).await.unwrap();
    assert!(matches!(answer, Published::Fenced(_)));
    assert_eq!(known(store).await, ["b"]);
    publish(store, &successor, &batch(&successor, 0, &["a"])).await;
}
