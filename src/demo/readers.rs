//! Simulated clients: real HTTP over loopback, without the cost of a full client.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::model::EndpointName;

/// The most there are.
pub(super) const MOST: usize = 1000;

/// Within how many ms they join, so that the gateway is not asked by all at once.
const JOIN_WITHIN_MS: u64 = 800;
/// After how long one whose stream ended asks again.
const RETRY: Duration = Duration::from_secs(1);
/// How much is read at once.
const BUFFER: usize = 8 * 1024;

/// As many clients as somebody wants, each with a stream of all endpoints.
pub(super) struct Readers {
    address: SocketAddr,
    request: String,
    room: usize,
    wanted: watch::Sender<usize>,
}

impl Readers {
    /// Clients of the gateway at `address`, at most `room`.
    pub(super) fn new(address: SocketAddr, endpoints: Vec<EndpointName>, room: usize) -> Self {
        let query: Vec<_> = endpoints.iter().map(|name| format!("endpoint={name}")).collect();
        let query = query.join("&");
        Self {
            address,
            request: format!("GET /v1/stream?{query} HTTP/1.1\r\nhost: {address}\r\n\r\n"),
            room,
            wanted: watch::Sender::new(0),
        }
    }

    /// The same, with this many from the start.
    #[must_use]
    pub(super) fn starting_with(self, count: usize) -> Self {
        self.want(count);
        self
    }

    /// Sets how many there are; returns how many that is within the room there is.
    pub(super) fn want(&self, count: usize) -> usize {
        let count = count.min(self.room);
        self.wanted.send_replace(count);
        count
    }

    /// How many there should be.
    pub(super) fn wanted(&self) -> usize {
        *self.wanted.borrow()
    }

    /// How many there can be.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Keeps as many reading as are wanted, until `shutdown`.
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        let mut wanted = self.wanted.subscribe();
        let mut reading = JoinSet::new();
        let mut readers: Vec<AbortHandle> = Vec::new();
        loop {
            let count = *wanted.borrow_and_update();
            for leaving in readers.drain(count.min(readers.len())..) {
                leaving.abort();
            }
            while readers.len() < count {
                readers.push(reading.spawn(read_on(self.address, self.request.clone())));
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                // The sender is this object's own, so it is there.
                _ = wanted.changed() => {}
                Some(_) = reading.join_next() => {}
            }
        }
    }
}

/// Reads one stream after another.
async fn read_on(address: SocketAddr, request: String) {
    sleep(Duration::from_millis(fastrand::u64(..JOIN_WITHIN_MS))).await;
    loop {
        if let Err(error) = read(address, request.as_bytes()).await {
            tracing::debug!(%error, "a simulated reader lost its stream");
        }
        sleep(RETRY).await;
    }
}

/// Reads one stream to its end. Between events it holds no buffer, so that a thousand cost little.
async fn read(address: SocketAddr, request: &[u8]) -> io::Result<()> {
    let socket = TcpStream::connect(address).await?;
    socket.writable().await?;
    // A socket just connected takes a few hundred bytes whole.
    if socket.try_write(request)? < request.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    loop {
        socket.readable().await?;
        let mut buffer = [0; BUFFER];
        match socket.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
