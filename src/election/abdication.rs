//! When a leader steps down since a standby reaches more of the polled hosts.
//!
//! Pure: the caller brings what is known of the replicas, and the time.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::store::{Hosts, PRESENCE_EVERY, Presence};

/// For how many rounds in a row a leader must be behind the same standby.
const ROUNDS: u32 = 3;
/// How old a presence may be to count: a round and a half, since those of different replicas are
/// not in step. One that counts in the third round was thus counted after the first: where nobody
/// reaches a host any more, a standby that merely finds out later is no reason to step down.
const FRESH: Duration = Duration::from_secs(PRESENCE_EVERY.as_secs() * 3 / 2);
/// How long a replica that abdicated does not do so again.
const COOLDOWN: Duration = Duration::from_secs(600);

/// Decides, round by round, whether this replica should give its leadership up.
#[derive(Debug, Default)]
pub struct Abdication {
    /// The term whose rounds are counted; `None` while this replica stands by.
    term: Option<u64>,
    /// For how many rounds in a row each standby has been ahead, by name.
    ahead: HashMap<String, u32>,
    /// The term abdicated last, and when that was first decided.
    last: Option<(u64, Instant)>,
}

/// Why a leader abdicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The term that is to end.
    pub term: u64,
    /// The standby that reaches more.
    pub standby: String,
    /// The hosts it reaches.
    pub theirs: Hosts,
    /// Those that the leader reaches.
    pub own: Hosts,
}

impl fmt::Display for Behind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { standby, theirs: Hosts { reachable, checked }, own, .. } = self;
        write!(formatter, "{standby} reaches {reachable} of {checked} hosts")?;
        write!(formatter, ", this replica {}", own.reachable)
    }
}

impl Abdication {
    /// Looks at one round of `replica`, which leads the term `leading` if any: `present` is what
    /// [`Store::announce_presence`](crate::store::Store::announce_presence) told.
    ///
    /// A leader that is still there in the next round decides alike again: it may not have heard.
    pub fn round(
        &mut self,
        leading: Option<u64>,
        replica: &str,
        present: &[Presence],
        now: Instant,
    ) -> Option<Behind> {
        if self.term != leading {
            self.term = leading;
            self.ahead.clear();
        }
        let term = leading?;
        // Who is not ahead this time starts anew.
        let before = std::mem::take(&mut self.ahead);
        let own = present.iter().find(|presence| presence.replica == replica)?;
        let mut best: Option<Behind> = None;
        for (standby, theirs, own) in standbys_ahead(own, present) {
            let rounds = before.get(standby).unwrap_or(&0) + 1;
            self.ahead.insert(standby.to_owned(), rounds);
            let better = best.as_ref().is_none_or(|best| theirs.reachable > best.theirs.reachable);
            if rounds >= ROUNDS && better {
                best = Some(Behind { term, standby: standby.to_owned(), theirs, own });
            }
        }
        best.filter(|_| self.may_abdicate(term, now))
    }

    /// Whether the last time is long enough ago. Asking again to end the same term is no new time.
    fn may_abdicate(&mut self, term: u64, now: Instant) -> bool {
        if let Some((last, at)) = self.last
            && now.saturating_duration_since(at) < COOLDOWN
        {
            return last == term;
        }
        self.last = Some((term, now));
        true
    }
}

