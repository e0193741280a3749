//! Inside one writing transaction: numbers versions, stamps them, finds what to post and to take
//! away, and collects the write set with its audit entries. Runs on the store's writer thread.

use super::indexing::Posted;
use super::stamp::Unstamped;
use super::write::Actor;
use super::{Inner, Repository, indexing, urgency};
use fhir_mapping::model::{IssueCode, Json, format};
use fhir_mapping::search::Zone;
use gateway_ground::clock::format_instant;
use gateway_ground::failure::{Category, Failure};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use store::{
    CommitError, Committed, Head, Making, NewVersion, Origin, OriginKind, Purge, ResourceKey,
    RowWrite, StoreError, VersionId, View, WriteSet,
};

/// A write set in the making. Heads given by [`Plan::head`] are those before this transaction.
pub(super) struct Plan<'p, 't> {
    pub(super) view: &'p View<'t>,
    inner: &'p Inner,
    actor: &'p Actor,
    /// Milliseconds; one time for the whole transaction, never before that of an earlier one.
    now_ms: i64,
    /// Highest number given to a key in this transaction, and the terms that its head then posts.
    given: HashMap<ResourceKey, Given>,
    set: WriteSet,
}

struct Given {
    newest: VersionId,
    posted: Posted,
    /// There is a head, and it is no deletion.
    is_live: bool,
}

/// How a new version stands beside the ones before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    /// False keeps it aside: the head, its index entries and search values stay.
    pub(super) becomes_head: bool,
    /// Sets the review flag of the head; `None` leaves it.
    pub(super) review_open: Option<bool>,
    /// What a history calls it; `None` leaves it to whether there is something in its place.
    pub(super) making: Option<Making>,
    /// Who authored the content; `None` is the actor.
    pub(super) origin: Option<Origin>,
    /// Hybrid time of the content; `None` takes a new one.
    pub(super) hlc: Option<u64>,
    /// The audit's word for it: `create`, `update`, `delete`, `apply`, `decide`.
    pub(super) action: &'static str,
}

/// A version as it will be stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stamped {
    pub(super) version: VersionId,
    pub(super) time_ms: i64,
    /// Empty for a deletion.
    pub(super) body: Vec<u8>,
}

impl Placement {
    /// The new head, by the actor, now.
    pub(super) fn head(action: &'static str) -> Placement {
        Placement {
            becomes_head: true,
            review_open: None,
            making: None,
            origin: None,
            hlc: None,
            action,
        }
    }
}

impl<'p, 't> Plan<'p, 't> {
    pub(super) fn new(
        repository: &'p Repository,
        view: &'p View<'t>,
        actor: &'p Actor,
    ) -> Plan<'p, 't> {
        let inner = &*repository.inner;
        let wall = inner.clock.now_ms();
        let before = inner.last_stamp_ms.fetch_max(wall, Ordering::SeqCst);
        Plan {
            view,
            inner,
            actor,
            now_ms: wall.max(before),
            given: HashMap::new(),
            set: WriteSet::default(),
        }
    }

    pub(super) fn zone(&self) -> &Zone {
        &self.inner.zone
    }

    /// The time of this transaction, in milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The head before this transaction.
    pub(super) fn head(&self, key: &ResourceKey) -> Result<Option<Head>, StoreError> {
        self.view.head(key)
    }

    /// Adds a version; `None` is a deletion. One key may get several versions, in order.
    pub(super) fn add(
        &mut self,
        key: &ResourceKey,
        content: Option<&Unstamped>,
        placement: Placement,
    ) -> Result<Stamped, StoreError> {
        let head = self.view.head(key)?;
        let mut given = match self.given.remove(key) {
            Some(given) => given,
            None => Given {
                newest: head.map_or(VersionId(0), |head| head.newest),
                posted: indexing::posted(self.view, head.as_ref(), &self.inner.zone)?,
                is_live: head.is_some_and(|head| !head.deleted),
            },
        };
        given.newest = VersionId(given.newest.0 + 1);
        let stamped = Stamped {
            version: given.newest,
            time_ms: self.now_ms.max(head.map_or(i64::MIN, |head| head.time_ms)),
            body: Vec::new(),
        };
        let stamped = self.push(key, content, placement, (stamped, &mut given));
        self.given.insert(key.clone(), given);
        Ok(stamped)
    }

    /// Versions that are taken away in the same commit.
    pub(super) fn purge(&mut self, purge: Purge) {
        self.set.purges.push(purge);
    }

