//! A run as it should be, to be spoilt by tests.

use std::ops::Range;

use pollux::model::Version;

use crate::checker::{Finding, State, Verdict, check};
use crate::history::{Event, Function, Kind, STARTED, WATCHED};
use crate::run::{Bound, Endpoint, Invariant, Run, Timing};

/// The lease duration is 6 s.
const TIMING: Timing = Timing { lease_ms: 6000, deadline_ms: 4000, retry_ms: 1000 };
pub(crate) const FAULT: u64 = 8000;
pub(crate) const CLAIM: u64 = 8150;
pub(crate) const HEAL: u64 = 10_000;
const HOLD: u64 = 18_000;
pub(crate) const QUIET: u64 = 21_500;
const END: u64 = 22_000;
pub(crate) const STREAMS: [(&str, &str); 3] =
    [("sse-1", "idas"), ("sse-2", "lynceus"), ("restless", "idas")];
/// When `restless` comes back.
const BACK: u64 = 6003;

/// A run: `castor` leads in term 1000 until it is killed at [`FAULT`]; `pollux` claims term 2000 at
/// [`CLAIM`]; all is well from [`HEAL`] on. `fast` is polled every 100 ms and always differs, `calm` every
/// 500 ms and differs every 2 s.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) run: Run,
    pub(crate) events: Vec<Event>,
}

pub(crate) fn event(proc: &str, kind: Kind, f: Function) -> Event {
    Event::new(proc, kind, f)
}

/// Something that Redis did for a replica.
pub(crate) fn redis(proc: &str, f: Function) -> Event {
    event(proc, Kind::Ok, f).server("redis-1", "run-1")
}

/// A publication that Redis took.
pub(crate) fn publish(proc: &str, term: u64, seq: u64, endpoint: &str, hash: &str) -> Event {
    let version = Version::new(term, seq);
    redis(proc, Function::Publish).version(version).endpoint(endpoint).hash(hash.to_owned())
}

/// A publication that a client got.
pub(crate) fn read(proc: &str, term: u64, seq: u64, endpoint: &str, hash: &str) -> Event {
    let read = event(proc, Kind::Ok, Function::Read).version(Version::new(term, seq));
    read.endpoint(endpoint).hash(hash.to_owned())
}

impl Story {
    pub(crate) fn valid() -> Self {
        let endpoint = |name: &str, every_ms| Endpoint {
            name: name.to_owned(),
            every_ms,
            stale_after_ms: 3000,
        };
        let run = Run {
            fault: "1 leader-killed".to_owned(),
            title: "SIGKILL to the leader".to_owned(),
            seed: 17,
            command: "chaos/run leader-killed --seed 17 --lease 6s".to_owned(),
            timing: TIMING,
            endpoints: vec![endpoint("fast", 100), endpoint("calm", 500)],
            pollers: ["castor", "pollux", "helena"].map(str::to_owned).to_vec(),
            gateways: ["idas", "lynceus"].map(str::to_owned).to_vec(),
            bound: Bound::Takeover(300),
            changes: 1,
            reclaims: 0,
            spared: Vec::new(),
            ready_at: 1_000_000,
            quiet_at: Some(QUIET * 1000),
        };
        let mut story = Self { run, events: Vec::new() };
        story.begins();
        story.leads("castor", 1000, 500..FAULT);
        story.leads("pollux", 2000, CLAIM..END);
        let fault = |kind, note: &str| event("harness", kind, Function::Fault).note(note);
        story.add(FAULT, fault(Kind::Invoke, "SIGKILL to castor"));
        story.add(FAULT + 3, event("castor", Kind::Info, Function::Process).note("ended"));
        story.add(FAULT + 4, fault(Kind::Ok, "the process has ended"));
        story.add(HEAL - 100, event("castor", Kind::Info, Function::Process).note(STARTED));
        story.add(HEAL, fault(Kind::Info, "it runs again"));
        story.ends();
        story
    }

