//! Plain reads: GET of one resource as JSON, with no wish but a compression. They are most of what
//! a gateway is asked, so their answers are kept ready and given without a task, a snapshot or a
//! body of their own; caller, rate and host are checked as ever.

use super::{Front, Named, Panicked, Peer, RequestBody};
use crate::exchange::Answer;
use crate::flow;
use crate::interactions;
use crate::media::{Coding, Form};
use crate::respond::{self, Reply};
use crate::route::Interaction;
use bytes::Bytes;
use fhir_mapping::model::is_valid_id;
use fhir_mapping::validate::is_resource_type;
use gateway_ground::clock::Stopwatch;
use gateway_ground::failure::Failure;
use gateway_repository::Repository;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use store::{Moment, ResourceKey, Rid};

/// What the kept answers may take together.
const BYTES_MAX: u64 = 8 << 20;
/// An answer that would crowd out many others is not kept.
const BODY_BYTES_MAX: usize = 64 << 10;
/// About how many are kept: what rooms for them are made at the start.
const ANSWERS_EXPECTED: usize = 4096;
/// What an answer takes besides its body: key, headers, its place in the cache.
const OVERHEAD_BYTES: usize = 1024;

/// Answers to plain reads, bounded in bytes. One holds until something is written to its resource.
pub struct Ready {
    kept: Cache<Wanted, Arc<Kept>, Weight>,
}

/// A resource, and how it is packed.
#[derive(Clone, PartialEq, Eq)]
struct Wanted {
    key: ResourceKey,
    coding: Option<Coding>,
}

struct Kept {
    rid: Rid,
    since: Moment,
    headers: HeaderMap,
    body: Bytes,
}

/// What became of a plain read.
pub(crate) enum Plain {
    Answered(Reply),
    /// Large: still to be packed, on a thread that may block.
    Unpacked(Box<Unpacked>),
}

pub(crate) struct Unpacked {
    interaction: Interaction,
    answer: Answer,
    form: Form,
    stopwatch: Stopwatch,
}

impl Front {
    /// Answers a plain read; `None` for every other request, which then has had no effect.
    pub(crate) fn answer_plain<B: RequestBody>(
        &self,
        request: &Request<B>,
        peer: Peer,
    ) -> Option<Plain> {
        let asked = Asked::of(request)?;
        let stopwatch = Stopwatch::start();
        let answer = AssertUnwindSafe(|| self.plain(request, asked, peer));
        match catch_unwind(answer) {
            Ok(Answered::Whole(named)) => Some(Plain::Answered(self.settle(Ok(named), stopwatch))),
            Ok(Answered::Unpacked(interaction, answer, form)) => {
                Some(Plain::Unpacked(Box::new(Unpacked {
                    interaction,
                    answer,
                    form,
                    stopwatch,
                })))
            }
            Err(_shown_by_the_hook) => Some(Plain::Answered(self.settle(Err(Panicked), stopwatch))),
        }
    }

    /// Packs and gives what was put off.
    pub(crate) async fn pack(&self, unpacked: Unpacked) -> Reply {
        let Unpacked {
            interaction,
            answer,
            form,
            stopwatch,
        } = unpacked;
        let reply = respond::reply(answer, &interaction, form).await;
        self.settle(Ok((interaction.name(), reply)), stopwatch)
    }

    fn plain<B>(&self, request: &Request<B>, asked: Asked<'_>, peer: Peer) -> Answered {
        let form = Form {
            coding: asked.coding,
            ..Form::default()
        };
        let headers = request.headers();
        let host = self.hosts.check(request.method(), request.uri(), headers);
        let caller = host.and_then(|()| self.admit(headers, peer));
        let caller = match caller {
            Ok(caller) => caller,
            Err(failure) => return refused("refused", &failure, &form),
        };
        let interaction = Interaction::Read {
            resource_type: asked.resource_type.to_owned(),
            id: asked.id.to_owned(),
        };
        let permitted = caller.permit(&interaction);
        let name = interaction.name();
        let given = permitted.and_then(|()| self.ready.give(&self.surface.repository, asked));
        match given {
            Ok(Given::Ready(reply)) => Answered::Whole((name, reply)),
            Ok(Given::Large(answer)) => Answered::Unpacked(interaction, answer, form),
            Err(failure) => refused(name, &failure, &form),
        }
    }
}