    /// A row that changes in the same commit.
    pub(super) fn row(&mut self, row: RowWrite) {
        self.set.rows.push(row);
    }

    pub(super) fn finish(self) -> WriteSet {
        self.set
    }

    fn push(
        &mut self,
        key: &ResourceKey,
        content: Option<&Unstamped>,
        placement: Placement,
        (mut stamped, given): (Stamped, &mut Given),
    ) -> Stamped {
        let making = placement.making.unwrap_or(match given.is_live {
            true => Making::Replaced,
            false => Making::Put,
        });
        let (mut terms, mut values) = (indexing::TermDiff::default(), Vec::new());
        if let Some(content) = content {
            stamped.body = content.body(stamped.version, stamped.time_ms);
        }
        if placement.becomes_head {
            if indexing::own::is_ruling(&key.resource_type) {
                self.inner.note_ruling();
            }
            let new = content.map(|content| content.values_at(stamped.time_ms));
            let new_terms = new.as_ref().map(|new| new.terms()).unwrap_or_default();
            values = new.map(|new| new.encode()).unwrap_or_default();
            let next = Posted::certain(new_terms.clone());
            terms = std::mem::replace(&mut given.posted, next).diff(new_terms);
            given.is_live = content.is_some();
        }
        self.set
            .audit
            .push(self.audit_entry(key, &stamped, placement.action));
        self.set.versions.push(NewVersion {
            key: key.clone(),
            version: stamped.version,
            body: stamped.body.clone(),
            deleted: content.is_none(),
            becomes_head: placement.becomes_head,
            making,
            review_open: placement.review_open,
            terms_added: terms.added,
            terms_removed: terms.removed,
            values,
            origin: placement.origin.unwrap_or(self.actor.origin),
            urgency: content
                .map_or_else(|| urgency::of_type(&key.resource_type), Unstamped::urgency),
            time_ms: stamped.time_ms,
            hlc: placement.hlc.unwrap_or_else(|| self.inner.clock.next_hlc()),
        });
        stamped
    }

    /// Compact JSON: when, who, by which kind of party, what, key and version.
    fn audit_entry(&self, key: &ResourceKey, stamped: &Stamped, action: &str) -> Vec<u8> {
        let entry = Json::object([
            ("at", format_instant(stamped.time_ms).into()),
            ("who", self.actor.name.as_str().into()),
            ("by", kind_word(self.actor.origin.kind).into()),
            ("what", action.into()),
            (
                "key",
                std::format!("{}/{}", key.resource_type, key.id).into(),
            ),
            ("version", stamped.version.0.into()),
        ]);
        format(&entry).into_bytes()
    }
}

impl Repository {
    /// Runs `plan` in the store's writing transaction and waits until its outcome is durable.
    pub(super) async fn submit<T, E>(
        &self,
        plan: impl FnOnce(&View<'_>) -> Result<(WriteSet, T), E> + Send + 'static,
    ) -> Result<(Committed, T), CommitError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done = move |outcome| {
            // The asker may have hung up; the commit stands all the same.
            drop(sender.send(outcome));
        };
        self.inner
            .store
            .submit(plan, done)
            .map_err(CommitError::Store)?;
        match receiver.await {
            Ok(outcome) => outcome,
            Err(_writer_gone) => Err(CommitError::Store(StoreError::Closed)),
        }
    }
}

/// The failure of a commit whose plan refuses with a `Failure`.
pub(super) fn commit_failure(error: CommitError<Failure>) -> Failure {
    match error {
        CommitError::Refused(failure) => failure,
        CommitError::Store(error) => error.into(),
    }
}

/// The answer to an If-Match that names another version than the head.
pub(super) fn stale(expected: VersionId, found: Option<VersionId>) -> Failure {
    let found = found.map_or_else(
        || "there is no such resource now".to_owned(),
        |found| std::format!("the newest version is {}", found.0),
    );
    let text = std::format!(
        "If-Match names version {}, but {found}; read it again, then repeat the change",
        expected.0
    );
    Failure::new(
        Category::PreconditionFailed,
        "E-WRITE-1",
        IssueCode::Conflict,
        text,
    )
}

fn kind_word(kind: OriginKind) -> &'static str {
    match kind {
        OriginKind::Client => "client",
        OriginKind::Device => "device",
        OriginKind::Target => "target",
        OriginKind::Reviewer => "reviewer",
    }
}
