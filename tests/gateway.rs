//! The gateway on real sockets, over the embedded store.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail; clippy knows helpers of tests only within the crate"
)]

mod gateway {
    mod answers;
    mod leaving;
    mod limits;
    mod setup;
    mod streams;
}
