//! An S3-compatible store: five requests, signed, in path style. A put is whole or not there, and
//! durable once it is answered; what is answered otherwise is tried again a few times.

use super::listing;
use super::refused;
use super::signing::{self, Credentials, Signed};
use bytes::Bytes;
use gateway_ground::clock::Clock;
use gateway_ground::keys;
use gateway_ground::link::wire::{Reply, Wire};
use http::{Method, Request};
use http_body_util::Full;
use std::path::PathBuf;
use std::time::Duration;
use vault::VaultError;
use vault::backup::Shelf;
use zeroize::Zeroizing;

/// `[backup.s3]`.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Settings {
    /// `https://s3.example.org`, without the bucket.
    pub endpoint: String,
    pub bucket: String,
    /// Before every name; empty, or words with slashes between them.
    pub prefix: String,
    pub region: String,
    /// Two lines, mode 600: the id of the access key, and the secret key.
    pub credentials_file: PathBuf,
}

impl S3Settings {
    pub(super) fn words(&self) -> String {
        let prefix = self.prefix.trim_matches('/');
        format!("{}/{}/{prefix}", self.endpoint, self.bucket)
    }
}

/// Tries of one request; between them a second, then two.
const TRIES: u32 = 3;
/// A pack of 16 MiB takes this long at 30 kB/s.
const PATIENCE: Duration = Duration::from_secs(600);
/// The largest object that is ever read: a pack may end with one large row.
const OBJECT_BYTES_MAX: usize = 192 << 20;
/// Pages of a thousand names.
const PAGES_MAX: usize = 10_000;

/// A bucket, or what lies below a prefix of one.
pub(super) struct Bucket {
    settings: S3Settings,
    host: String,
    credentials: Credentials,
    clock: Clock,
    wire: Wire,
    runtime: tokio::runtime::Runtime,
}

/// One request before it is signed.
struct Ask<'a> {
    method: Method,
    /// Below the endpoint.
    path: String,
    query: String,
    body: &'a [u8],
}

impl Bucket {
    pub(super) fn new(settings: &S3Settings) -> Result<Bucket, VaultError> {
        let place = settings.words();
        let uri: Result<http::Uri, _> = settings.endpoint.parse();
        let uri = uri.map_err(|e| refused(&place, e.to_string()))?;
        let host = uri.authority().map(|authority| authority.to_string());
        let host = host.ok_or_else(|| refused(&place, "the endpoint names no host"))?;
        let text = keys::read_secret(&settings.credentials_file)
            .map_err(|e| refused(&place, e.to_string()))?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let (Some(id), Some(secret)) = (lines.next(), lines.next()) else {
            let detail = "the credentials file holds no two lines: access key id, secret key";
            return Err(refused(&place, detail));
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| refused(&place, e.to_string()))?;
        Ok(Bucket {
            settings: settings.clone(),
            host,
            credentials: Credentials {
                id: id.to_owned(),
                secret: Zeroizing::new(secret.to_owned()),
            },
            clock: Clock::system(0),
            wire: Wire::open(),
            runtime,
        })
    }

