//! A backend that answers with exactly the bytes a test wants, right or wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a backend does with each request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Writes these bytes and waits for the next request.
    Bytes(Vec<u8>),
    /// Writes these bytes and closes the connection.
    BytesThenClose(Vec<u8>),
    /// Writes these bytes and then nothing, with the connection open.
    BytesThenHang(Vec<u8>),
    /// Writes the first bytes, then the second ones for ever.
    Endless(Vec<u8>, Vec<u8>),
}

/// A listening backend; it ends when dropped.
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    written: AtomicU64,
    requests: Mutex<Vec<String>>,
}

impl Backend {
    /// Answers every request alike.
    pub(crate) async fn start(reply: Reply) -> Self {
        Self::listen(move |_| reply.clone()).await
    }

    /// Answers each request by its head.
    pub(crate) async fn listen(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let reply = Arc::new(reply);
        let mut accepting = JoinSet::new();
        let shared = Arc::clone(&seen);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (seen, reply) = (Arc::clone(&shared), Arc::clone(&reply));
                connections.spawn(async move { serve(stream, &seen, &*reply).await });
            }
        });
        Self { address, seen, _accepting: accepting }
    }

    /// An address of this backend.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many bytes were written.
    pub(crate) fn written(&self) -> u64 {
        self.seen.written.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen, reply: &(dyn Fn(&str) -> Reply + Sync)) {
    while let Some(head) = read_head(&mut stream).await {
        seen.requests.lock().push(head.clone());
        match reply(&head) {
            Reply::Bytes(bytes) => {
                if !write(&mut stream, seen, &bytes).await {
                    return;
                }
            }
            Reply::BytesThenClose(bytes) => {
                write(&mut stream, seen, &bytes).await;
                return;
            }
            Reply::BytesThenHang(bytes) => {
                write(&mut stream, seen, &bytes).await;
                return std::future::pending().await;
            }
            Reply::Endless(head, body) => {
                let mut open = write(&mut stream, seen, &head).await;
                while open {
                    open = write(&mut stream, seen, &body).await;
                }
                return;
            }
        }
    }
}

/// Whether the other side still takes bytes.
async fn write(stream: &mut TcpStream, seen: &Seen, bytes: &[u8]) -> bool {
    let written = stream.write_all(bytes).await.is_ok();
    if written {
        seen.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    }
    written
}

/// Reads until the empty line; `None` when the client hangs up before.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// An answer with these headers, a length, and a body.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").into_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}
