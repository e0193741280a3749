//! What the loops ask of a remote system, whatever it speaks. A target plans a request (pure),
//! sends it, reads one resource back, and pulls pages of changes; verdicts are drawn elsewhere.

use fhir_mapping::model::Json;
use std::future::Future;
use std::pin::Pin;
use store::{ResourceKey, VersionId};

/// A future that can be kept behind `dyn Target`.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One head about to leave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sending {
    pub(super) key: ResourceKey,
    pub(super) version: VersionId,
    /// Exact JSON text as stored; `None` deletes.
    pub(super) body: Option<Vec<u8>>,
    pub(super) expects: Expects,
}

/// What must be true at the target for the write to take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    /// It never had the resource.
    Absent,
    /// It still holds this version.
    Version(String),
    /// Nothing is known of versions there.
    Anything,
}

/// A request, ready to leave.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) method: http::Method,
    pub(super) url: String,
    pub(super) headers: Vec<(http::HeaderName, String)>,
    pub(super) body: Vec<u8>,
    /// What the reply must speak of to count.
    pub(super) key: ResourceKey,
}

/// What came back for one sending, after the reply's form was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The target holds it, as this version (empty when it names none).
    Stored { remote_version: String },
    /// The target does not hold it (any more): the answer a deletion wants.
    Gone,
    /// 409 or 412: the target holds something else than expected.
    Stale { refusal: String },
    /// Refused for its content: another 4xx with a reason.
    Refused { status: u16, refusal: String },
    /// A fault over there: 5xx.
    Failing { status: u16 },
    /// 408, 429 or 503: come back later.
    Busy { retry_after_ms: Option<u64> },
    /// 401 or 403.
    Unauthorised { status: u16 },
    /// No answer, or one that no FHIR server gives (a captive portal's page).
    Unreachable { why: String },
}

/// A resource as the target holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pulled {
    pub(super) key: ResourceKey,
    pub(super) remote_version: String,
    /// `meta.lastUpdated` over there, milliseconds since 1970; 0 when absent.
    pub(super) updated_ms: i64,
    pub(super) resource: Json,
}

/// What reading one resource back gave.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    Holds(Box<Pulled>),
    /// 410, or 404: deleted, or never known.
    Deleted,
    Unknown,
    /// Any other answer.
    Other(Answer),
}

/// Which page to pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PageRequest {
    /// The first page of a type, changed at or after this time (ever, when `None`).
    Since {
        resource_type: String,
        since_ms: Option<i64>,
    },
    /// The page that the former one named.
    Next { url: String, resource_type: String },
}

/// One page of changes, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page {
    pub(super) entries: Vec<Pulled>,
    /// Entries that could not be read (no id, another type).
    pub(super) unreadable: usize,
    pub(super) next: Option<String>,
    /// The target's own time when it answered.
    pub(super) server_ms: Option<i64>,
}

/// A remote system.
pub(super) trait Target: Send + Sync {
    /// The request that would bring this about.
    fn plan(&self, sending: &Sending) -> Plan;
    fn send(&self, plan: Plan) -> Boxed<'_, Answer>;
    fn read<'a>(&'a self, key: &'a ResourceKey) -> Boxed<'a, Reading>;
    fn pull(&self, request: PageRequest) -> Boxed<'_, Result<Page, Answer>>;
    /// Which life of it the newest answer told of; `None` while none did.
    fn life(&self) -> Option<String>;
    /// From now on writes are meant for this life alone, and refused by another.
    fn mean(&self, life: Option<String>);
    /// Is a FHIR server there again? Cheap; asked while the link is down.
    fn probe(&self) -> Boxed<'_, bool>;
}
