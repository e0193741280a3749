//! Brings a restored store to a point in time: the versions between two backups are written again, in
//! their order and under their numbers, out of the later one. The rows of the loops stay those of the earlier
//! backup, so nothing counts as delivered that is to be delivered.

use super::indexing::{self, Posted};
use super::review;
use super::{Repository, plan};
use fhir_mapping::model::{IssueCode, Limits, parse};
use fhir_mapping::search::{Zone, extract};
use gateway_ground::failure::{Category, Failure};
use std::collections::{BTreeSet, HashSet};
use store::{
    Change, Making, NewVersion, Purge, ResourceKey, Rid, Seq, Snapshot, Store, StoreError,
    StoredVersion, VersionId, View, WriteSet,
};

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To this change.
    Seq(Seq),
    /// To the last change not after this time, milliseconds since 1970.
    Time(i64),
}

/// What was written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub changes: u64,
    /// The last change now.
    pub last: u64,
    /// Versions whose content was erased since: a deletion stands in their place.
    pub erased: u64,
    pub audit_entries: u64,
}

/// Changes in one commit.
const CHANGES_MAX: usize = 256;
/// Bytes of bodies in one commit.
const BYTES_MAX: usize = 4 << 20;
const AUDIT_MAX: usize = 500;

impl Repository {
    /// Writes again what `later`, a later state of the same store, holds beyond this one. Nobody else
    /// may write meanwhile. Afterwards resources, versions, search and change log are as they were at that
    /// point; the audit is that of the later state, whole.
    pub fn replay(&self, later: &Store, until: Until) -> Result<Replayed, Failure> {
        let mut told = Replayed {
            last: self.checked_start(later)?.0,
            ..Replayed::default()
        };
        let (mut tasks, mut erased) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let batch = Batch::next(later, (Seq(told.last), until))?;
            if batch.versions.is_empty() {
                break;
            }
            told.changes += count(batch.versions.len());
            told.last += count(batch.versions.len());
            told.erased += count(batch.erased.len());
            tasks.extend(batch.tasks.iter().cloned());
            erased.extend(batch.erased.iter().copied());
            self.write_again(batch)?;
        }
        self.settle(tasks, erased)?;
        told.audit_entries = self.audit_again(later)?;
        Ok(told)
    }

    /// The last change here, which must be the same one there.
    fn checked_start(&self, later: &Store) -> Result<Seq, Failure> {
        let (here, there) = (self.store().snapshot()?, later.snapshot()?);
        let last = here.view().last_seq()?;
        if last == Seq(0) {
            return Ok(last);
        }
        let change = |snapshot: &Snapshot| snapshot.view().changes(Seq(last.0 - 1), 1);
        if change(&here)? != change(&there)? {
            return Err(strangers());
        }
        Ok(last)
    }

    fn write_again(&self, batch: Batch) -> Result<(), Failure> {
        let zone = self.zone().clone();
        let (versions, rids) = (batch.versions, batch.rids);
        let plan = move |view: &View<'_>| {
            let mut set = WriteSet::default();
            for version in versions {
                set.versions.push(indexed(view, version, &zone)?);
            }
            Ok::<_, Failure>((set, ()))
        };
        let (committed, ()) = self.store().commit(plan).map_err(plan::commit_failure)?;
        // Numbers are given in order, so the same history gives the same ones.
        let snapshot = self.store().snapshot()?;
        let view = snapshot.view();
        for (seq, (key, rid)) in committed.seqs.iter().zip(rids) {
            let head = view.head(&key)?;
            let change = view.changes(Seq(seq.0 - 1), 1)?;
            let is_same = change.first().is_some_and(|change| change.rid == rid);
            if !is_same || head.map(|head| head.rid) != Some(rid) {
                return Err(strangers());
            }
        }
        Ok(())
    }

    /// Reviews as their Tasks say, and what was erased since stays erased.
    fn settle(&self, tasks: BTreeSet<ResourceKey>, erased: BTreeSet<Rid>) -> Result<(), Failure> {
        let mut set = WriteSet::default();
        {
            let snapshot = self.store().snapshot()?;
            let view = snapshot.view();
            for task in tasks {
                set.rows.extend(review::row_of_task(&view, &task.id)?);
            }
            for rid in erased {
                let head = view.head_of(rid)?.filter(|head| head.deleted);
                let gone = head.filter(|head| head.version.0 > 1);
                set.purges.extend(gone.map(|head| Purge {
                    rid,
                    from: VersionId(1),
                    to: VersionId(head.version.0 - 1),
                }));
            }
        }
        let plan = move |_: &View<'_>| Ok::<_, Failure>((set, ()));
        self.store().commit(plan).map_err(plan::commit_failure)?;
        Ok(())
    }

    /// All entries of the later state that are not here yet; their chain comes out the same.
    fn audit_again(&self, later: &Store) -> Result<u64, Failure> {
        let mut after = self.store().stats()?.audit_entries;
        let mut entries = 0;
        loop {
            let found = later.snapshot()?.view().audit(after, AUDIT_MAX)?;
            let Some(last) = found.last() else {
                return Ok(entries);
            };
            after = last.number;
            entries += count(found.len());
            let set = WriteSet {
                audit: found.into_iter().map(|entry| entry.body).collect(),
                ..WriteSet::default()
            };
            let plan = move |_: &View<'_>| Ok::<_, Failure>((set, ()));
            self.store().commit(plan).map_err(plan::commit_failure)?;
        }
    }
}

