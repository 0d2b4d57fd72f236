use uuid::Uuid;

use crate::model::{ClusterName, EndpointName};
use crate::store::Channel;

/// The keys and channels of one cluster.
///
/// All share one hash tag, so that on a Redis Cluster one script can touch them together.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
    pub(super) lease: String,
    pub(super) leader: String,
    pub(super) checked: String,
    pub(super) state: String,
    pub(super) history: String,
    pub(super) replicas: String,
    pub(super) timeline: String,
    pub(super) updates: String,
    pub(super) leadership: String,
}

impl Keys {
    pub(super) fn new(cluster: &ClusterName) -> Self {
        let prefix = format!("{{pollux:{cluster}}}");
        let key = |name: &str| format!("{prefix}:{name}");
        Self {
            lease: key("lease"),
            leader: key("leader"),
            checked: key("checked"),
            state: key("state"),
            history: key("history"),
            replicas: key("replicas"),
            timeline: key("timeline"),
            updates: key("updates"),
            leadership: key("leadership"),
            prefix,
        }
    }

    pub(super) fn snapshot(&self, endpoint: &EndpointName) -> String {
        format!("{}:snapshot:{endpoint}", self.prefix)
    }

    pub(super) fn alive(&self, id: Uuid) -> String {
        format!("{}:alive:{id}", self.prefix)
    }

    pub(super) fn channel(&self, channel: &Channel) -> String {
        match channel {
            Channel::Updates => self.updates.clone(),
            Channel::Leadership => self.leadership.clone(),
            Channel::Alive(id) => self.alive(*id),
        }
    }
}
