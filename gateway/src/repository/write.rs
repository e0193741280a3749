//! Writing: every interaction that changes something is a list of writes in one transaction.

use super::conditions::{At, Conditions, Resolution};
use super::plan::{Placement, Plan, Stamped, stale};
use super::stamp::Unstamped;
use super::{Repository, reserved, review};
use crate::failure::{Category, Failure};
use fhir_mapping::model::{IssueCode, Json};
use fhir_mapping::search::Query;
use std::collections::HashMap;
use std::sync::Arc;
use store::{
    CommitError, Committed, Head, Origin, ResourceKey, RowWrite, StoreError, StoredVersion,
    VersionId, View, WriteSet,
};

/// Who asks for a write, for origin and audit.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Name of the token, device connection, target or reviewer.
    pub name: String,
    pub origin: Origin,
}

/// One write. Resources have been validated by the caller.
#[derive(Clone, Debug)]
pub enum Write {
    /// A new resource; the id is given here (the server's or, in a transaction, chosen before).
    Create {
        id: String,
        resource: Json,
        if_none_exist: Option<Query>,
    },
    /// Create or replace by id.
    Update {
        id: String,
        resource: Json,
        if_match: Option<VersionId>,
    },
    Delete {
        key: ResourceKey,
        if_match: Option<VersionId>,
    },
}

/// What a write came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub kind: WrittenKind,
    pub key: ResourceKey,
    /// The head's version; 0 when a deletion found a key that was never written.
    pub version: VersionId,
    pub time_ms: i64,
    /// Exact JSON text as stored; empty after a deletion.
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenKind {
    Created,
    Updated,
    /// Content equal to the head (meta aside), or a deletion of what is not there: no version was made.
    Unchanged,
    /// If-None-Exist matched this one.
    Existed,
    Deleted,
}

/// Writes that stand or fall together, with the rows that must change in the same commit.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub actor: Actor,
    pub writes: Vec<Write>,
    pub rows: Vec<RowWrite>,
    /// Resolve `Type?query` references inside the same transaction.
    pub resolve_conditional_references: bool,
}

/// How often a transaction is prepared anew because others changed what its conditions match.
const ATTEMPTS_MAX: usize = 8;

/// Longer lists of writes are prepared on a thread that may block.
const PREPARED_INLINE_MAX: usize = 8;

/// Why a plan did not commit.
enum Refusal {
    Failed(At),
    /// The conditions match other resources than when the contents were prepared.
    Raced,
}

impl Repository {
    /// Commits. In one store transaction: matches If-None-Exist and conditional references, checks
    /// If-Match, numbers versions, stamps meta, indexes, logs, audits. A failure of a write is
    /// returned with its index in the list; a failure of the store, which no single write is to
    /// blame for, with the length of the list.
    pub async fn write(
        &self,
        mut transaction: Transaction,
    ) -> Result<(Vec<Written>, Committed), At> {
        transaction.writes.iter_mut().for_each(Write::prepare);
        check(&transaction)?;
        let conditions = Arc::new(Conditions::of(&transaction, self.zone())?);
        let transaction = Arc::new(transaction);
        let nobody = transaction.writes.len();
        for _ in 0..ATTEMPTS_MAX {
            let prepared = Prepared {
                repository: self.clone(),
                resolution: self.resolve(&conditions, nobody)?,
                transaction: Arc::clone(&transaction),
                conditions: Arc::clone(&conditions),
            };
            let (prepared, contents) = prepared.contents().await.map_err(|f| (nobody, f))?;
            match self.submit(move |view| prepared.run(view, &contents)).await {
                Ok((committed, written)) => return Ok((written, committed)),
                Err(CommitError::Refused(Refusal::Raced)) => {}
                Err(CommitError::Refused(Refusal::Failed(at))) => return Err(at),
                Err(CommitError::Store(error)) => return Err((nobody, error.into())),
            }
        }
        Err((nobody, too_contended()))
    }

    fn resolve(&self, conditions: &Conditions, nobody: usize) -> Result<Resolution, At> {
        if conditions.is_empty() {
            return Ok(Resolution::default());
        }
        let snapshot = self
            .inner
            .store
            .snapshot()
            .map_err(|e| (nobody, e.into()))?;
        conditions.resolve(&snapshot.view(), self.zone())
    }
}

