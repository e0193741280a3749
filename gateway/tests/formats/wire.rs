//! A gateway of its own, asked over its socket; what comes back, as a tree.

use bytes::Bytes;
use examples::wayside::Wayside;
use fhir_mapping::model::{self, Json, Limits, Object};
use fhir_mapping::xml;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;

pub const JSON: (&str, &str) = ("content-type", "application/fhir+json");
pub const XML: (&str, &str) = ("content-type", "application/fhir+xml");
pub const AS_XML: (&str, &str) = ("accept", "application/fhir+xml");

pub struct Site {
    base: String,
    /// Killed when dropped.
    _wayside: Mutex<Wayside>,
    client: Client<HttpConnector, Full<Bytes>>,
    _folder: tempfile::TempDir,
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Site {
    pub fn start() -> Site {
        Site::with("")
    }

    /// With this configuration.
    pub fn with(config: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_wayside"));
        let data = folder.path().join("data");
        let file = folder.path().join("wayside.toml");
        std::fs::write(&file, config).unwrap();
        let config = ["--config", file.to_str().unwrap()];
        let wayside = Wayside::start(binary, &data, &config, Stdio::null()).unwrap();
        Site {
            base: wayside.base.clone(),
            _wayside: Mutex::new(wayside),
            client: Client::builder(TokioExecutor::new()).build_http(),
            _folder: folder,
        }
    }

    /// `request` is `GET Patient/a`.
    pub async fn ask(
        &self,
        request: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let (method, path) = request.split_once(' ').unwrap();
        let url = format!("{}/{path}", self.base);
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let reply = self.client.request(request).await.unwrap();
        let (head, body) = reply.into_parts();
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The resource, by the type that the answer has.
    #[track_caller]
    pub fn tree(&self) -> Json {
        let text = String::from_utf8_lossy(&self.body);
        let parsed = match self.header("content-type") {
            "application/fhir+xml; charset=utf-8" => xml::parse(&self.body, limits()),
            "application/fhir+json; charset=utf-8" => model::parse(&self.body, limits()),
            other => panic!("{} {other:?}: {text}", self.status),
        };
        parsed.unwrap_or_else(|issue| panic!("{issue:?}: {text}"))
    }
}

pub fn limits() -> Limits {
    Limits {
        depth_max: 200,
        ..Limits::default()
    }
}

pub fn json(text: &str) -> Json {
    model::parse(text.as_bytes(), limits()).unwrap()
}

/// Without what the server sets, members in one order: that of JSON objects means nothing.
pub fn content(resource: &Json) -> Json {
    let mut resource = resource.clone();
    if let Some(object) = resource.as_object_mut()
        && let Some(meta) = object.get_mut("meta").and_then(Json::as_object_mut)
    {
        meta.remove("versionId");
        meta.remove("lastUpdated");
        if meta.is_empty() {
            object.remove("meta");
        }
    }
    ordered(&resource)
}

fn ordered(value: &Json) -> Json {
    match value {
        Json::Array(items) => Json::Array(items.iter().map(ordered).collect()),
        Json::Object(object) => {
            let pairs = object.iter();
            let mut pairs: Vec<_> = pairs.map(|(k, v)| (k.to_owned(), ordered(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(pairs.into_iter().collect::<Object>())
        }
        scalar => scalar.clone(),
    }
}
