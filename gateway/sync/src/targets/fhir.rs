//! `kind = "fhir"`: an ordinary FHIR R4 server that takes our ids by PUT and says by If-Match when
//! somebody else was faster.

use super::super::TargetSettings;
use super::super::target::{
    Answer, Boxed, Expects, Page, PageRequest, Plan, Reading, Sending, Target,
};
use super::reply;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use gateway_ground::clock::{Clock, format_instant};
use gateway_ground::link::wire::Wire;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, USER_AGENT,
};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::ResourceKey;

/// Longer ones are none.
const LIFE_CHARS_MAX: usize = 64;

const FHIR_JSON: &str = "application/fhir+json";

/// Resources a page; at a kilobyte each a page is done in a quarter of a minute on a 64 kbit/s link.
const PAGE_SIZE: usize = 100;

/// Smaller bodies do not shrink enough to be worth it.
const GZIP_FROM_BYTES: usize = 512;

/// The transport of one target.
#[derive(Clone)]
pub(crate) struct FhirTarget {
    base: String,
    authorization: Option<HeaderValue>,
    gzip: bool,
    wire: Wire,
    clock: Clock,
    lives: Arc<Mutex<Lives>>,
}

/// Lives of the target, as its answers tell and as writes mean.
#[derive(Default)]
struct Lives {
    told: Option<String>,
    meant: Option<String>,
}

/// What a Wayside tells of itself; other servers tell nothing.
const INCARNATION: HeaderName = HeaderName::from_static("wayside-incarnation");

impl FhirTarget {
    /// Refuses (with a reason for the operator) a base or token that no request can carry.
    pub(crate) fn new(settings: &TargetSettings, clock: Clock) -> Result<FhirTarget, String> {
        let base = settings.url.trim_end_matches('/').to_owned();
        let uri: Result<http::Uri, _> = base.parse();
        let scheme = uri.as_ref().ok().and_then(http::Uri::scheme_str);
        if !matches!(scheme, Some("http" | "https")) {
            return Err(format!(
                "E-SYNC-1: {base:?} is no http:// or https:// address"
            ));
        }
        let bearer = |token: &String| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_invalid| "E-SYNC-2: the token holds characters no header may have")?;
            value.set_sensitive(true);
            Ok::<_, &str>(value)
        };
        Ok(FhirTarget {
            base,
            authorization: settings.token.as_ref().map(bearer).transpose()?,
            gzip: settings.gzip,
            wire: Wire::open(),
            clock,
            lives: Arc::default(),
        })
    }

    fn request(&self, plan: Plan) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(plan.method)
            .uri(plan.url)
            .header(ACCEPT, FHIR_JSON)
            .header(USER_AGENT, concat!("wayside/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let is_write = !plan.key.id.is_empty();
        if let Some(life) = self.lives().meant.clone().filter(|_| is_write) {
            request = request.header(INCARNATION, life);
        }
        for (name, value) in plan.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(plan.body)));
        request.map_err(|e| format!("the request cannot be made: {e}"))
    }

    async fn exchange(&self, plan: Plan) -> Result<gateway_ground::link::wire::Reply, Answer> {
        let unreachable = |why| Answer::Unreachable { why };
        let request = self.request(plan).map_err(unreachable)?;
        let reply = self.wire.exchange(request).await.map_err(unreachable)?;
        let told = reply.headers.get(INCARNATION).and_then(|v| v.to_str().ok());
        // A portal or a proxy tells nothing, and is no other life.
        let told = told.filter(|told| (1..=LIFE_CHARS_MAX).contains(&told.len()));
        if let Some(told) = told {
            self.lives().told = Some(told.to_owned());
        }
        Ok(reply)
    }

    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, url: String) -> Plan {
        Plan {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: Vec::new(),
            key: ResourceKey {
                resource_type: String::new(),
                id: String::new(),
            },
        }
    }

    fn page_url(&self, resource_type: &str, since_ms: Option<i64>) -> String {
        let since = since_ms.map(|ms| format!("_lastUpdated=ge{}&", format_instant(ms)));
        let since = since.unwrap_or_default();
        let base = &self.base;
        format!("{base}/{resource_type}?{since}_sort=_lastUpdated&_count={PAGE_SIZE}")
    }

    async fn pull_page(&self, request: PageRequest) -> Result<Page, Answer> {
        let (url, resource_type) = match request {
            PageRequest::Since {
                resource_type,
                since_ms,
            } => (self.page_url(&resource_type, since_ms), resource_type),
            PageRequest::Next { url, resource_type } => (url, resource_type),
        };
        let reply = self.exchange(self.get(url)).await?;
        reply::page(&reply, &resource_type, &self.base, self.clock.now_ms())
    }
}