/// Everything the plan needs on the writer thread.
struct Prepared {
    repository: Repository,
    transaction: Arc<Transaction>,
    conditions: Arc<Conditions>,
    resolution: Resolution,
}

impl Prepared {
    /// The text and search values of each write: the bulk of the work.
    async fn contents(self) -> Result<(Prepared, Vec<Option<Unstamped>>), Failure> {
        let is_short = self.transaction.writes.len() <= PREPARED_INLINE_MAX;
        let work = move || {
            let contents = self
                .resolution
                .contents(&self.transaction, self.repository.zone());
            (self, contents)
        };
        if is_short {
            return Ok(work());
        }
        let outcome = tokio::task::spawn_blocking(work).await;
        outcome.map_err(|_panicked| {
            let text = "preparing the write stopped unexpectedly; nothing was written";
            Failure::new(Category::Fault, "E-WRITE-11", IssueCode::Exception, text)
        })
    }

    fn run(
        &self,
        view: &View<'_>,
        contents: &[Option<Unstamped>],
    ) -> Result<(WriteSet, Vec<Written>), Refusal> {
        let now = self.resolve_again(view)?;
        let resolution = now.as_ref().unwrap_or(&self.resolution);
        let mut plan = Plan::new(&self.repository, view, &self.transaction.actor);
        let mut written = Vec::with_capacity(contents.len());
        for (index, (write, content)) in self.transaction.writes.iter().zip(contents).enumerate() {
            let outcome = match (write, content, resolution.existing.get(&index)) {
                (Write::Create { .. }, _, Some(existing)) => existed(view, existing),
                (Write::Create { .. }, Some(content), None) => create(&mut plan, write, content),
                (Write::Update { if_match, .. }, Some(content), _) => {
                    update(&mut plan, &write.key(), content, *if_match)
                }
                (Write::Delete { key, if_match }, ..) => delete(&mut plan, key, *if_match),
                (_, None, _) => Err(Failure::from(StoreError::Invalid("no content".to_owned()))),
            };
            written.push(outcome.map_err(|failure| Refusal::Failed((index, failure)))?);
        }
        self.transaction
            .rows
            .iter()
            .cloned()
            .for_each(|row| plan.row(row));
        Ok((plan.finish(), written))
    }

    /// The answers that count; `None` when there was nothing to ask.
    fn resolve_again(&self, view: &View<'_>) -> Result<Option<Resolution>, Refusal> {
        if self.conditions.is_empty() {
            return Ok(None);
        }
        let zone = self.repository.zone();
        let found = self
            .conditions
            .resolve(view, zone)
            .map_err(Refusal::Failed)?;
        if self.conditions.is_changed(&self.resolution, &found) {
            return Err(Refusal::Raced);
        }
        Ok(Some(found))
    }
}

fn existed(view: &View<'_>, key: &ResourceKey) -> Result<Written, Failure> {
    let head = view.head(key)?;
    let stored = head
        .map(|head| view.version(head.rid, head.version))
        .transpose()?
        .flatten();
    let stored = stored.ok_or_else(|| StoreError::Invalid("a match without a head".to_owned()))?;
    Ok(kept(WrittenKind::Existed, stored))
}

fn create(plan: &mut Plan<'_, '_>, write: &Write, content: &Unstamped) -> Result<Written, Failure> {
    let key = write.key();
    if plan.head(&key)?.is_some() {
        let text = format!("{} with this id exists already; use PUT", key.resource_type);
        return Err(Failure::new(
            Category::Conflict,
            "E-WRITE-6",
            IssueCode::Duplicate,
            text,
        ));
    }
    let stamped = plan.add(&key, Some(content), Placement::head("create"))?;
    Ok(made(WrittenKind::Created, key, stamped))
}

fn update(
    plan: &mut Plan<'_, '_>,
    key: &ResourceKey,
    content: &Unstamped,
    if_match: Option<VersionId>,
) -> Result<Written, Failure> {
    let Some(head) = matched_head(plan, key, if_match)? else {
        let stamped = plan.add(key, Some(content), Placement::head("update"))?;
        return Ok(made(WrittenKind::Created, key.clone(), stamped));
    };
    let marked = match head.review_open {
        true => review::marked(content, plan.zone()),
        false => None,
    };
    let content = marked.as_ref().unwrap_or(content);
    if let Some(stored) = plan.view.version(head.rid, head.version)? {
        reserved::check_change(&stored)?;
        if stored.body == content.body(head.version, stored.time_ms) {
            return Ok(kept(WrittenKind::Unchanged, stored));
        }
    }
    let stamped = plan.add(key, Some(content), Placement::head("update"))?;
    Ok(made(WrittenKind::Updated, key.clone(), stamped))
}

