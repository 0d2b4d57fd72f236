//! A leader that hands over: no poll is missed that was due later.

use std::time::Duration;

use crate::DEADLINE;
use crate::cluster::{Cluster, Settings};
use crate::common::{eventually, http};
use tokio::time::Instant;

const HANDOVERS: usize = 8;
/// The polled interval.
const EVERY: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_misses_no_poll_that_is_due_after_it() {
    let cluster = Cluster::start(Settings::DEFAULT).await;
    let mut pauses = Vec::new();
    for _ in 0..HANDOVERS {
        cluster.until_alive().await;
        let before = cluster.standing().await;
        let asked = Instant::now();
        let leader = &cluster.members[cluster.index(&before.leader)].replica;
        let url = format!("http://{}/v1/step-down", leader.admin);
        let answer = http().post(url).send().await.expect("the leader answers");
        assert_eq!(answer.status(), 202);
        let first = cluster.backend.first_poll_of_another(&before.leader, asked, DEADLINE).await;
        eventually(DEADLINE, "the successor polls on", || async {
            let polls = cluster.backend.polls_since(first.at);
            (polls.len() >= 10).then_some(())
        })
        .await;
        let longest = cluster.backend.pauses_since(asked, "prices").last().copied();
        pauses.push(longest.expect("several polls"));
    }
    pauses.sort();
    println!("longest pause of polls during each handover: {pauses:?}");
    // The one that is due while nobody leads comes late; what else runs here may delay some.
    assert!(pauses[HANDOVERS / 2] <= EVERY * 3, "{pauses:?}");
    assert_eq!(cluster.metric("pollux_leadership_lost_total", "released").await, HANDOVERS as f64);
}
