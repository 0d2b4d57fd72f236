use ::metrics::Label;

use crate::config::EndpointConfig;

/// Up to so many endpoints have time series of their own; of more, those of one host share theirs.
const OWN_SERIES: usize = 500;

/// Which label the per-endpoint metrics of a configuration carry: `endpoint` or `host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointLabels {
    /// Each endpoint has a series.
    Endpoint,
    /// Each polled host has one.
    Host,
}

impl EndpointLabels {
    /// The label for so many endpoints.
    pub fn for_count(endpoints: usize) -> Self {
        if endpoints <= OWN_SERIES { Self::Endpoint } else { Self::Host }
    }

    /// The label of one endpoint.
    pub fn label(self, endpoint: &EndpointConfig) -> Label {
        match self {
            Self::Endpoint => Label::new("endpoint", endpoint.name.to_string()),
            Self::Host => {
                Label::new("host", endpoint.url.host_str().unwrap_or_default().to_owned())
            }
        }
    }
}
