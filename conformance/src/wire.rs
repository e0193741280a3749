//! A plain HTTP client with one connection for each request, as a stranger may use.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `http://host:port/fhir`, without slash at its end.
    pub(crate) base: String,
    pub(crate) token: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) method: String,
    /// Below the base, or a whole URL that the server gave.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

const ANSWER_BYTES_MAX: usize = 64 << 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an answer of 429 is waited out, as its Retry-After asks.
const PATIENCE: usize = 30;

impl Server {
    pub(crate) async fn send(&self, sent: &Sent) -> Result<Reply, String> {
        for _ in 0..PATIENCE {
            let once = tokio::time::timeout(ANSWER_TIMEOUT, self.once(sent)).await;
            let reply = once.map_err(|_elapsed| "no answer in time".to_owned())??;
            if reply.status != 429 {
                return Ok(reply);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err("still 429 after waiting as asked".to_owned())
    }

    async fn once(&self, sent: &Sent) -> Result<Reply, String> {
        let url = match sent.target.strip_prefix("http://") {
            Some(_) => sent.target.clone(),
            None => join(&self.base, &sent.target),
        };
        let rest = url
            .strip_prefix("http://")
            .ok_or("only http:// is spoken")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let stream = tokio::net::TcpStream::connect(host).await.map_err(text)?;
        let io = TokioIo::new(stream);
        let (mut sender, driver) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(text)?;
        let driver = tokio::spawn(driver);
        let mut request = Request::builder()
            .method(sent.method.as_str())
            .uri(format!("/{path}"))
            .header("host", host);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &sent.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(sent.body.clone())).map_err(text)?;
        let response = sender.send_request(request).await.map_err(text)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX);
        #[allow(clippy::disallowed_methods)] // capped on the line above
        let body = body.collect().await.map_err(text)?.to_bytes();
        driver.abort();
        Ok(Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }
}

/// `Patient/1` below the base; an empty target, or one that is only a query, is the base itself.
fn join(base: &str, target: &str) -> String {
    let base = base.trim_end_matches('/');
    match target.chars().next() {
        None | Some('?') => format!("{base}{target}"),
        Some('/') => match base
            .strip_prefix("http://")
            .and_then(|b| b.split('/').next())
        {
            Some(host) => format!("http://{host}{target}"),
            None => target.to_owned(),
        },
        Some(_) => format!("{base}/{target}"),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default()
    }

    /// The URL of a Bundle's link.
    pub(crate) fn link(&self, relation: &str) -> Option<String> {
        let json = self.json();
        let links = json.get("link")?.as_array()?;
        let link = links
            .iter()
            .find(|link| link.get("relation").and_then(Value::as_str) == Some(relation));
        Some(link?.get("url")?.as_str()?.to_owned())
    }

    /// Ids of a Bundle's matches, in order.
    pub(crate) fn match_ids(&self) -> Vec<String> {
        let json = self.json();
        let entries = json.get("entry").and_then(Value::as_array);
        let is_match = |entry: &&Value| {
            let mode = entry.pointer("/search/mode").and_then(Value::as_str);
            mode.is_none_or(|mode| mode == "match")
        };
        let id = |entry: &Value| Some(entry.pointer("/resource/id")?.as_str()?.to_owned());
        entries
            .into_iter()
            .flatten()
            .filter(is_match)
            .filter_map(id)
            .collect()
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
        ] {
            assert_eq!(join("http://h:1/fhir/", target), expected);
        }
    }
}
