use std::fmt;
use std::str::FromStr;

/// What a replica does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Competes for the lease, and polls while it holds it.
    Poller,
    /// Serves clients.
    Gateway,
    /// Both.
    #[default]
    All,
}

impl Role {
    /// The name on the command line and in presences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poller => "poller",
            Self::Gateway => "gateway",
            Self::All => "all",
        }
    }

    /// Whether it competes for the lease.
    pub fn polls(self) -> bool {
        self != Self::Gateway
    }

    /// Whether it serves clients.
    pub fn serves(self) -> bool {
        self != Self::Poller
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Poller, Self::Gateway, Self::All]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| "expected poller, gateway or all".to_owned())
    }
}
