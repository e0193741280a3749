//! What is said over one web socket, until either side ends it or the client falls silent.

use fhir_mapping::model::{self, Limits, is_valid_id};
use futures_util::{SinkExt as _, StreamExt as _};
use gateway_repository::Repository;
use std::collections::BTreeSet;
use std::time::Duration;
use store::ResourceKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Longest message of a client: `bind` and an id.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Answers that wait for a slow client.
const WAITING_BYTES_MAX: usize = 64 << 10;
/// Subscriptions bound to one socket.
const BOUND_MAX: usize = 100;
/// How often a silent client is asked whether it is there, and how often in vain.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
const CHECKS_MAX: u32 = 3;
/// Longest wait for a client to take what it is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Talk {
    repository: Repository,
    bell: Receiver<String>,
    bound: BTreeSet<String>,
}

/// The other side left or does not listen.
struct Ended;

impl Talk {
    pub(super) fn new(repository: Repository, bell: Receiver<String>) -> Talk {
        Talk {
            repository,
            bell,
            bound: BTreeSet::new(),
        }
    }

    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, stream: S) {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .write_buffer_size(0)
            .max_write_buffer_size(WAITING_BYTES_MAX);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        let Ended = match self.talk(&mut socket).await {
            Err(ended) => ended,
            Ok(never) => match never {},
        };
        // A last word, if the client still listens.
        let closing = tokio::time::timeout(SEND_TIMEOUT, socket.close(None));
        let _closed = closing.await.is_ok();
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut WebSocketStream<S>,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut checks = 0;
        loop {
            let answers = tokio::select! {
                said = socket.next() => {
                    checks = 0;
                    match said {
                        Some(Ok(Message::Text(text))) => vec![self.bind(text.trim())],
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Vec::new(),
                        _ => return Err(Ended),
                    }
                }
                rung = self.bell.recv() => self.pings(rung)?,
                () = tokio::time::sleep(CHECK_INTERVAL) => {
                    checks += 1;
                    if checks > CHECKS_MAX {
                        return Err(Ended);
                    }
                    vec![Message::Ping(Vec::new().into())]
                }
            };
            for answer in answers {
                let sent = tokio::time::timeout(SEND_TIMEOUT, socket.send(answer)).await;
                if !sent.is_ok_and(|sent| sent.is_ok()) {
                    return Err(Ended);
                }
            }
        }
    }

    /// `bind ID` is answered `bound ID`; anything else by what is wrong with it.
    fn bind(&mut self, text: &str) -> Message {
        let id = text.strip_prefix("bind ").map(str::trim);
        let Some(id) = id.filter(|id| is_valid_id(id)) else {
            return Message::text("error: say `bind` and the id of a Subscription");
        };
        if !self.is_socket(id) {
            return Message::text(format!(
                "error {id}: no such Subscription of type websocket"
            ));
        }
        if self.bound.len() >= BOUND_MAX {
            return Message::text(format!("error {id}: too many are bound"));
        }
        self.bound.insert(id.to_owned());
        Message::text(format!("bound {id}"))
    }

    fn is_socket(&self, id: &str) -> bool {
        let key = ResourceKey {
            resource_type: "Subscription".to_owned(),
            id: id.to_owned(),
        };
        let stored = self.repository.read(&key).ok();
        let resource = stored.and_then(|s| model::parse(&s.body, Limits::default()).ok());
        resource.is_some_and(|r| r.str_at(&["channel", "type"]) == Some("websocket"))
    }

    /// One `ping ID` a match; one for each bound when some were missed.
    fn pings(&self, rung: Result<String, RecvError>) -> Result<Vec<Message>, Ended> {
        let ping = |id: &String| Message::text(format!("ping {id}"));
        match rung {
            Ok(id) if self.bound.contains(&id) => Ok(vec![ping(&id)]),
            Ok(_) => Ok(Vec::new()),
            Err(RecvError::Lagged(_)) => Ok(self.bound.iter().map(ping).collect()),
            Err(RecvError::Closed) => Err(Ended),
        }
    }
}
