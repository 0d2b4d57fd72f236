use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use redis::RedisError;
use tokio::time::timeout;

use super::access::Access;
use super::failure::{Advice, describe, kind_of};
use super::{cluster, sentinel};
use crate::config::{RedisPlace, ServerAddress};
use crate::store::{FailureKind, StoreError};

/// Finds the one server that holds the cluster's keys. It is looked for anew for each connection:
/// it may have changed without anything having failed.
#[derive(Debug)]
pub(super) enum Locator {
    /// It is where the configuration says.
    Fixed(ServerAddress),
    /// Others know where it is.
    Asking(Box<Search>),
}

/// Whom to ask for what.
#[derive(Debug)]
pub(super) struct Search {
    question: Question,
    guides: Mutex<Guides>,
    access: Access,
    /// The most time for each answer.
    timeout: Duration,
}

/// What is asked, and so whom.
#[derive(Debug)]
enum Question {
    /// Sentinels, for the master that they watch under this name.
    Master(String),
    /// Servers of a Redis Cluster, for the owner of this key's slot.
    Owner(String),
}

/// Those that are asked, in turn.
#[derive(Debug)]
struct Guides {
    configured: VecDeque<ServerAddress>,
    /// Where the slot has gone, as the server said that had it before: asked first, for others may
    /// hear of it later.
    hint: Option<ServerAddress>,
}

impl Guides {
    fn in_turn(&self) -> Vec<ServerAddress> {
        let configured = self.configured.iter().filter(|guide| Some(*guide) != self.hint.as_ref());
        self.hint.iter().chain(configured).cloned().collect()
    }

    /// Asks this one first from now on: it answers.
    fn prefer(&mut self, guide: &ServerAddress) {
        if let Some(at) = self.configured.iter().position(|other| other == guide) {
            self.configured.swap(0, at);
        }
    }
}

impl Locator {
    /// `key`: any key of the cluster, all of which share one slot.
    pub(super) fn new(place: &RedisPlace, key: &str, access: &Access, timeout: Duration) -> Self {
        let (question, nodes) = match place {
            RedisPlace::Server { address, .. } => return Self::Fixed(address.clone()),
            RedisPlace::Sentinel { master, nodes } => (Question::Master(master.clone()), nodes),
            RedisPlace::Cluster { nodes } => (Question::Owner(key.to_owned()), nodes),
        };
        let guides = Mutex::new(Guides { configured: nodes.iter().cloned().collect(), hint: None });
        Self::Asking(Box::new(Search { question, guides, access: access.clone(), timeout }))
    }

    /// Where the server is now.
    pub(super) async fn locate(&self) -> Result<ServerAddress, StoreError> {
        match self {
            Self::Fixed(address) => Ok(address.clone()),
            Self::Asking(search) => search.locate().await,
        }
    }

    /// Notes that the server at `address` has failed in a way that may mean that another is the
    /// one by now.
    pub(super) fn doubt(&self, address: &ServerAddress, error: Option<&RedisError>) {
        if let Self::Asking(search) = self {
            search.doubt(address, error);
        }
    }

    /// What to advise when the server that was found cannot be used.
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::Fixed(_) => Advice::Server,
            Self::Asking(search) => match search.question {
                Question::Master(_) => Advice::Master,
                Question::Owner(_) => Advice::Owner,
            },
        }
    }
}

impl Search {
    /// Asks one after the other until one knows.
    async fn locate(&self) -> Result<ServerAddress, StoreError> {
        let mut failures = Vec::new();
        let mut kind = FailureKind::Other;
        let in_turn = self.guides.lock().in_turn();
        for guide in in_turn {
            let why;
            (kind, why) = match timeout(self.timeout, self.question.ask(&guide, &self.access)).await
            {
                Ok(Ok(Some(found))) => {
                    self.guides.lock().prefer(&guide);
                    return Ok(found);
                }
                Ok(Ok(None)) => (FailureKind::Other, self.question.unknown()),
                Ok(Err(error)) => (kind_of(&error), error.to_string()),
                Err(_) => {
                    let waited = humantime::format_duration(self.timeout);
                    (FailureKind::Timeout, format!("no answer within {waited}"))
                }
            };
            tracing::debug!(%guide, why, "does not say where the Redis master is");
            failures.push(format!("{guide}: {why}"));
        }
        let advice = match self.question {
            Question::Master(_) => Advice::Sentinels,
            Question::Owner(_) => Advice::Nodes,
        };
        Err(describe(kind, advice, advice.subject(), &failures.join("; ")))
    }

    /// Asks whoever named this server last, or where it says that its slot has gone first.
    fn doubt(&self, address: &ServerAddress, error: Option<&RedisError>) {
        let mut guides = self.guides.lock();
        match self.question {
            Question::Master(_) => guides.configured.rotate_left(1),
            Question::Owner(_) => {
                if guides.configured.front() == Some(address) {
                    guides.configured.rotate_left(1);
                }
                guides.hint = error.and_then(|error| cluster::moved_to(error, address));
            }
        }
    }
}

impl Question {
    async fn ask(
        &self,
        guide: &ServerAddress,
        access: &Access,
    ) -> Result<Option<ServerAddress>, RedisError> {
        match self {
            Self::Master(name) => sentinel::ask(guide, name, access).await,
            Self::Owner(key) => cluster::ask(guide, key, access).await,
        }
    }

    /// What an answer without a server means.
    fn unknown(&self) -> String {
        match self {
            Self::Master(name) => format!("it watches no master called {name}"),
            Self::Owner(_) => "it knows no owner of the slot".to_owned(),
        }
    }
}
