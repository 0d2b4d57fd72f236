use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until};

/// How long the first slice of a message is alone on its way.
const SLICED: Duration = Duration::from_millis(1);

/// A path to a server that can be slowed down, blocked, cut, closed, and led to another server.
pub struct Proxy {
    address: SocketAddr,
    path: Arc<Path>,
    accepting: JoinSet<()>,
    /// Holds the address while nobody listens on it.
    _reserved: TcpSocket,
}

struct Path {
    server: Mutex<SocketAddr>,
    /// From which address connections to the server are made, if that matters.
    from: Option<IpAddr>,
    connections: AtomicU64,
    /// From where connections have reached the server.
    ports: Mutex<HashSet<u16>>,
    faults: watch::Sender<Faults>,
}

#[derive(Clone, Default)]
struct Faults {
    delay: Duration,
    jitter: Duration,
    slice: Option<usize>,
    bytes_per_second: Option<usize>,
    blocked: bool,
    /// Connections with lower numbers bring nothing any more.
    frozen_below: u64,
    /// Connections with lower numbers are reset.
    cut_below: u64,
    /// Connections with lower numbers are reset in the middle of the next message.
    cut_within_below: u64,
}

/// How one way of a connection came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Cut,
}

impl Proxy {
    /// A path from a port of its own to one of this machine.
    pub async fn to(server: u16) -> Self {
        Self::new(local(0), local(server), None).expect("a free port")
    }

    /// A path from an address to that of a server, which sees its connections come from `from`.
    ///
    /// # Errors
    /// When `at` is not an address of this machine, or is taken.
    pub fn between(at: SocketAddr, server: SocketAddr, from: IpAddr) -> io::Result<Self> {
        Self::new(at, server, Some(from))
    }

    fn new(at: SocketAddr, server: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let reserved = socket(at)?;
        let path = Path {
            server: Mutex::new(server),
            from,
            connections: AtomicU64::new(0),
            ports: Mutex::default(),
            faults: watch::Sender::default(),
        };
        let mut proxy = Self {
            address: reserved.local_addr()?,
            path: Arc::new(path),
            accepting: JoinSet::new(),
            _reserved: reserved,
        };
        proxy.open();
        Ok(proxy)
    }

    /// A path that carries so many bytes a second each way, and loses none.
    pub async fn slow_to(server: u16, bytes_per_second: usize) -> Self {
        let proxy = Self::to(server).await;
        proxy.path.faults.send_modify(|faults| faults.bytes_per_second = Some(bytes_per_second));
        proxy
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The ports from which its connections have reached the server, which knows them by these.
    pub fn ports(&self) -> HashSet<u16> {
        self.path.ports.lock().expect("no panic").clone()
    }

    /// Carries later connections to another server; open ones stay where they are.
    pub fn lead_to(&self, server: u16) {
        *self.path.server.lock().expect("no panic") = local(server);
    }

    /// Delays whatever passes from now on, each way.
    pub fn delay(&self, by: Duration) {
        self.path.faults.send_modify(|faults| faults.delay = by);
    }

    /// Delays it by up to that much more, by chance. What is sent first still arrives first.
    pub fn jitter(&self, up_to: Duration) {
        self.path.faults.send_modify(|faults| faults.jitter = up_to);
    }

    /// Carries what comes in slices of so many bytes, at least one; `None`: whole.
    pub fn slice(&self, bytes: Option<usize>) {
        self.path.faults.send_modify(|faults| faults.slice = bytes);
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

    /// Resets each of the connections that are open now after half of the next message that it carries,
    /// whichever way that goes; later ones are carried.
    pub fn cut_within(&self) {
        let next = self.path.connections.load(Relaxed);
        self.path.faults.send_modify(|faults| faults.cut_within_below = next);
    }

    /// Closes all connections and refuses new ones, until [`Proxy::open`].
    pub async fn refuse(&mut self) {
        self.accepting.shutdown().await;
    }

    /// Accepts connections.
    pub fn open(&mut self) {
        let socket = socket(self.address).expect("the address is reserved");
        let listener = socket.listen(1024).expect("the address is reserved");
        self.accepting.spawn(accept(listener, Arc::clone(&self.path)));
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A socket at an address, beside others of this process at the same one.
fn socket(at: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(at)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, path: Arc<Path>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let number = path.connections.fetch_add(1, Relaxed);
        connections.spawn(forward(client, number, Arc::clone(&path)));
    }
}

async fn forward(mut client: TcpStream, number: u64, path: Arc<Path>) {
    let Ok(mut server) = path.connect().await else { return };
    if let Ok(address) = server.local_addr() {
        path.ports.lock().expect("no panic").insert(address.port());
    }
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let mut faults = path.faults.subscribe();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let end = tokio::select! {
        end = pump(from_client, to_server, number, &path) => end,
        end = pump(from_server, to_client, number, &path) => end,
        cut = faults.wait_for(|faults| number < faults.cut_below) => {
            if cut.is_ok() { End::Cut } else { End::Closed }
        }
    };
    if end == End::Cut {
        client.set_zero_linger().ok();
        server.set_zero_linger().ok();
    }
}

impl Path {
    async fn connect(&self) -> io::Result<TcpStream> {
        let server = *self.server.lock().expect("no panic");
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = self.from {
            socket.bind((from, 0).into())?;
        }
        socket.connect(server).await
    }
}

impl Faults {
    /// How much later what comes now is carried on.
    fn delay(&self) -> Duration {
        self.delay + self.jitter.mul_f64(fastrand::f64())
    }
}

/// Carries bytes one way until either end is closed, and that end if the path is not blocked.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, number: u64, path: &Path) -> End {
    let (queue, mut queued) = mpsc::unbounded_channel();
    let mut faults = path.faults.subscribe();
    let reading = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(size @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + path.faults.borrow().delay();
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
            if faults.wait_for(passes).await.is_err() {
                return End::Closed;
            }
            let (slice, cut) = {
                let faults = faults.borrow();
                (faults.slice, number < faults.cut_within_below)
            };
            let carried = if cut { &bytes[..bytes.len() / 2] } else { &bytes };
            if write(&mut to, carried, slice).await.is_err() {
                return End::Closed;
            }
            if cut {
                // A reset takes along what has not left yet.
                sleep(SLICED).await;
                return End::Cut;
            }
        }
        faults.wait_for(passes).await.ok();
        End::Closed
    };
    tokio::pin!(reading, writing);
    tokio::select! {
        end = &mut writing => match end {
            End::Cut => End::Cut,
            // What comes is of no use any more, but its end is waited for.
            End::Closed => { reading.await; End::Closed }
        },
        () = &mut reading => writing.await,
    }
}

/// Writes all at once, or slice by slice.
async fn write(to: &mut WriteHalf<'_>, bytes: &[u8], slice: Option<usize>) -> io::Result<()> {
    let size = slice.unwrap_or(bytes.len()).max(1);
    for (number, slice) in bytes.chunks(size).enumerate() {
        match number {
            0 => {}
            // Surely seen without the rest.
            1 => sleep(SLICED).await,
            _ => yield_now().await,
        }
        to.write_all(slice).await?;
    }
    Ok(())
}
