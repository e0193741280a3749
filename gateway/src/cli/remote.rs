//! Asks a running gateway over HTTP, with the administrator's token.

use super::CliError;
use crate::app;
use crate::config::Config;
use bytes::Bytes;
use gateway_ground::keys::Places;
use gateway_http::body::{self, BodyLimits};
use gateway_http::tls;
use http::{HeaderMap, Method, Request, header};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the gateway is and how to show who asks.
pub(super) struct Remote {
    /// Without `/fhir` and trailing slash.
    url: String,
    token: String,
    places: Places,
    /// How long an answer may take.
    patience: Duration,
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 10 * 1024 * 1024;

impl Remote {
    /// `url` as the `ready` line gives it; absent, where the gateway left word that it answers, or
    /// the configured address. `token_file` absent: the one made at the first start, or none (then
    /// only a gateway with `--open` lets us in).
    pub(super) fn new(
        config: &Config,
        url: Option<&str>,
        token_file: Option<&PathBuf>,
    ) -> Result<Remote, CliError> {
        let places = app::places(config);
        let file = token_file
            .cloned()
            .unwrap_or_else(|| places.admin_token_file());
        if token_file.is_none() && !file.exists() {
            return Ok(Remote::with_token(config, url, ""));
        }
        let token = std::fs::read_to_string(&file).map_err(|e| {
            let file = file.display();
            CliError::failed(format!(
                "E-CLI-1: the administrator's token cannot be read from {file}: {e}; give \
                 --token-file"
            ))
        })?;
        Ok(Remote::with_token(config, url, token.trim()))
    }

    /// With this token; `url` as above.
    pub(super) fn with_token(config: &Config, url: Option<&str>, token: &str) -> Remote {
        let places = app::places(config);
        let told = || std::fs::read_to_string(places.url_file()).ok();
        let url = url.map(str::to_owned).or_else(told);
        let url = url.unwrap_or_else(|| default_url(config));
        let url = url.trim().trim_end_matches('/');
        Remote {
            url: url.strip_suffix("/fhir").unwrap_or(url).to_owned(),
            token: token.to_owned(),
            places,
            patience: ANSWER_TIMEOUT,
        }
    }

    /// For what takes long.
    pub(super) fn patient(self, patience: Duration) -> Remote {
        Remote { patience, ..self }
    }

    /// The body of a 2xx answer; everything else is an error with the answer's own words.
    pub(super) fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Bytes, CliError> {
        self.ask_with(method, path, HeaderMap::new(), body)
    }

    /// `ask`, with headers of its own.
    pub(super) fn ask_with(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Bytes, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| CliError::failed(format!("E-CLI-2: no threads to run on: {e}")))?;
        runtime.block_on(async {
            let exchange = self.exchange(method, path, headers, body);
            match tokio::time::timeout(self.patience, exchange).await {
                Ok(answered) => answered,
                Err(_elapsed) => {
                    let seconds = self.patience.as_secs();
                    Err(self.unreachable(&format!("no answer in {seconds} seconds")))
                }
            }
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Bytes, CliError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(&self.places)?)
            .https_or_http()
            .enable_http1()
            .build();
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| CliError::usage(format!("E-CLI-3: --url cannot be used: {e}")))?;
        request.headers_mut().extend(headers);
        let answer = client.request(request).await;
        let answer = answer.map_err(|e| self.unreachable(&causes(&e)))?;
        let status = answer.status();
        let limits = BodyLimits {
            size_bytes_max: ANSWER_BYTES_MAX,
            progress_timeout: ANSWER_TIMEOUT,
            total_timeout: ANSWER_TIMEOUT,
        };
        let bytes = body::read(&HeaderMap::new(), answer.into_body(), limits).await?;
        if status.is_success() {
            return Ok(bytes);
        }
        Err(CliError::failed(words_of(status.as_u16(), &bytes)))
    }

    fn unreachable(&self, detail: &str) -> CliError {
        let url = &self.url;
        CliError::failed(format!(
            "E-CLI-5: the gateway does not answer at {url}: {detail}; give --url as its `ready` \
             line shows it"
        ))
    }
}

/// The web's authorities and the gateway's own certificate.
pub(super) fn tls_config(places: &Places) -> Result<rustls::ClientConfig, CliError> {
    let (own, _key) = places.tls_files();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| CliError::failed(format!("E-CLI-4: TLS cannot be used: {e}")))?;
    if !own.exists() {
        return Ok(builder.with_webpki_roots().with_no_client_auth());
    }
    let mut roots = rustls::RootCertStore::empty();
    let certificates = tls::read_certificates(&own);
    let certificates = certificates.map_err(|e| CliError::failed(e.to_string()))?;
    roots.add_parsable_certificates(certificates);
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn default_url(config: &Config) -> String {
    let http = &config.http;
    let uses_tls = http.tls_cert.is_some() || !http.listen.ip().is_loopback();
    let scheme = if uses_tls { "https" } else { "http" };
    let host = match http.listen.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip @ std::net::IpAddr::V4(_) => ip.to_string(),
    };
    format!("{scheme}://{host}:{}", http.listen.port())
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The diagnostics of an OperationOutcome.
fn words_of(status: u16, body: &[u8]) -> String {
    let outcome: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let diagnostics = outcome.as_ref().and_then(|outcome| {
        let issue = outcome.get("issue")?.get(0)?;
        issue.get("diagnostics")?.as_str()
    });
    match diagnostics {
        Some(words) if status == 401 => format!("{words}; give --token-file (HTTP 401)"),
        Some(words) => format!("{words} (HTTP {status})"),
        None => format!("E-CLI-6: the gateway answered {status}; check --url"),
    }
}
