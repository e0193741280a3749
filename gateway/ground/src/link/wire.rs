//! One HTTP exchange: a pooled client, capped replies, no redirects, and a limit on silence rather
//! than on the whole (a slow link is no dead link).

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;

/// Largest reply read: a page of a hundred resources of 160 KB.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest silence: no connection, no header, no byte.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// How long an idle connection is kept: the TLS handshake is dear on a slow link.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A reply, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The client of one target; connections are pooled and kept alive. Clones share the pool.
#[derive(Clone)]
pub struct Wire {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Wire {
    pub fn open() -> Wire {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_MAX));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(2)
            .build(connector);
        Wire { client }
    }

    /// Sends and reads the reply. `Err` says why no reply came; it names no content.
    pub async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let flow = self.open_flow(request).await?;
        Ok(Reply {
            status: flow.status,
            headers: flow.headers,
            body: read_capped(flow.body).await?,
        })
    }

    /// Sends, and leaves the reply's body to be read piece by piece. `Err` as above.
    pub async fn open_flow(&self, request: Request<Full<Bytes>>) -> Result<Flow, String> {
        self.open_flow_within(request, SILENCE_MAX).await
    }

    /// The same, for a request whose body may take that long to send.
    pub async fn open_flow_within(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Flow, String> {
        let answer = tokio::time::timeout(patience, self.client.request(request)).await;
        let response = answer
            .map_err(|_elapsed| format!("no answer within {} s", patience.as_secs()))?
            .map_err(|e| innermost(&e))?;
        let (parts, body) = response.into_parts();
        Ok(Flow {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }
}

/// A reply of any length.
pub struct Flow {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
}

impl Flow {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.map_err(|_elapsed| "the reply stopped half-way".to_owned())?;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Ok(None),
                Some(Ok(Ok(piece))) => return Ok(Some(piece)),
                Some(Ok(Err(_trailers))) => {}
                Some(Err(e)) => return Err(format!("the reply broke off: {e}")),
            }
        }
    }
}

/// Reads frame by frame, so that silence is noticed and a huge reply is cut.
async fn read_capped<B>(body: B) -> Result<Bytes, String>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = Limited::new(body, REPLY_BYTES_MAX);
    let mut read = Vec::new();
    loop {
        let frame = tokio::time::timeout(SILENCE_MAX, body.frame()).await;
        let frame = frame.map_err(|_elapsed| "the reply stopped half-way".to_owned())?;
        match frame {
            None => return Ok(read.into()),
            Some(Ok(frame)) => read.extend(frame.data_ref().map(Bytes::as_ref).unwrap_or_default()),
            Some(Err(e)) => return Err(format!("the reply broke off: {e}")),
        }
    }
}

/// The last cause is the telling one: "connection refused", not "client error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
