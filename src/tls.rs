//! The one TLS implementation of this process.

/// Makes ring the provider of cryptography for polling and for Redis, unless one is set already.
///
/// ring needs nothing but a C compiler to build, on Linux and macOS alike.
pub(crate) fn install_provider() {
    // An error means that another part was here first, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
}
