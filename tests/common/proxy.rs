use std::collections::HashSet;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// A path to a server that can be slowed down, blocked, cut, closed, and led to another server.
pub struct Proxy {
    port: u16,
    path: Arc<Path>,
    accepting: JoinSet<()>,
    /// Holds the port while nobody listens on it.
    _reserved: TcpSocket,
}

struct Path {
    server: AtomicU16,
    connections: AtomicU64,
    /// From where connections have reached the server.
    ports: Mutex<HashSet<u16>>,
    faults: watch::Sender<Faults>,
}

#[derive(Clone, Default)]
struct Faults {
    delay: Duration,
    bytes_per_second: Option<usize>,
    blocked: bool,
    /// Connections with lower numbers bring nothing any more.
    frozen_below: u64,
    /// Connections with lower numbers are reset.
    cut_below: u64,
}

impl Proxy {
    pub async fn to(server: u16) -> Self {
        let reserved = socket(0);
        let port = reserved.local_addr().expect("its address").port();
        let path = Path {
            server: AtomicU16::new(server),
            connections: AtomicU64::new(0),
            ports: Mutex::default(),
            faults: watch::Sender::default(),
        };
        let mut proxy =
            Self { port, path: Arc::new(path), accepting: JoinSet::new(), _reserved: reserved };
        proxy.open();
        proxy
    }

    /// A path that carries so many bytes a second each way, and loses none.
    pub async fn slow_to(server: u16, bytes_per_second: usize) -> Self {
        let proxy = Self::to(server).await;
        proxy.path.faults.send_modify(|faults| faults.bytes_per_second = Some(bytes_per_second));
        proxy
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The ports from which its connections have reached the server, which knows them by these.
    pub fn ports(&self) -> HashSet<u16> {
        self.path.ports.lock().expect("no panic").clone()
    }

    /// Carries later connections to another server; open ones stay where they are.
    pub fn lead_to(&self, server: u16) {
        self.path.server.store(server, Relaxed);
    }

    /// Delays whatever passes from now on, each way.
    pub fn delay(&self, by: Duration) {
        self.path.faults.send_modify(|faults| faults.delay = by);
    }

    /// Holds back whatever comes until [`Proxy::unblock`], as a network that loses packets which
    /// are sent again. New connections are accepted, and as silent.
    pub fn block(&self) {
        self.path.faults.send_modify(|faults| faults.blocked = true);
    }

    pub fn unblock(&self) {
        self.path.faults.send_modify(|faults| faults.blocked = false);
    }

    /// Freezes the connections that are open now, as a firewall that has forgotten them: the sockets
    /// stay open, and nothing arrives any more. Later ones are carried.
    pub fn freeze_open_connections(&self) {
        let next = self.path.connections.load(Relaxed);
        self.path.faults.send_modify(|faults| faults.frozen_below = next);
    }

    /// Resets the connections that are open now; later ones are carried.
    pub fn cut(&self) {
        let next = self.path.connections.load(Relaxed);
        self.path.faults.send_modify(|faults| faults.cut_below = next);
    }

    /// Closes all connections and refuses new ones, until [`Proxy::open`].
    pub async fn refuse(&mut self) {
        self.accepting.shutdown().await;
    }

    /// Accepts connections.
    pub fn open(&mut self) {
        let listener = socket(self.port).listen(1024).expect("the port is reserved");
        self.accepting.spawn(accept(listener, Arc::clone(&self.path)));
    }
}

/// A socket on `port`, beside others of this process on the same one.
fn socket(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseport(true).expect("a port can be shared");
    socket.bind(([127, 0, 0, 1], port).into()).expect("a port");
    socket
}

async fn accept(listener: TcpListener, path: Arc<Path>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let number = path.connections.fetch_add(1, Relaxed);
        connections.spawn(forward(client, number, Arc::clone(&path)));
    }
}

async fn forward(mut client: TcpStream, number: u64, path: Arc<Path>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", path.server.load(Relaxed))).await else {
        return;
    };
    if let Ok(address) = server.local_addr() {
        path.ports.lock().expect("no panic").insert(address.port());
    }
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let mut faults = path.faults.subscribe();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let cut = tokio::select! {
        () = pump(from_client, to_server, number, &path) => false,
        () = pump(from_server, to_client, number, &path) => false,
        cut = faults.wait_for(|faults| number < faults.cut_below) => cut.is_ok(),
    };
    if cut {
        client.set_zero_linger().ok();
        server.set_zero_linger().ok();
    }
}

/// Carries bytes one way until either end is closed, and that end if the path is not blocked.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, number: u64, path: &Path) {
    let (queue, mut queued) = mpsc::unbounded_channel();
    let mut faults = path.faults.subscribe();
    let reading = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(size @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + path.faults.borrow().delay;
            queue.send((due, buffer[..size].to_vec())).ok();
        }
    };
    let passes = |faults: &Faults| !faults.blocked && number >= faults.frozen_below;
    let writing = async move {
        while let Some((due, bytes)) = queued.recv().await {
            sleep_until(due).await;
            let rate = faults.borrow().bytes_per_second;
            if let Some(rate) = rate {
                // The slowness is what this path is for.
                sleep(Duration::from_secs_f64(bytes.len() as f64 / rate as f64)).await;
            }
            if faults.wait_for(passes).await.is_err() || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        faults.wait_for(passes).await.ok();
    };
    tokio::join!(reading, writing);
}