/// Versions of one commit, each of another resource.
#[derive(Default)]
struct Batch {
    versions: Vec<NewVersion>,
    /// Which number each resource must get, in the order of the versions.
    rids: Vec<(ResourceKey, Rid)>,
    /// Tasks of reviews among them.
    tasks: Vec<ResourceKey>,
    erased: Vec<Rid>,
}

impl Batch {
    fn next(later: &Store, (after, until): (Seq, Until)) -> Result<Batch, Failure> {
        let snapshot = later.snapshot()?;
        let view = snapshot.view();
        let (mut batch, mut seen, mut bytes) = (Batch::default(), HashSet::new(), 0);
        for change in view.changes(after, CHANGES_MAX)? {
            let stored = view.version(change.rid, change.version)?;
            let is_beyond = match until {
                Until::Seq(seq) => change.seq > seq,
                Until::Time(time_ms) => stored.as_ref().is_some_and(|one| one.time_ms > time_ms),
            };
            if is_beyond || !seen.insert(change.rid) || bytes > BYTES_MAX {
                break;
            }
            bytes += stored.as_ref().map_or(0, |stored| stored.body.len());
            batch.add(&view, &change, stored)?;
        }
        Ok(batch)
    }

    fn add(
        &mut self,
        view: &View<'_>,
        change: &Change,
        stored: Option<StoredVersion>,
    ) -> Result<(), Failure> {
        let is_erased = stored.is_none();
        // What was erased leaves a deletion, which still says whose it was.
        let stored = match stored {
            Some(stored) => stored,
            None => {
                self.erased.push(change.rid);
                let head = view.head_of(change.rid)?.ok_or_else(strangers)?;
                let left = view.version(change.rid, head.version)?;
                left.ok_or_else(strangers)?
            }
        };
        if stored.key.resource_type == "Task" {
            self.tasks.push(stored.key.clone());
        }
        self.rids.push((stored.key.clone(), change.rid));
        let deleted = change.deleted || is_erased;
        let making = match is_erased {
            true => Making::Untold,
            false => stored.making,
        };
        self.versions.push(NewVersion {
            key: stored.key,
            version: change.version,
            body: if deleted { Vec::new() } else { stored.body },
            deleted,
            becomes_head: change.became_head,
            making,
            review_open: None,
            terms_added: Vec::new(),
            terms_removed: Vec::new(),
            values: Vec::new(),
            origin: change.origin,
            urgency: change.urgency,
            time_ms: stored.time_ms,
            hlc: change.hlc,
        });
        Ok(())
    }
}

/// The version with what the search needs, and the mark of an open review, which stands in its tags.
fn indexed(
    view: &View<'_>,
    mut version: NewVersion,
    zone: &Zone,
) -> Result<NewVersion, StoreError> {
    if !version.becomes_head {
        return Ok(version);
    }
    let head = view.head(&version.key)?;
    let before: Posted = indexing::posted(view, head.as_ref(), zone)?;
    let tree = parse(&version.body, Limits::default()).ok();
    let tree = tree.filter(|_| !version.deleted);
    let new = tree.as_ref().map(|tree| extract(tree, zone));
    let terms = before.diff(new.as_ref().map(|new| new.terms()).unwrap_or_default());
    (version.terms_added, version.terms_removed) = (terms.added, terms.removed);
    version.values = new.map(|new| new.encode()).unwrap_or_default();
    version.review_open = tree.as_ref().map(review::is_tagged);
    Ok(version)
}

fn strangers() -> Failure {
    let text = "the backups do not belong together: the earlier one is no part of the later one's \
                past; give --at the time of a backup";
    Failure::new(Category::Conflict, "E-RESTORE-6", IssueCode::Conflict, text)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
