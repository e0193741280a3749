//! One keep-alive HTTP/1.1 connection, used one request at a time.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;

/// What the server said.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why no reply came: refused, closed, cut.
#[derive(Debug)]
pub struct Cut;

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection, Cut> {
        let stream = tokio::net::TcpStream::connect(address).await.map_err(cut)?;
        stream.set_nodelay(true).map_err(cut)?;
        let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(cut)?;
        tokio::spawn(driver);
        Ok(Connection {
            sender,
            host: address.to_string(),
        })
    }

    pub async fn get(&mut self, path: &str) -> Result<Reply, Cut> {
        self.send("GET", path, &[], Bytes::new()).await
    }

    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, Cut> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.into();
        if !body.is_empty() && !headers.iter().any(|(n, _)| *n == "content-type") {
            request = request.header("content-type", "application/fhir+json");
        }
        let request = request.body(Full::new(body)).map_err(cut)?;
        self.sender.ready().await.map_err(cut)?;
        let (parts, body) = self
            .sender
            .send_request(request)
            .await
            .map_err(cut)?
            .into_parts();
        let body = Limited::new(body, 256 << 20);
        #[allow(clippy::disallowed_methods)] // capped on the line above
        let body = body.collect().await.map_err(cut)?.to_bytes();
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn cut<E>(_: E) -> Cut {
    Cut
}
