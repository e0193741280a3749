//! The MLLP listener: bounded connections, one ordered acknowledgement a frame.

use super::DeviceSettings;
use super::intake::{Reply, take_in};
use super::mllp::{Framer, Received, framed};
use fhir_mapping::v2::Connection;
use gateway_repository::Repository;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

/// A peer that does not take its acknowledgement within this time is gone.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause after a failed accept (out of file handles): others need time to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Instruments sit idle for days; a silent power cut is found out by probes after a few minutes.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

const READ_SIZE_BYTES: usize = 16 * 1024;

/// Serves MLLP connections until `stop` turns true; a message under way is then still answered.
pub async fn serve(
    listener: TcpListener,
    devices: DeviceSettings,
    repository: Repository,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(devices.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                log_panic(&ended);
                continue;
            }
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "mllp accept failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            tracing::warn!(%peer, "mllp connection refused: too many are open");
            continue;
        };
        let Some(session) = Session::new(&devices, &repository, peer) else {
            tracing::warn!(%peer, "mllp connection refused: no connection is configured for it");
            continue;
        };
        let stop = stop.clone();
        connections.spawn(async move {
            session.run(stream, stop).await;
            drop(permit);
        });
    }
    while let Some(ended) = connections.join_next().await {
        log_panic(&ended);
    }
}

fn log_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an mllp connection broke an invariant; please report this");
    }
}

/// One peer.
struct Session {
    devices: DeviceSettings,
    repository: Repository,
    connection: Connection,
    peer: SocketAddr,
}

/// Why a connection ends.
enum End {
    Closed,
    Broken(std::io::Error),
    Stopped,
    /// A frame began and did not end in time.
    Slow,
    TooLarge,
    /// A frame without a header to answer to.
    Unreadable,
    /// The peer takes no acknowledgement.
    Deaf,
}

impl Session {
    fn new(devices: &DeviceSettings, repository: &Repository, peer: SocketAddr) -> Option<Session> {
        Some(Session {
            connection: devices.connection_of(peer.ip().to_canonical())?.clone(),
            devices: devices.clone(),
            repository: repository.clone(),
            peer,
        })
    }

    async fn run(&self, mut stream: TcpStream, mut stop: watch::Receiver<bool>) {
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(KEEPALIVE_TIME)
            .with_interval(KEEPALIVE_INTERVAL);
        let kept_alive = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let prepared = kept_alive.and_then(|()| stream.set_nodelay(true));
        let end = match prepared {
            Ok(()) => self.serve(&mut stream, &mut stop).await,
            Err(error) => End::Broken(error),
        };
        let reason = match &end {
            End::Closed => "closed by the peer",
            End::Broken(_) => "broken",
            End::Stopped => "the gateway stops",
            End::Slow => "a frame did not end in time",
            End::TooLarge => "a frame is too large",
            End::Unreadable => "a message without a readable header",
            End::Deaf => "the acknowledgement was not taken",
        };
        let error = match &end {
            End::Broken(error) => error.to_string(),
            _ => String::new(),
        };
        tracing::info!(peer = %self.peer, reason, error, "mllp connection ended");
    }

    async fn serve(&self, stream: &mut TcpStream, stop: &mut watch::Receiver<bool>) -> End {
        let mut framer = Framer::new(self.devices.frame_bytes_max);
        let mut buffer = vec![0; READ_SIZE_BYTES];
        let mut deadline: Option<Pin<Box<Sleep>>> = None;
        loop {
            let read = tokio::select! {
                _stopped = stop.wait_for(|stop| *stop) => return End::Stopped,
                () = elapsed(&mut deadline) => return End::Slow,
                read = stream.read(&mut buffer) => read,
            };
            match read {
                Ok(0) => return End::Closed,
                Ok(size) => framer.push(buffer.get(..size).unwrap_or_default()),
                Err(error) => return End::Broken(error),
            }
            while let Some(received) = framer.next() {
                // The time of a frame that came to its end does not count for the next one.
                deadline = None;
                if let Err(end) = self.answer(stream, received).await {
                    return end;
                }
            }
            deadline = match (framer.is_inside(), deadline) {
                (false, _) => None,
                (true, Some(running)) => Some(running),
                (true, None) => Some(Box::pin(sleep(self.devices.partial_frame_timeout))),
            };
        }
    }

    async fn answer(&self, stream: &mut TcpStream, received: Received) -> Result<(), End> {
        let frame = match received {
            Received::Frame(frame) => frame,
            Received::Junk { size_bytes } => {
                tracing::warn!(peer = %self.peer, size_bytes, "bytes before a frame skipped");
                return Ok(());
            }
            Received::Cut { size_bytes } => {
                tracing::warn!(peer = %self.peer, size_bytes, "a frame began inside another");
                return Ok(());
            }
            Received::TooLarge => return Err(End::TooLarge),
        };
        let taken = take_in(&self.repository, &self.devices, &self.connection, frame).await;
        let Reply::Acknowledge(message) = taken else {
            return Err(End::Unreadable);
        };
        let reply = framed(&message);
        match timeout(REPLY_TIMEOUT, stream.write_all(&reply)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Broken(error)),
            Err(_elapsed) => Err(End::Deaf),
        }
    }
}

/// Never ends while no frame is under way.
async fn elapsed(deadline: &mut Option<Pin<Box<Sleep>>>) {
    match deadline {
        Some(deadline) => deadline.await,
        None => std::future::pending().await,
    }
}
