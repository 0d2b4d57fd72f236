use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, TlsCertificates,
};
use std::time::Duration;

use crate::config::{RedisConfig, RedisPlace, ServerAddress, TlsConfig};
use crate::tls;

/// How long a silent connection may be before the kernel asks whether the other side lives.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// How to log in and encrypt: the same at every server that a configuration leads to.
#[derive(Clone, Debug)]
pub(super) struct Access {
    login: RedisConnectionInfo,
    tls: Option<TlsConfig>,
}

impl Access {
    pub(super) fn new(config: &RedisConfig) -> Self {
        tls::install_provider();
        let mut login = unnamed();
        if let Some(username) = &config.username {
            login = login.set_username(username);
        }
        if let Some(password) = &config.password {
            login = login.set_password(password.expose());
        }
        if let RedisPlace::Server { database, .. } = &config.place {
            login = login.set_db(i64::from(*database));
        }
        Self { login, tls: config.tls.clone() }
    }

    /// The same without a login, for sentinels, which mostly have none.
    pub(super) fn anonymous(&self) -> Self {
        Self { login: unnamed(), tls: self.tls.clone() }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// A client of the server at an address. Certificates are read from their files for each, so
    /// that those that have replaced others take effect.
    pub(super) fn client(&self, address: &ServerAddress) -> Result<Client, RedisError> {
        let ServerAddress { host, port } = address.clone();
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let with_login = |address: ConnectionAddr| {
            let info = address.into_connection_info()?;
            Ok::<_, RedisError>(info.set_redis_settings(self.login.clone()).set_tcp_settings(tcp))
        };
        let Some(tls) = &self.tls else {
            return Client::open(with_login(ConnectionAddr::Tcp(host, port))?);
        };
        let encrypted = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
        Client::build_with_tls(with_login(encrypted)?, certificates(tls)?)
    }
}

/// Without the two commands that tell a server which library connects: an ACL would have to allow
/// them, and each new connection wait for them.
fn unnamed() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_skip_set_lib_name()
}

fn certificates(tls: &TlsConfig) -> Result<TlsCertificates, RedisError> {
    let files = tls.read().map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        RedisError::from((ErrorKind::InvalidClientConfig, "TLS", all.join("; ")))
    })?;
    let identity = |(client_cert, client_key)| ClientTlsConfig { client_cert, client_key };
    Ok(TlsCertificates { client_tls: files.identity.map(identity), root_cert: files.ca })
}
