//! One request from its head to its answer: host, caller, rate, route, body, interaction.

use super::auth::{Auth, Caller};
use super::body::{self, BodyLimits};
use super::exchange::{Answer, Exchange};
use super::forwarded::{self, is_authority};
use super::interactions::{self, Surface};
use super::limit::Limits;
use super::media::{Form, binary, incoming};
use super::respond::{self, Reply};
use super::route::{self, Interaction};
use super::sockets::{self, Sockets};
use super::{health, pages};
use bytes::Bytes;
use fhir_mapping::model::IssueCode;
use gateway_ground::clock::Stopwatch;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::safekeeping::Safekeeping;
use gateway_ground::telemetry::{Gauges, Happening, Telemetry};
use http::request::Parts;
use http::{HeaderMap, Method, Request, header};
use hyper::body::Body;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// Everything a request may need; one for the whole gateway.
pub struct Front {
    pub surface: Surface,
    pub auth: Auth,
    pub limits: Limits,
    pub body: BodyLimits,
    pub telemetry: Telemetry,
    pub hosts: Hosts,
    pub sockets: Sockets,
    /// Samples the site's state for `/metrics`.
    pub sample: Arc<dyn Fn() -> Gauges + Send + Sync>,
    /// How it stands with the backups, and how one is asked for.
    pub backups: Arc<dyn Safekeeping>,
    /// True while writes can be taken; `/readyz` says so.
    pub is_ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Under which names this server may be asked, and what it calls itself.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Base to use in links, whatever the request says.
    pub base_url: Option<String>,
    pub names: Vec<String>,
    pub is_loopback: bool,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub over_tls: bool,
}

/// Bodies as hyper hands them over, and as tests make them.
pub trait RequestBody:
    Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> RequestBody for B
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
}