/// The standbys that reach more hosts than `own`, with what both reach. Counts of different numbers
/// of hosts, as of two configurations, do not compare, and neither does one that is not there.
fn standbys_ahead<'a>(
    own: &'a Presence,
    present: &'a [Presence],
) -> impl Iterator<Item = (&'a str, Hosts, Hosts)> {
    let fresh = |other: &Presence| {
        Duration::from_millis(own.seen_at.saturating_sub(other.seen_at)) <= FRESH
    };
    let standbys =
        present.iter().filter(move |other| other.replica != own.replica && other.polls());
    standbys.filter(move |other| fresh(other)).filter_map(|other| {
        let (theirs, own) = other.hosts.zip(own.hosts)?;
        let ahead = theirs.checked == own.checked && theirs.reachable > own.reachable;
        ahead.then_some((&*other.replica, theirs, own))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: &str = "castor";
    const TERM: u64 = 7;
    const NOW: u64 = 1_795_209_600_123;

    fn hosts(reachable: u32, checked: u32) -> Option<Hosts> {
        Some(Hosts { reachable, checked })
    }

    fn poller(replica: &str, hosts: Option<Hosts>) -> Presence {
        let (replica, role) = (replica.to_owned(), "all".to_owned());
        Presence { replica, role, hosts, seen_at: NOW, ..Presence::default() }
    }

    /// The leader, and one standby.
    fn pair(own: Option<Hosts>, theirs: Option<Hosts>) -> Vec<Presence> {
        vec![poller("alhena", theirs), poller(LEADER, own)]
    }

    /// The leader of one term, which goes through rounds.
    struct Rounds {
        abdication: Abdication,
        now: Instant,
    }

    impl Rounds {
        fn new() -> Self {
            Self { abdication: Abdication::default(), now: Instant::now() }
        }

        fn leading(&mut self, term: Option<u64>, present: &[Presence]) -> Option<Behind> {
            self.now += PRESENCE_EVERY;
            self.abdication.round(term, LEADER, present, self.now)
        }

        fn next(&mut self, present: &[Presence]) -> Option<Behind> {
            self.leading(Some(TERM), present)
        }

        /// Whether the leader ever abdicates in many rounds like this.
        fn ever(present: &[Presence]) -> bool {
            let mut rounds = Self::new();
            (0..20).any(|_| rounds.next(present).is_some())
        }

        /// The round in which it abdicates; each is as given, the last one again and again.
        fn until_abdication(given: &[Vec<Presence>]) -> Option<usize> {
            let mut rounds = Self::new();
            let endless = given.iter().chain(std::iter::repeat(given.last().unwrap()));
            endless.take(20).position(|present| rounds.next(present).is_some()).map(|at| at + 1)
        }
    }

    #[test]
    fn a_leader_that_is_behind_for_three_rounds_abdicates() {
        let behind = pair(hosts(1, 3), hosts(3, 3));
        let mut rounds = Rounds::new();
        assert_eq!(rounds.next(&behind), None);
        assert_eq!(rounds.next(&behind), None);
        let why = rounds.next(&behind).unwrap();
        assert_eq!(why.to_string(), "alhena reaches 3 of 3 hosts, this replica 1");
        assert_eq!(why.term, TERM);
    }

    #[test]
    fn one_host_more_is_enough() {
        assert!(Rounds::ever(&pair(hosts(2, 3), hosts(3, 3))));
        assert!(Rounds::ever(&pair(hosts(0, 3), hosts(1, 3))));
    }

    #[test]
    fn who_is_not_behind_stays() {
        for (own, theirs) in [
            (hosts(3, 3), hosts(3, 3)),
            (hosts(3, 3), hosts(1, 3)),
            // Nobody reaches anything.
            (hosts(0, 3), hosts(0, 3)),
        ] {
            assert!(!Rounds::ever(&pair(own, theirs)), "{own:?} {theirs:?}");
        }
    }

    #[test]
    fn who_has_not_counted_is_neither_better_nor_worse() {
        assert!(!Rounds::ever(&pair(None, hosts(3, 3))));
        assert!(!Rounds::ever(&pair(hosts(0, 3), None)));
        assert!(!Rounds::ever(&pair(None, None)));
    }

    #[test]
    fn counts_of_different_numbers_of_hosts_do_not_compare() {
        assert!(!Rounds::ever(&pair(hosts(2, 2), hosts(3, 3))));
        assert!(!Rounds::ever(&pair(hosts(0, 3), hosts(1, 2))));
    }

    #[test]
    fn the_rounds_must_follow_each_other() {
        let behind = pair(hosts(1, 3), hosts(3, 3));
        for between in [
            pair(hosts(3, 3), hosts(3, 3)),
            pair(None, hosts(3, 3)),
            pair(hosts(1, 3), None),
            vec![poller(LEADER, hosts(1, 3))],
        ] {
            let rounds = [behind.clone(), behind.clone(), between, behind.clone()];
            assert_eq!(Rounds::until_abdication(&rounds), Some(6));
        }
    }

    #[test]
    fn it_is_the_same_standby_that_must_be_ahead() {
        let leader = poller(LEADER, hosts(1, 3));
        let ahead = |standby| vec![poller(standby, hosts(3, 3)), leader.clone()];
        let rounds = [ahead("alhena"), ahead("alhena"), ahead("tejat")];
        assert_eq!(Rounds::until_abdication(&rounds), Some(5));
    }

    #[test]
    fn of_several_standbys_the_one_that_reaches_most_is_named() {
        let standbys = [("alhena", 2), ("mebsuta", 3), ("tejat", 2)];
        let mut present = vec![poller(LEADER, hosts(1, 3))];
        present.extend(standbys.map(|(name, reachable)| poller(name, hosts(reachable, 3))));
        let mut rounds = Rounds::new();
        let why = (0..3).find_map(|_| rounds.next(&present)).unwrap();
        assert_eq!(why.standby, "mebsuta");
    }

    #[test]
    fn a_standby_that_fell_silent_does_not_count() {
        let seen = |age: u64| {
            let mut present = pair(hosts(1, 3), hosts(3, 3));
            present[0].seen_at = NOW - age;
            present
        };
        assert!(Rounds::ever(&seen(15_000)));
        assert!(!Rounds::ever(&seen(15_001)));
        // It died right after it was heard of last.
        let rounds = [seen(0), seen(10_000), seen(20_000), seen(30_000)];
        assert_eq!(Rounds::until_abdication(&rounds), None);
    }

    #[test]
    fn a_gateway_is_no_standby() {
        let mut present = pair(hosts(1, 3), hosts(3, 3));
        present[0].role = "gateway".to_owned();
        assert!(!Rounds::ever(&present));
    }

    #[test]
    fn only_rounds_of_one_leadership_count() {
        let behind = pair(hosts(1, 3), hosts(3, 3));
        let mut rounds = Rounds::new();
        for term in [None, None, None, Some(TERM), Some(TERM), Some(TERM + 1), Some(TERM + 1)] {
            assert_eq!(rounds.leading(term, &behind), None);
        }
        assert!(rounds.leading(Some(TERM + 1), &behind).is_some());
    }

    #[test]
    fn a_replica_abdicates_once_in_ten_minutes() {
        let behind = pair(hosts(1, 3), hosts(3, 3));
        let mut rounds = Rounds::new();
        let first = (0..3).find_map(|_| rounds.next(&behind).map(|_| rounds.now)).unwrap();
        let again = (0..100).find_map(|_| {
            rounds.leading(Some(TERM + 1), &behind).map(|_| rounds.now.duration_since(first))
        });
        assert_eq!(again, Some(COOLDOWN));
    }

    #[test]
    fn a_leader_that_has_not_heard_is_asked_again_and_that_delays_no_later_time() {
        let behind = pair(hosts(1, 3), hosts(3, 3));
        let mut rounds = Rounds::new();
        let first = (0..3).find_map(|_| rounds.next(&behind).map(|_| rounds.now)).unwrap();
        assert!(rounds.next(&behind).is_some());
        assert!(rounds.next(&behind).is_some());
        while rounds.leading(Some(TERM + 1), &behind).is_none() {}
        assert_eq!(rounds.now.duration_since(first), COOLDOWN);
    }
}
