use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::file::read_bounded;

/// The largest PEM file, in bytes: a system's whole bundle of authorities has 200 to 300 KiB.
const LARGEST: u64 = 1024 * 1024;

/// How connections to Redis are encrypted. Its files are PEM, and read anew for each connection,
/// so that those that replace them take effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The authorities that servers' certificates must come from; `None` for the system's.
    pub ca: Option<PathBuf>,
    /// By what this client is known to servers that ask.
    pub identity: Option<TlsIdentity>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What the files of a [`TlsConfig`] hold: PEM that has been checked.
pub struct TlsFiles {
    /// The authorities; `None` for the system's.
    pub ca: Option<Vec<u8>>,
    /// The client certificate and its private key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A file of a [`TlsConfig`] that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("redis.tls.{setting}: {file}: {message}", file = file.display())]
pub struct TlsFileError {
    /// The setting that names the file: `ca`, `cert` or `key`.
    pub setting: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

impl TlsConfig {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// All that cannot be used.
    pub fn read(&self) -> Result<TlsFiles, Vec<TlsFileError>> {
        let mut errors = Vec::new();
        let mut part = |setting, file: &Path, check: fn(&[u8]) -> Result<(), String>| {
            let read = read_bounded(file, LARGEST).and_then(|pem| check(&pem).map(|()| pem));
            let noted = |message| TlsFileError { setting, file: file.to_owned(), message };
            read.map_err(|message| errors.push(noted(message))).ok()
        };
        let ca = self.ca.as_ref().map(|file| part("ca", file, check_authorities));
        let identity = self.identity.as_ref().map(|TlsIdentity { cert, key }| {
            (part("cert", cert, check_certificates), part("key", key, check_key))
        });
        if let (Some((Some(cert), Some(key))), Some(files)) = (&identity, &self.identity)
            && let Err(message) = check_pair(cert, key)
        {
            errors.push(TlsFileError { setting: "key", file: files.key.clone(), message });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(TlsFiles { ca: ca.flatten(), identity: identity.and_then(|(cert, key)| cert.zip(key)) })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err("expected certificates in PEM, found none".to_owned()),
    }
}

fn check_certificates(pem: &[u8]) -> Result<(), String> {
    certificates(pem).map(drop)
}

fn check_authorities(pem: &[u8]) -> Result<(), String> {
    let mut authorities = RootCertStore::empty();
    certificates(pem)?.into_iter().try_for_each(|certificate| {
        authorities
            .add(certificate)
            .map_err(|error| format!("expected X.509 certificates: {error}"))
    })
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // The error is not shown: nothing of this file may be.
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| "expected a private key in PEM without a passphrase, found none".to_owned())
}

fn check_key(pem: &[u8]) -> Result<(), String> {
    private_key(pem).map(drop)
}

/// Whether the key is the certificate's.
fn check_pair(cert: &[u8], key: &[u8]) -> Result<(), String> {
    let provider = ring::default_provider();
    CertifiedKey::from_der(certificates(cert)?, private_key(key)?, &provider)
        .map(drop)
        .map_err(|error| format!("expected the private key of redis.tls.cert: {error}"))
}
