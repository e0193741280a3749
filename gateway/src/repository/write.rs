//! Writing: every interaction that changes something is a list of writes in one transaction.

use super::conditions::{At, Conditions};
use super::plan::{Placement, Plan, Stamped, stale};
use super::resolution::Resolution;
use super::stamp::Unstamped;
use super::{Repository, reserved, review};
use crate::failure::{Category, Failure};
use fhir_mapping::model::{Issue, IssueCode, Json};
use fhir_mapping::patch::Patch;
use fhir_mapping::search::Query;
use std::collections::HashMap;
use std::fmt;
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
    /// Replace the one resource that a search finds, or create when it finds none.
    UpdateWhere {
        /// The content's own id, or one made for the case that nothing is found.
        id: String,
        is_id_given: bool,
        resource: Json,
        query: Query,
        if_match: Option<VersionId>,
    },
    Delete {
        key: ResourceKey,
        if_match: Option<VersionId>,
    },
    /// Delete all that a search finds, or nothing when that is more than `most`.
    DeleteWhere {
        resource_type: String,
        query: Query,
        most: usize,
        if_match: Option<VersionId>,
    },
    /// Change parts of what is stored. One that names an older version is refused, but what it
    /// would have made waits in a review when the policy has a question about it.
    Patch {
        which: Which,
        patch: Patch,
        if_match: Option<VersionId>,
        check: Check,
    },
}

/// The resource that a patch is for.
#[derive(Clone, Debug)]
pub enum Which {
    Key(ResourceKey),
    /// The one that a search finds.
    Where {
        resource_type: String,
        query: Query,
    },
}

/// Judges content that only the writing transaction knows.
#[derive(Clone)]
pub struct Check(pub Arc<dyn Fn(&Json) -> Result<(), Failure> + Send + Sync>);

