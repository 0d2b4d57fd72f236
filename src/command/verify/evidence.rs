use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::admin::{ClusterReport, EndpointReport, LeaderReport, StepDownRequested};
use crate::command::table::table;
use crate::model::{EndpointName, Version};

/// How long a poll that is due may take before it is counted as missing.
const GRACE: Duration = Duration::from_secs(2);

/// How many endpoints are shown.
const SHOWN: usize = 20;

/// What the reports before and after a handover show.
pub(super) struct Evidence {
    asked: StepDownRequested,
    asked_at: Instant,
    endpoints: Vec<Watched>,
    /// The newest version that each replica has told of each endpoint: none may fall behind it.
    told: HashMap<(String, EndpointName), Version>,
    successor: Option<Successor>,
}

/// Who leads after the one that was asked.
struct Successor {
    replica: String,
    term: u64,
    /// How long nobody had led, as the timeline has it.
    gap: Option<u64>,
    /// When it was seen first.
    seen_at: Instant,
}

/// An endpoint with what it was like before, and what has become of it.
struct Watched {
    name: EndpointName,
    before: Option<Version>,
    /// Why it need not be polled again, where it need not.
    excused: Option<&'static str>,
    after: Option<EndpointReport>,
    verdict: Verdict,
}

/// What has become of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing is known yet.
    Unknown,
    /// The new leader has published it.
    Changed,
    /// The new leader has polled it, and found it unchanged.
    Checked,
    /// It is as it was, and need not be more.
    Kept,
    /// It is as it was, and was not polled again yet.
    Waiting,
    /// Who answered last holds an older version, or none.
    Behind,
    /// It is not served any more.
    Gone,
}

/// What one more report does to the case.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Another replica leads, and all data go on.
    Proven,
    /// They never will, for this reason.
    Refuted(String),
    /// This is missing yet.
    Lacking(String),
}

impl Evidence {
    /// Begins with what the cluster was like when the leader was asked to hand over.
    pub(super) fn new(before: &ClusterReport, asked: StepDownRequested, timeout: Duration) -> Self {
        let endpoints = before.endpoints.iter().flatten();
        Self {
            asked,
            asked_at: Instant::now(),
            endpoints: endpoints.map(|endpoint| Watched::new(endpoint, timeout)).collect(),
            told: HashMap::new(),
            successor: None,
        }
    }

    /// Looks at one more report.
    pub(super) fn take(&mut self, report: &ClusterReport) -> Taken {
        let Some(endpoints) = &report.endpoints else {
            return Taken::Lacking(format!("{} serves no data", report.replica));
        };
        if let Some(why) = self.went_back(&report.replica, endpoints) {
            return Taken::Refuted(why);
        }
        let StepDownRequested { replica: from, term } = &self.asked;
        let Some(leader) = report.leader.as_ref().filter(|leader| leader.term > *term) else {
            return Taken::Lacking(format!("{from} has not handed over term {term}"));
        };
        if leader.replica == *from {
            let term = leader.term;
            return Taken::Refuted(format!("{from} leads again, in term {term}: nobody else did"));
        }
        let leading_for = self.succeed(report, leader);
        let mut by_name: HashMap<&EndpointName, &EndpointReport> =
            endpoints.iter().map(|endpoint| (&endpoint.name, endpoint)).collect();
        for watched in &mut self.endpoints {
            watched.judge(by_name.remove(&watched.name), leader.term, leading_for);
        }
        self.verdict(&report.replica)
    }

    /// The sentence that says what a replica had told newer before.
    fn went_back(&mut self, replica: &str, endpoints: &[EndpointReport]) -> Option<String> {
        for endpoint in endpoints {
            let Some(version) = endpoint.version else { continue };
            let newest = self.told.entry((replica.to_owned(), endpoint.name.clone()));
            let newest = newest.or_insert(version);
            if version < *newest {
                let name = &endpoint.name;
                return Some(format!("{name} went back at {replica}, from {newest} to {version}"));
            }
            *newest = version;
        }
        None
    }

    /// Notes who leads now. Returns for how long it has.
    fn succeed(&mut self, report: &ClusterReport, leader: &LeaderReport) -> Duration {
        let claimed = report
            .timeline
            .iter()
            .find(|entry| entry.event == "claimed" && entry.term == leader.term);
        let gap = claimed.map(|entry| entry.gap);
        let successor = match &mut self.successor {
            Some(successor) if successor.term == leader.term => successor,
            successor => successor.insert(Successor {
                replica: leader.replica.clone(),
                term: leader.term,
                gap,
                seen_at: Instant::now(),
            }),
        };
        successor.gap = successor.gap.or(gap);
        // An older replica does not tell the time by the store's clock.
        match report.now {
            Some(now) => Duration::from_millis(now.saturating_sub(leader.since)),
            None => successor.seen_at.elapsed(),
        }
    }

