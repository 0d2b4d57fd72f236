use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::cluster::{Cluster, TAKEOVER, advance, cluster, wait_for};
use super::faulty::{Fault, Method};
use super::ground::Event;

const SEEDS: std::ops::Range<u64> = 0..200;
/// How many things go wrong beside single calls.
const EVENTS: usize = 12;
/// The longest time between two of them.
const PAUSE: u64 = 4_000;

#[test]
fn whatever_goes_wrong_publications_stay_in_order_and_one_leads_in_the_end() {
    let mut leaderships = 0;
    for seed in SEEDS {
        let outcome = std::panic::catch_unwind(|| simulate(seed));
        let Ok(outcome) = outcome else {
            panic!("seed {seed} fails: simulate({seed}) repeats it");
        };
        leaderships += outcome.leaderships.len();
    }
    let each = leaderships / SEEDS.count();
    assert!(each >= 3, "only {each} leaderships a seed: too little goes wrong");
}

#[test]
fn a_seed_repeats() {
    for seed in [0, 1, 2, 3] {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}

/// What came of a seed.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Who began to lead, and when.
    leaderships: Vec<(usize, Duration)>,
    /// How many publications took effect.
    published: usize,
}

/// One life of a cluster, the same for the same seed.
fn simulate(seed: u64) -> Outcome {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let start = Instant::now();
        let mut rng = Rng::with_seed(seed);
        let mut cluster = cluster(3);
        cluster.leases_kept = seed.is_multiple_of(2);
        let ground = Arc::clone(&cluster.ground);
        for store in cluster.stores() {
            let mut rng = rng.fork();
            store.plan(move |_: Method, _| fault(&mut rng));
        }
        for _ in 0..EVENTS {
            advance(Duration::from_millis(rng.u64(0..PAUSE))).await;
            event(&cluster, &mut rng);
        }
        end_quietly(cluster).await;
        let began = |event: &Event| (event.replica, event.at - start);
        Outcome {
            leaderships: ground.leaderships().iter().map(began).collect(),
            published: ground.published(),
        }
    })
}

/// What happens to one call: mostly nothing.
fn fault(rng: &mut Rng) -> Option<Fault> {
    let after = Duration::from_millis(match rng.u8(0..10) {
        0..3 => 0,
        3..9 => rng.u64(1..500),
        _ => rng.u64(500..8_000),
    });
    match rng.u8(0..100) {
        0..4 => Some(Fault::RequestLost(after)),
        4..8 => Some(Fault::ReplyLost(after)),
        8..12 => Some(Fault::SlowRequest(after)),
        12..16 => Some(Fault::SlowReply(after)),
        16..20 => Some(Fault::Late(after)),
        _ => None,
    }
}

/// Something that happens to a replica or to the store.
fn event(cluster: &Cluster, rng: &mut Rng) {
    let replica = rng.usize(0..3);
    match rng.u8(0..9) {
        0 if !cluster.leases_kept => cluster.server.evict_lease(),
        8 if !cluster.leases_kept => cluster.server.restart_empty(),
        1 => cluster.server.fail_over(),
        2 => cluster.store(replica).cut(|_| true),
        3 => cluster.store(replica).cut_off(),
        4 => cluster.freeze(replica),
        5 => cluster.thaw(replica),
        6 => {
            let mut rng = rng.fork();
            cluster.store(replica).plan(move |_, _| fault(&mut rng));
        }
        _ => {}
    }
}

/// Once nothing more goes wrong, one leads and publishes, and stays.
async fn end_quietly(cluster: Cluster) {
    for replica in 0..3 {
        cluster.thaw(replica);
        cluster.store(replica).heal();
    }
    // The longest that a call of before may still be under way.
    advance(Duration::from_secs(8)).await;
    let limit = cluster.lease.duration + cluster.lease.retry_period * 2 + TAKEOVER;
    wait_for("one leader", limit, || cluster.acting().len() == 1).await;
    let (term, published) = (cluster.term(), cluster.ground.published());
    advance(Duration::from_secs(5)).await;
    assert_eq!(cluster.acting().len(), 1);
    assert_eq!(cluster.term(), term);
    assert!(cluster.ground.published() >= published + 40, "publications stopped");
    cluster.finish().await;
}