impl Check {
    pub(super) fn run(&self, resource: &Json) -> Result<(), Failure> {
        (self.0)(resource)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
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
    /// A conditional create matched this one.
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

/// A short one is prepared on the writer thread itself from this attempt on: it cannot lose again.
const ATTEMPTS_ASIDE_MAX: usize = 2;

/// Longer lists of writes are prepared on a thread that may block.
const PREPARED_INLINE_MAX: usize = 8;

/// Why a plan did not commit.
enum Refusal {
    Failed(At),
    /// The conditions match other resources than when the contents were prepared.
    Raced,
}

impl Repository {
    /// Commits. In one store transaction: matches the searches of conditional writes and
    /// references, checks If-Match, applies patches, numbers versions, stamps meta, indexes, logs,
    /// audits. A failure of a write is returned with its index in the list (one about two writes
    /// names both as `writes[n]`); a failure of the store, which no single write is to blame for,
    /// with the length of the list.
    pub async fn write(
        &self,
        mut transaction: Transaction,
    ) -> Result<(Vec<Written>, Committed), At> {
        transaction.writes.iter_mut().for_each(Write::prepare);
        check(&transaction)?;
        let transaction = Arc::new(transaction);
        match self.commit(&transaction).await {
            Ok(done) => Ok(done),
            Err((index, failure)) => {
                let write = transaction.writes.get(index);
                let failure = self.keep_stale(&transaction.actor, write, failure).await;
                Err((index, failure))
            }
        }
    }

    async fn commit(
        &self,
        transaction: &Arc<Transaction>,
    ) -> Result<(Vec<Written>, Committed), At> {
        let conditions = Arc::new(Conditions::of(transaction, self.zone())?);
        let nobody = transaction.writes.len();
        for attempt in 0..ATTEMPTS_MAX {
            let prepared = Prepared {
                repository: self.clone(),
                resolution: self.resolve(&conditions, transaction)?,
                transaction: Arc::clone(transaction),
                conditions: Arc::clone(&conditions),
                is_last: attempt >= ATTEMPTS_ASIDE_MAX && nobody <= PREPARED_INLINE_MAX,
            };
            let (prepared, contents) = prepared.contents().await?;
            match self.submit(move |view| prepared.run(view, &contents)).await {
                Ok((committed, written)) => return Ok((written, committed)),
                Err(CommitError::Refused(Refusal::Raced)) => {}
                Err(CommitError::Refused(Refusal::Failed(at))) => return Err(at),
                Err(CommitError::Store(error)) => return Err((nobody, error.into())),
            }
        }
        Err((nobody, too_contended()))
    }

    fn resolve(
        &self,
        conditions: &Conditions,
        transaction: &Transaction,
    ) -> Result<Resolution, At> {
        if conditions.is_empty() {
            return Ok(Resolution::default());
        }
        let nobody = transaction.writes.len();
        let snapshot = self.inner.store.snapshot();
        let snapshot = snapshot.map_err(|e| (nobody, e.into()))?;
        conditions.resolve(&snapshot.view(), transaction, self.zone())
    }
}

/// Everything the plan needs on the writer thread.
struct Prepared {
    repository: Repository,
    transaction: Arc<Transaction>,
    conditions: Arc<Conditions>,
    resolution: Resolution,
    /// Prepare on the writer thread rather than be told that others were faster.
    is_last: bool,
}

/// What each write stores; `None` for a deletion.
type Contents = Vec<Option<Unstamped>>;

impl Prepared {
    /// The text and search values of each write: the bulk of the work.
    async fn contents(self) -> Result<(Prepared, Contents), At> {
        let nobody = self.transaction.writes.len();
        let work = move || {
            let zone = self.repository.zone();
            let contents = self.resolution.contents(&self.transaction, zone)?;
            Ok((self, contents))
        };
        if nobody <= PREPARED_INLINE_MAX {
            return work();
        }
        let outcome = tokio::task::spawn_blocking(work).await;
        outcome.unwrap_or_else(|_panicked| {
            let text = "preparing the write stopped unexpectedly; nothing was written";
            let code = IssueCode::Exception;
            Err((
                nobody,
                Failure::new(Category::Fault, "E-WRITE-11", code, text),
            ))
        })
    }

    fn run(
        &self,
        view: &View<'_>,
        contents: &Contents,
    ) -> Result<(WriteSet, Vec<Written>), Refusal> {
        let (now, remade) = self.resolve_again(view)?;
        let resolution = now.as_ref().unwrap_or(&self.resolution);
        let contents = remade.as_ref().unwrap_or(contents);
        let mut plan = Plan::new(&self.repository, view, &self.transaction.actor);
        let mut written = Vec::with_capacity(contents.len());
        for (index, (write, content)) in self.transaction.writes.iter().zip(contents).enumerate() {
            let outcome = place(&mut plan, write, (content.as_ref(), resolution, index));
            written.push(outcome.map_err(|failure| Refusal::Failed((index, failure)))?);
        }
        let rows = self.transaction.rows.iter().cloned();
        rows.for_each(|row| plan.row(row));
        Ok((plan.finish(), written))
    }

    /// The answers that count, and contents for them where those prepared no longer fit; `None` when
    /// there was nothing to ask.
    fn resolve_again(
        &self,
        view: &View<'_>,
    ) -> Result<(Option<Resolution>, Option<Contents>), Refusal> {
        if self.conditions.is_empty() {
            return Ok((None, None));
        }
        let (zone, transaction) = (self.repository.zone(), &self.transaction);
        let found = self.conditions.resolve(view, transaction, zone);
        let found = found.map_err(Refusal::Failed)?;
        if !self.conditions.is_changed(&self.resolution, &found) {
            return Ok((Some(found), None));
        }
        if !self.is_last {
            return Err(Refusal::Raced);
        }
        let contents = found.contents(transaction, zone);
        let contents = contents.map_err(Refusal::Failed)?;
        Ok((Some(found), Some(contents)))
    }
}

/// One write, as the answers have it.
fn place(
    plan: &mut Plan<'_, '_>,
    write: &Write,
    (content, resolution, index): (Option<&Unstamped>, &Resolution, usize),
) -> Result<Written, Failure> {
    let found = resolution
        .existing
        .get(&index)
        .map_or(&[][..], Vec::as_slice);
    match (write, content, found) {
        (Write::Create { .. }, _, [existing, ..]) => existed(plan.view, existing),
        (Write::Create { id, resource, .. }, Some(content), []) => {
            create(plan, key_of(resource, id), content)
        }
        (
            Write::Update {
                id,
                resource,
                if_match,
            },
            Some(content),
            _,
        ) => update(plan, &key_of(resource, id), content, *if_match),
        (Write::UpdateWhere { if_match, .. }, Some(content), [existing, ..]) => {
            update(plan, existing, content, *if_match)
        }
        (
            Write::UpdateWhere {
                id,
                resource,
                if_match,
                ..
            },
            Some(content),
            [],
        ) => {
            let key = key_of(resource, id);
            if plan.head(&key)?.is_some_and(|head| !head.deleted) {
                return Err(not_the_one(&key));
            }
            update(plan, &key, content, *if_match)
        }
        (Write::Delete { key, if_match }, ..) => delete(plan, key, *if_match),
        (
            Write::DeleteWhere {
                resource_type,
                if_match,
                ..
            },
            _,
            keys,
        ) => delete_all(plan, resource_type, (keys, *if_match)),
        (Write::Patch { .. }, Some(content), _) => match resolution.bases.get(&index) {
            Some(base) => update(plan, &base.key, content, None),
            None => Err(StoreError::Invalid("a patch of nothing".to_owned()).into()),
        },
        (_, None, _) => Err(StoreError::Invalid("no content".to_owned()).into()),
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

fn create(
    plan: &mut Plan<'_, '_>,
    key: ResourceKey,
    content: &Unstamped,
) -> Result<Written, Failure> {
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

/// The outcome is that of the first one.
fn delete_all(
    plan: &mut Plan<'_, '_>,
    resource_type: &str,
    (keys, if_match): (&[ResourceKey], Option<VersionId>),
) -> Result<Written, Failure> {
    if keys.is_empty()
        && let Some(expected) = if_match
    {
        return Err(stale(expected, None));
    }
    let mut first = None;
    for key in keys {
        let deleted = delete(plan, key, if_match)?;
        first.get_or_insert(deleted);
    }
    Ok(first.unwrap_or_else(|| Written {
        kind: WrittenKind::Unchanged,
        key: ResourceKey {
            resource_type: resource_type.to_owned(),
            id: String::new(),
        },
        version: VersionId(0),
        time_ms: 0,
        body: Vec::new(),
    }))
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
    /// Which resource this writes; for a conditional one the key it has when nothing is found.
    /// `None` when only a search tells.
    pub fn key(&self) -> Option<ResourceKey> {
        match self {
            Write::Create { id, resource, .. }
            | Write::Update { id, resource, .. }
            | Write::UpdateWhere { id, resource, .. } => Some(key_of(resource, id)),
            Write::Delete { key, .. } => Some(key.clone()),
            Write::Patch { which, .. } => match which {
                Which::Key(key) => Some(key.clone()),
                Which::Where { .. } => None,
            },
            Write::DeleteWhere { .. } => None,
        }
    }

    /// The content, where it is known beforehand.
    pub fn resource(&self) -> Option<&Json> {
        match self {
            Write::Create { resource, .. }
            | Write::Update { resource, .. }
            | Write::UpdateWhere { resource, .. } => Some(resource),
            Write::Delete { .. } | Write::DeleteWhere { .. } | Write::Patch { .. } => None,
        }
    }

    /// Calls `visit` with all that this write brings: its resource, or the values of its patch.
    pub(super) fn visit_trees(&self, visit: &mut impl FnMut(&Json)) {
        match self {
            Write::Patch { patch, .. } => patch.visit_values(visit),
            other => other.resource().into_iter().for_each(visit),
        }
    }

    /// Calls `rewrite` with the same, for changing it.
    pub fn rewrite_trees(&mut self, rewrite: &mut impl FnMut(&mut Json)) {
        match self {
            Write::Create { resource, .. }
            | Write::Update { resource, .. }
            | Write::UpdateWhere { resource, .. } => rewrite(resource),
            Write::Patch { patch, .. } => patch.rewrite_values(rewrite),
            Write::Delete { .. } | Write::DeleteWhere { .. } => {}
        }
    }

    /// Sets the id; takes away the mark of an open review, which is this server's to give.
    fn prepare(&mut self) {
        if let Write::Create { id, resource, .. }
        | Write::Update { id, resource, .. }
        | Write::UpdateWhere { id, resource, .. } = self
        {
            if review::is_tagged(resource) {
                *resource = review::untagged(resource);
            }
            set_id(resource, id);
        }
    }
}

fn key_of(resource: &Json, id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: resource.resource_type().unwrap_or_default().to_owned(),
        id: id.to_owned(),
    }
}

pub(super) fn set_id(resource: &mut Json, id: &str) {
    if let Some(object) = resource.as_object_mut() {
        object.set_at(1, "id", id.into());
    }
}

/// What can be refused without looking at the store.
fn check(transaction: &Transaction) -> Result<(), At> {
    let mut seen = HashMap::new();
    for (index, write) in transaction.writes.iter().enumerate() {
        if let Some(key) = write.key()
            && let Some(first) = seen.insert(key.clone(), index)
        {
            return Err((index, same_key(&key, first, index)));
        }
        if let Some(resource) = write.resource() {
            reserved::check_content(resource).map_err(|failure| (index, failure))?;
        }
    }
    Ok(())
}

pub(super) fn same_key(key: &ResourceKey, first: usize, second: usize) -> Failure {
    let text = format!(
        "both change one {}; a transaction may change a resource once",
        key.resource_type
    );
    both((first, second), ("E-WRITE-7", IssueCode::Duplicate, text))
}

/// A failure about two writes: each is named in a finding of its own.
pub(super) fn both(
    (first, second): (usize, usize),
    (number, code, text): (&'static str, IssueCode, String),
) -> Failure {
    let about = |index| Issue::error(number, code, format!("writes[{index}]"), text.clone());
    Failure::of(Category::Incorrect, vec![about(second), about(first)])
}

/// No match, but the id that the content brings belongs to a resource that does not match.
fn not_the_one(key: &ResourceKey) -> Failure {
    let text = "a resource with this id exists, but the criteria do not match it";
    Failure::new(Category::Conflict, "E-WRITE-15", IssueCode::Conflict, text)
        .at(&format!("{}.id", key.resource_type))
}

fn too_contended() -> Failure {
    let text = "others kept changing what this transaction's conditions match; try again shortly";
    Failure::new(Category::Busy, "E-WRITE-8", IssueCode::Throttled, text)
}