enum Answered {
    Whole(Named),
    Unpacked(Interaction, Answer, Form),
}

enum Given {
    Ready(Reply),
    Large(Answer),
}

fn refused(name: &'static str, failure: &Failure, form: &Form) -> Answered {
    Answered::Whole((name, respond::refusal(failure, form)))
}

impl Default for Ready {
    fn default() -> Ready {
        Ready {
            kept: Cache::with_weighter(ANSWERS_EXPECTED, BYTES_MAX, Weight),
        }
    }
}

impl Ready {
    fn give(&self, repository: &Repository, asked: Asked<'_>) -> Result<Given, Failure> {
        if let Some(kept) = self.kept.get(&asked)
            && repository.is_unchanged(kept.rid, kept.since)
        {
            return Ok(Given::Ready(kept.reply()));
        }
        let key = ResourceKey {
            resource_type: asked.resource_type.to_owned(),
            id: asked.id.to_owned(),
        };
        let (stored, since) = repository.read_at(&key)?;
        let (rid, coding) = (stored.rid, asked.coding);
        let answer = interactions::whole(stored);
        if answer.body.len() > BODY_BYTES_MAX {
            return Ok(Given::Large(answer));
        }
        let form = Form {
            coding,
            ..Form::default()
        };
        let (head, body) = respond::finish(answer, &form).into_parts();
        let kept = Arc::new(Kept {
            rid,
            since,
            headers: head.headers,
            body,
        });
        let reply = kept.reply();
        self.kept.insert(Wanted { key, coding }, kept);
        Ok(Given::Ready(reply))
    }
}

impl Kept {
    fn reply(&self) -> Reply {
        let mut reply = Response::new(flow::whole(self.body.clone()));
        *reply.headers_mut() = self.headers.clone();
        reply
    }
}

/// What a plain read asks for.
#[derive(Clone, Copy)]
struct Asked<'r> {
    resource_type: &'r str,
    id: &'r str,
    coding: Option<Coding>,
}

impl<'r> Asked<'r> {
    /// `None` when anything but a plain read is asked.
    fn of<B: RequestBody>(request: &'r Request<B>) -> Option<Asked<'r>> {
        let uri = request.uri();
        if request.method() != Method::GET
            || uri.query().is_some()
            || !request.body().is_end_stream()
        {
            return None;
        }
        let (resource_type, id) = uri.path().strip_prefix("/fhir/")?.split_once('/')?;
        // Whatever is wrong with a path is said elsewhere; so is a Binary, which may be bytes.
        if !is_valid_id(id) || !is_resource_type(resource_type) || resource_type == "Binary" {
            return None;
        }
        let headers = request.headers();
        let is_wish = |name: &header::HeaderName| WISHES.contains(name);
        if headers.keys().any(is_wish) || headers.get_all(header::ACCEPT).iter().any(is_special) {
            return None;
        }
        Some(Asked {
            resource_type,
            id,
            coding: Coding::accepted(headers),
        })
    }
}

/// Headers by which a read is more than plain, or has a body.
const WISHES: [header::HeaderName; 4] = [
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Is this more than a wish for what everybody gets?
fn is_special(accept: &HeaderValue) -> bool {
    !matches!(accept.as_bytes(), b"*/*" | b"application/fhir+json")
}

impl Hash for Wanted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (resource_type, id) = (&self.key.resource_type, &self.key.id);
        (resource_type.as_str(), id.as_str(), self.coding).hash(state);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.resource_type, self.id, self.coding).hash(state);
    }
}

impl Equivalent<Wanted> for Asked<'_> {
    fn equivalent(&self, other: &Wanted) -> bool {
        self.id == other.key.id
            && self.resource_type == other.key.resource_type
            && self.coding == other.coding
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Wanted, Arc<Kept>> for Weight {
    fn weight(&self, _: &Wanted, kept: &Arc<Kept>) -> u64 {
        let bytes = kept.body.len() + OVERHEAD_BYTES;
        u64::try_from(bytes).unwrap_or(BYTES_MAX)
    }
}

#[cfg(test)]
mod tests;