    fn verdict(&self, replica: &str) -> Taken {
        let mut missing = self.endpoints.iter().filter(|watched| !watched.verdict.is_good());
        let Some(first) = missing.next() else { return Taken::Proven };
        let others = match missing.count() {
            0 => String::new(),
            others => format!(", as {others} more"),
        };
        Taken::Lacking(format!("{} {}{others}, says {replica}", first.name, first.shown()))
    }

    /// What was seen, for people.
    pub(super) fn describe(&self) -> String {
        let StepDownRequested { replica: from, term } = &self.asked;
        let mut text = match &self.successor {
            None => format!("{from} was asked to hand over term {term}\n"),
            Some(Successor { replica, term, gap, seen_at }) => {
                let gap = gap.map(|gap| format!(" {gap} ms after the release,"));
                let seen = seen_at.duration_since(self.asked_at).as_millis();
                let gap = gap.unwrap_or_default();
                format!(
                    "{from} handed over to {replica},{gap} in term {term}; seen {seen} ms after \
                     the request\n"
                )
            }
        };
        let mut endpoints: Vec<&Watched> = self.endpoints.iter().collect();
        endpoints.sort_by_key(|watched| watched.verdict.is_good());
        let rows: Vec<_> = endpoints.iter().take(SHOWN).map(|watched| watched.row()).collect();
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&table(&["ENDPOINT", "BEFORE", "AFTER", "AGE", ""], &rows));
        }
        if endpoints.len() > SHOWN {
            text.push_str(&format!("and {} more\n", endpoints.len() - SHOWN));
        }
        text
    }
}

impl Watched {
    fn new(endpoint: &EndpointReport, timeout: Duration) -> Self {
        Self {
            name: endpoint.name.clone(),
            before: endpoint.version,
            excused: excuse(endpoint, timeout),
            after: None,
            verdict: Verdict::Unknown,
        }
    }

    fn judge(&mut self, after: Option<&EndpointReport>, term: u64, leading_for: Duration) {
        self.after = after.cloned();
        let Some(after) = after else {
            self.verdict = Verdict::Gone;
            return;
        };
        let checked = after.age.is_some_and(|age| age < leading_for.as_secs_f64());
        self.verdict = match after.version {
            version if version < self.before => Verdict::Behind,
            Some(version) if version.term >= term => Verdict::Changed,
            _ if checked => Verdict::Checked,
            _ if self.excused.is_some() => Verdict::Kept,
            _ => Verdict::Waiting,
        };
    }

    fn row(&self) -> Vec<String> {
        let none = || "–".to_owned();
        let version = |version: Option<Version>| version.map_or_else(none, |it| it.to_string());
        let age = self.after.as_ref().and_then(|after| after.age);
        vec![
            self.name.to_string(),
            version(self.before),
            version(self.after.as_ref().and_then(|after| after.version)),
            age.map_or_else(none, |age| format!("{age:.1} s")),
            self.shown(),
        ]
    }

    fn shown(&self) -> String {
        match (self.verdict, self.excused) {
            (Verdict::Unknown, _) => "was not seen".to_owned(),
            (Verdict::Changed, _) => "has changed".to_owned(),
            (Verdict::Checked, _) => "was checked again".to_owned(),
            (Verdict::Kept, why) => format!("was kept: {}", why.unwrap_or_default()),
            (Verdict::Waiting, _) => "was not checked again".to_owned(),
            (Verdict::Behind, _) => "is older than before".to_owned(),
            (Verdict::Gone, _) => "is gone".to_owned(),
        }
    }
}

impl Verdict {
    fn is_good(self) -> bool {
        matches!(self, Self::Changed | Self::Checked | Self::Kept)
    }
}

