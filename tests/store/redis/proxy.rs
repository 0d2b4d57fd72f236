use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A path to a server that can swallow everything, as a firewall that has forgotten a connection:
/// the sockets stay open, and nothing arrives any more.
pub(super) struct Proxy {
    port: u16,
    frozen: Arc<watch::Sender<u64>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let frozen = Arc::new(watch::Sender::new(0));
        let freezes = Arc::clone(&frozen);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, port, freezes.subscribe()));
            }
        });
        Self { port: own_port, frozen, _accepting: accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Freezes the connections that are open now; later ones are carried.
    pub(super) fn freeze_open_connections(&self) {
        self.frozen.send_modify(|freezes| *freezes += 1);
    }
}

async fn forward(mut client: TcpStream, port: u16, mut frozen: watch::Receiver<u64>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = frozen.changed() => std::future::pending().await,
    }
}
