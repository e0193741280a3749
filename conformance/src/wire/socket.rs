//! A web socket as a client of Subscriptions opens it: text said and heard.
//! <https://hl7.org/fhir/R4/subscription.html#websocket>

use super::{Server, text};
use crate::select::fits;
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use http_body_util::Full;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Longest wait for what should be heard.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest message that is taken.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Socket {
    stream: Arc<Mutex<WebSocketStream<TokioIo<Upgraded>>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Socket {
    /// Opens one where the server's statement says (RFC 6455 4.1).
    pub(crate) async fn open(server: &Server) -> Result<Socket, String> {
        let url = server.socket.as_deref().unwrap_or_default();
        // `ws` becomes `http`, `wss` becomes `https`.
        let url = url.replacen("ws", "http", 1);
        let key = generate_key();
        let request = server
            .request("GET", &url)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let request = request.body(Full::default()).map_err(text)?;
        let response = server.upgrade(request).await?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!("web socket: wanted 101, found {status}"));
        }
        let accepted = response.headers().get("sec-websocket-accept");
        if accepted.is_none_or(|accepted| accepted != derive_accept_key(key.as_bytes()).as_str()) {
            return Err("web socket: Sec-WebSocket-Accept is not the key's".to_owned());
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(text)?;
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX));
        let stream = TokioIo::new(upgraded);
        let stream = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
        Ok(Socket {
            stream: Arc::new(Mutex::new(stream)),
            heard: Arc::default(),
        })
    }

    pub(crate) async fn say(&self, words: &str) -> Result<(), String> {
        let mut stream = self.stream.lock().await;
        stream.send(Message::text(words)).await.map_err(text)
    }

    /// Listens until a message fits the pattern.
    pub(crate) async fn hear(&self, pattern: &str) -> Result<String, String> {
        let before = self.heard.lock().await.len();
        let ended = match tokio::time::timeout(PATIENCE, self.listen(pattern)).await {
            Ok(Ok(message)) => return Ok(message),
            Ok(Err(ended)) => ended,
            Err(_elapsed) => format!("nothing more in {} s", PATIENCE.as_secs()),
        };
        let heard = self.heard.lock().await;
        let heard: Vec<&String> = heard.iter().skip(before).collect();
        Err(format!(
            "web socket: wanted `{pattern}`, heard {heard:?}, then {ended}"
        ))
    }

    /// Nothing that was heard so far may fit the pattern.
    pub(crate) async fn never(&self, pattern: &str) -> Result<(), String> {
        let heard = self.heard.lock().await;
        match heard.iter().find(|words| fits(pattern, words.trim())) {
            Some(words) => Err(format!("web socket: `{words}` must not be said")),
            None => Ok(()),
        }
    }

    async fn listen(&self, pattern: &str) -> Result<String, String> {
        let mut stream = self.stream.lock().await;
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(words))) => {
                    let words = words.to_string();
                    self.heard.lock().await.push(words.clone());
                    if fits(pattern, words.trim()) {
                        return Ok(words);
                    }
                }
                Some(Ok(Message::Close(_))) | None => return Err("the end".to_owned()),
                // Pings of the protocol are answered by the library.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }
}
