//! Readers of `GET /v1/endpoints/{name}`.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use pollux::model::Version;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::http;
use super::reader::{Gateway, Reader};
use crate::history::hash;
use crate::publication::Publication;

const EVERY: Duration = Duration::from_millis(200);
/// How long all endpoints may take together. A gateway that is gone is asked again when it is its turn.
const ROUND: Duration = Duration::from_secs(2);

/// A reader that asks one gateway after the other for all endpoints, and says what it has of each.
pub(super) struct Getting {
    reader: Arc<Reader>,
    gateway: usize,
    has: HashMap<String, Version>,
}

impl Getting {
    pub(super) fn new(reader: Arc<Reader>, gateway: usize) -> Self {
        Self { reader, gateway, has: HashMap::new() }
    }

    pub(super) async fn run(mut self) {
        let reader = Arc::clone(&self.reader);
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let gateway = &reader.gateways[self.gateway];
            self.gateway = (self.gateway + 1) % reader.gateways.len();
            // One that does not answer has nothing to tell: the next may.
            if let Ok(Err(error)) = timeout(ROUND, self.round(gateway)).await
                && error.kind() == io::ErrorKind::InvalidData
            {
                reader.is_given(error, gateway);
            }
        }
    }

    /// Asks a gateway for each endpoint, all over one connection.
    async fn round(&mut self, gateway: &Gateway) -> io::Result<()> {
        let mut stream = http::connect(gateway.at, None).await?;
        for endpoint in self.reader.endpoints.clone() {
            stream = self.get(&endpoint, gateway, stream).await?;
        }
        Ok(())
    }

    async fn get(
        &mut self,
        endpoint: &str,
        gateway: &Gateway,
        stream: TcpStream,
    ) -> io::Result<TcpStream> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let has = self.has.get(endpoint).copied();
        let header = has.map(|has| format!("if-none-match: W/\"{has}\"\r\n")).unwrap_or_default();
        let path = format!("/v1/endpoints/{endpoint}");
        let answer = http::get(stream, &path, &header).await?;
        let (status, etag) = (answer.status, answer.etag.clone());
        let (body, stream) = answer.whole().await?;
        match (status, has) {
            (200, _) => {
                let version = etag.as_deref().and_then(version);
                let version =
                    version.ok_or_else(|| invalid(format!("{endpoint} with the tag {etag:?}")))?;
                let endpoint = endpoint.to_owned();
                self.has.insert(endpoint.clone(), version);
                let publication = Publication { endpoint, version, hash: hash(&body) };
                self.reader.takes(publication, gateway);
            }
            (304, Some(version)) => self.reader.keeps(endpoint, version, gateway),
            (304, None) => {
                return Err(invalid(format!("304 for {endpoint}, of which it has nothing")));
            }
            // Never fetched, or not known yet.
            _ => {}
        }
        Ok(stream)
    }
}

/// The version in `W/"7-3"`.
fn version(etag: &str) -> Option<Version> {
    etag.strip_prefix("W/\"")?.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_version() {
        assert_eq!(version("W/\"7-3\""), Some(Version::new(7, 3)));
        for other in ["", "\"7-3\"", "W/\"7\"", "W/\"7-3", "7-3"] {
            assert_eq!(version(other), None, "{other}");
        }
    }
}