/// Name for metrics beside the reply.
type Named = (&'static str, Reply);

impl Front {
    /// Answers one request; a broken invariant is answered 500 and harms nobody else.
    pub async fn answer<B: RequestBody>(&self, request: Request<B>, peer: Peer) -> Reply {
        let stopwatch = Stopwatch::start();
        let answered = guarded(pin!(self.dispatch(request, peer))).await;
        let (interaction, reply) = answered.unwrap_or_else(|Panicked| {
            self.telemetry.note(&Happening::Panicked {
                interaction: "unknown",
            });
            (
                "panicked",
                respond::refusal(&broken_invariant(), &Form::default()),
            )
        });
        self.telemetry.note(&Happening::Answered {
            interaction,
            status: reply.status().as_u16(),
            took: stopwatch.elapsed(),
        });
        reply
    }

    async fn dispatch<B: RequestBody>(&self, request: Request<B>, peer: Peer) -> Named {
        let (head, body) = request.into_parts();
        if let Err(failure) = self.hosts.check(&head) {
            return ("refused", respond::refusal(&failure, &Form::default()));
        }
        let path = head.uri.path().to_owned();
        if let Some(rest) = below(&path, "/fhir") {
            return self.fhir(rest, head, body, peer).await;
        }
        if let Some(rest) = below(&path, "/admin") {
            let page = Box::pin(pages::answer(self, rest, head, body, peer));
            return ("admin", page.await);
        }
        match health::answer(self, &path, &head, peer) {
            Some(reply) => ("health", reply),
            None => (
                "unknown",
                respond::refusal(&nothing_here(), &Form::default()),
            ),
        }
    }

    async fn fhir<B: RequestBody>(&self, path: &str, head: Parts, body: B, peer: Peer) -> Named {
        let is_public = path == "/metadata";
        let query = route::pairs(head.uri.query().unwrap_or_default());
        let form = Form::negotiate(&head.headers, query.as_deref().unwrap_or_default());
        let caller = match self.admit(&head.headers, peer) {
            Err(_) if is_public => Ok(anybody()),
            other => other,
        };
        let admitted = caller.and_then(|caller| Ok((caller, query?)));
        let (caller, query) = match admitted {
            Ok(admitted) => admitted,
            Err(failure) => return ("refused", respond::refusal(&failure, &form)),
        };
        if path == "/websocket" {
            return ("websocket", sockets::reply(self, head, &form));
        }
        let interaction = match route::route(&head.method, path) {
            Ok(interaction) => interaction,
            Err(unrouted) => return ("unknown", respond::unrouted(&unrouted, &form)),
        };
        let name = interaction.name();
        let is_file = matches!(interaction, Interaction::JobFile { .. });
        if !is_file
            && !binary::may_be_bytes(&interaction)
            && let Err(failure) = form.check()
        {
            return (name, respond::refusal(&failure, &form));
        }
        let asked = Asked {
            interaction: interaction.clone(),
            query,
            head,
        };
        let answer = self.perform(asked, caller, body, peer).await;
        let answer = answer.and_then(|answer| binary::answer(answer, &interaction, &form));
        match answer {
            Ok(answer) => (name, respond::reply(answer, &interaction, form).await),
            Err(failure) => (name, respond::refusal(&failure, &form)),
        }
    }

    async fn perform<B: RequestBody>(
        &self,
        asked: Asked,
        caller: Caller,
        body: B,
        peer: Peer,
    ) -> Result<Answer, Failure> {
        let Asked {
            interaction,
            mut query,
            mut head,
        } = asked;
        caller.permit(&interaction)?;
        let content = incoming::check(&head, &interaction)?;
        let mut bytes = Bytes::new();
        // Most requests have no body; they do not pay for the room that reading one takes.
        if !body.is_end_stream() {
            bytes = Box::pin(body::read(&head.headers, body, self.body)).await?;
        }
        let places = (&mut head, &mut query);
        let bytes = Box::pin(incoming::take(content, bytes, places, &interaction)).await?;
        let exchange = Exchange {
            actor: caller.actor(&interaction),
            interaction,
            query,
            base_url: self.hosts.base_of(&head, peer),
            headers: head.headers,
            body: bytes,
        };
        interactions::run(&self.surface, exchange).await
    }

    /// The caller, unless its rate is used up. Refused ones are counted by address.
    pub fn admit(&self, headers: &HeaderMap, peer: Peer) -> Result<Caller, Failure> {
        match self.auth.caller(headers) {
            Ok(caller) => {
                self.limits.admit(&caller)?;
                Ok(caller)
            }
            Err(failure) => {
                self.limits.refused(peer.address.ip())?;
                Err(failure)
            }
        }
    }
}

struct Asked {
    interaction: Interaction,
    query: Vec<(String, String)>,
    head: Parts,
}

impl Hosts {
    /// Refuses names that are not ours (a web page that points its own name at this machine), and
    /// writes that another site's page sends.
    fn check(&self, head: &Parts) -> Result<(), Failure> {
        let Some(host) = host_of(head) else {
            let text = "the Host header is missing or malformed";
            return Err(Failure::new(
                Category::Incorrect,
                "E-HTTP-4",
                IssueCode::Value,
                text,
            ));
        };
        if !self.is_ours(name_of(host)) {
            let text = "this server is not asked under that name; see http.host_names";
            return Err(Failure::new(
                Category::Forbidden,
                "E-HTTP-5",
                IssueCode::Forbidden,
                text,
            ));
        }
        let origin = head
            .headers
            .get(header::ORIGIN)
            .map(|value| value.to_str().unwrap_or_default());
        let is_safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if is_safe || origin.is_none_or(|origin| self.is_own_origin(origin, host)) {
            return Ok(());
        }
        let text = "a page of another site may not write here";
        Err(Failure::new(
            Category::Forbidden,
            "E-HTTP-6",
            IssueCode::Forbidden,
            text,
        ))
    }

    /// Is the page that asks (`Origin`) one of this server's own?
    pub(super) fn is_own_page(&self, head: &Parts) -> bool {
        let origin = head.headers.get(header::ORIGIN);
        let origin = origin.and_then(|origin| origin.to_str().ok());
        let (Some(origin), Some(host)) = (origin, host_of(head)) else {
            return false;
        };
        self.is_own_origin(origin, host)
    }

    fn is_ours(&self, name: &str) -> bool {
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_local = name.eq_ignore_ascii_case("localhost") || is_address;
        let is_named = self
            .names
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(name));
        let is_any_allowed = !self.is_loopback && self.names.is_empty();
        is_local || is_named || is_any_allowed
    }

    fn is_own_origin(&self, origin: &str, host: &str) -> bool {
        let after_scheme = |url: &str| url.split_once("://").map(|(_, rest)| rest.to_owned());
        let Some(authority) = after_scheme(origin) else {
            return false;
        };
        let base = self.base_url.as_deref().and_then(after_scheme);
        let is_base = base.is_some_and(|base| base.split('/').next() == Some(&authority));
        is_base || authority.eq_ignore_ascii_case(host)
    }

    /// The FHIR base in links of the answer: configured, as a proxy tells, or as asked.
    fn base_of(&self, head: &Parts, peer: Peer) -> String {
        if let Some(base) = &self.base_url {
            return base.clone();
        }
        forwarded::base_url(&head.headers, host_of(head), peer.over_tls)
    }
}

