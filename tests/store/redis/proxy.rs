use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A path to a server that can swallow everything, as a firewall that has forgotten a connection:
/// the sockets stay open, and nothing arrives any more.
pub(super) struct Proxy {
    port: u16,
    server: Arc<AtomicU16>,
    frozen: Arc<watch::Sender<u64>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let frozen = Arc::new(watch::Sender::new(0));
        let server = Arc::new(AtomicU16::new(server));
        let (freezes, target) = (Arc::clone(&frozen), Arc::clone(&server));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, target.load(Relaxed), freezes.subscribe()));
            }
        });
        Self { port, server, frozen, _accepting: accepting }
    }

    /// A path that carries so many bytes a second each way, and loses none.
    pub(super) async fn slow_to(server: u16, bytes_per_second: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(trickle(client, server, bytes_per_second));
            }
        });
        let (server, frozen) = (Arc::new(AtomicU16::new(server)), Arc::new(watch::Sender::new(0)));
        Self { port, server, frozen, _accepting: accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Carries later connections to another server; open ones stay where they are.
    pub(super) fn lead_to(&self, server: u16) {
        self.server.store(server, Relaxed);
    }

    /// Freezes the connections that are open now; later ones are carried.
    pub(super) fn freeze_open_connections(&self) {
        self.frozen.send_modify(|freezes| *freezes += 1);
    }
}

async fn trickle(client: TcpStream, server: u16, bytes_per_second: usize) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        pump(from_client, to_server, bytes_per_second),
        pump(from_server, to_client, bytes_per_second)
    );
}

/// Carries bytes one way until either end is closed.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, bytes_per_second: usize) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        // The slowness is what this path is for.
        sleep(Duration::from_secs_f64(size as f64 / bytes_per_second as f64)).await;
        if to.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
}

async fn forward(mut client: TcpStream, server: u16, mut frozen: watch::Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = frozen.changed() => std::future::pending().await,
    }
}
