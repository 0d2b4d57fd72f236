//! What Pollux tells of itself: logs, metrics and traces.

mod labels;
mod leadership;
mod log;
mod metrics;
mod traces;

pub use self::labels::EndpointLabels;
pub(crate) use self::leadership::{LeadershipChange, LeadershipEvent};
pub use self::log::{install as install_log, install_of as install_log_of};
pub use self::metrics::{Recorder, UPKEEP, install as install_metrics};
pub use self::traces::{Traces, TracesError};
