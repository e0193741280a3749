//! Purge: what belongs to one patient alone is taken away for good, history and index entries
//! included, in bounded commits, the patient last. Deletions without content stay, so that a read
//! says what became of it and no number is given twice. Cut off in the middle it can be asked
//! again, and goes on where it stood. It does not reach messages of devices as they came in, other
//! patients' resources, other sites, or backups.

mod found;

use super::plan::{Placement, Plan, commit_failure};
use super::{Actor, Repository};
use fhir_mapping::model::{IssueCode, Json, format};
use found::{Found, Item};
use gateway_ground::clock::format_instant;
use gateway_ground::failure::{Category, Failure};
use std::collections::BTreeMap;
use store::{Head, Purge, ResourceKey, Rid, StoreError, VersionId, View, WriteSet};
use uuid::Uuid;

/// What is asked.
#[derive(Clone, Debug)]
pub struct PurgeOrder {
    /// Id of the patient.
    pub patient: String,
    /// Why; stands in the audit.
    pub reason: String,
    /// Purge also what a target was to get and has not.
    pub with_unsent: bool,
}

/// What was purged, or would be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PurgeReport {
    /// Resources by type, the patient included.
    pub types: BTreeMap<String, u64>,
    pub versions: u64,
    /// Bytes of the texts of those versions; the space is used again, the file does not shrink.
    pub bytes: u64,
    /// Resources by type that name other patients too, and stay.
    pub kept: BTreeMap<String, u64>,
}

/// The proof of a purge: an entry of the audit's chain.
#[derive(Clone, Debug, PartialEq)]
pub struct PurgeCertificate {
    pub report: PurgeReport,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub ended_ms: i64,
    pub audit_number: u64,
    /// SHA-256 over the link before and the entry, in hex.
    pub audit_chain: String,
}

/// Resources and versions of one commit.
const TOGETHER_MAX: usize = 100;
const VERSIONS_MAX: u64 = 8_192;
/// How often it is looked again for what others wrote meanwhile.
const ROUNDS_MAX: usize = 8;
/// Audit entries read at once while looking for the certificate's.
const AUDIT_STEP: u64 = 512;

impl Repository {
    /// What a purge would take away; nothing is written. CPU bound: for a blocking thread.
    pub fn preview_purge(&self, order: &PurgeOrder) -> Result<PurgeReport, Failure> {
        let found = Found::of(self, &order.patient)?;
        check_is_here(&found, &order.patient)?;
        let mut report = PurgeReport {
            kept: found.kept,
            ..PurgeReport::default()
        };
        found.members.iter().for_each(|item| report.add(item));
        found.focus.iter().for_each(|item| report.add(item));
        Ok(report)
    }

    /// Purges. 409 when a review is open or something waits to be sent, 410 when nothing is left.
    pub async fn purge(
        &self,
        actor: &Actor,
        order: PurgeOrder,
    ) -> Result<PurgeCertificate, Failure> {
        let mut report = PurgeReport::default();
        for _ in 0..ROUNDS_MAX {
            let found = self.found(&order).await?;
            if report.types.is_empty() {
                check_is_here(&found, &order.patient)?;
            }
            report.kept.clone_from(&found.kept);
            if found.members.is_empty() {
                let focus: Vec<Item> = found.focus.into_iter().collect();
                focus.iter().for_each(|item| report.add(item));
                return self.close_purge(actor, &order, (focus, report)).await;
            }
            for batch in batches(found.members) {
                let gone = self.purge_some(actor, batch, None).await?;
                gone.iter().for_each(|item| report.add(item));
            }
        }
        let text = "others kept writing into this record; ask again, it goes on where it stopped";
        let code = IssueCode::Throttled;
        Err(Failure::new(Category::Busy, "E-PURGE-3", code, text))
    }

    async fn found(&self, order: &PurgeOrder) -> Result<Found, Failure> {
        let (repository, order) = (self.clone(), order.clone());
        let found = tokio::task::spawn_blocking(move || {
            let found = Found::of(&repository, &order.patient)?;
            found.check(&repository, &order)?;
            Ok(found)
        });
        found.await.map_err(|_panicked| stopped())?
    }

    /// The patient itself and the entry that proves it all, in one commit.
    async fn close_purge(
        &self,
        actor: &Actor,
        order: &PurgeOrder,
        (focus, report): (Vec<Item>, PurgeReport),
    ) -> Result<PurgeCertificate, Failure> {
        let ended_ms = self.clock().now_ms();
        let entry = entry((actor, order), &report, ended_ms);
        let is_due = !focus.is_empty();
        let gone = self.purge_some(actor, focus, Some(entry.clone())).await?;
        if is_due && gone.is_empty() {
            let text = "the patient was changed meanwhile; ask again";
            let code = IssueCode::Conflict;
            return Err(Failure::new(Category::Conflict, "E-PURGE-4", code, text));
        }
        let (audit_number, audit_chain) = self.audited(&entry)?;
        Ok(PurgeCertificate {
            report,
            ended_ms,
            audit_number,
            audit_chain,
        })
    }