fn delete(
    plan: &mut Plan<'_, '_>,
    key: &ResourceKey,
    if_match: Option<VersionId>,
) -> Result<Written, Failure> {
    let Some(head) = matched_head(plan, key, if_match)? else {
        let gone = plan.head(key)?;
        let stamped = Stamped {
            version: gone.map_or(VersionId(0), |head| head.version),
            time_ms: gone.map_or(0, |head| head.time_ms),
            body: Vec::new(),
        };
        return Ok(made(WrittenKind::Unchanged, key.clone(), stamped));
    };
    if reserved::may_be(key)
        && let Some(stored) = plan.view.version(head.rid, head.version)?
    {
        reserved::check_change(&stored)?;
    }
    let stamped = plan.add(key, None, Placement::head("delete"))?;
    Ok(made(WrittenKind::Deleted, key.clone(), stamped))
}

/// The live head, if any; refuses when If-Match names another version.
fn matched_head(
    plan: &Plan<'_, '_>,
    key: &ResourceKey,
    if_match: Option<VersionId>,
) -> Result<Option<Head>, Failure> {
    let head = plan.head(key)?.filter(|head| !head.deleted);
    let found = head.map(|head| head.version);
    match if_match {
        Some(expected) if found != Some(expected) => Err(stale(expected, found)),
        _ => Ok(head),
    }
}

fn made(kind: WrittenKind, key: ResourceKey, stamped: Stamped) -> Written {
    Written {
        kind,
        key,
        version: stamped.version,
        time_ms: stamped.time_ms,
        body: stamped.body,
    }
}

fn kept(kind: WrittenKind, stored: StoredVersion) -> Written {
    Written {
        kind,
        key: stored.key,
        version: stored.version,
        time_ms: stored.time_ms,
        body: stored.body,
    }
}

impl Write {
    /// Which resource this writes.
    pub fn key(&self) -> ResourceKey {
        match self {
            Write::Create { id, resource, .. } | Write::Update { id, resource, .. } => {
                ResourceKey {
                    resource_type: resource.resource_type().unwrap_or_default().to_owned(),
                    id: id.clone(),
                }
            }
            Write::Delete { key, .. } => key.clone(),
        }
    }

    pub fn resource(&self) -> Option<&Json> {
        match self {
            Write::Create { resource, .. } | Write::Update { resource, .. } => Some(resource),
            Write::Delete { .. } => None,
        }
    }

    /// Sets the id; takes away the mark of an open review, which is this server's to give.
    fn prepare(&mut self) {
        if let Write::Create { id, resource, .. } | Write::Update { id, resource, .. } = self {
            if review::is_tagged(resource) {
                *resource = review::untagged(resource);
            }
            if let Some(object) = resource.as_object_mut() {
                object.set_at(1, "id", id.as_str().into());
            }
        }
    }
}

/// What can be refused without looking at the store.
fn check(transaction: &Transaction) -> Result<(), At> {
    let mut seen = HashMap::new();
    for (index, write) in transaction.writes.iter().enumerate() {
        if let Some(first) = seen.insert(write.key(), index) {
            return Err((index, same_key(&write.key(), first, index)));
        }
        if let Some(resource) = write.resource() {
            reserved::check_content(resource).map_err(|failure| (index, failure))?;
        }
    }
    Ok(())
}

fn same_key(key: &ResourceKey, first: usize, second: usize) -> Failure {
    let text = format!(
        "writes {first} and {second} both change one {}; a transaction may change a resource once",
        key.resource_type
    );
    Failure::new(Category::Incorrect, "E-WRITE-7", IssueCode::Duplicate, text)
}

fn too_contended() -> Failure {
    let text = "others kept changing what this transaction's conditions match; try again shortly";
    Failure::new(Category::Busy, "E-WRITE-8", IssueCode::Throttled, text)
}
