//! The server on a socket, and the switch of its link.

use super::answer::{self, Ask};
use super::shelf::{By, Key, Shelf, Version};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Header that tells a life, and that writes say it in.
const LIFE: &str = "wayside-incarnation";

/// Largest request read.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How the link and the server behave just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Normal,
    /// Connections break off, new ones too.
    Cut,
    /// A captive portal answers everything with status 200 and a page.
    Portal,
    /// Writes take effect, but their acknowledgement is lost.
    LosesAcknowledgements,
    /// Every request is refused for its credentials.
    Unauthorised,
}

/// Everything the server held at a moment.
pub struct Backup(Shelf);

/// The server. It runs until dropped.
pub struct National {
    shelf: Arc<Mutex<Shelf>>,
    behaviour: watch::Sender<Behaviour>,
    address: SocketAddr,
}

impl National {
    /// Starts on the address; port 0 picks a free one.
    pub async fn start(address: &str) -> std::io::Result<National> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (behaviour, watched) = watch::channel(Behaviour::Normal);
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        tokio::spawn(accept(listener, shelf.clone(), watched));
        Ok(National {
            shelf,
            behaviour,
            address,
        })
    }

    /// `http://127.0.0.1:port/fhir`
    pub fn base(&self) -> String {
        format!("http://{}/fhir", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// The resource as it is now.
    pub fn current(&self, path: &str) -> Option<Value> {
        self.shelf().current(&key(path)).cloned()
    }

    /// All versions, oldest first.
    pub fn versions(&self, path: &str) -> Vec<Version> {
        self.shelf().versions(&key(path)).to_vec()
    }

    /// `Type/id` of everything that exists now, with how many versions came from outside.
    pub fn received(&self) -> BTreeMap<String, usize> {
        let shelf = self.shelf();
        let outside = |versions: &[Version]| {
            versions
                .iter()
                .filter(|version| version.by == By::Outside)
                .count()
        };
        let exists = |versions: &[Version]| versions.last().is_some_and(|v| v.json.is_some());
        shelf
            .all()
            .filter(|(_, versions)| exists(versions))
            .map(|((resource_type, id), versions)| {
                (format!("{resource_type}/{id}"), outside(versions))
            })
            .collect()
    }

    /// What strictness refused so far, as `status path reason`.
    pub fn refusals(&self) -> Vec<String> {
        self.shelf().refusals.clone()
    }

    /// Somebody at the national side changes (or makes) a resource.
    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) -> Version {
        let mut shelf = self.shelf();
        let key = key(path);
        let mut json = shelf.current(&key).cloned().unwrap_or_default();
        change(&mut json);
        shelf.write(key, Some(json), By::National)
    }

    /// Somebody at the national side deletes a resource.
    pub fn delete(&self, path: &str) {
        self.shelf().write(key(path), None, By::National);
    }

    /// Tells a life with every answer from now on.
    pub fn live(&self, life: &str) {
        self.shelf().life = Some(life.to_owned());
    }

    /// A backup of the server.
    pub fn backup(&self) -> Backup {
        Backup(self.shelf().clone())
    }

    /// What came since is gone, and another life begins.
    pub fn restore(&self, backup: Backup, life: &str) {
        *self.shelf() = backup.0;
        self.live(life);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(path: &str) -> Key {
    let (resource_type, id) = path.split_once('/').unwrap_or((path, ""));
    (resource_type.to_owned(), id.to_owned())
}

async fn accept(
    listener: TcpListener,
    shelf: Arc<Mutex<Shelf>>,
    mut behaviour: watch::Receiver<Behaviour>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            closed = behaviour.wait_for(|_| false) => {
                let _dropped = closed.is_err();
                return;
            }
        };
        if let Ok((stream, _peer)) = accepted
            && *behaviour.borrow() != Behaviour::Cut
        {
            tokio::spawn(serve(stream, shelf.clone(), behaviour.clone()));
        }
    }
}

/// Serves one connection until it ends or the link is cut.
async fn serve(
    stream: TcpStream,
    shelf: Arc<Mutex<Shelf>>,
    mut behaviour: watch::Receiver<Behaviour>,
) {
    let base = stream
        .local_addr()
        .map(|a| format!("http://{a}/fhir"))
        .unwrap_or_default();
    let watched = behaviour.clone();
    let service =
        service_fn(move |request| respond(request, base.clone(), shelf.clone(), *watched.borrow()));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = connection => drop(ended),
        cut = behaviour.wait_for(|now| *now == Behaviour::Cut) => drop(cut),
    }
}

#[allow(clippy::disallowed_methods)] // collected under its cap
async fn respond(
    request: Request<Incoming>,
    base: String,
    shelf: Arc<Mutex<Shelf>>,
    behaviour: Behaviour,
) -> Result<Response<Full<Bytes>>, String> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await;
    let body = body.map_err(|e| e.to_string())?.to_bytes();
    match behaviour {
        Behaviour::Portal => return page(200, "text/html", "<html>Please log in</html>"),
        Behaviour::Unauthorised => return page(401, "text/html", "<html>401</html>"),
        Behaviour::Normal | Behaviour::Cut | Behaviour::LosesAcknowledgements => {}
    }
    let path = parts.uri.path().trim_matches('/');
    let Some(path) = path.strip_prefix("fhir") else {
        return page(404, "text/plain", "not here");
    };
    let header = |name: HeaderName| header(&parts.headers, name);
    let ask = Ask {
        path: path.trim_matches('/').to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        content_type: header(CONTENT_TYPE).unwrap_or_default(),
        content_encoding: header(CONTENT_ENCODING).unwrap_or_default(),
        if_match: header(IF_MATCH),
        if_none_match: header(IF_NONE_MATCH),
        method: parts.method,
        body: body.to_vec(),
        base,
    };
    let meant = header(HeaderName::from_static(LIFE));
    let (answer, life) = {
        let mut shelf = lock(&shelf);
        let life = shelf.life.clone();
        let is_meant = ask.method == http::Method::GET || meant.is_none() || meant == life;
        match is_meant {
            true => (answer::answer(&mut shelf, &ask), life),
            false => (answer::another_life(), life),
        }
    };
    if answer.is_write && behaviour == Behaviour::LosesAcknowledgements {
        return Err("the acknowledgement is lost".to_owned());
    }
    let mut response = Response::builder().status(answer.status);
    if let Some(life) = life {
        response = response.header(LIFE, life);
    }
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let mut text = String::new();
    if !answer.json.is_null() {
        response = response.header(CONTENT_TYPE, "application/fhir+json;charset=utf-8");
        text = answer.json.to_string();
    }
    response
        .body(Full::new(Bytes::from(text)))
        .map_err(|e| e.to_string())
}

fn page(status: u16, media: &str, text: &'static str) -> Result<Response<Full<Bytes>>, String> {
    let response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, media);
    response
        .body(Full::new(Bytes::from(text)))
        .map_err(|e| e.to_string())
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
