//! What a guarded Redis asks of replicas: a user with the least privileges, a password, and TLS.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use uuid::Uuid;

use super::{Redis, Server, TLS_PORT};
use crate::address::{self, GATEWAYS, POLLERS};
use crate::cluster::configuration::Role;
use crate::cluster::names;
use crate::common::certificates::Authority;
use crate::run::{Outcome, Unknown};

const USERS: &str = include_str!("../../../../config/redis-acl.conf");
const ROLES: [Role; 2] = [Role::Poller, Role::Gateway];
/// What the harness itself comes in with, on the port without TLS.
pub(super) const OWN_PASSWORD: &str = "harness";

/// The secrets of a guarded Redis, in files that replicas read.
pub(super) struct Guard {
    directory: PathBuf,
    /// The password that Redis knows.
    password: Mutex<String>,
}

impl Guard {
    /// Makes a first password, authority and certificate.
    pub(super) fn new(directory: &Path) -> Outcome<Self> {
        fs::create_dir_all(directory)?;
        let guard = Self { directory: directory.to_owned(), password: Mutex::new(secret()) };
        guard.certify()?;
        guard.tell()?;
        Ok(guard)
    }

    /// Writes the server's file with its users, and tells the arguments that go with it.
    pub(super) fn arguments(&self) -> Outcome<Vec<String>> {
        let file = self.directory.join("users.conf");
        fs::write(&file, self.users())?;
        let path = |name: &str| self.directory.join(name).display().to_string();
        let words = [
            file.display().to_string(),
            "--requirepass".to_owned(),
            OWN_PASSWORD.to_owned(),
            "--tls-port".to_owned(),
            TLS_PORT.to_string(),
            "--tls-auth-clients".to_owned(),
            "no".to_owned(),
            "--tls-ca-cert-file".to_owned(),
            path("ca.pem"),
            "--tls-cert-file".to_owned(),
            path("cert.pem"),
            "--tls-key-file".to_owned(),
            path("key.pem"),
        ];
        Ok(words.to_vec())
    }

    /// The lines of config/redis-acl.conf, with the password in place.
    fn users(&self) -> String {
        let password = self.password.lock();
        let words = USERS.lines().filter(|line| line.starts_with("user ")).flat_map(|line| {
            line.split(' ').chain(["\n"]).map(|word| {
                if word.starts_with('>') { format!(">{password} ") } else { format!("{word} ") }
            })
        });
        words.collect()
    }

    /// A new authority, and a certificate of it for all names of Redis. Replicas read the authority's
    /// anew for each connection.
    fn certify(&self) -> Outcome<()> {
        let proxies = POLLERS.iter().chain(&GATEWAYS).filter_map(|name| address::of_proxy(name));
        let addresses = proxies.chain(address::of("redis-1")).map(|at: Ipv4Addr| at.to_string());
        let named = format!("*.{}", names::REDIS);
        let authority = Authority::new("chaos");
        let certificate = authority.sign_for(addresses.chain([named]).collect());
        self.put("cert.pem", &certificate.pem)?;
        self.put("key.pem", &certificate.key)?;
        self.put("ca.pem", &authority.pem)
    }

    fn tell(&self) -> Outcome<()> {
        let password = self.password.lock().clone();
        ROLES.iter().try_for_each(|role| self.put(&format!("{}.password", role.word()), &password))
    }

    /// In one step: nobody reads half of a file.
    fn put(&self, name: &str, text: &str) -> Outcome<()> {
        let new = self.directory.join("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.directory.join(name))?)
    }
}

impl Redis {
    /// Gives the replicas' users another password, and ends their connections. Yields how many. Replicas
    /// are not told: see [`Redis::tell_password`].
    pub(crate) async fn change_password(&self) -> Outcome<u64> {
        let (guard, server) = self.guarded()?;
        let password = secret();
        for role in ROLES {
            let user = format!("pollux-{}", role.word());
            let set = ["ACL", "SETUSER", &user, "resetpass", &format!(">{password}")];
            let _: String = server.command(&set).await?;
        }
        *guard.password.lock() = password;
        fs::write(guard.directory.join("users.conf"), guard.users())?;
        end_connections(server).await
    }

    /// Gives the server a certificate of another authority, which replicas find in their file, and ends
    /// the connections under the old one. Yields how many.
    pub(crate) async fn change_certificate(&self) -> Outcome<u64> {
        let (guard, server) = self.guarded()?;
        guard.certify()?;
        let path = |name: &str| guard.directory.join(name).display().to_string();
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(path);
        let set = ["CONFIG", "SET", "tls-ca-cert-file", &ca, "tls-cert-file", &cert];
        let _: String = server.command(&[&set[..], &["tls-key-file", &key]].concat()).await?;
        end_connections(server).await
    }

    /// Puts the password that Redis knows into the files in which replicas look for it.
    pub(crate) fn tell_password(&self) -> Outcome<()> {
        self.guarded()?.0.tell()
    }

    fn guarded(&self) -> Outcome<(&Guard, &Server)> {
        let guard = self.guard.as_ref();
        let guard = guard.ok_or_else(|| Unknown("this layout is not guarded".to_owned()))?;
        Ok((guard, &self.servers[0]))
    }
}

async fn end_connections(server: &Server) -> Outcome<u64> {
    let mut ended = 0;
    for role in ROLES {
        let user = format!("pollux-{}", role.word());
        ended += server.command::<u64>(&["CLIENT", "KILL", "USER", &user]).await?;
    }
    Ok(ended)
}

fn secret() -> String {
    Uuid::new_v4().simple().to_string()
}