    fn begins(&mut self) {
        let watch = format!("{WATCHED}, run id run-1");
        self.add(1, event("redis-1", Kind::Info, Function::Process).note(watch));
        for name in ["castor", "pollux", "helena", "idas", "lynceus"] {
            self.add(10, event(name, Kind::Info, Function::Process).note(STARTED));
        }
        for (reader, gateway) in STREAMS {
            let connect =
                |kind| event(reader, kind, Function::Connect).gateway(gateway).note("fast,calm");
            self.add(100, connect(Kind::Invoke));
            self.add(102, connect(Kind::Ok));
        }
    }

    /// Leads, polls and publishes; all readers get it at once.
    fn leads(&mut self, leader: &str, term: u64, time: Range<u64>) {
        let lease = format!("{term:x}");
        self.add(time.start, redis(leader, Function::Acquire).term(term).lease(&lease));
        let mut sequence = 0;
        for t in time.start + 10..time.end.min(END) {
            if t % 1000 == 500 {
                self.add(t, redis(leader, Function::Renew).lease(&lease));
            }
            for (endpoint, every, differs) in [("fast", 100, 100), ("calm", 500, 2000)] {
                let overdue = t == time.start + 10;
                if t % every != 0 && !overdue {
                    continue;
                }
                let answer = format!("{endpoint}-{}", t.min(HOLD) / differs);
                let poll = |kind| event(leader, kind, Function::Poll).endpoint(endpoint);
                self.add(t, poll(Kind::Invoke));
                self.add(t + 2, poll(Kind::Ok).hash(answer.clone()));
                let check = redis(leader, Function::Check).endpoint(endpoint).term(term);
                let last = self.last(endpoint).filter(|last| last.term == Some(term));
                if last.is_none_or(|last| last.hash.as_ref() != Some(&answer)) {
                    sequence += 1;
                    self.add(t + 4, publish(leader, term, sequence, endpoint, &answer));
                    self.delivers(t + 6, &read("", term, sequence, endpoint, &answer));
                }
                self.add(t + 4, check);
            }
        }
    }

    fn last(&self, endpoint: &str) -> Option<Event> {
        let mut all = self.events.iter().rev().filter(|event| event.f == Function::Publish);
        all.find(|event| event.endpoint.as_deref() == Some(endpoint)).cloned()
    }

    /// How many publications Redis took of the second leader.
    pub(crate) fn accepted(&self) -> f64 {
        let of_term = |event: &&Event| event.f == Function::Publish && event.term == Some(2000);
        self.events.iter().filter(of_term).filter_map(|event| event.seq).max().unwrap_or(0) as f64
    }

    fn delivers(&mut self, t: u64, read: &Event) {
        for (reader, gateway) in STREAMS {
            if reader == "restless" && t >= BACK && !self.is_back() {
                self.comes_back();
            }
            let event = Event { proc: reader.to_owned(), ..read.clone() };
            self.add(t, event.gateway(gateway));
        }
        let event = Event { proc: "get-1".to_owned(), ..read.clone() };
        self.add(t + 20, event.gateway("idas"));
    }

    fn is_back(&self) -> bool {
        let connects = self.events.iter().filter(|event| {
            event.proc == "restless" && event.f == Function::Connect && event.kind == Kind::Ok
        });
        connects.count() > 1
    }

    fn comes_back(&mut self) {
        let of_restless = |event: &&Event| event.f == Function::Read && event.proc == "restless";
        let last = self.events.iter().rev().find(of_restless).and_then(Event::of_version);
        let connect = |kind| event("restless", kind, Function::Connect).gateway("idas");
        self.add(BACK - 2, connect(Kind::Info).error("the reader left"));
        self.add(
            BACK - 1,
            connect(Kind::Invoke).version(last.expect("it has read")).note("fast,calm"),
        );
        self.add(BACK, connect(Kind::Ok));
    }