/// Why an endpoint need not be polled within a time, if so.
fn excuse(endpoint: &EndpointReport, timeout: Duration) -> Option<&'static str> {
    let Some(age) = endpoint.age else { return Some("it had no good check before") };
    if endpoint.stale {
        return Some("it was stale before");
    }
    if endpoint.failures > 0 {
        return Some("its polls failed before");
    }
    let due_in = endpoint.every - age + GRACE.as_secs_f64();
    (due_in > timeout.as_secs_f64()).then_some("it is not due yet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::StoreReport;
    use crate::store::TimelineEntry;

    fn endpoint(name: &str, version: Version, age: f64) -> EndpointReport {
        let every = 1.0;
        EndpointReport {
            name: EndpointName::new(name).unwrap(),
            version: Some(version),
            age: Some(age),
            stale: age > 3.0,
            every,
            stale_after: 3.0,
            size: Some(1),
            content_type: None,
            next_due: None,
            failures: 0,
            retry_at: None,
            polls: Vec::new(),
        }
    }

    /// A report in which somebody has led since 10 s after the beginning.
    fn report(
        now: u64,
        leader: (&str, u64),
        endpoints: impl IntoIterator<Item = EndpointReport>,
    ) -> ClusterReport {
        let (leader, term) = leader;
        let leader = leader.to_owned();
        let claimed = TimelineEntry {
            at: 10_000,
            event: "claimed".to_owned(),
            replica: leader.clone(),
            term,
            cause: "released".to_owned(),
            gap: 7,
        };
        ClusterReport {
            cluster: "test".to_owned(),
            replica: "tejat".to_owned(),
            now: Some(now),
            store: StoreReport { kind: "redis".to_owned(), ok: true, error: None },
            leader: Some(LeaderReport {
                replica: leader,
                address: String::new(),
                term,
                since: 10_000,
                lease_remaining: 5.0,
            }),
            term: Some(term),
            replicas: Vec::new(),
            served: Default::default(),
            timeline: vec![claimed],
            polls: Default::default(),
            endpoints: Some(endpoints.into_iter().collect()),
        }
    }

    fn v(term: u64, sequence: u64) -> Version {
        Version::new(term, sequence)
    }

    fn evidence(endpoints: impl IntoIterator<Item = EndpointReport>) -> Evidence {
        let before = report(9_000, ("castor", 1), endpoints);
        let asked = StepDownRequested { replica: "castor".to_owned(), term: 1 };
        Evidence::new(&before, asked, Duration::from_secs(30))
    }

    fn lacking(taken: Taken) -> String {
        let Taken::Lacking(why) = taken else { panic!("{taken:?}") };
        why
    }

    #[test]
    fn what_was_fresh_must_be_published_or_checked_by_the_successor() {
        let mut evidence = evidence([endpoint("a", v(1, 5), 0.5), endpoint("b", v(1, 6), 0.5)]);
        let later = |a, b| report(12_000, ("alhena", 2), [a, b]);
        // Of a term before, and checked before the claim.
        let neither = later(endpoint("a", v(1, 7), 2.1), endpoint("b", v(1, 6), 2.1));
        let why = lacking(evidence.take(&neither));
        assert_eq!(why, "a was not checked again, as 1 more, says tejat");
        let one = later(endpoint("a", v(2, 1), 2.1), endpoint("b", v(1, 6), 2.1));
        assert_eq!(lacking(evidence.take(&one)), "b was not checked again, says tejat");
        let both = later(endpoint("a", v(2, 1), 2.1), endpoint("b", v(1, 6), 1.9));
        assert_eq!(evidence.take(&both), Taken::Proven);
        let text = evidence.describe();
        assert!(
            text.starts_with("castor handed over to alhena, 7 ms after the release,"),
            "{text}"
        );
    }

    #[test]
    fn what_was_not_fresh_or_is_not_due_need_only_be_kept() {
        let late = EndpointReport { every: 3600.0, ..endpoint("late", v(1, 1), 2.0) };
        let never = EndpointReport { version: None, age: None, ..endpoint("never", v(0, 0), 0.0) };
        let failing = EndpointReport { failures: 1, ..endpoint("failing", v(1, 3), 2.0) };
        let stale = endpoint("stale", v(1, 2), 9.0);
        let before = [late, never, failing, stale];
        let mut evidence = evidence(before.clone());
        let after = before.map(|mut endpoint| {
            endpoint.age = endpoint.age.map(|age| age + 3.0);
            endpoint
        });
        assert_eq!(evidence.take(&report(11_000, ("alhena", 2), after.clone())), Taken::Proven);
        let [late, ..] = after;
        let why = lacking(evidence.take(&report(11_000, ("alhena", 2), [late])));
        assert_eq!(why, "never is gone, as 2 more, says tejat");
    }

    #[test]
    fn who_lags_behind_is_waited_for_and_who_goes_back_is_told() {
        let mut evidence = evidence([endpoint("a", v(1, 5), 0.5)]);
        let behind = report(12_000, ("alhena", 2), [endpoint("a", v(1, 4), 0.1)]);
        let why = lacking(evidence.take(&behind));
        assert_eq!(why, "a is older than before, says tejat");
        let back = report(12_000, ("alhena", 2), [endpoint("a", v(1, 3), 0.1)]);
        let why = "a went back at tejat, from 1-4 to 1-3".to_owned();
        assert_eq!(evidence.take(&back), Taken::Refuted(why));
    }

    #[test]
    fn only_another_leader_in_a_newer_term_is_a_handover() {
        let mut evidence = evidence([endpoint("a", v(1, 5), 0.5)]);
        let checked = || [endpoint("a", v(1, 5), 0.1)];
        let why = lacking(evidence.take(&report(12_000, ("castor", 1), checked())));
        assert_eq!(why, "castor has not handed over term 1");
        let again = evidence.take(&report(12_000, ("castor", 2), checked()));
        let why = "castor leads again, in term 2: nobody else did".to_owned();
        assert_eq!(again, Taken::Refuted(why));
    }
}