    /// One commit, and more for those with very many versions. Those that others changed since they
    /// were looked at are left; gives the others. `entry` is written when all are purged.
    async fn purge_some(
        &self,
        actor: &Actor,
        items: Vec<Item>,
        entry: Option<Vec<u8>>,
    ) -> Result<Vec<Item>, Failure> {
        let (repository, actor) = (self.clone(), actor.clone());
        let plan = move |view: &View<'_>| {
            let mut plan = Plan::new(&repository, view, &actor);
            let (mut gone, mut rest) = (Vec::new(), Vec::new());
            for item in items {
                if view.head_of(item.head.rid)? == Some(item.head) {
                    rest.extend(purge_one(&mut plan, &item)?);
                    gone.push(item);
                }
            }
            let mut set = plan.finish();
            set.audit.extend(entry);
            Ok::<_, Failure>((set, (gone, rest)))
        };
        let (_, (gone, rest)) = self.submit(plan).await.map_err(commit_failure)?;
        for rid in rest {
            self.purge_rest(rid).await?;
        }
        for item in &gone {
            self.inner.opened.forget(item.head.rid, item.head.newest);
        }
        Ok(gone)
    }

    /// What one commit could not hold.
    async fn purge_rest(&self, rid: Rid) -> Result<(), Failure> {
        loop {
            let plan = move |view: &View<'_>| {
                let head = view.head_of(rid)?.filter(|head| head.deleted);
                let top = head.map(|head| found::top(view, &head)).transpose()?;
                let purge = top.flatten().map(|top| purge_of(rid, top));
                let is_last = purge.is_none_or(|purge| purge.from.0 == 1);
                let set = WriteSet {
                    purges: purge.into_iter().collect(),
                    ..WriteSet::default()
                };
                Ok::<_, Failure>((set, is_last))
            };
            if self.submit(plan).await.map_err(commit_failure)?.1 {
                return Ok(());
            }
        }
    }

    /// Number and link of the newest entry with that text.
    fn audited(&self, entry: &[u8]) -> Result<(u64, String), Failure> {
        let mut end = self.store().stats()?.audit_entries;
        let snapshot = self.store().snapshot()?;
        while end > 0 {
            let start = end.saturating_sub(AUDIT_STEP);
            let step = usize::try_from(end - start).unwrap_or(0);
            let entries = snapshot.view().audit(start, step)?;
            if let Some(found) = entries.iter().rev().find(|one| one.body == entry) {
                let chain = found.chain.iter().map(|byte| format!("{byte:02x}"));
                return Ok((found.number, chain.collect()));
            }
            end = start;
        }
        Err(damaged())
    }
}

impl PurgeReport {
    fn add(&mut self, item: &Item) {
        *self
            .types
            .entry(item.key.resource_type.clone())
            .or_default() += 1;
        self.versions += item.versions;
        self.bytes += item.bytes;
    }
}

/// Deletes unless it is deleted, and takes away the versions before; gives the rid when more are left.
fn purge_one(plan: &mut Plan<'_, '_>, item: &Item) -> Result<Option<Rid>, Failure> {
    let Head { rid, newest, .. } = item.head;
    let is_gone = item.head.deleted && item.head.version == newest;
    let top = match is_gone {
        true => found::top(plan.view, &item.head)?,
        false => {
            plan.add(&item.key, None, Placement::head("purge"))?;
            Some(newest)
        }
    };
    let Some(purge) = top.map(|top| purge_of(rid, top)) else {
        return Ok(None);
    };
    plan.purge(purge);
    Ok((purge.from.0 > 1).then_some(rid))
}

fn purge_of(rid: Rid, top: VersionId) -> Purge {
    Purge {
        rid,
        from: VersionId(top.0.saturating_sub(VERSIONS_MAX - 1).max(1)),
        to: top,
    }
}

/// Parts that one commit holds each.
fn batches(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut batches: Vec<Vec<Item>> = Vec::new();
    let mut versions = 0;
    for item in items {
        versions += item.versions;
        match batches.last_mut() {
            Some(batch) if batch.len() < TOGETHER_MAX && versions <= VERSIONS_MAX => {
                batch.push(item);
            }
            _ => {
                versions = item.versions;
                batches.push(vec![item]);
            }
        }
    }
    batches
}

/// Compact JSON, told apart from every other entry by a random id.
fn entry((actor, order): (&Actor, &PurgeOrder), report: &PurgeReport, ended_ms: i64) -> Vec<u8> {
    let numbers = |types: &BTreeMap<String, u64>| {
        let mut object = fhir_mapping::model::Object::default();
        for (name, count) in types {
            object.set(name, (*count).into());
        }
        Json::Object(object)
    };
    let entry = Json::object([
        ("at", format_instant(ended_ms).into()),
        ("who", actor.name.as_str().into()),
        ("what", "purge-certificate".into()),
        ("key", std::format!("Patient/{}", order.patient).into()),
        ("reason", order.reason.as_str().into()),
        ("purged", numbers(&report.types)),
        ("versions", report.versions.into()),
        ("bytes", report.bytes.into()),
        ("kept", numbers(&report.kept)),
        ("certificate", Uuid::new_v4().to_string().into()),
    ]);
    format(&entry).into_bytes()
}

fn check_is_here(found: &Found, patient: &str) -> Result<(), Failure> {
    match found.is_empty() {
        true => Err(super::read::purged(&key(patient))),
        false => Ok(()),
    }
}

fn key(patient: &str) -> ResourceKey {
    ResourceKey {
        resource_type: "Patient".to_owned(),
        id: patient.to_owned(),
    }
}

fn damaged() -> Failure {
    let text = "a row that a purge needs cannot be read".to_owned();
    StoreError::Invalid(text).into()
}

fn stopped() -> Failure {
    let text = "looking for what belongs to the patient stopped unexpectedly; ask again";
    Failure::new(Category::Fault, "E-PURGE-5", IssueCode::Exception, text)
}
