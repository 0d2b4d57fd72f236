//! `pollux health`: a probe for where there is no shell.

use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Builder;
use url::Url;

use super::Failure;
use super::admin::{http, root_cause};
use super::arguments::AdminAddress;

/// How long all of it may take; probes are killed after a few seconds.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The longest answer that is read for its reason, in bytes.
const LONGEST: usize = 16 * 1024;

/// Asks a replica whether it works, or whether it is `ready`. It goes on with the configuration that
/// it has read when a bad one takes its place, so that one is noted and no failure.
///
/// # Errors
/// When it says no, or does not answer within two seconds. Always one line, and exit status 1.
pub fn ask(replica: AdminAddress, ready: bool) -> Result<(), Failure> {
    let (admin, note) = replica.presumed()?;
    if let Some(note) = note {
        // Nobody may listen, which changes nothing.
        writeln!(std::io::stderr(), "note: {note}").ok();
    }
    let path = if ready { "/readyz" } else { "/livez" };
    let other = |error: &dyn std::fmt::Display| Failure::Other(error.to_string());
    let url = admin.join(path).map_err(|error| other(&error))?;
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|error| other(&error))?;
    let answer =
        runtime.block_on(async { tokio::time::timeout(TIMEOUT, answer(url.clone())).await });
    let failed = match answer {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why,
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    Err(Failure::Other(format!("{url}: {failed}")))
}

async fn answer(url: Url) -> Result<(), String> {
    let client = http(&url).build().map_err(|error| root_cause(&error))?;
    let mut response = client.get(url).send().await.map_err(|error| root_cause(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await
        && body.len() < LONGEST
    {
        body.extend_from_slice(&chunk);
    }
    let problem: Option<Value> = serde_json::from_slice(&body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    // What answers may not be Pollux at all: nothing of it may break the line.
    let detail = detail.unwrap_or("it gives no reason").replace(char::is_control, " ");
    Err(format!("{status}: {detail}"))
}
