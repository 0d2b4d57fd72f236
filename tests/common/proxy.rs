use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::io::{copy, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// One process's own way to a server, with faults that hit nobody else.
pub struct Proxy {
    /// `127.0.0.1:<port>`.
    pub address: String,
    way: watch::Sender<Way>,
    ports: Arc<Mutex<HashSet<u16>>>,
    serving: JoinHandle<()>,
}

/// What becomes of the bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections are closed, new ones refused: the other side can tell.
    Cut,
    /// Bytes vanish in both directions, connections stay, new ones get no answer.
    Blackhole,
}

impl Proxy {
    /// Opens a way to `target`, `<host>:<port>`.
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (way, watched) = watch::channel(Way::Open);
        let ports = Arc::default();
        let serving = tokio::spawn(serve(listener, target, watched, Arc::clone(&ports)));
        Self { address, way, ports, serving }
    }

    /// The ports from which its connections have reached the server.
    pub fn ports(&self) -> HashSet<u16> {
        self.ports.lock().expect("no panic").clone()
    }

    /// Closes all connections and refuses new ones, for good.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Swallows all bytes from now on, and answers nobody, as a lost network does.
    pub fn blackhole(&self) {
        self.way.send_replace(Way::Blackhole);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Returns when the way is cut, and closes the listener and all connections thereby.
async fn serve(
    listener: TcpListener,
    target: String,
    way: watch::Receiver<Way>,
    ports: Arc<Mutex<HashSet<u16>>>,
) {
    let mut connections = JoinSet::new();
    let mut watched = way.clone();
    loop {
        tokio::select! {
            _ = watched.wait_for(|way| *way == Way::Cut) => return,
            Some(_) = connections.join_next() => {}
            Ok((client, _)) = listener.accept() => {
                connections.spawn(pass(client, target.clone(), way.clone(), Arc::clone(&ports)));
            }
        }
    }
}

async fn pass(
    mut client: TcpStream,
    target: String,
    mut way: watch::Receiver<Way>,
    ports: Arc<Mutex<HashSet<u16>>>,
) {
    // One that is refused here is closed, as the server would do.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let port = server.local_addr().expect("a connected socket has an address").port();
    ports.lock().expect("no panic").insert(port);
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    tokio::select! {
        biased;
        _ = way.wait_for(|way| *way == Way::Blackhole) => {}
        _ = copy_bidirectional(&mut client, &mut server) => return,
    }
    // Neither side learns that the other has closed.
    let (mut from_client, mut from_server) = (sink(), sink());
    let swallowed = (copy(&mut client, &mut from_client), copy(&mut server, &mut from_server));
    let (Ok(_) | Err(_), Ok(_) | Err(_)) = tokio::join!(swallowed.0, swallowed.1);
    std::future::pending().await
}
