//! The results as Markdown.

use std::collections::HashMap;
use std::time::Duration;

use super::cluster::{Fault, System};
use super::trial::{Case, Seen};

const HEAD: &str = "\
| fault | system | gap: min | median | p99 | max | median ÷ Pollux's | successor after: median | max | median ÷ Pollux's | two pollers: runs | at most | failed |
|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// What the columns mean, and under what conditions the others run.
const LEGEND: &str = "\
*gap*: the longest time between two successive requests at the backend, which is polled every \
20 ms, from the last one before the fault to the successor's first. *successor after*: from the \
fault to the successor's first request; a leader without Redis may go on polling until then, but \
for nobody. *two pollers*: runs in which the old leader polled after the successor's first request \
(a stopped one is woken then), for how long at most, and with how many requests. *failed*: runs \
without a result, named below. Percentiles are by nearest rank: below 100 runs p99 is the maximum. \
rslock has its default retries and is extended every third of the lease; `SET NX PX` has the \
timings of Kubernetes' client-go scaled to the lease, and as by default there nothing is released \
on SIGTERM.
";

/// All results, none left out.
pub(crate) struct Table {
    runs: usize,
    seen: HashMap<Case, Vec<Seen>>,
    failures: HashMap<Case, Vec<String>>,
}

impl Table {
    pub(crate) fn new(runs: usize) -> Self {
        Self { runs, seen: HashMap::new(), failures: HashMap::new() }
    }

    pub(crate) fn note(&mut self, case: Case, result: Result<Seen, String>) {
        match result {
            Ok(seen) => self.seen.entry(case).or_default().push(seen),
            Err(failure) => self.failures.entry(case).or_default().push(failure),
        }
    }

    /// Prints what the columns mean.
    pub(crate) fn explain() {
        println!("{LEGEND}");
    }

    /// Prints what belongs to one lease.
    pub(crate) fn print(&self, lease: Duration, faults: &[Fault], systems: &[System]) {
        let lease_text = humantime::format_duration(lease);
        println!("### Lease of {lease_text}, {} runs each, ms\n", self.runs);
        println!("{HEAD}");
        for &fault in faults {
            for &system in systems {
                self.print_case(Case { system, fault, lease });
            }
        }
        println!();
        for (case, failures) in self.failures.iter().filter(|(case, _)| case.lease == lease) {
            for failure in failures {
                println!("- failed: {}, {}: {failure}", case.fault, case.system);
            }
        }
    }

    fn print_case(&self, case: Case) {
        let failed = self.failures.get(&case).map_or(0, Vec::len);
        let seen = self.seen.get(&case).map(Vec::as_slice).unwrap_or_default();
        let pollux = self.seen.get(&Case { system: System::Pollux, ..case });
        let pollux = pollux.map(Vec::as_slice).unwrap_or_default();
        let gaps = sorted(seen, |seen| seen.gap);
        let [min, median, p99, max] = [0, 50, 99, 100].map(|percent| text(rank(&gaps, percent)));
        let ratio = times_pollux(&gaps, &sorted(pollux, |seen| seen.gap));
        let successions = sorted(seen, |seen| seen.succession);
        let [typical, latest] = [50, 100].map(|percent| text(rank(&successions, percent)));
        let times = times_pollux(&successions, &sorted(pollux, |seen| seen.succession));
        let beside = seen.iter().filter(|seen| seen.beside > 0);
        let longest = beside.clone().max_by_key(|seen| (seen.beside_for, seen.beside));
        let longest = longest.map_or_else(
            || "–".to_owned(),
            |seen| format!("{} ({})", text(Some(seen.beside_for)), seen.beside),
        );
        let beside = beside.count();
        let Case { system, fault, .. } = case;
        println!(
            "| {fault} | {system} | {min} | {median} | {p99} | {max} | {ratio} | {typical} \
             | {latest} | {times} | {beside} | {longest} | {failed} |"
        );
    }
}

fn sorted(seen: &[Seen], value: impl Fn(&Seen) -> Duration) -> Vec<Duration> {
    let mut values: Vec<Duration> = seen.iter().map(value).collect();
    values.sort_unstable();
    values
}

/// The smallest of sorted values that so many percent of them do not exceed.
fn rank(sorted: &[Duration], percent: usize) -> Option<Duration> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}

/// How many times Pollux's median the own one is.
fn times_pollux(own: &[Duration], pollux: &[Duration]) -> String {
    match (rank(own, 50), rank(pollux, 50)) {
        (Some(own), Some(pollux)) => {
            let times = own.as_secs_f64() / pollux.as_secs_f64();
            format!("{times:.*}", if times < 10.0 { 1 } else { 0 })
        }
        _ => "–".to_owned(),
    }
}

/// In ms, with commas between the thousands.
fn text(time: Option<Duration>) -> String {
    let Some(time) = time else { return "–".to_owned() };
    let ms = time.as_millis();
    match ms / 1000 {
        0 => ms.to_string(),
        thousands => format!("{thousands},{:03}", ms % 1000),
    }
}
