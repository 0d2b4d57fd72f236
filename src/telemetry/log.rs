use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// Sends logs to standard error: text where that is a terminal, else JSON, a line per event.
///
/// `RUST_LOG` chooses what is logged; without it, this program's events from `info` on and the
/// warnings of its libraries.
pub fn install() {
    install_of("warn,pollux=info");
}

/// The same, with what is logged unless `RUST_LOG` says otherwise, in the syntax of that variable.
pub fn install_of(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    // An error means that a subscriber is there already, which is as good.
    let installed = if stderr().is_terminal() {
        format.with_target(false).compact().try_init()
    } else {
        format.json().flatten_event(true).try_init()
    };
    installed.ok();
}
