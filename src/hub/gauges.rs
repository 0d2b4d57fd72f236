use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Label, gauge};
use tokio::time::Instant;

use super::board::{Entry, Standing};

/// Sets the age and the staleness of the endpoints; of those that share a label, the worst.
pub(super) fn set(entries: &[Entry], now: Instant) {
    let mut worst: BTreeMap<&Label, (Option<Duration>, bool)> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.configured) {
        let (age, stale) = worst.entry(&entry.label).or_default();
        *age = entry.age(now).max(*age);
        *stale |= entry.standing == Standing::Stale;
    }
    for (label, (age, stale)) in worst {
        let labels = || vec![label.clone()];
        gauge!("pollux_endpoint_stale", labels()).set(f64::from(u8::from(stale)));
        if let Some(age) = age {
            gauge!("pollux_endpoint_age_seconds", labels()).set(age.as_secs_f64());
        }
    }
}

/// Takes back what was told of endpoints that are no longer configured. A series cannot be withdrawn:
/// one that is not a number takes part in no sum, maximum or comparison.
pub(super) fn forget<'a>(labels: impl Iterator<Item = &'a Label>) {
    for label in labels {
        gauge!("pollux_endpoint_stale", vec![label.clone()]).set(0.0);
        gauge!("pollux_endpoint_age_seconds", vec![label.clone()]).set(f64::NAN);
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::hub::board::Board;
    use crate::hub::freshness::Check;
    use crate::hub::tests::{endpoint, publication};
    use crate::model::Version;
    use crate::telemetry::EndpointLabels;

    /// What is rendered of three endpoints, two of which were checked 3 s and 9 s ago.
    fn rendered(labels: EndpointLabels) -> String {
        let limit = Duration::from_secs(5);
        let now = Instant::now();
        let configs = (0..3).map(|number| {
            let mut config = endpoint(&format!("e{number}"), limit);
            config.url = "http://host.test/".parse().unwrap();
            config
        });
        let mut board = Board::default();
        board.configure_with(&configs.collect::<Vec<_>>(), labels);
        for (entry, age) in board.entries.iter_mut().zip([3, 9]) {
            let version = Version::new(1, age);
            let made = publication(entry.name.as_str(), version, "0");
            entry.take(std::sync::Arc::new(crate::hub::Snapshot::new(made)));
            entry.checked(1, Check::new(Duration::from_secs(age), now), now);
        }
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || set(&board.entries, now));
        recorder.handle().render()
    }

    #[test]
    fn endpoints_with_labels_of_their_own_each_have_their_gauges() {
        let text = rendered(EndpointLabels::Endpoint);
        for line in [
            "pollux_endpoint_age_seconds{endpoint=\"e0\"} 3",
            "pollux_endpoint_age_seconds{endpoint=\"e1\"} 9",
            "pollux_endpoint_stale{endpoint=\"e0\"} 0",
            "pollux_endpoint_stale{endpoint=\"e1\"} 1",
            "pollux_endpoint_stale{endpoint=\"e2\"} 0",
        ] {
            assert!(text.contains(line), "{line}");
        }
        assert!(!text.contains("age_seconds{endpoint=\"e2\"}"));
    }

    #[test]
    fn endpoints_that_share_a_label_are_told_by_their_worst() {
        let text = rendered(EndpointLabels::Host);
        assert!(text.contains("pollux_endpoint_age_seconds{host=\"host.test\"} 9"));
        assert!(text.contains("pollux_endpoint_stale{host=\"host.test\"} 1"));
        assert!(!text.contains("endpoint="));
    }
}
