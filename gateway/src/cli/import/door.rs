//! Where postings go: into the store of this folder, or over HTTP to a running gateway.

use super::posting::Posting;
use super::report::Reply;
use super::resume::Mark;
use super::{CliError, ImportArgs};
use crate::app::{self, StartError};
use crate::cli::remote;
use bytes::Bytes;
use fhir_mapping::model::{Json, Limits, format, parse};
use gateway_http::exchange::Exchange;
use gateway_http::interactions::{self, Surface};
use gateway_http::route::Interaction;
use gateway_repository::{Actor, Repository};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::path::Path;
use std::time::Duration;
use store::{Origin, OriginKind, StoreError};

pub(super) enum Door {
    Here(Box<Here>),
    There(Box<There>),
}

/// The store of this folder, through the gateway's own interactions.
pub(super) struct Here {
    surface: Surface,
}

/// A running gateway.
pub(super) struct There {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    authorization: Option<HeaderValue>,
}

/// The operator decides what comes in whole; the document's own cap is the limit.
const ENTRIES_MAX: usize = 1_000_000;
/// Answers hold a few hundred bytes an entry.
const REPLY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How often a busy gateway is asked again, and how long between.
const ATTEMPTS_MAX: u32 = 30;
const BUSY_PAUSE: Duration = Duration::from_secs(1);
const BASE_URL: &str = "http://127.0.0.1:8080/fhir";

impl Door {
    pub(super) fn open(args: &ImportArgs) -> Result<Door, CliError> {
        if let Some(url) = &args.to {
            return There::open(url, args).map(|there| Door::There(Box::new(there)));
        }
        let config = args.place.load()?;
        let opened = app::open_repository(&config).map_err(|error| match error {
            StartError::Store(StoreError::Locked) => CliError::failed(
                "E-IMPORT-15: a gateway is running on this folder; stop it, or send to it with \
                 --to http://127.0.0.1:8080/fhir",
            ),
            other => other.into(),
        });
        Ok(Door::here(opened?))
    }

    pub(super) fn here(repository: Repository) -> Door {
        let surface = Surface {
            repository,
            page_size: 1,
            page_size_max: 1,
            bundle_entries_max: ENTRIES_MAX,
            conditional_delete_max: 1,
            lanes: Default::default(),
            door: Default::default(),
        };
        Door::Here(Box::new(Here { surface }))
    }

    /// Sends one posting; waits while the gateway is busy. `Err` ends the import.
    pub(super) async fn post(&self, posting: &Posting) -> Result<Reply, CliError> {
        let body = Bytes::from(format(&posting.bundle));
        for _ in 0..ATTEMPTS_MAX {
            let reply = match self {
                Door::Here(here) => here.post(body.clone()).await,
                Door::There(there) => there.post(body.clone()).await?,
            };
            match reply.status {
                429 | 503 => tokio::time::sleep(BUSY_PAUSE).await,
                401 | 403 => {
                    let text = "E-IMPORT-16: the gateway refuses the token; see --token-file";
                    return Err(CliError::failed(text));
                }
                500.. => return Err(unable(&reply)),
                _ => return Ok(reply),
            }
        }
        let text = "E-IMPORT-17: the gateway stays busy; run again later, what is in stays in";
        Err(CliError::failed(text))
    }

    /// How far a file came; a running gateway keeps no marks.
    pub(super) fn mark(&self, digest: &[u8; 32]) -> Result<Mark, CliError> {
        match self {
            Door::Here(here) => Mark::read(here.surface.repository.store(), digest),
            Door::There(_) => Ok(Mark::default()),
        }
    }

    pub(super) fn set_mark(&self, digest: &[u8; 32], mark: &Mark) -> Result<(), CliError> {
        match self {
            Door::Here(here) => mark.write(here.surface.repository.store(), digest),
            Door::There(_) => Ok(()),
        }
    }

    /// Closes the store, if one is open.
    pub(super) fn close(self) {
        if let Door::Here(here) = self {
            let store = here.surface.repository.store().clone();
            drop(here);
            store.close();
        }
    }
}

fn unable(reply: &Reply) -> CliError {
    let reason = reply.body.items("issue").first();
    let reason = reason.and_then(|issue| issue.str_at(&["diagnostics"]));
    let (status, reason) = (reply.status, reason.unwrap_or("no reason given"));
    CliError::failed(format!(
        "E-IMPORT-18: the gateway fails with {status}: {reason}"
    ))
}

fn fhir_headers() -> HeaderMap {
    let minimal = (
        HeaderName::from_static("prefer"),
        HeaderValue::from_static("return=minimal"),
    );
    let json = HeaderValue::from_static("application/fhir+json");
    HeaderMap::from_iter([minimal, (CONTENT_TYPE, json)])
}

impl Here {
    async fn post(&self, body: Bytes) -> Reply {
        let exchange = Exchange {
            interaction: Interaction::Bundle,
            actor: Actor {
                name: "import".to_owned(),
                origin: Origin {
                    kind: OriginKind::Client,
                    number: 0,
                },
            },
            query: Vec::new(),
            headers: fhir_headers(),
            body,
            base_url: BASE_URL.to_owned(),
        };
        match Box::pin(interactions::run(&self.surface, exchange)).await {
            Ok(answer) => Reply {
                status: answer.status,
                body: read(&answer.body),
            },
            Err(failure) => Reply {
                status: failure.category.status(),
                body: failure.outcome(),
            },
        }
    }
}

/// An answer that is no JSON has no entries: every resource of it counts as rejected.
fn read(body: &[u8]) -> Json {
    parse(body, Limits::default()).unwrap_or(Json::Null)
}

impl There {
    /// The token is the file's, or the administrator's of the data folder when that is at hand.
    fn open(url: &str, args: &ImportArgs) -> Result<There, CliError> {
        let places = app::places(&args.place.load()?);
        let own = Some(places.admin_token_file()).filter(|file| file.exists());
        let file = args.token_file.clone().or(own);
        let authorization = file.as_deref().map(authorization).transpose();
        let authorization = authorization.map_err(|e| {
            CliError::usage(format!("E-IMPORT-19: the token file cannot be used: {e}"))
        })?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(remote::tls_config(&places)?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(There {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: url.trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    async fn post(&self, body: Bytes) -> Result<Reply, CliError> {
        let unreachable = |reason: String| {
            CliError::failed(format!(
                "E-IMPORT-20: no answer from {}: {reason}; run again, what is in stays in",
                self.url
            ))
        };
        let mut request = Request::post(&self.url);
        if let Some(headers) = request.headers_mut() {
            headers.extend(fhir_headers());
            headers.extend(
                self.authorization
                    .clone()
                    .map(|value| (AUTHORIZATION, value)),
            );
        }
        let request = request
            .body(Full::new(body))
            .map_err(|e| CliError::usage(format!("E-IMPORT-21: --to is no URL: {e}")))?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|e| unreachable(e.to_string()))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), REPLY_BYTES_MAX);
        #[allow(clippy::disallowed_methods)] // capped by Limited
        let body = body
            .collect()
            .await
            .map_err(|e| unreachable(e.to_string()))?;
        let body = read(&body.to_bytes());
        Ok(Reply { status, body })
    }
}

fn authorization(file: &Path) -> Result<HeaderValue, String> {
    let token = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    let mut value = value.map_err(|e| e.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}
