use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;
use super::{eventually, free_port};

/// An nginx that serves the files of a directory, with its own ETags and its own access log.
pub struct Nginx {
    pub port: u16,
    directory: TempDir,
    _process: Process,
}

/// A line of the access log.
#[derive(Clone, Debug)]
pub struct Access {
    /// In seconds since 1970.
    pub at: f64,
    pub path: String,
    pub status: u16,
    pub user_agent: String,
}

impl Nginx {
    pub async fn start() -> Self {
        loop {
            // Somebody else may take the port between the look and the start.
            if let Some(nginx) = Self::on(free_port()).await {
                return nginx;
            }
        }
    }

    async fn on(port: u16) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        fs::create_dir(at.join("files")).expect("a directory of files");
        fs::write(at.join("nginx.conf"), configuration(at, port)).expect("a configuration");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(at).arg("-c").arg(at.join("nginx.conf"));
        let mut process = Process::start(&mut command, &at.join("output.log"));
        let started = eventually(Duration::from_secs(10), "nginx is ready", || {
            let ended = !process.is_running();
            async move {
                let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
                (connected || ended).then_some(!ended)
            }
        })
        .await;
        started.then_some(Self { port, directory, _process: process })
    }

    /// Replaces a file, at once for every reader.
    pub fn write(&self, name: &str, content: &str) {
        let files = self.directory.path().join("files");
        let new = self.directory.path().join(format!("{name}.new"));
        fs::write(&new, content).expect("a file can be written");
        fs::rename(new, files.join(name)).expect("a file can be replaced");
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    pub fn accesses(&self) -> Vec<Access> {
        let log = fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        log.lines().filter_map(access).collect()
    }
}

fn access(line: &str) -> Option<Access> {
    let mut fields = line.splitn(4, ' ');
    Some(Access {
        at: fields.next()?.parse().ok()?,
        path: fields.next()?.to_owned(),
        status: fields.next()?.parse().ok()?,
        user_agent: fields.next()?.to_owned(),
    })
}

fn configuration(directory: &Path, port: u16) -> String {
    let at = directory.display();
    format!(
        r#"
daemon off;
master_process off;
worker_processes 1;
pid {at}/nginx.pid;
error_log {at}/error.log;
events {{ worker_connections 512; }}
http {{
    log_format facts '$msec $uri $status $http_user_agent';
    access_log {at}/access.log facts;
    default_type application/json;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {at}/files;
    }}
}}
"#
    )
}
