//! A node is drained, and the disruption budget keeps two replicas.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 9,
    name: "node-drained",
    title: "node drained",
    made: Made::Elsewhere(
        "evictions are refused by the API server of Kubernetes alone: `kubectl drain` there, \
         while chaos/watch records",
    ),
    ..Fault::HARMLESS
};
