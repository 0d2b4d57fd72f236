//! 12: isolation. Memory and open files have caps, which are the harness's own: far above what a healthy
//! process needs, far below what one takes that keeps everything. And where the backend fails polls of
//! some endpoints, the others keep their pace, unless the leader changes meanwhile.

use super::ground::{Ground, Judgement, broken};
use crate::history::{Event, Function, Kind};

/// How much memory a process may have resident, in bytes.
const RESIDENT: f64 = 256.0 * 1024.0 * 1024.0;
/// How many files a process may have open beside those of clients.
const FILES: usize = 512;
/// How many a client may cost: it may be back before its last connection is found dead.
const FILES_PER_READER: usize = 2;
/// How the backend records a poll that it did not fail itself.
const LEFT: &str = "the poller left";
/// Below which share of its schedule an endpoint is delayed by others, in percent.
const PACE: u64 = 90;

pub(super) fn judge(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Info, Function::Usage, "use of memory and files")?;
    within_caps(ground)?;
    keeps_pace(ground)
}

fn within_caps(ground: &Ground<'_>) -> Judgement {
    let files = FILES + FILES_PER_READER * ground.readers.len();
    for usage in ground.all(Kind::Info, Function::Usage) {
        let Some(value) = usage.value else { continue };
        let cap = match usage.note.as_deref() {
            Some("resident") => RESIDENT,
            Some("files") => files as f64,
            _ => continue,
        };
        if value > cap {
            let what = usage.note.as_deref().unwrap_or_default();
            let why = format!("{} has {value} {what}, and {cap} are allowed", usage.proc);
            return broken(why, &[usage]);
        }
    }
    Ok(())
}

fn keeps_pace(ground: &Ground<'_>) -> Judgement {
    let failed: Vec<&Event> = ground
        .all(Kind::Fail, Function::Poll)
        .filter(|poll| poll.error.as_deref().is_some_and(|error| error != LEFT))
        .collect();
    let (Some(first), Some(last)) = (failed.first(), failed.last()) else { return Ok(()) };
    let window = first.t..last.t;
    if ground.ok(Function::Acquire).any(|claim| window.contains(&claim.t)) {
        return Ok(());
    }
    let failing = |name: &str| {
        ground.all(Kind::Fail, Function::Poll).any(|poll| poll.endpoint.as_deref() == Some(name))
    };
    for endpoint in ground.run.endpoints.iter().filter(|endpoint| !failing(&endpoint.name)) {
        let polls = ground.all(Kind::Invoke, Function::Poll).filter(|poll| {
            poll.endpoint.as_deref() == Some(&endpoint.name) && window.contains(&poll.t)
        });
        let (polls, due) = (polls.count() as u64, (last.t - first.t) / (endpoint.every_ms * 1000));
        // The window may begin and end anywhere between two polls.
        if polls + 1 < due * PACE / 100 {
            let name = &endpoint.name;
            let why = format!("{name} was polled {polls} times of {due} while another failed");
            return broken(why, &[first, last]);
        }
    }
    Ok(())
}
