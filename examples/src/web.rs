//! A small HTTP client for FHIR: JSON in, JSON out, bounded in size and time.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;

/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest wait for one answer: a large transaction on a slow box takes its time.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// One FHIR base and how to get in.
#[derive(Clone)]
pub struct Web {
    /// Without trailing slash.
    pub base: String,
    pub token: Option<String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer; `json` is null when there was no JSON body.
#[derive(Clone, Debug)]
pub struct WebAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub json: Value,
}

impl Web {
    pub fn new(base: &str, token: Option<String>) -> Web {
        Web {
            base: base.trim_end_matches('/').to_owned(),
            token,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub async fn get(&self, path: &str) -> Result<WebAnswer, String> {
        self.send(Method::GET, path, &[], None).await
    }

    /// `path` is under the base, or a whole URL (a next link).
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<WebAnswer, String> {
        let url = match path {
            "" => self.base.clone(),
            whole if whole.starts_with("http://") => whole.to_owned(),
            path => format!("{}/{path}", self.base),
        };
        let what = format!("{method} {url}");
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header("accept", "application/fhir+json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/fhir+json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(text)));
        let request = request.map_err(|e| format!("{what}: {e}"))?;
        let answer = tokio::time::timeout(ANSWER_WAIT_MAX, self.exchange(request)).await;
        let answer = answer.map_err(|_elapsed| format!("{what}: no answer within 60 s"))?;
        answer.map_err(|e| format!("{what}: {e}"))
    }

    #[allow(clippy::disallowed_methods)] // collected under its cap
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<WebAnswer, String> {
        let response = self.client.request(request).await;
        let response = response.map_err(|e| e.to_string())?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|e| e.to_string())?.to_bytes();
        Ok(WebAnswer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            json: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }
}

impl WebAnswer {
    /// The answer itself if its status is one of these; else what the server said.
    pub fn expect(self, what: &str, statuses: &[u16]) -> Result<WebAnswer, String> {
        if statuses.contains(&self.status) {
            return Ok(self);
        }
        let said = self.json.pointer("/issue/0/diagnostics");
        let said = said.and_then(Value::as_str).unwrap_or("no reason given");
        Err(format!("{what}: status {}, {said}", self.status))
    }

    /// `W/"3"` of the ETag header.
    pub fn etag(&self) -> Option<&str> {
        self.headers.get("etag")?.to_str().ok()
    }
}

/// Text at a JSON pointer; empty when absent.
pub fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