impl Target for FhirTarget {
    fn plan(&self, sending: &Sending) -> Plan {
        let ResourceKey { resource_type, id } = &sending.key;
        let mut headers: Vec<(HeaderName, String)> = match &sending.expects {
            Expects::Absent => vec![(IF_NONE_MATCH, "*".to_owned())],
            Expects::Version(version) => vec![(IF_MATCH, format!("W/\"{version}\""))],
            Expects::Anything => Vec::new(),
        };
        let mut body = sending.body.clone().unwrap_or_default();
        if sending.body.is_some() {
            headers.push((CONTENT_TYPE, FHIR_JSON.to_owned()));
        }
        if self.gzip
            && body.len() >= GZIP_FROM_BYTES
            && let Some(small) = gzipped(&body)
        {
            body = small;
            headers.push((CONTENT_ENCODING, "gzip".to_owned()));
        }
        Plan {
            method: if sending.body.is_some() {
                Method::PUT
            } else {
                Method::DELETE
            },
            url: format!("{}/{resource_type}/{id}", self.base),
            headers,
            body,
            key: sending.key.clone(),
        }
    }

    fn send(&self, plan: Plan) -> Boxed<'_, Answer> {
        Box::pin(async move {
            let (key, is_delete) = (plan.key.clone(), plan.method == Method::DELETE);
            let now_ms = self.clock.now_ms();
            match self.exchange(plan).await {
                Err(answer) => answer,
                Ok(reply) if is_delete => reply::answer_to_delete(&reply, now_ms),
                Ok(reply) => reply::answer_to_put(&reply, &key, now_ms),
            }
        })
    }

    fn read<'a>(&'a self, key: &'a ResourceKey) -> Boxed<'a, Reading> {
        Box::pin(async move {
            let url = format!("{}/{}/{}", self.base, key.resource_type, key.id);
            match self.exchange(self.get(url)).await {
                Err(answer) => Reading::Other(answer),
                Ok(reply) => reply::reading(&reply, key, &self.base, self.clock.now_ms()),
            }
        })
    }

    fn pull(&self, request: PageRequest) -> Boxed<'_, Result<Page, Answer>> {
        Box::pin(self.pull_page(request))
    }

    fn life(&self) -> Option<String> {
        self.lives().told.clone()
    }

    fn mean(&self, life: Option<String>) {
        self.lives().meant = life;
    }

    fn probe(&self) -> Boxed<'_, bool> {
        Box::pin(async move {
            let url = format!("{}/metadata", self.base);
            match self.exchange(self.get(url)).await {
                Ok(reply) => reply::is_fhir_server(&reply),
                Err(_still_down) => false,
            }
        })
    }
}

/// `None` when memory refuses, which it does not.
fn gzipped(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::VersionId;

    fn target(gzip: bool) -> FhirTarget {
        let settings = TargetSettings {
            gzip,
            token: Some("t".to_owned()),
            ..TargetSettings::new(1, "n", "http://h:1/fhir/")
        };
        FhirTarget::new(&settings, Clock::driven(0)).unwrap()
    }

    fn sending(body: Option<&str>, expects: Expects) -> Sending {
        Sending {
            key: ResourceKey {
                resource_type: "Patient".to_owned(),
                id: "p".to_owned(),
            },
            version: VersionId(1),
            body: body.map(|text| text.as_bytes().to_vec()),
            expects,
        }
    }

    #[test]
    fn a_plan_says_what_must_be_true_over_there() {
        let version = |text: &str| Expects::Version(text.to_owned());
        let cases = [
            (
                Some("{}"),
                Expects::Absent,
                "PUT if-none-match: *; content-type: application/fhir+json; {}",
            ),
            (
                Some("{}"),
                version("3"),
                "PUT if-match: W/\"3\"; content-type: application/fhir+json; {}",
            ),
            (
                Some("{}"),
                Expects::Anything,
                "PUT content-type: application/fhir+json; {}",
            ),
            (None, version("3"), "DELETE if-match: W/\"3\"; "),
        ];
        for (body, expects, expected) in cases {
            let plan = target(false).plan(&sending(body, expects));
            let headers: String = plan
                .headers
                .iter()
                .map(|(n, v)| format!("{n}: {v}; "))
                .collect();
            let body = String::from_utf8(plan.body).unwrap();
            assert_eq!(format!("{} {headers}{body}", plan.method), expected);
            assert_eq!(plan.url, "http://h:1/fhir/Patient/p");
        }
    }

    #[test]
    fn large_bodies_shrink_where_the_target_takes_it() {
        let text = "x".repeat(5_000);
        let plan = target(true).plan(&sending(Some(&text), Expects::Anything));
        assert!(plan.body.len() < 500);
        assert!(
            plan.headers
                .contains(&(CONTENT_ENCODING, "gzip".to_owned()))
        );
        let plan = target(false).plan(&sending(Some(&text), Expects::Anything));
        assert_eq!(plan.body.len(), 5_000);
    }

    #[test]
    fn addresses_that_cannot_work_are_refused_at_once() {
        for url in ["", "ftp://h/fhir", "h:1/fhir", "http://"] {
            let settings = TargetSettings::new(1, "n", url);
            assert!(
                FhirTarget::new(&settings, Clock::driven(0)).is_err(),
                "{url}"
            );
        }
    }

    #[test]
    fn the_first_pull_asks_for_everything() {
        let target = target(false);
        let url = "http://h:1/fhir/Patient?_sort=_lastUpdated&_count=100";
        assert_eq!(target.page_url("Patient", None), url);
        let url = "http://h:1/fhir/Patient?_lastUpdated=ge1970-01-01T00:00:01.000Z&_sort=_lastUpdated&_count=100";
        assert_eq!(target.page_url("Patient", Some(1_000)), url);
    }
}
