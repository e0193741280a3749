//! `GET websocket`: a web socket that tells bound Subscriptions' matches, `bind ID`, `bound ID`,
//! `ping ID`. <https://hl7.org/fhir/R4/subscription.html#websocket>

mod talk;

use super::flow;
use super::request::Front;
use super::respond::{self, Reply};
use bytes::Bytes;
use fhir_mapping::model::IssueCode;
use gateway_ground::failure::{Category, Failure};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use talk::Talk;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// What web sockets share: the bell that Subscriptions ring, and a permit for each of them.
#[derive(Clone)]
pub struct Sockets {
    bell: broadcast::Sender<String>,
    permits: Arc<Semaphore>,
}

/// Web sockets open at once.
const SOCKETS_MAX: usize = 256;

impl Sockets {
    pub fn new(bell: broadcast::Sender<String>) -> Sockets {
        Sockets {
            bell,
            permits: Arc::new(Semaphore::new(SOCKETS_MAX)),
        }
    }
}

/// 101 and a conversation from then on; a refusal when the request is none for a web socket.
pub(super) fn answer(front: &Front, head: Parts) -> Result<Reply, Failure> {
    let Some(accept) = key(&head).map(|key| derive_accept_key(key.as_bytes())) else {
        return Err(no_socket());
    };
    if head.headers.contains_key(header::ORIGIN) && !front.hosts.is_own_page(&head) {
        let text = "a page of another site may not listen here";
        let code = IssueCode::Forbidden;
        return Err(Failure::new(Category::Forbidden, "E-SOCKET-1", code, text));
    }
    let permit = Arc::clone(&front.sockets.permits).try_acquire_owned();
    let permit = permit.map_err(|_none_left| {
        let text = "too many web sockets are open; try again later";
        Failure::new(Category::Busy, "E-SOCKET-2", IssueCode::Throttled, text)
    })?;
    let talk = Talk::new(
        front.surface.repository.clone(),
        front.sockets.bell.subscribe(),
    );
    let upgrade = hyper::upgrade::on(Request::from_parts(head, ()));
    tokio::spawn(converse(upgrade, talk, permit)); // bounded by the permits
    let mut reply = Response::new(flow::whole(Bytes::new()));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(&accept).map_err(|_never| no_socket())?;
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(reply)
}

async fn converse(upgrade: hyper::upgrade::OnUpgrade, talk: Talk, permit: OwnedSemaphorePermit) {
    if let Ok(stream) = upgrade.await {
        talk.run(TokioIo::new(stream)).await;
    }
    drop(permit);
}

/// The key of a request for a web socket of version 13 (RFC 6455 4.2.1).
fn key(head: &Parts) -> Option<&str> {
    let headers = &head.headers;
    let is_asked = head.method == Method::GET
        && has_word(headers, header::CONNECTION, "upgrade")
        && has_word(headers, header::UPGRADE, "websocket")
        && has_word(headers, header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    is_asked.then_some(key)
}

fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut words = texts.flat_map(|text| text.split(',')).map(str::trim);
    words.any(|found| found.eq_ignore_ascii_case(word))
}

fn no_socket() -> Failure {
    let text = "this is for web sockets of version 13 over HTTP/1.1";
    let code = IssueCode::NotSupported;
    Failure::new(Category::Incorrect, "E-SOCKET-3", code, text)
}

/// A refusal in the form that the client wants.
pub(super) fn reply(front: &Front, head: Parts, form: &super::media::Form) -> Reply {
    answer(front, head).unwrap_or_else(|failure| respond::refusal(&failure, form))
}
