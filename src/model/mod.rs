//! The words every part shares: names, versions, publications and the leader record.

mod name;
mod publication;
mod record;
mod version;

pub use name::{ClusterName, EndpointName, InvalidName};
pub use publication::{Beat, Body, Gone, InvalidPublication, Publication, Update, is_json};
pub use record::{Announcement, Record};
pub use version::{InvalidVersion, Version};