    /// What is asked in the end.
    fn ends(&mut self) {
        for endpoint in ["fast", "calm"] {
            let last = self.last(endpoint).expect("it was published");
            let snapshot = Event { proc: "redis-1".to_owned(), kind: Kind::Info, ..last };
            self.add(END, Event { f: Function::Snapshot, ..snapshot });
        }
        let record = event("redis-1", Kind::Info, Function::Record).term(2000).note("pollux");
        self.add(END, record);
        let metric = |proc: &str, name: &str, value: f64| {
            event(proc, Kind::Info, Function::Metric).note(name).value(value)
        };
        for name in ["castor", "pollux", "helena"] {
            let leads = name == "pollux";
            self.add(END, metric(name, "pollux_is_leader", f64::from(u8::from(leads))));
            self.add(END, metric(name, "pollux_has_leader", 1.0));
            self.add(END, metric(name, "pollux_term", 2000.0));
            self.add(END, metric(name, "pollux_leader_changes_total", 1.0));
            let accepted = if leads { self.accepted() } else { 0.0 };
            let accepted_name = "pollux_publications_total{outcome=\"accepted\"}";
            self.add(END, metric(name, accepted_name, accepted));
            let usage = event(name, Kind::Info, Function::Usage);
            self.add(HEAL + 1000, usage.clone().note("resident").value(5e7));
            self.add(HEAL + 1000, usage.note("files").value(40.0));
        }
    }

    /// Adds what happens at `t`, in ms.
    pub(crate) fn add(&mut self, t: u64, event: Event) {
        self.events.push(Event { t: t * 1000, ..event });
    }

    /// Takes away what happens from one time to another, in ms, and is so.
    pub(crate) fn remove(&mut self, time: Range<u64>, is: impl Fn(&Event) -> bool) {
        let before = self.events.len();
        self.events.retain(|event| !(time.contains(&(event.t / 1000)) && is(event)));
        assert_ne!(self.events.len(), before, "nothing was taken away");
    }

    /// Changes the first that happens at `t` or later, in ms, and is so.
    pub(crate) fn change(&mut self, t: u64, is: impl Fn(&Event) -> bool, to: impl Fn(&mut Event)) {
        self.events.sort_by_key(|event| event.t);
        let event = self.events.iter_mut().find(|event| event.t >= t * 1000 && is(event));
        to(event.expect("there is such an event"));
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let mut events = self.events.clone();
        events.sort_by_key(|event| event.t);
        check(&self.run, &events)
    }

    pub(crate) fn finding(&self, invariant: Invariant) -> Finding {
        let entries = self.verdict().invariants;
        let entry = entries.into_iter().find(|entry| entry.invariant == invariant);
        entry.expect("every invariant has an entry").finding
    }

    /// This invariant holds, whatever else does not.
    #[track_caller]
    pub(crate) fn holds(&self, invariant: Invariant) {
        assert_eq!(self.finding(invariant), Finding::Held);
    }

    /// This invariant is broken, the sentence says so, and the run is invalid.
    #[track_caller]
    pub(crate) fn breaks(&self, invariant: Invariant, says: &str) {
        match self.finding(invariant) {
            Finding::Broken { why, excerpt } => {
                assert!(why.contains(says), "{why}");
                assert!(excerpt.len() <= 3, "{excerpt:?}");
            }
            other => panic!("{invariant:?} is {other:?}"),
        }
        assert_eq!(self.verdict().state, State::Invalid);
    }

    /// Nothing can be said of this invariant, and the run is not valid.
    #[track_caller]
    pub(crate) fn is_unknown(&self, invariant: Invariant, says: &str) {
        match self.finding(invariant) {
            Finding::Unknown { why } => assert!(why.contains(says), "{why}"),
            other => panic!("{invariant:?} is {other:?}"),
        }
        assert_ne!(self.verdict().state, State::Valid);
    }
}