/// `Host`, or the authority of HTTP/2.
fn host_of(head: &Parts) -> Option<&str> {
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let header = || head.headers.get(header::HOST)?.to_str().ok();
    authority.or_else(header).filter(|host| is_authority(host))
}

/// The name without its port; brackets stay around IPv6.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The rest of a path below a prefix; empty or starting with a slash.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Whoever reads the CapabilityStatement without a token.
fn anybody() -> Caller {
    Caller {
        name: "anybody".to_owned(),
        role: super::tokens::Role::Reader,
        is_limited: true,
    }
}

fn nothing_here() -> Failure {
    let text = "nothing is here; the FHIR base is /fhir";
    Failure::new(Category::NotFound, "E-HTTP-9", IssueCode::NotFound, text)
}

fn broken_invariant() -> Failure {
    let text = "an invariant broke; the request had no further effect, please report this";
    Failure::new(Category::Fault, "E-HTTP-10", IssueCode::Exception, text)
}

struct Panicked;

/// Polls so that a panic ends this future only.
async fn guarded<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Result<T, Panicked> {
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_shown_by_the_hook) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn loopback() -> Hosts {
        Hosts {
            is_loopback: true,
            ..Hosts::default()
        }
    }

    #[track_caller]
    fn check_host(hosts: &Hosts, method: &str, headers: &[(&str, &str)], expected: u16) {
        let got = hosts.check(&head(method, "/fhir/metadata", headers));
        let got = got.map_or_else(|failure| failure.category.status(), |()| 200);
        assert_eq!(got, expected, "{headers:?}");
    }

    #[test]
    fn only_own_names_and_own_pages_are_served() {
        let local = loopback();
        check_host(&local, "GET", &[("host", "127.0.0.1:8080")], 200);
        check_host(&local, "GET", &[("host", "LOCALHOST")], 200);
        check_host(&local, "GET", &[("host", "[::1]:8080")], 200);
        check_host(&local, "GET", &[("host", "evil.example:8080")], 403);
        check_host(&local, "GET", &[], 400);
        check_host(&local, "GET", &[("host", "a b")], 400);
        let foreign = [("host", "127.0.0.1:80"), ("origin", "http://evil.example")];
        check_host(&local, "POST", &foreign, 403);
        check_host(&local, "GET", &foreign, 200);
        let null = [("host", "127.0.0.1:80"), ("origin", "null")];
        check_host(&local, "POST", &null, 403);
        let own = [("host", "127.0.0.1:80"), ("origin", "http://127.0.0.1:80")];
        check_host(&local, "POST", &own, 200);
        let anywhere = Hosts::default();
        check_host(&anywhere, "GET", &[("host", "clinic.example")], 200);
        let named = Hosts {
            names: vec!["clinic.example".to_owned()],
            ..loopback()
        };
        check_host(&named, "GET", &[("host", "clinic.example:1")], 200);
    }

    #[track_caller]
    fn check_base(hosts: &Hosts, headers: &[(&str, &str)], expected: &str) {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let peer = Peer {
            address,
            over_tls: false,
        };
        assert_eq!(hosts.base_of(&head("GET", "/", headers), peer), expected);
    }

    #[test]
    fn the_base_is_as_the_client_sees_it() {
        let host = ("host", "127.0.0.1:8080");
        check_base(&loopback(), &[host], "http://127.0.0.1:8080/fhir");
        let proxied = [
            host,
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
        ];
        check_base(&loopback(), &proxied, "https://a.example/fhir");
        let odd = [host, ("x-forwarded-host", "a\"onload=")];
        check_base(&loopback(), &odd, "http://127.0.0.1:8080/fhir");
        let base_url = Some("https://b.example/fhir".to_owned());
        check_base(
            &Hosts {
                base_url,
                ..loopback()
            },
            &proxied,
            "https://b.example/fhir",
        );
    }

    #[tokio::test]
    async fn a_panic_ends_one_future_only() {
        let broken = guarded::<()>(pin!(async { panic!("on purpose") })).await;
        assert!(broken.is_err());
        assert!(guarded(pin!(async { 1 })).await.is_ok());
    }
}
