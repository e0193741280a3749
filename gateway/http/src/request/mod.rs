//! One request from its head to its answer: host, caller, rate, route, body, interaction.

mod hosts;
mod lives;
mod plain;
mod room;
mod upload;

pub use hosts::Hosts;
pub(crate) use plain::Plain;
pub use plain::Ready;
pub use upload::Uploads;

use crate::auth::{Auth, Caller};
use crate::body::{self, BodyLimits};
use crate::exchange::{Answer, Exchange};
use crate::interactions::{self, Surface, jobs};
use crate::limit::Limits;
use crate::media::{Form, binary, incoming};
use crate::respond::{self, Reply};
use crate::route::{self, Interaction};
use crate::sockets::{self, Sockets};
use crate::{health, pages};
use bytes::Bytes;
use fhir_mapping::model::IssueCode;
use gateway_ground::clock::Stopwatch;
use gateway_ground::failure::{Category, Failure};
use gateway_ground::safekeeping::Safekeeping;
use gateway_ground::space::SpaceWatch;
use gateway_ground::telemetry::{Gauges, Happening, Telemetry};
use http::request::Parts;
use http::{HeaderMap, Request};
use hyper::body::Body;
use std::net::SocketAddr;
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
    /// Answers to plain reads.
    pub ready: Ready,
    /// Samples the site's state for `/metrics`.
    pub sample: Arc<dyn Fn() -> Gauges + Send + Sync>,
    /// How it stands with the backups, and how one is asked for.
    pub backups: Arc<dyn Safekeeping>,
    /// How much room the disk has.
    pub space: Arc<SpaceWatch>,
    /// Room for imports that bring their lines along.
    pub uploads: Uploads,
    /// Whether writes can be taken, or why not; `/readyz` says so.
    pub standing: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
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
        self.settle(answered, stopwatch)
    }

    /// Notes what a request came to.
    fn settle(&self, answered: Result<Named, Panicked>, stopwatch: Stopwatch) -> Reply {
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
        if let Err(failure) = self.hosts.check(&head.method, &head.uri, &head.headers) {
            return ("refused", respond::refusal(&failure, &Form::default()));
        }
        let path = head.uri.path().to_owned();
        if let Some(rest) = below(&path, "/fhir") {
            let life = lives::header(self.surface.repository.store());
            if let Some(refused) = lives::check(&head, life.as_ref()) {
                return refused;
            }
            let (name, mut reply) = self.fhir(rest, head, body, peer).await;
            reply
                .headers_mut()
                .extend(life.map(|life| (lives::INCARNATION, life)));
            return (name, reply);
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
        if let Interaction::JobFile { id, number } = &interaction {
            return (name, self.file(&caller, (id, *number), &form).await);
        }
        let asked = Asked {
            interaction: interaction.clone(),
            query,
            head,
        };
        let answer = match upload::is_one(&interaction, &asked.head.headers) {
            true => Box::pin(self.upload(asked, caller, (body, peer))).await,
            false => self.perform(asked, caller, body, peer).await,
        };
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
        room::check(&self.space, &interaction)?;
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

    /// A file of a job, made while it is sent. Its owner alone is given it, whatever its role.
    async fn file(&self, caller: &Caller, file: (&str, u32), form: &Form) -> Reply {
        let pieces = jobs::file_pieces(&self.surface, &caller.name, file).await;
        match pieces {
            Ok(pieces) => respond::streamed(jobs::NDJSON, Box::new(pieces), form),
            Err(failure) => respond::refusal(&failure, form),
        }
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

/// The rest of a path below a prefix; empty or starting with a slash.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Whoever reads the CapabilityStatement without a token.
fn anybody() -> Caller {
    Caller {
        name: "anybody".to_owned(),
        role: crate::tokens::Role::Reader,
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

    #[tokio::test]
    async fn a_panic_ends_one_future_only() {
        let broken = guarded::<()>(pin!(async { panic!("on purpose") })).await;
        assert!(broken.is_err());
        assert!(guarded(pin!(async { 1 })).await.is_ok());
    }
}