    /// The key of a name: behind the prefix.
    fn key(&self, name: &str) -> String {
        match self.settings.prefix.trim_matches('/') {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    fn about(&self, method: Method, name: &str) -> Ask<'static> {
        Ask {
            method,
            path: signing::path(&format!("/{}/{}", self.settings.bucket, self.key(name))),
            query: String::new(),
            body: &[],
        }
    }

    /// The reply, after tries enough; only those of the server's own trouble are repeated.
    fn exchange(&self, name: &str, ask: &Ask<'_>) -> Result<Reply, VaultError> {
        self.runtime.block_on(async {
            let mut tried = 1;
            loop {
                let outcome = self.tried(ask).await;
                let is_final = match &outcome {
                    Ok(reply) => !matches!(reply.status.as_u16(), 429 | 500..=599),
                    Err(_) => false,
                };
                if is_final || tried >= TRIES {
                    return outcome.map_err(|why| refused(&self.called(name), why));
                }
                tokio::time::sleep(Duration::from_secs(1 << (tried - 1))).await;
                tried += 1;
            }
        })
    }

    async fn tried(&self, ask: &Ask<'_>) -> Result<Reply, String> {
        let time = jiff::Timestamp::from_millisecond(self.clock.now_ms());
        let time = time.map_err(|e| e.to_string())?;
        let time = time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let content = signing::hash(ask.body);
        let headers = [
            ("host", self.host.as_str()),
            ("x-amz-content-sha256", &content),
            ("x-amz-date", &time),
        ];
        let signed = Signed {
            method: ask.method.as_str(),
            path: &ask.path,
            query: &ask.query,
            headers: &headers,
            content: &content,
        };
        let scope = (self.settings.region.as_str(), time.as_str());
        let value = signing::authorization(&self.credentials, scope, &signed);
        let mut value = http::HeaderValue::from_str(&value).map_err(|e| e.to_string())?;
        value.set_sensitive(true);
        let endpoint = self.settings.endpoint.trim_end_matches('/');
        let mark = if ask.query.is_empty() { "" } else { "?" };
        let request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{endpoint}{}{mark}{}", ask.path, ask.query))
            .header("x-amz-content-sha256", &content)
            .header("x-amz-date", &time)
            .header(http::header::AUTHORIZATION, value)
            .body(Full::new(Bytes::copy_from_slice(ask.body)))
            .map_err(|e| e.to_string())?;
        let mut flow = self.wire.open_flow_within(request, PATIENCE).await?;
        let mut body = Vec::new();
        while let Some(piece) = flow.next().await? {
            if body.len() + piece.len() > OBJECT_BYTES_MAX {
                return Err("the answer is larger than any backup file".to_owned());
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply {
            status: flow.status,
            headers: flow.headers,
            body: body.into(),
        })
    }

    fn called(&self, name: &str) -> String {
        format!("{}/{name}", self.settings.words().trim_end_matches('/'))
    }

    /// An answer that nobody wanted, in a few words and without what it may quote.
    fn unwanted(&self, name: &str, reply: &Reply) -> VaultError {
        let code = listing::error_code(&reply.body).unwrap_or_default();
        let status = reply.status.as_u16();
        refused(&self.called(name), format!("answered {status} {code}"))
    }
}

impl Shelf for Bucket {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        let ask = Ask {
            body: bytes,
            ..self.about(Method::PUT, name)
        };
        let reply = self.exchange(name, &ask)?;
        match reply.status.as_u16() {
            200 | 201 | 204 => Ok(()),
            _ => Err(self.unwanted(name, &reply)),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let reply = self.exchange(name, &self.about(Method::GET, name))?;
        let code = listing::error_code(&reply.body);
        match (reply.status.as_u16(), code.as_deref()) {
            (200, _) => Ok(Some(reply.body.to_vec())),
            // A bucket that is not there is no empty one.
            (404, Some("NoSuchKey")) => Ok(None),
            _ => Err(self.unwanted(name, &reply)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VaultError> {
        let below = self.key(&format!("{folder}/"));
        let (mut names, mut after) = (Vec::new(), None::<String>);
        for _page in 0..PAGES_MAX {
            let mut pairs = vec![("list-type", "2"), ("prefix", below.as_str())];
            pairs.extend(after.as_deref().map(|after| ("continuation-token", after)));
            let ask = Ask {
                method: Method::GET,
                path: signing::path(&format!("/{}/", self.settings.bucket)),
                query: signing::query(&pairs),
                body: &[],
            };
            let reply = self.exchange(folder, &ask)?;
            let page = match reply.status.as_u16() {
                200 => listing::listing(&reply.body),
                _ => return Err(self.unwanted(folder, &reply)),
            };
            let no_page = || refused(&self.called(folder), "the answer is no list of names");
            let page = page.ok_or_else(no_page)?;
            let found = page.names.iter().filter_map(|key| key.strip_prefix(&below));
            names.extend(found.map(|name| format!("{folder}/{name}")));
            after = page.next;
            if after.is_none() {
                names.sort();
                return Ok(names);
            }
        }
        Err(refused(&self.called(folder), "it holds too many names"))
    }

    fn remove(&self, name: &str) -> Result<(), VaultError> {
        let reply = self.exchange(name, &self.about(Method::DELETE, name))?;
        match reply.status.as_u16() {
            200 | 204 | 404 => Ok(()),
            _ => Err(self.unwanted(name, &reply)),
        }
    }
}
