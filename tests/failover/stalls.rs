//! Redis stalls for less than the renew deadline, in many ways, and nobody falls; it is away for
//! longer than every deadline, and everybody goes on once it is back.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, REPLICAS, Settings, assert_nobody_went_back, until_all_hold};
use crate::common::eventually;
use crate::common::redis_server::RedisServer;
use crate::{DEADLINE, ask};

/// The durations stand to each other as the default ones do.
const SETTINGS: Settings = Settings {
    duration: Duration::from_millis(3000),
    renew_deadline: Duration::from_millis(2000),
    retry_period: Duration::from_millis(500),
    timeout: Duration::from_millis(250),
    ..Settings::DEFAULT
};

/// Below the renew deadline by what it takes until a request that was lost is given up and sent
/// again.
fn stall(settings: Settings) -> Duration {
    settings.renew_deadline - settings.timeout * 2
}

/// Lets Redis stall in some way, and asserts that nothing comes of it but a pause of publications.
async fn assert_nobody_falls(cluster: &mut Cluster, fault: impl AsyncFnOnce(&mut Cluster, usize)) {
    cluster.until_alive().await;
    let before = cluster.standing().await;
    let leader = cluster.index(&before.leader);
    let failures = cluster.members[leader].replica.metric("pollux_redis_failures_total", "").await;
    let clients = cluster.clients();
    until_all_hold(&clients, "first").await;

    let began = Instant::now();
    fault(&mut *cluster, leader).await;

    let lasted = began.elapsed();
    cluster.backend.say("after");
    until_all_hold(&clients, "after").await;
    println!("a stall of {lasted:?}, and level again after {:?}", began.elapsed() - lasted);
    assert_eq!(cluster.standing().await, before, "{}", cluster.logs());
    assert_eq!(cluster.until_one_leads().await, before.leader);
    assert_eq!(cluster.metric("pollux_leadership_lost_total", "").await, 0.0);
    assert_eq!(cluster.backend.pollers_since(began), [&*before.leader]);
    assert_nobody_went_back(&clients);
    let after = cluster.members[leader].replica.metric("pollux_redis_failures_total", "").await;
    println!("{} failures", after - failures);
}

/// The passing of time is the fault.
async fn lasting(duration: Duration) {
    sleep(duration).await;
}

