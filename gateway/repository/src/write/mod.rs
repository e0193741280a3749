//! Writing: every interaction that changes something is a list of writes in one transaction.

mod asked;
mod conditions;
mod lanes;
mod outlook;
mod placing;
mod pool;
mod references;
mod reserved;
mod resolution;
mod stale;

#[cfg(test)]
mod tests;

pub use asked::{Actor, Check, NOTHING, Transaction, Which, Write, Written, WrittenKind};
pub(super) use lanes::Lanes;

use super::Repository;
use super::plan::Plan;
use super::stamp::Unstamped;
use conditions::{At, Conditions};
use fhir_mapping::model::{Issue, IssueCode};
use fhir_mapping::search::Handling;
use gateway_ground::failure::{Category, Failure};
use placing::place;
use resolution::Resolution;
use std::collections::HashMap;
use std::sync::Arc;
use store::{CommitError, Committed, ResourceKey, View, WriteSet};

/// How often a transaction is prepared anew because others changed what its conditions match.
const ATTEMPTS_MAX: usize = 8;

/// The same for one that is long to judge: it is never prepared on the writer thread, but in a line.
const ATTEMPTS_LONG_MAX: usize = 32;

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
        let conditions = Arc::new(Conditions::of(
            transaction,
            &self.asking(Handling::Strict).reaching(),
        )?);
        let nobody = transaction.writes.len();
        let is_long = transaction.writes.iter().any(Write::is_long);
        let attempts = if is_long {
            ATTEMPTS_LONG_MAX
        } else {
            ATTEMPTS_MAX
        };
        let mut lane = None;
        for attempt in 0..attempts {
            if attempt == ATTEMPTS_ASIDE_MAX {
                lane = self.inner.lanes.enter(transaction).await;
            }
            let is_short = !is_long && nobody <= PREPARED_INLINE_MAX;
            let prepared = Prepared {
                repository: self.clone(),
                resolution: self.resolve(&conditions, transaction).await?,
                transaction: Arc::clone(transaction),
                conditions: Arc::clone(&conditions),
                is_short,
                is_last: attempt >= ATTEMPTS_ASIDE_MAX && is_short,
            };
            let (prepared, contents) = prepared.contents().await?;
            match self.submit(move |view| prepared.run(view, &contents)).await {
                Ok((committed, written)) => return Ok((written, committed)),
                Err(CommitError::Refused(Refusal::Raced)) => {}
                Err(CommitError::Refused(Refusal::Failed(at))) => return Err(at),
                Err(CommitError::Store(error)) => return Err((nobody, error.into())),
            }
        }
        drop(lane);
        Err((nobody, too_contended()))
    }

    async fn resolve(
        &self,
        conditions: &Arc<Conditions>,
        transaction: &Arc<Transaction>,
    ) -> Result<Resolution, At> {
        if conditions.is_empty() {
            return Ok(Resolution::default());
        }
        let nobody = transaction.writes.len();
        let (repository, reach_far) = (self.clone(), conditions.reach_far());
        let (conditions, transaction) = (Arc::clone(conditions), Arc::clone(transaction));
        let work = move || {
            let snapshot = repository.inner.store.snapshot();
            let snapshot = snapshot.map_err(|e| (nobody, e.into()))?;
            conditions.resolve(&snapshot.view(), &transaction, repository.zone())
        };
        match reach_far {
            false => work(),
            true => aside(nobody, work).await,
        }
    }
}

/// Work that may take long, on a thread that may block.
async fn aside<T: Send + 'static>(
    nobody: usize,
    work: impl FnOnce() -> Result<T, At> + Send + 'static,
) -> Result<T, At> {
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

/// Everything the plan needs on the writer thread.
struct Prepared {
    repository: Repository,
    transaction: Arc<Transaction>,
    conditions: Arc<Conditions>,
    resolution: Resolution,
    /// Quick enough to prepare on the thread that asks.
    is_short: bool,
    /// Prepare on the writer thread rather than be told that others were faster.
    is_last: bool,
}

/// What each write stores; `None` for a deletion.
type Contents = Vec<Option<Unstamped>>;

impl Prepared {
    /// The text and search values of each write: the bulk of the work.
    async fn contents(self) -> Result<(Prepared, Contents), At> {
        let (nobody, is_short) = (self.transaction.writes.len(), self.is_short);
        let work = move || {
            let zone = self.repository.zone();
            let contents = self.resolution.contents(&self.transaction, zone)?;
            Ok((self, contents))
        };
        if is_short {
            return work();
        }
        aside(nobody, work).await
    }

    fn run(
        &self,
        view: &View<'_>,
        contents: &Contents,
    ) -> Result<(WriteSet, Vec<Written>), Refusal> {
        let (now, remade) = self.resolve_again(view)?;
        let resolution = now.as_ref().unwrap_or(&self.resolution);
        let contents = remade.as_ref().unwrap_or(contents);
        // The site's search parameters changed since the values were made.
        let zone = self.repository.zone();
        let is_current = |content: &Unstamped| content.values().is_current(zone);
        if !contents.iter().flatten().all(is_current) {
            return Err(Refusal::Raced);
        }
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

fn same_key(key: &ResourceKey, first: usize, second: usize) -> Failure {
    let text = format!(
        "both change one {}; a transaction may change a resource once",
        key.resource_type
    );
    both((first, second), ("E-WRITE-7", IssueCode::Duplicate, text))
}

/// A failure about two writes: each is named in a finding of its own.
fn both(
    (first, second): (usize, usize),
    (number, code, text): (&'static str, IssueCode, String),
) -> Failure {
    let about = |index| Issue::error(number, code, format!("writes[{index}]"), text.clone());
    Failure::of(Category::Incorrect, vec![about(second), about(first)])
}

fn too_contended() -> Failure {
    let text = "others kept changing what this transaction's conditions match; try again shortly";
    Failure::new(Category::Busy, "E-WRITE-8", IssueCode::Throttled, text)
}
