use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How long a client may take for the head of a request, and how long a connection may wait
/// for its next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How many bytes of a request's head are read, and about how many of a response are buffered.
const BUFFER: usize = 128 * 1024;
/// How long to wait after the system had no socket to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}; {option} sets another address or port")]
pub struct BindError {
    address: SocketAddr,
    cause: &'static str,
    option: String,
}

impl BindError {
    /// The same where `option` has set the address.
    #[must_use]
    pub fn set_by(self, option: &str) -> Self {
        Self { option: option.to_owned(), ..self }
    }
}

/// Listens on an address that `option` has set.
///
/// # Errors
/// When the address is taken, not this machine's, or not allowed; says which, and names `option`.
pub async fn bind(address: SocketAddr, option: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError {
        address,
        cause: match error.kind() {
            io::ErrorKind::AddrInUse => "another program listens there",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
            _ => "the system refuses it",
        },
        option: option.to_owned(),
    })
}

/// Serves `routes` until `shutdown`.
///
/// Then the listener closes at once, so that connections are refused, which makes an `EventSource`
/// try elsewhere; an error status would end it for good. Requests finish, and whoever is not done
/// within `grace` is cut off.
///
/// hyper serves the connections without `axum::serve` in between: that sets no time for reading a
/// request's head and no bound on a connection's buffers.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    grace: Duration,
    shutdown: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    let (routes, shutdown) = (routes.clone(), shutdown.clone());
                    connections.spawn(connection(socket, Peer(peer), routes, shutdown));
                }
                Err(error) => pause_accepting(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(grace, all).await.is_err() {
        let left = connections.len();
        warn!(connections = left, "clients did not finish in time: their connections are cut off");
        connections.shutdown().await;
    }
}

/// Waits if the system is short of sockets; a client that gave up meanwhile is no reason to.
async fn pause_accepting(error: &io::Error) {
    let by_client = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
    ];
    if !by_client.contains(&error.kind()) {
        warn!(%error, "cannot accept a connection: is the limit of open files too low?");
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Whose connection a request came over: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves one connection; after `shutdown` only the request that it is at.
async fn connection(socket: TcpStream, peer: Peer, routes: Router, shutdown: CancellationToken) {
    // Without it small events would wait for the acknowledgement of those before.
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%error, "a connection is gone before it is served");
        return;
    }
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        routes.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(socket), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}
