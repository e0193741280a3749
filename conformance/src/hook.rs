//! An endpoint that a server under test may call: what rest-hook Subscriptions are told.
//! <https://hl7.org/fhir/R4/subscription.html#rest-hook>

use crate::wire::Reply;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// Largest notification that is read.
const TOLD_BYTES_MAX: usize = 1 << 20;

/// Notifications kept; further ones are answered but forgotten.
const TOLD_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub(crate) struct Hook {
    /// `http://127.0.0.1:40001`
    pub(crate) base: String,
    told: Arc<Mutex<Vec<Told>>>,
}

#[derive(Clone, Debug)]
struct Told {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Hook {
    /// Listens at this address; port 0 picks a free one.
    pub(crate) async fn listen(address: SocketAddr) -> Result<Hook, String> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|e| format!("{address}: {e}"))?;
        let bound = listener.local_addr().map_err(|e| e.to_string())?;
        let hook = Hook {
            base: format!("http://{bound}"),
            told: Arc::default(),
        };
        let shared = hook.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request| {
                    let shared = shared.clone();
                    async move { Ok::<_, Infallible>(shared.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(hook)
    }

    async fn answer(&self, request: Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, TOLD_BYTES_MAX);
        #[allow(clippy::disallowed_methods)] // capped on the line above
        let body = body.collect().await.map(|body| body.to_bytes());
        if let (Ok(mut told), Ok(body)) = (self.told.lock(), body)
            && told.len() < TOLD_MAX
        {
            told.push(Told {
                path: head.uri.path().to_owned(),
                headers: head.headers,
                body,
            });
        }
        Response::new(Full::default())
    }

    /// What came to this path: how often, and the last of it as if it were a reply.
    pub(crate) fn told(&self, path: &str) -> (usize, Option<Reply>) {
        let Ok(told) = self.told.lock() else {
            return (0, None);
        };
        // A notification with a resource goes to `path/Type/id`.
        let is_below = |told: &&Told| {
            let rest = told.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let all: Vec<&Told> = told.iter().filter(is_below).collect();
        let last = all.last().map(|told| Reply {
            status: 200,
            headers: told.headers.clone(),
            body: told.body.clone(),
        });
        (all.len(), last)
    }
}
