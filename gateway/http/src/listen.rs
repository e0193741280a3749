//! Connections: a cap on their number, TLS, HTTP/1 and 2, time limits, and an orderly end.

use super::request::{Front, Peer, Plain};
use super::respond::Reply;
use futures_util::future::{Either, Ready, ready};
use gateway_ground::telemetry::Happening;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// A bound address and how to talk on it.
pub struct Door {
    pub listener: TcpListener,
    pub tls: Option<TlsAcceptor>,
    /// One permit a connection.
    pub connections: Arc<Semaphore>,
}

/// A head must be whole within this time, and an idle connection is cut after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// When the operating system has no room for a connection, wait this long before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests in flight may take this long once the gateway stops.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(2200);
const HEAD_BYTES_MAX: usize = 128 * 1024;
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
const STREAMS_MAX: u32 = 64;
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves until `stop` turns true, then lets requests in flight finish.
pub async fn serve(door: Door, front: Arc<Front>, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&door) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Some(accepted) = accepted else { continue };
        let connection = Connection {
            accepted,
            tls: door.tls.clone(),
            front: Arc::clone(&front),
            watcher: graceful.watcher(),
        };
        tokio::spawn(connection.run()); // bounded by the permits
    }
    drop(door);
    let drained = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
    if drained.is_err() {
        let reason = "cut at stop";
        front
            .telemetry
            .note(&Happening::ConnectionFailed { reason });
    }
}

struct Accepted {
    stream: TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
}

async fn accept(door: &Door) -> Option<Accepted> {
    let permit = Arc::clone(&door.connections).acquire_owned().await.ok()?;
    match door.listener.accept().await {
        Ok((stream, address)) => Some(Accepted {
            stream,
            address,
            permit,
        }),
        Err(_out_of_files_or_gone) => {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

struct Connection {
    accepted: Accepted,
    tls: Option<TlsAcceptor>,
    front: Arc<Front>,
    watcher: Watcher,
}

impl Connection {
    async fn run(self) {
        let Connection {
            accepted,
            tls,
            front,
            watcher,
        } = self;
        let Accepted {
            stream,
            address,
            permit,
        } = accepted;
        let _small_answers_go_out_at_once = stream.set_nodelay(true).is_ok();
        let over_tls = tls.is_some();
        let peer = Peer { address, over_tls };
        let telemetry = front.telemetry.clone();
        let outcome = match tls {
            None => converse(stream, front, peer, watcher).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => converse(stream, front, peer, watcher).await,
                Ok(Err(_refused)) => Err("tls handshake"),
                Err(_elapsed) => Err("tls silence"),
            },
        };
        if let Err(reason) = outcome {
            telemetry.note(&Happening::ConnectionFailed { reason });
        }
        drop(permit);
    }
}

/// HTTP over one stream, until either side ends it.
async fn converse<S>(
    stream: S,
    front: Arc<Front>,
    peer: Peer,
    watcher: Watcher,
) -> Result<(), &'static str>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let has_spoken = Arc::new(AtomicBool::new(false));
    let spoken = Arc::clone(&has_spoken);
    let service = service_fn(move |request| {
        spoken.store(true, Ordering::Relaxed);
        answer(&front, request, peer)
    });
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(watcher.watch(connection));
    tokio::select! {
        ended = &mut connection => ended.map_err(|_wire| "http"),
        () = silence(&has_spoken) => Err("silence"),
    }
}

type Later = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

/// The answer at once where that is possible, so that a read costs no future of its own.
fn answer(
    front: &Arc<Front>,
    request: Request<Incoming>,
    peer: Peer,
) -> Either<Ready<Result<Reply, Infallible>>, Later> {
    let plain = front.answer_plain(&request, peer);
    if let Some(Plain::Answered(reply)) = plain {
        return Either::Left(ready(Ok(reply)));
    }
    let front = Arc::clone(front);
    Either::Right(Box::pin(async move {
        Ok(match plain {
            Some(Plain::Unpacked(unpacked)) => front.pack(*unpacked).await,
            _ => front.answer(request, peer).await,
        })
    }))
}

/// Ends when no request has come in time; never ends once one has.
async fn silence(has_spoken: &AtomicBool) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if has_spoken.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}
