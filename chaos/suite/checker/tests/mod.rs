mod clients;
mod lease;
mod manners;
pub(crate) mod story;
mod verdict;
mod writing;
