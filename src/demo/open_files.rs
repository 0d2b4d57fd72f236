//! Room for the simulated readers' sockets.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::readers;

/// What everything else needs: pages, polls, listeners, and some to spare.
const OTHERS: u64 = 256;
/// Both ends of a reader's connection are in this process.
const PER_READER: u64 = 2;

/// Raises this process's limit of open files as far as the readers need and the system allows;
/// returns how many readers there is room for. Shells commonly start with 256 or 1,024.
pub(super) fn room_for_readers() -> usize {
    let needed = OTHERS + PER_READER * readers::MOST as u64;
    let limit = getrlimit(Resource::Nofile);
    let enough = |open: Option<u64>| open.is_none_or(|open| open >= needed);
    if !enough(limit.current) {
        let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
        let raised = Rlimit { current: Some(current), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
    readers_within(getrlimit(Resource::Nofile).current)
}

/// How many readers a limit of open files has room for; `None`: there is no limit.
fn readers_within(limit: Option<u64>) -> usize {
    let room = limit.map(|limit| limit.saturating_sub(OTHERS) / PER_READER);
    room.and_then(|room| usize::try_from(room).ok())
        .map_or(readers::MOST, |room| room.min(readers::MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_what_the_others_leave() {
        assert_eq!(readers_within(None), 1000);
        assert_eq!(readers_within(Some(1_000_000)), 1000);
        assert_eq!(readers_within(Some(1024)), 384);
        assert_eq!(readers_within(Some(100)), 0);
    }
}
