//! A plain HTTP client, as a stranger may use: http and https with the public authorities or one of
//! its own, a bearer token or a name and password, patience with 429 and none with silence.

pub(crate) mod coding;
mod reply;
pub(crate) mod socket;
mod tls;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
pub(crate) use reply::Reply;
use std::path::PathBuf;
use std::time::Duration;

/// How a server is reached, beyond its base.
#[derive(Clone, Debug)]
pub struct Access {
    pub token: Option<String>,
    /// `name:password`, sent as Basic credentials when there is no token.
    pub user: Option<String>,
    /// PEM file of the authorities to trust in place of the public ones.
    pub authorities: Option<PathBuf>,
    /// PEM files of the certificate that the program shows when a server asks for one, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

impl Default for Access {
    fn default() -> Access {
        Access {
            token: None,
            user: None,
            authorities: None,
            certificate: None,
            timeout: Duration::from_secs(60),
        }
    }
}

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `http://host:port/fhir`, without slash at its end.
    pub(crate) base: String,
    /// Where web sockets are opened, as the server's statement says.
    pub(crate) socket: Option<String>,
    /// The header `Authorization`.
    credentials: Option<String>,
    timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) method: String,
    /// Below the base, or a whole URL that the server gave.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How often an answer of 429 is waited out, a second each.
const PATIENCE: usize = 30;

impl Server {
    pub(crate) fn new(base: &str, access: &Access) -> Result<Server, String> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new();
        let connector = connector.with_tls_config(tls::config(access)?);
        let bearer = access.token.iter().map(|token| format!("Bearer {token}"));
        let basic = access.user.iter();
        let basic = basic.map(|user| format!("Basic {}", STANDARD.encode(user)));
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Server {
            base: base.trim_end_matches('/').to_owned(),
            socket: None,
            credentials: bearer.chain(basic).next(),
            timeout: access.timeout,
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    pub(crate) async fn get(&self, target: &str) -> Result<Reply, String> {
        let sent = Sent {
            method: "GET".to_owned(),
            target: target.to_owned(),
            headers: vec![("accept".to_owned(), "application/fhir+json".to_owned())],
            body: Bytes::new(),
        };
        self.send(&sent).await
    }

    pub(crate) async fn send(&self, sent: &Sent) -> Result<Reply, String> {
        for _ in 0..PATIENCE {
            let once = tokio::time::timeout(self.timeout, self.once(sent)).await;
            let seconds = self.timeout.as_secs();
            let reply = once.map_err(|_elapsed| format!("no answer within {seconds} s"))??;
            if reply.status != 429 {
                return Ok(reply);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err("still 429 after waiting half a minute".to_owned())
    }

    async fn once(&self, sent: &Sent) -> Result<Reply, String> {
        let url = encoded(&join(&self.base, &sent.target));
        let mut request = self.request(&sent.method, &url);
        for (name, value) in &sent.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(sent.body.clone())).map_err(text)?;
        let response = self.client.request(request).await.map_err(cause)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX);
        #[allow(clippy::disallowed_methods)] // capped on the line above
        let body = body.collect().await.map_err(text)?.to_bytes();
        let mut reply = Reply {
            status: head.status.as_u16(),
            headers: reply::joined(&head.headers),
            body,
        };
        reply.body = coding::unpacked(reply.header("content-encoding"), reply.body.clone())?;
        Ok(reply)
    }

    fn request(&self, method: &str, url: &str) -> request::Builder {
        let request = Request::builder().method(method).uri(url);
        match &self.credentials {
            Some(credentials) => request.header("authorization", credentials),
            None => request,
        }
    }

    /// Asks a server to speak another protocol on this connection from now on.
    async fn upgrade(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let asked = tokio::time::timeout(self.timeout, self.client.request(request)).await;
        let seconds = self.timeout.as_secs();
        asked
            .map_err(|_elapsed| format!("no answer within {seconds} s"))?
            .map_err(cause)
    }
}

/// `Patient/1` below the base; an empty target, or one that is only a query, is the base itself; a
/// target with a slash before it is below the host.
fn join(base: &str, target: &str) -> String {
    match target.chars().next() {
        _ if target.starts_with("http://") || target.starts_with("https://") => target.to_owned(),
        None | Some('?') => format!("{base}{target}"),
        Some('/') => {
            let mut parts = base.splitn(4, '/');
            let origin: Vec<&str> = parts.by_ref().take(3).collect();
            format!("{}{target}", origin.join("/"))
        }
        Some(_) => format!("{base}/{target}"),
    }
}

/// What no URL may hold as it stands; `%` is left to those who wrote it.
fn encoded(url: &str) -> String {
    let mut encoded = String::new();
    for c in url.chars() {
        if c.is_ascii_graphic() && !"\"<>\\^`{}|".contains(c) {
            encoded.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    encoded
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The reason below the client's own words.
fn cause(error: hyper_util::client::legacy::Error) -> String {
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (target, expected) in [
            ("Patient/1", "http://h:1/fhir/Patient/1"),
            ("", "http://h:1/fhir"),
            ("?a=b", "http://h:1/fhir?a=b"),
            ("/livez", "http://h:1/livez"),
            ("http://o/x", "http://o/x"),
        ] {
            assert_eq!(join("http://h:1/fhir", target), expected);
        }
        assert_eq!(encoded("a?b=c|d é%2C"), "a?b=c%7Cd%20%C3%A9%2C");
    }
}
