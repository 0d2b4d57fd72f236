//! The scripts with their keys and arguments, in the order in which each file states them.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Script, ScriptInvocation};
use uuid::Uuid;

use super::keys::Keys;
use super::reply;
use crate::model::{Announcement, Record};
use crate::store::{
    Batch, Claim, ClaimRequest, GONE_EXPIRY, LeaseValue, PRESENCE_EXPIRY, Presence, ReleaseReason,
    TIMELINE,
};

static OBSERVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("script/observe.lua")));
static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/claim.lua")));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/renew.lua")));
static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("script/release.lua")));
static REAP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/reap.lua")));
static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("script/publish.lua")));
static PRESENCE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("script/presence.lua")));

/// A script that can be sent.
type Ready = ScriptInvocation<'static>;

pub(super) fn observe(keys: &Keys) -> Ready {
    let mut script = OBSERVE.prepare_invoke();
    script.key(&keys.lease).key(&keys.leader);
    script
}

pub(super) fn claim(keys: &Keys, request: &ClaimRequest, run_id: &str) -> Ready {
    let announced = Announcement::Claimed { term: 0, replica: request.replica.clone() };
    let (head, tail) = reply::around_term(&announced);
    let mut script = CLAIM.prepare_invoke();
    script
        .key(&keys.lease)
        .key(&keys.leader)
        .key(&keys.timeline)
        .arg(request.lease.bytes())
        .arg(request.lease.to_string())
        .arg(millis(request.duration))
        .arg(request.seen)
        .arg(keys.alive(request.alive))
        .arg(&request.replica)
        .arg(&request.address)
        .arg(millis(request.gap))
        .arg(u8::from(request.reinstate))
        .arg(run_id)
        .arg(TIMELINE)
        .arg(&keys.leadership)
        .arg(head)
        .arg(tail);
    script
}

pub(super) fn renew(keys: &Keys, claim: &Claim, alive: Uuid) -> Ready {
    let (term, replica) = (claim.term, claim.replica.clone());
    let mut script = RENEW.prepare_invoke();
    script
        .key(&keys.lease)
        .key(&keys.leader)
        .arg(claim.lease.bytes())
        .arg(claim.lease.to_string())
        .arg(claim.term)
        .arg(millis(claim.duration))
        .arg(keys.alive(alive))
        .arg(&keys.leadership)
        .arg(reply::json(&Announcement::Alive { term, replica }));
    script
}

pub(super) fn release(keys: &Keys, claim: &Claim, reason: ReleaseReason) -> Ready {
    let (term, replica) = (claim.term, claim.replica.clone());
    let mut script = RELEASE.prepare_invoke();
    script
        .key(&keys.lease)
        .key(&keys.leader)
        .key(&keys.timeline)
        .arg(claim.lease.bytes())
        .arg(claim.lease.to_string())
        .arg(claim.term)
        .arg(&claim.replica)
        .arg(reason.as_str())
        .arg(TIMELINE)
        .arg(&keys.leadership)
        .arg(reply::json(&Announcement::Released { term, replica }));
    script
}

/// `lease`: the value that `suspect` has in hex.
pub(super) fn reap(keys: &Keys, lease: &LeaseValue, suspect: &Record) -> Ready {
    let (term, replica) = (suspect.term, suspect.replica.clone());
    let mut script = REAP.prepare_invoke();
    script
        .key(&keys.lease)
        .key(&keys.leader)
        .key(&keys.timeline)
        .arg(lease.bytes())
        .arg(suspect.term)
        .arg(&suspect.lease)
        .arg(suspect.sequence)
        .arg(&suspect.alive)
        .arg(&suspect.run_id)
        .arg(&suspect.replica)
        .arg(TIMELINE)
        .arg(&keys.leadership)
        .arg(reply::json(&Announcement::Reaped { term, replica }));
    script
}

/// Lets a batch take effect; with it goes about how many bytes its arguments are.
pub(super) fn publish(keys: &Keys, claim: &Claim, batch: &Batch) -> (Ready, usize) {
    let mut size = 0;
    let beat = batch.beat.as_ref();
    let mut script = PUBLISH.prepare_invoke();
    script.key(&keys.leader).key(&keys.history).key(&keys.checked).key(&keys.state);
    for item in &batch.items {
        script.key(keys.snapshot(&item.publication.endpoint));
    }
    for gone in &batch.gone {
        script.key(keys.snapshot(&gone.endpoint));
    }
    script
        .arg(claim.term)
        .arg(claim.lease.to_string())
        .arg(batch.after)
        .arg(batch.last())
        .arg(batch.history)
        .arg(&keys.updates)
        .arg(beat.map(|beat| &beat.json[..]).unwrap_or_default())
        .arg(beat.map(|beat| beat.until).unwrap_or_default())
        .arg(millis(GONE_EXPIRY))
        .arg(batch.items.len())
        .arg(batch.checked.len())
        .arg(batch.states.len())
        .arg(batch.gone.len());
    for item in &batch.items {
        size += item.publication.json().len();
        script
            .arg(item.publication.endpoint.as_str())
            .arg(&item.publication.json()[..])
            .arg(reply::json(&item.state));
    }
    for (endpoint, at) in &batch.checked {
        script.arg(endpoint.as_str()).arg(at);
    }
    for (endpoint, state) in &batch.states {
        script.arg(endpoint.as_str()).arg(reply::json(state));
    }
    for gone in &batch.gone {
        script.arg(gone.endpoint.as_str()).arg(&gone.json()[..]);
    }
    (script, size)
}

pub(super) fn presence(keys: &Keys, presence: &Presence) -> Ready {
    let mut script = PRESENCE.prepare_invoke();
    script
        .key(&keys.replicas)
        .arg(&presence.replica)
        .arg(reply::without_seen_at(presence))
        .arg(millis(PRESENCE_EXPIRY));
    script
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
