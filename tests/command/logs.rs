use serde_json::Value;

use super::common::replica::Replica;
use super::common::{eventually, free_port};
use super::{DEADLINE, configuration};

/// A configuration whose Redis is not there, of which there is something to tell.
fn without_redis() -> String {
    let redis = format!("redis: {{ url: \"redis://127.0.0.1:{}\" }}\n", free_port());
    configuration("http://127.0.0.1:1/", &redis)
}

/// The levels of all events so far; the last line may still be being written.
fn levels(replica: &Replica) -> Vec<String> {
    let log = replica.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let events = whole.lines().map(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}"));
        assert!(event["message"].is_string() && event["timestamp"].is_string(), "{line}");
        event["level"].as_str().expect("a level").to_owned()
    });
    events.collect()
}

#[tokio::test]
async fn logs_are_a_json_object_a_line_where_there_is_no_terminal() {
    let replica = Replica::start("castor", &without_redis()).await;
    eventually(DEADLINE, "the failure is logged", || async {
        levels(&replica).contains(&"WARN".to_owned()).then_some(())
    })
    .await;
    let levels = levels(&replica);
    assert!(levels.iter().all(|level| level == "INFO" || level == "WARN"), "{levels:?}");
}

#[tokio::test]
async fn rust_log_chooses_what_is_logged() {
    let verbose = |command: &mut std::process::Command| {
        command.env("RUST_LOG", "pollux=debug");
    };
    let replica = Replica::start_with("castor", &without_redis(), verbose).await;
    eventually(DEADLINE, "debug events are logged", || async {
        levels(&replica).contains(&"DEBUG".to_owned()).then_some(())
    })
    .await;
}
