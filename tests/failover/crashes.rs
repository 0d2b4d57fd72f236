//! A leader dies: another one polls at once, whatever the lease duration.

use std::time::Duration;

use redis::streams::StreamRangeReply;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, REPLICAS, Settings};
use crate::common::eventually;
use crate::common::redis_server::RedisServer;
use crate::{DEADLINE, ask, key};

const KILLS: usize = 10;
/// What a takeover may take on a machine that is busy with other tests: by far less than what is
/// left of the lease, which is what it would take if the crash went unseen.
const BUSY: Duration = Duration::from_millis(1500);
/// What half of the takeovers keep within: the time between two probes, the one that confirms the
/// first, and a claim by a program that is not optimised.
const USUAL: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_under_a_lease_of_6_s_is_seen_at_once() {
    kill_one_leader_after_the_other(Settings::DEFAULT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_under_a_lease_of_60_s_is_seen_at_once() {
    let duration = Duration::from_secs(60);
    kill_one_leader_after_the_other(Settings { duration, ..Settings::DEFAULT }).await;
}

async fn kill_one_leader_after_the_other(settings: Settings) {
    let mut cluster = Cluster::start(settings).await;
    let mut gaps = Vec::new();
    for number in 0..KILLS {
        cluster.until_alive().await;
        let before = cluster.standing().await;
        let leader = cluster.members.remove(cluster.index(&before.leader));
        let killed = Instant::now();
        leader.replica.signal(Signal::KILL);
        let first = cluster.backend.first_poll_of_another(&before.leader, killed, BUSY).await;
        gaps.push(first.at - killed);
        assert!(cluster.standing().await.term > before.term);
        drop(leader);
        let next = cluster.member(&format!("leda-{number}")).await;
        cluster.members.push(next);
    }
    gaps.sort();
    println!("from the kill to the next leader's first poll: {gaps:?}");
    assert!(gaps[KILLS / 2] <= USUAL, "{gaps:?}");
    let causes = causes(&cluster.redis).await;
    let crashed = causes.iter().filter(|cause| *cause == "crashed").count();
    assert_eq!(crashed, KILLS, "{causes:?}");
}

/// Why each leadership followed the one before, by the timeline.
async fn causes(redis: &RedisServer) -> Vec<String> {
    let timeline: StreamRangeReply = ask(redis, &["XRANGE", &key("timeline"), "-", "+"]).await;
    timeline.ids.iter().filter_map(|entry| entry.get("cause")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_between_acquisition_and_claim_costs_a_second() {
    let duration = Duration::from_secs(60);
    let settings = Settings { duration, ..Settings::DEFAULT };
    let mut cluster = Cluster::on(RedisServer::start().await, settings, &REPLICAS[..2]).await;
    let leader = cluster.standing().await.leader;
    let mut leader = cluster.members.remove(cluster.index(&leader));
    // The standby sleeps while somebody acquires the lease that was just released, and dies.
    cluster.members[0].replica.signal(Signal::STOP);
    leader.replica.signal(Signal::TERM);
    leader.replica.process.ended(DEADLINE).await;
    let left = Instant::now();
    let set: Option<String> =
        ask(&cluster.redis, &["SET", &key("lease"), "dead", "NX", "PX", "1000"]).await;
    assert!(set.is_some(), "the lease was free");
    cluster.members[0].replica.signal(Signal::CONT);
    let first = cluster
        .backend
        .first_poll_of_another(&leader.replica.name, left, Duration::from_secs(1) + BUSY)
        .await;
    assert!(first.at - left >= Duration::from_secs(1), "the lease was respected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_keeps_its_lease_though_its_liveness_connection_is_cut_again_and_again() {
    const CUTS: usize = 10;
    let cluster = Cluster::start(Settings::DEFAULT).await;
    cluster.until_alive().await;
    let before = cluster.standing().await;
    let (began, mut absences) = (Instant::now(), Vec::new());
    for _ in 0..CUTS {
        let alive = alive(&cluster).await;
        cut_liveness_connection(&cluster.redis, &alive).await;
        let cut = Instant::now();
        eventually(DEADLINE, "another liveness channel is in the record", || async {
            let next = self::alive(&cluster).await;
            let heard = next != alive && subscribers(&cluster.redis, &next).await > 0;
            assert_eq!(cluster.standing().await, before, "{}", cluster.logs());
            heard.then_some(())
        })
        .await;
        absences.push(cut.elapsed());
    }
    assert_eq!(cluster.standing().await, before);
    assert_eq!(cluster.metric("pollux_leadership_lost_total", "").await, 0.0);
    assert_eq!(cluster.backend.pollers_since(began), [before.leader]);
    absences.sort();
    let pauses = cluster.backend.pauses_since(began, "prices");
    let longest: Vec<_> = pauses.iter().rev().take(CUTS).collect();
    println!("back after {absences:?}, longest pauses: {longest:?}");
    // While it is away a crash would go unseen.
    assert!(absences[CUTS / 2] <= Duration::from_millis(200), "{absences:?}");
    assert!(*longest[CUTS / 2] <= Duration::from_millis(100), "{longest:?}");
    assert!(*longest[0] <= Duration::from_millis(500), "{longest:?}");
}

/// The liveness channel in the record; empty while there is none.
async fn alive(cluster: &Cluster) -> String {
    cluster.record().await.remove("alive").unwrap_or_default()
}

async fn subscribers(redis: &RedisServer, channel: &str) -> u64 {
    let (_, count): (String, u64) = ask(redis, &["PUBSUB", "NUMSUB", channel]).await;
    count
}

/// Cuts the connection that subscribes to `channel`. Redis does not tell which one that is: the
/// youngest are tried first, until the channel has no subscriber.
async fn cut_liveness_connection(redis: &RedisServer, channel: &str) {
    let mut connection = redis.connection().await;
    let clients: String = ask(redis, &["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    let ids = clients.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next());
    let mut ids: Vec<u64> = ids.filter_map(|id| id.parse().ok()).collect();
    ids.sort_unstable();
    for id in ids.into_iter().rev() {
        let mut cut = redis::pipe();
        cut.atomic().cmd("CLIENT").arg("KILL").arg("ID").arg(id).ignore();
        cut.cmd("PUBSUB").arg("NUMSUB").arg(channel);
        let ((_, left),): ((String, u64),) =
            cut.query_async(&mut connection).await.expect("the server answers");
        if left == 0 {
            return;
        }
    }
    panic!("nobody subscribed to {channel}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_probes_another_leads_when_the_lease_ends() {
    let settings = Settings { crash_probe: Duration::ZERO, ..Settings::BRIEF };
    wait_for_the_end_of_the_lease(RedisServer::start().await, settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_server_that_does_not_count_subscribers_another_leads_when_the_lease_ends() {
    let redis = RedisServer::with_options(&["--rename-command", "PUBSUB", ""]).await;
    wait_for_the_end_of_the_lease(redis, Settings::BRIEF).await;
}

/// After the true end of the lease: what is promised, and as much again for a program that is not
/// optimised, on a busy machine.
const AFTER_THE_END: Duration = Duration::from_millis(200);

async fn wait_for_the_end_of_the_lease(redis: RedisServer, settings: Settings) {
    let mut cluster = Cluster::on(
        redis,
        Settings { every: Duration::from_millis(20), ..settings },
        &REPLICAS[..2],
    )
    .await;
    let leader = cluster.standing().await.leader;
    let leader = cluster.members.remove(cluster.index(&leader));
    let standby = &cluster.members[0].replica;
    let commands = async || {
        standby.metric("pollux_redis_commands_total", "lease").await
            + standby.metric("pollux_redis_commands_total", "probe").await
    };
    let (before, counted) = (commands().await, Instant::now());
    // What a standby costs is a matter of time.
    sleep(settings.duration).await;
    leader.replica.signal(Signal::KILL);
    let killed = Instant::now();
    let left: i64 = ask(&cluster.redis, &["PTTL", &key("lease")]).await;
    let end = Instant::now() + Duration::from_millis(left.try_into().expect("a lease that ends"));
    let first = cluster.backend.first_poll_of_another(&leader.replica.name, killed, DEADLINE).await;
    let late = first.at.saturating_duration_since(end);
    println!("{late:?} after the end of the lease");
    assert!(first.at + Duration::from_millis(20) >= end, "the lease was respected");
    assert!(late <= AFTER_THE_END, "{late:?}");
    // The acquisition, the claim, and the question before them are three more.
    let most = 3.0 + counted.elapsed().as_secs_f64() / settings.retry_period.as_secs_f64();
    let count = commands().await - before;
    assert!(count <= most, "{count} commands");
}
