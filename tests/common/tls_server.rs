use super::certificates::{Authority, Certificate, PemFiles};
use super::free_port;
use super::redis_server::RedisServer;

/// A redis-server that asks its clients for certificates; without TLS on another port, for what a
/// test asks itself.
pub struct TlsServer {
    pub port: u16,
    pub files: PemFiles,
    pub server: RedisServer,
}

impl TlsServer {
    pub async fn start(authority: &Authority) -> Self {
        Self::with(authority, &authority.sign()).await
    }

    pub async fn with(authority: &Authority, certificate: &Certificate) -> Self {
        let files = PemFiles::of(authority, certificate);
        let path = |name| files.path(name).display().to_string();
        let [ca, cert, key] = ["ca", "cert", "key"].map(path);
        let options = ["--tls-ca-cert-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &key];
        loop {
            let port = free_port();
            let listen = port.to_string();
            let options = [&["--tls-port", &listen], &options[..]].concat();
            if let Some(server) = RedisServer::try_with_options(&options).await {
                return Self { port, files, server };
            }
        }
    }

    /// Lets it take other files, as an operator does.
    pub async fn replace(&self, authority: &Authority, certificate: &Certificate) {
        self.files.replace(authority, certificate);
        let mut connection = self.server.connection().await;
        let path = self.files.path("cert").display().to_string();
        let mut command = redis::cmd("CONFIG");
        let set: redis::RedisResult<()> =
            command.arg(&["SET", "tls-cert-file", &path]).query_async(&mut connection).await;
        set.expect("the files can be used");
    }
}
