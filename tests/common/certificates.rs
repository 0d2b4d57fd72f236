//! Authorities and certificates, made for one test.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate with its private key.
pub struct Certificate {
    pub pem: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("an authority").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for this machine, as server or client.
    pub fn sign(&self) -> Certificate {
        self.sign_for(here())
    }

    /// One for these names and addresses.
    pub fn sign_for(&self, names: Vec<String>) -> Certificate {
        self.sign_until(names, 4096)
    }

    /// One that was valid once.
    pub fn sign_expired(&self) -> Certificate {
        self.sign_until(here(), 2001)
    }

    fn sign_until(&self, names: Vec<String>, year: i32) -> Certificate {
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Certificate { pem, key: key.serialize_pem() }
    }
}

/// The names of this machine.
fn here() -> Vec<String> {
    vec!["127.0.0.1".to_owned(), "localhost".to_owned()]
}

/// The files that one side needs, in a directory of their own.
pub struct PemFiles(TempDir);

impl PemFiles {
    /// The authority that the other side must be of, and one's own certificate.
    pub fn of(authority: &Authority, certificate: &Certificate) -> Self {
        let files = Self(tempfile::tempdir().expect("a directory"));
        files.replace(authority, certificate);
        files
    }

    pub fn replace(&self, authority: &Authority, certificate: &Certificate) {
        for (name, pem) in
            [("ca", &authority.pem), ("cert", &certificate.pem), ("key", &certificate.key)]
        {
            fs::write(self.path(name), pem).expect("a file");
        }
    }

    /// The path of `ca`, `cert` or `key`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.pem"))
    }
}