/// Waits until the leader has noticed that something is wrong.
async fn until_noticed(cluster: &Cluster, leader: usize, kind: &str) {
    let label = format!("kind=\"{kind}\"");
    let what = format!("the leader counts a failure of kind {kind}");
    eventually(DEADLINE, &what, || async {
        let replica = &cluster.members[leader].replica;
        (replica.metric("pollux_redis_failures_total", &label).await > 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server() {
    let mut cluster = Cluster::start(Settings::DEFAULT).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        cluster.redis.signal(Signal::STOP);
        lasting(stall(Settings::DEFAULT)).await;
        cluster.redis.signal(Signal::CONT);
        until_noticed(cluster, leader, "timeout").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_that_cuts_all_connections_when_it_goes_on() {
    let mut cluster = Cluster::start(SETTINGS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        let ms = stall(SETTINGS).as_millis().to_string();
        let mut operator = cluster.redis.connection().await;
        let mut pause = redis::cmd("CLIENT");
        pause.arg(&["PAUSE", &ms, "ALL"]);
        pause.query_async::<()>(&mut operator).await.expect("the server pauses");
        lasting(stall(SETTINGS)).await;
        for kind in ["normal", "pubsub"] {
            let mut kill = redis::cmd("CLIENT");
            kill.arg(&["KILL", "TYPE", kind, "SKIPME", "yes"]);
            kill.query_async::<u64>(&mut operator).await.expect("the server kills");
        }
        until_noticed(cluster, leader, "timeout").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_server() {
    let redis = RedisServer::with_options(&["--enable-debug-command", "yes"]).await;
    let mut cluster = Cluster::on(redis, SETTINGS, &REPLICAS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        let seconds = stall(SETTINGS).as_secs_f64().to_string();
        ask::<()>(&cluster.redis, &["DEBUG", "SLEEP", &seconds]).await;
        until_noticed(cluster, leader, "timeout").await;
    })
    .await;
}

/// Three stalls in a row, each of which throws everybody out: leader and standbys race to be back.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_that_has_lost_all_connections_when_it_goes_on() {
    let mut cluster = Cluster::start(SETTINGS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        for _ in 0..3 {
            cluster.redis.signal(Signal::STOP);
            lasting(stall(SETTINGS) / 2).await;
            for member in &cluster.members {
                member.path.cut();
            }
            lasting(stall(SETTINGS) / 2).await;
            cluster.redis.signal(Signal::CONT);
            cluster.until_alive().await;
            until_renewed(cluster, leader).await;
        }
        until_noticed(cluster, leader, "timeout").await;
    })
    .await;
}

/// Waits until the leader knows of a renewal from now on. That the lease is long again in Redis is not
/// enough: a renewal that waited there extends it, though nobody waits for its answer any more.
async fn until_renewed(cluster: &Cluster, leader: usize) {
    let replica = &cluster.members[leader].replica;
    let held = async || replica.metric("pollux_lease_renew_seconds_count", "held").await;
    let before = held().await;
    eventually(DEADLINE, "the lease is renewed", || async {
        (held().await > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_600_ms_away() {
    let settings = Settings { timeout: Duration::from_millis(1500), ..SETTINGS };
    let mut cluster = Cluster::start(settings).await;
    assert_nobody_falls(&mut cluster, async |cluster, _| {
        for member in &cluster.members {
            member.path.delay(Duration::from_millis(300));
        }
        // It answers, if late, so it need not end.
        lasting(settings.duration).await;
        for member in &cluster.members {
            member.path.delay(Duration::ZERO);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_too_far_away_to_answer_in_time() {
    let mut cluster = Cluster::start(SETTINGS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        for member in &cluster.members {
            member.path.delay(Duration::from_millis(300));
        }
        lasting(stall(SETTINGS)).await;
        for member in &cluster.members {
            member.path.delay(Duration::ZERO);
        }
        until_noticed(cluster, leader, "timeout").await;
    })
    .await;
}

/// Again and again: the leader must be back within the time in which a standby asks twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_everybody() {
    let mut cluster = Cluster::start(SETTINGS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        for _ in 0..3 {
            for member in &mut cluster.members {
                member.path.refuse().await;
            }
            lasting(stall(SETTINGS) / 2).await;
            for member in &mut cluster.members {
                member.path.open();
            }
            until_renewed(cluster, leader).await;
        }
        until_noticed(cluster, leader, "refused").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_loses_everything_and_every_connection() {
    let mut cluster = Cluster::start(SETTINGS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        for member in &cluster.members {
            member.path.block();
        }
        lasting(stall(SETTINGS)).await;
        for member in &cluster.members {
            member.path.freeze_open_connections();
            member.path.unblock();
        }
        until_noticed(cluster, leader, "timeout").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_alone_cut_off() {
    let mut cluster = Cluster::start(SETTINGS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        cluster.members[leader].path.block();
        lasting(stall(SETTINGS)).await;
        cluster.members[leader].path.unblock();
        until_noticed(cluster, leader, "timeout").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_alone_whose_connections_were_forgotten() {
    let mut cluster = Cluster::start(SETTINGS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        cluster.members[leader].path.freeze_open_connections();
        until_noticed(cluster, leader, "timeout").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_alone_whose_connections_are_reset_again_and_again() {
    let mut cluster = Cluster::start(SETTINGS).await;
    assert_nobody_falls(&mut cluster, async |cluster, leader| {
        for _ in 0..10 {
            cluster.members[leader].path.cut();
            until_renewed(cluster, leader).await;
            cluster.until_alive().await;
        }
        until_noticed(cluster, leader, "refused").await;
    })
    .await;
}

/// Longer than every deadline: the leader gives up its lease, and nobody gives up on Redis.
async fn assert_all_go_on_after(fault: impl AsyncFnOnce(&mut Cluster)) {
    let mut cluster = Cluster::start(Settings::BRIEF).await;
    let before = cluster.standing().await;
    let clients = cluster.clients();
    until_all_hold(&clients, "first").await;

    fault(&mut cluster).await;

    cluster.backend.say("after");
    until_all_hold(&clients, "after").await;
    let leader = cluster.until_one_leads().await;
    let healed = Instant::now();
    eventually(DEADLINE, "polls go on", || async {
        (cluster.backend.polls_since(healed).len() > 10).then_some(())
    })
    .await;
    assert_eq!(cluster.backend.pollers_since(healed), [leader]);
    assert!(cluster.standing().await.term > before.term);
    assert_nobody_went_back(&clients);
    let history = crate::common::history::history(&cluster.redis).await;
    crate::common::history::assert_one_writer_at_a_time(&history);
    for member in &mut cluster.members {
        assert!(member.replica.process.is_running());
    }
}

/// Lets an outage last for longer than a lease; from the leader's last deadline on, nobody polls.
async fn outlast_every_deadline(cluster: &Cluster) {
    let began = Instant::now();
    lasting(Settings::BRIEF.duration * 2).await;
    let polls = cluster.backend.polls_since(began + Settings::BRIEF.duration);
    assert!(polls.is_empty(), "{} polls without a lease", polls.len());
    assert!(cluster.leaders().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_after_an_outage_in_which_connections_were_refused() {
    assert_all_go_on_after(async |cluster| {
        for member in &mut cluster.members {
            member.path.refuse().await;
        }
        outlast_every_deadline(cluster).await;
        for member in &mut cluster.members {
            member.path.open();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_after_an_outage_in_which_nothing_arrived() {
    assert_all_go_on_after(async |cluster| {
        for member in &cluster.members {
            member.path.block();
        }
        outlast_every_deadline(cluster).await;
        for member in &cluster.members {
            member.path.freeze_open_connections();
            member.path.unblock();
        }
    })
    .await;
}
