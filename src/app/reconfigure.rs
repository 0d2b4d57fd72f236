use std::sync::Arc;

use super::open_store;
use super::running::Running;
use crate::config::Config;
use crate::http;
use crate::reload::NotApplied;

/// What differs between two configurations, by the setting that people know it by.
struct Changes {
    endpoints: bool,
    history: bool,
    redis: bool,
    lease: bool,
    replica: bool,
    gateway_listen: bool,
    max_streams: bool,
    admin_listen: bool,
    admin_token: bool,
    traces: bool,
    drain: bool,
}

impl Changes {
    fn between(old: &Config, new: &Config) -> Self {
        Self {
            endpoints: old.endpoints != new.endpoints,
            history: old.history != new.history,
            redis: old.redis != new.redis,
            lease: old.lease != new.lease,
            replica: (&old.replica, &old.address) != (&new.replica, &new.address),
            gateway_listen: old.gateway.listen != new.gateway.listen,
            max_streams: old.gateway.max_streams != new.gateway.max_streams,
            admin_listen: old.admin.listen != new.admin.listen,
            admin_token: old.admin.token != new.admin.token,
            traces: old.traces != new.traces,
            drain: old.drain != new.drain,
        }
    }

    fn names(&self) -> Vec<&'static str> {
        [
            (self.endpoints, "endpoints"),
            (self.history, "history"),
            (self.redis, "redis"),
            (self.lease, "lease"),
            (self.replica, "replica or address"),
            (self.gateway_listen, "gateway.listen"),
            (self.max_streams, "gateway.max_streams"),
            (self.admin_listen, "admin.listen"),
            (self.admin_token, "admin.token"),
            (self.traces, "traces"),
            (self.drain, "drain"),
        ]
        .into_iter()
        .filter_map(|(differs, name)| differs.then_some(name))
        .collect()
    }
}

impl Running {
    /// Goes on with another configuration, and starts anew only what differs: see which settings. All
    /// that can fail is tried first, so that one which cannot be applied changes nothing.
    ///
    /// # Errors
    /// When it moves the replica to another cluster, or names an address that cannot be listened on.
    pub(super) async fn reconfigure(
        &mut self,
        new: Config,
    ) -> Result<Vec<&'static str>, NotApplied> {
        let changes = Changes::between(&self.config, &new);
        if self.config.cluster != new.cluster {
            return Err(NotApplied::Cluster);
        }
        let moves = [
            (changes.gateway_listen && self.serves(), "gateway.listen", new.gateway.listen),
            (changes.admin_listen, "admin.listen", new.admin.listen),
        ];
        for (_, setting, to) in moves.iter().filter(|(moves, ..)| *moves) {
            if to.port() != 0 && self.ports().contains(&Some(to.port())) {
                return Err(NotApplied::OwnPort { setting, port: to.port() });
            }
        }
        let gateway = match changes.gateway_listen && self.serves() {
            true => Some(http::bind(new.gateway.listen, "gateway.listen").await?),
            false => None,
        };
        let admin = match changes.admin_listen {
            true => Some(http::bind(new.admin.listen, "admin.listen").await?),
            false => None,
        };
        let replans = changes.endpoints || changes.history;
        let fetcher = match replans {
            true => self.fetcher(&new.endpoints)?,
            false => None,
        };
        self.traces.apply(&new)?;
        // From here on nothing fails.
        self.config = Arc::new(new);
        if replans {
            self.replan(fetcher);
        }
        self.resize();
        self.tell();
        if let Some(listener) = gateway {
            self.serve_clients_at(listener).await;
        }
        if let Some(listener) = admin {
            self.serve_operators_at(listener).await;
        }
        if changes.redis {
            (self.store, self.clock) = open_store(&self.config);
            self.refollow().await;
        }
        // A port that the system chose is part of the address.
        if changes.redis || changes.lease || changes.replica || changes.admin_listen {
            self.rejoin().await;
        }
        Ok(changes.names())
    }
}
