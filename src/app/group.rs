use std::future::{Future, pending};

use futures_util::future::select_all;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Tasks that begin and end together.
pub(super) struct Group {
    /// Ends them.
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Group {
    /// A group without tasks, which ends with `parent` at the latest.
    pub(super) fn within(parent: &CancellationToken) -> Self {
        Self { stop: parent.child_token(), tasks: JoinSet::new() }
    }

    /// What its tasks end on.
    pub(super) fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Ends all tasks. Those that are not done by `deadline` are given up; `false` if there were any.
    pub(super) async fn end(&mut self, deadline: Instant) -> bool {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let done = timeout_at(deadline, all).await.is_ok();
        self.tasks.abort_all();
        done
    }

    /// Waits for the first task that ends, as none does by itself.
    async fn ended(&mut self) -> Result<(), JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => pending().await,
        }
    }
}

/// Waits for the first task of any of these groups that ends.
pub(super) async fn first_ended<'a>(
    groups: impl IntoIterator<Item = &'a mut Group>,
) -> Result<(), JoinError> {
    select_all(groups.into_iter().map(|group| Box::pin(group.ended()))).await.0
}
