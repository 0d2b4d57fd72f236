use std::time::Duration;

use crate::admin::{ClusterReport, EndpointReport};
use crate::command::status::{
    change_row, failures, is_silent, next, rough, saved, strip, symbol, version,
};
use crate::command::terminal::{Colours, Paint, WIDEST_NAME, clip, width};
use crate::command::text::{bytes, seconds};
use crate::store::Presence;

/// How many cells the lease's bar has.
const LEASE_BAR: usize = 24;

/// How many cells the bar of an age has.
const AGE_BAR: usize = 8;

/// How many polls of an endpoint are shown at most.
const POLLS: usize = 30;

/// How many changes of leadership are shown at most.
const CHANGES: usize = 5;

/// The cluster on a screen.
pub(super) struct View<'a> {
    pub(super) report: &'a ClusterReport,
    /// How old the report is.
    pub(super) elapsed: Duration,
    /// Why there is no newer one.
    pub(super) trouble: Option<&'a str>,
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) colours: Colours,
}

/// A text in a colour.
type Cell = (String, Option<Paint>);

fn plain(text: impl Into<String>) -> Cell {
    (text.into(), None)
}

fn painted(text: impl Into<String>, paint: Paint) -> Cell {
    (text.into(), Some(paint))
}

impl View<'_> {
    /// As many lines as there are rows at most, none wider than the screen.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = self.overview();
        lines.push(String::new());
        let room = self.rows.saturating_sub(lines.len() + 1);
        let replicas = self.replicas((room / 4).max(2));
        let changes = if room < 16 { Vec::new() } else { self.changes((room / 6).min(CHANGES)) };
        let room = room.saturating_sub(replicas.len() + changes.len());
        let endpoints = self.endpoints(room);
        lines.extend(replicas);
        lines.extend(endpoints);
        lines.extend(changes);
        lines.truncate(self.rows.saturating_sub(1));
        lines.push(self.legend());
        lines
    }

    fn overview(&self) -> Vec<String> {
        let report = self.report;
        let title = [
            painted(report.cluster.clone(), Paint::Bold),
            painted(format!("as {} sees it", report.replica), Paint::Dim),
            match (self.trouble, &report.store.error) {
                (Some(why), _) => painted(
                    format!("no answer for {}: {why}", rough(self.elapsed_ms())),
                    Paint::Red,
                ),
                (None, Some(why)) => {
                    painted(format!("{} does not answer: {why}", report.store.kind), Paint::Red)
                }
                (None, None) => plain(report.store.kind.clone()),
            },
        ];
        let mut lines = vec![self.row(&title, &[]), String::new()];
        let label = |text: &str| painted(format!("{text:<7}"), Paint::Dim);
        match &report.leader {
            None => lines.push(self.row(&[label("leader"), painted("nobody", Paint::Red)], &[])),
            Some(leader) => {
                let since = report.now.map(|now| now.saturating_sub(leader.since));
                let since = since.map(|ms| format!("for {}", rough(ms + self.elapsed_ms())));
                let leader = [
                    label("leader"),
                    painted(leader.replica.clone(), Paint::Green),
                    plain(format!("in term {}", leader.term)),
                    plain(since.unwrap_or_default()),
                    painted(leader.address.clone(), Paint::Dim),
                ];
                lines.push(self.row(&leader, &[]));
                lines.push(self.row(&[label("lease"), self.lease()], &[]));
            }
        }
        let saved = saved(report);
        if !saved.is_empty() {
            lines.push(self.row(&[label("saved"), plain(saved)], &[]));
        }
        lines
    }

    /// What is left of the lease, counting down until the next report.
    fn lease(&self) -> Cell {
        let Some(leader) = &self.report.leader else { return plain("") };
        let left = (leader.lease_remaining - self.elapsed.as_secs_f64()).max(0.0);
        // Its duration is not told: the longest that is usual, or what is left now.
        let whole = leader.lease_remaining.max(6.0);
        let paint = match left / whole {
            share if share < 0.2 => Paint::Red,
            share if share < 0.4 => Paint::Yellow,
            _ => Paint::Green,
        };
        painted(format!("{} {left:.1} s", bar(left / whole, LEASE_BAR)), paint)
    }

    fn replicas(&self, most: usize) -> Vec<String> {
        let leader = self.report.leader.as_ref().map(|leader| leader.replica.as_str());
        let mut replicas: Vec<&Presence> = self.report.replicas.iter().collect();
        replicas.sort_by_key(|replica| Some(&*replica.replica) != leader);
        let row = |replica: &&Presence| {
            let standing = match replica.polls() {
                _ if leader == Some(&*replica.replica) => painted("leader", Paint::Green),
                _ if is_silent(replica, self.report.now) => painted("silent", Paint::Yellow),
                true => plain("standby"),
                false => painted("serves", Paint::Dim),
            };
            let hosts = replica.hosts.map_or_else(|| "–".to_owned(), |hosts| hosts.to_string());
            let up = self.report.now.filter(|_| replica.started_at > 0);
            let up = up.map(|now| rough(now.saturating_sub(replica.started_at)));
            vec![
                plain(replica.replica.clone()),
                standing,
                plain(replica.role.clone()),
                plain(hosts),
                plain(up.unwrap_or_else(|| "–".to_owned())),
                match replica.config_refused {
                    true => painted(version(replica), Paint::Yellow),
                    false => plain(version(replica)),
                },
                painted(replica.address.clone(), Paint::Dim),
            ]
        };
        let heading = ["REPLICA", "", "ROLE", "HOSTS", "UP", "VERSION", "ADDRESS"];
        self.table(&heading, &replicas.iter().map(row).collect::<Vec<_>>(), most)
    }

    /// Those that need a look first: stale, then failing, then as configured.
    fn endpoints(&self, room: usize) -> Vec<String> {
        let Some(endpoints) = &self.report.endpoints else {
            return vec![self.row(&[painted("this replica serves no data", Paint::Dim)], &[])];
        };
        let mut endpoints: Vec<&EndpointReport> = endpoints.iter().collect();
        endpoints.sort_by_key(|endpoint| (!endpoint.stale, endpoint.failures == 0));
        // Beside them: a heading, an empty line and, where some are left out, how many.
        let all = room.saturating_sub(2);
        let most = if endpoints.len() > all { all.saturating_sub(1) } else { endpoints.len() };
        let rows: Vec<_> =
            endpoints.iter().take(most).map(|endpoint| self.endpoint(endpoint)).collect();
        let heading =
            ["ENDPOINT", "AGE", "", "NEXT", "POLLS", "FAILURES", "EVERY", "SIZE", "VERSION"];
        let mut lines = self.table(&heading, &rows, most);
        if endpoints.len() > most {
            let text = format!("and {} more endpoints", endpoints.len() - most);
            let at = lines.len().saturating_sub(1);
            lines.insert(at, self.row(&[painted(text, Paint::Dim)], &[]));
        }
        lines
    }

    fn endpoint(&self, endpoint: &EndpointReport) -> Vec<Cell> {
        let none = || "–".to_owned();
        let age = endpoint.age.map(|age| age + self.elapsed.as_secs_f64());
        let paint = match age {
            _ if endpoint.stale => Paint::Red,
            Some(age) if age > endpoint.every * 1.5 => Paint::Yellow,
            Some(_) => Paint::Green,
            None => Paint::Dim,
        };
        let share = age.map_or(0.0, |age| age / endpoint.stale_after);
        let paint_failures = if endpoint.failures > 0 { Paint::Red } else { Paint::Dim };
        // What is wrong with an endpoint stands behind its name.
        let name = clip(endpoint.name.as_str(), WIDEST_NAME.min(self.columns / 3));
        vec![
            plain(name),
            painted(age.map_or_else(none, |age| format!("{age:.1} s")), paint),
            painted(if endpoint.stale { "stale".to_owned() } else { bar(share, AGE_BAR) }, paint),
            plain(next(endpoint, self.report.now, self.elapsed_ms())),
            painted(strip(endpoint, POLLS), paint_of_polls(endpoint)),
            painted(failures(endpoint), paint_failures),
            plain(seconds(endpoint.every)),
            plain(endpoint.size.map_or_else(none, bytes)),
            painted(endpoint.version.map_or_else(none, |it| it.to_string()), Paint::Dim),
        ]
    }

    fn changes(&self, most: usize) -> Vec<String> {
        let rows: Vec<Vec<Cell>> = self
            .report
            .timeline
            .iter()
            .take(most)
            .map(|entry| change_row(entry).into_iter().map(plain).collect())
            .collect();
        if rows.is_empty() {
            return Vec::new();
        }
        self.table(&["CHANGE", "", "REPLICA", "TERM", "CAUSE", "GAP"], &rows, most)
    }

    fn legend(&self) -> String {
        if let Some(error) = &self.report.polls.error {
            return self.row(&[painted(format!("no polls are shown: {error}"), Paint::Dim)], &[]);
        }
        let outcomes = ["changed", "unchanged", "not_modified", "failed", "skipped"];
        let shown: Vec<String> = outcomes
            .iter()
            .map(|outcome| format!("{} {}", symbol(outcome), outcome.replace('_', " ")))
            .collect();
        self.row(&[painted(format!("polls: {}", shown.join("  ")), Paint::Dim)], &[])
    }

    /// A heading, at most so many rows, and an empty line.
    fn table(&self, heading: &[&str], rows: &[Vec<Cell>], most: usize) -> Vec<String> {
        let rows = &rows[..rows.len().min(most)];
        let widths: Vec<usize> = heading
            .iter()
            .enumerate()
            .map(|(column, heading)| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                cells.map(|(text, _)| width(text)).max().unwrap_or(0).max(width(heading))
            })
            .collect();
        let heading: Vec<Cell> = heading.iter().map(|text| painted(*text, Paint::Dim)).collect();
        let mut lines = vec![self.row(&heading, &widths)];
        lines.extend(rows.iter().map(|row| self.row(row, &widths)));
        lines.push(String::new());
        lines
    }

    /// Cells beside each other, as wide as is said, cut where the screen ends.
    fn row(&self, cells: &[Cell], widths: &[usize]) -> String {
        let mut line = String::new();
        let mut room = self.columns;
        for (column, (text, paint)) in cells.iter().enumerate() {
            let text = clip(text, room);
            let takes = width(&text);
            room -= takes;
            line.push_str(&match paint {
                Some(paint) => self.colours.paint(*paint, &text),
                None => text,
            });
            let missing = widths.get(column).map_or(0, |width| width.saturating_sub(takes));
            let gap = (missing + 2).min(room);
            line.push_str(&" ".repeat(gap));
            room -= gap;
        }
        line.truncate(line.trim_end().len());
        line
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The colour of a strip: that of its newest poll that is not as usual.
fn paint_of_polls(endpoint: &EndpointReport) -> Paint {
    let newest = endpoint.polls.iter().rev().take(3);
    match newest.into_iter().any(|poll| poll.outcome == "failed") {
        true => Paint::Red,
        false => Paint::Cyan,
    }
}

/// A bar that is filled to a share of its cells, by eighths.
fn bar(share: f64, cells: usize) -> String {
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    let eighths = (share * (cells * 8) as f64).round() as usize;
    let parts = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let mut text = "█".repeat(eighths / 8);
    if let Some(part) = (eighths % 8).checked_sub(1).and_then(|index| parts.get(index)) {
        text.push(*part);
    }
    let missing = cells.saturating_sub(text.chars().count());
    text + &"░".repeat(missing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(endpoints: usize, age: f64) -> ClusterReport {
        let endpoint = |n: usize| {
            let (stale, failures) = (n == 70, u32::from(n >= 60));
            let polls = vec![
                json!({"at": 1, "outcome": "changed", "seconds": 0.1, "kind": null}),
                json!({"at": 2, "outcome": "failed", "seconds": 0.1, "kind": "timeout"}),
            ];
            json!({"name": format!("e{n}"), "version": "7-1", "age": age, "stale": stale,
                   "every": age, "stale_after": 0.0, "size": 5, "failures": failures,
                   "next_due": 1_000, "retry_at": null, "polls": polls})
        };
        let replica = |n: usize| {
            json!({"replica": format!("日本\u{1b}[2J{n}"), "role": "all", "address": "http://h",
                   "version": "1", "started_at": 1})
        };
        let entry = json!({"at": u64::MAX, "event": "claimed", "replica": "castor", "term": 7,
                           "cause": "released", "gap": 3});
        serde_json::from_value(json!({
            "cluster": "test", "replica": "castor", "now": 61_000, "term": 7,
            "store": {"kind": "redis", "ok": true, "error": null},
            "leader": {"replica": "castor", "address": "http://h", "term": 7, "since": 1_000,
                       "lease_remaining": 3.0},
            "replicas": (0..20).map(replica).collect::<Vec<_>>(),
            "served": {"reads": 5000, "deliveries": 0, "polls": 1, "saved": 4999, "since": 1_000},
            "timeline": [entry.clone(), entry],
            "polls": {"replica": "castor", "error": null},
            "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    fn lines(report: &ClusterReport, columns: usize, rows: usize) -> Vec<String> {
        let (elapsed, trouble, colours) = (Duration::from_millis(1_500), None, Colours::NONE);
        View { report, elapsed, trouble, columns, rows, colours }.lines()
    }

    #[test]
    fn every_screen_is_kept_to_and_nothing_on_it_moves_the_cursor() {
        for report in [report(0, 1.0), report(1, 1e300), report(80, 0.0)] {
            for rows in 1..60 {
                for columns in [1, 7, 40, 80, 200] {
                    let lines = lines(&report, columns, rows);
                    assert!(lines.len() <= rows, "{columns}x{rows}: {}", lines.len());
                    let widest = lines.iter().map(|line| width(line)).max().unwrap();
                    assert!(widest <= columns, "{columns}x{rows}: {widest}");
                    assert!(!lines.concat().contains(char::is_control));
                }
            }
        }
    }

    #[test]
    fn what_is_most_urgent_comes_first_and_how_much_is_left_out_is_said() {
        let lines = lines(&report(80, 2.0), 120, 24);
        let first = lines.iter().position(|line| line.starts_with("ENDPOINT")).unwrap() + 1;
        assert!(lines[first].starts_with("e70 "), "{lines:#?}");
        assert!(lines[first].contains("stale"), "{lines:#?}");
        assert!(lines[first].contains("█×     1 timeout"), "{lines:#?}");
        assert!(lines[first + 1].starts_with("e60 "), "{lines:#?}");
        let shown = lines.iter().filter(|line| line.starts_with('e')).count();
        let expected = format!("and {} more endpoints", 80 - shown);
        assert!(lines.contains(&expected), "{lines:#?}");
    }

    #[test]
    fn a_long_name_leaves_room_for_what_is_wrong() {
        let mut report = report(71, 2.0);
        let long = "prices-of-everything-that-is-sold-anywhere-in-the-world";
        if let Some(endpoints) = &mut report.endpoints {
            endpoints[0].name = crate::model::EndpointName::new(long).unwrap();
        }
        let lines = lines(&report, 60, 90);
        let row = |first: &str| lines.iter().find(|line| line.starts_with(first)).unwrap();
        assert!(row("prices-of-").contains('…'), "{lines:#?}");
        assert!(row("e70 ").contains("stale"), "{lines:#?}");
        assert!(row("e70 ").contains('×'), "{lines:#?}");
    }

    #[test]
    fn the_lease_runs_down_between_reports() {
        let lines = lines(&report(1, 2.0), 120, 24);
        let lease = lines.iter().find(|line| line.starts_with("lease")).unwrap();
        assert!(lease.ends_with("██████░░░░░░░░░░░░░░░░░░ 1.5 s"), "{lease}");
        assert!(
            lines.iter().any(|line| line.contains("4,999 backend requests in 1m")),
            "{lines:#?}"
        );
    }

    #[test]
    fn bars_are_filled_by_eighths() {
        let bars = [0.0, 0.5, 0.515_625, 1.0, 7.0, f64::NAN].map(|share| bar(share, 8));
        assert_eq!(bars, ["░░░░░░░░", "████░░░░", "████▏░░░", "████████", "████████", "░░░░░░░░"]);
    }
}
