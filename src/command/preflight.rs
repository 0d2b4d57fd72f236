//! `pollux preflight`: whether Redis offers what a replica needs.

use std::time::{Duration, Instant};

use super::table::table;
use super::text::now;
use super::{Failure, runtime};
use crate::app::{self, Role};
use crate::config::{Config, format_duration};
use crate::store::{Examination, Shortcoming, StoreError};

/// Asks the store that a configuration names, and describes what it offers to a replica of `role`.
///
/// # Errors
/// When it does not answer, or lacks what a replica cannot work without.
pub fn report(config: &Config, role: Role) -> Result<String, Failure> {
    if config.redis.is_none() {
        return Ok("no redis is configured: the embedded store lacks nothing\n".to_owned());
    }
    let (examination, took) = runtime()?.block_on(examine(config, role))?;
    let text = describe(&examination, took);
    if examination.shortcomings.iter().any(Shortcoming::is_fatal) {
        return Err(Failure::Other(format!("Redis cannot be used as it is\n\n{text}")));
    }
    Ok(text)
}

async fn examine(config: &Config, role: Role) -> Result<(Examination, Duration), Failure> {
    let failed = |error: StoreError| Failure::Other(error.to_string());
    let (store, _) = app::open_store(config);
    let endpoint = &config.endpoints[0].name;
    // The first answer takes a new connection, the second shows how far the server is.
    store.examine(endpoint, role.polls()).await.map_err(failed)?;
    let asked = Instant::now();
    let examination = store.examine(endpoint, role.polls()).await.map_err(failed)?;
    Ok((examination, asked.elapsed()))
}

fn describe(examination: &Examination, took: Duration) -> String {
    let mut rows = vec![
        vec!["server".to_owned(), examination.server.clone()],
        vec!["answers in".to_owned(), format!("{:.1} ms", took.as_secs_f64() * 1000.0)],
    ];
    for kind in Shortcoming::KINDS {
        let found = examination.shortcomings.iter().find(|lack| lack.kind() == kind);
        let verdict = match found {
            Some(lack) => lack.to_string(),
            None if kind == "clock" => clock(examination.now),
            None => "ok".to_owned(),
        };
        rows.push(vec![kind.replace('_', " "), verdict]);
    }
    table(&[], &rows)
}

/// How far the store's clock is from this machine's, where that is little.
fn clock(store_ms: u64) -> String {
    let wall = now();
    let apart = format_duration(Duration::from_millis(wall.abs_diff(store_ms)));
    let side = if store_ms < wall { "behind" } else { "ahead of" };
    format!("ok: {apart} {side} this machine's")
}
