//! What belongs to a patient and to nobody else: the live members of the compartment, and deleted
//! resources that were members when they lived, for their history tells of the patient too.

use super::PurgeOrder;
use crate::{Repository, everything, indexing};
use fhir_mapping::compartment;
use fhir_mapping::model::{IssueCode, Limits, parse};
use fhir_mapping::search::{SearchValues, extract};
use gateway_ground::failure::{Category, Failure};
use std::collections::{BTreeMap, HashSet};
use store::{Head, ResourceKey, Rid, Seq, StoredVersion, Table, VersionId, View};

/// Everything that a purge is about.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The patient; `None` when it was purged already.
    pub(super) focus: Option<Item>,
    /// Of the patient alone, in the store's order.
    pub(super) members: Vec<Item>,
    /// Of other patients too: they stay. Their number by type.
    pub(super) kept: BTreeMap<String, u64>,
}

/// A resource to be purged, as it was looked at.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) key: ResourceKey,
    pub(super) head: Head,
    pub(super) versions: u64,
    /// Bytes of the texts of all versions.
    pub(super) bytes: u64,
}

/// Heads looked at with one short snapshot.
const STEP: usize = 512;
/// Versions of one resource whose fronts are read at once.
const VERSIONS_STEP: usize = 64;
/// Deliveries looked at in one step.
const ROWS_STEP: usize = 512;

impl Found {
    /// Looks through the site. 404 when the patient was never here. CPU bound: for a blocking thread.
    pub(super) fn of(repository: &Repository, patient: &str) -> Result<Found, Failure> {
        let key = super::key(patient);
        let mut found = Found::default();
        let live = {
            let snapshot = repository.store().snapshot()?;
            let view = snapshot.view();
            let head = crate::read::known_head(&view, &key)?;
            if !view.is_purged(&head)? || has_more(&view, &head)? {
                found.focus = Some(Item::of(&view, head)?.ok_or_else(super::damaged)?);
            }
            everything::compartment_rids(&view, repository.zone(), &key)?
        };
        for some in live.chunks(STEP) {
            let snapshot = repository.store().snapshot()?;
            for rid in some {
                found.look(repository, &snapshot.view(), (*rid, patient))?;
            }
        }
        found.deleted(repository, patient)?;
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.focus.is_none() && self.members.is_empty()
    }

    /// Refuses what must not be lost: what waits for a person, or to be sent.
    pub(super) fn check(&self, repository: &Repository, order: &PurgeOrder) -> Result<(), Failure> {
        let items = || self.members.iter().chain(&self.focus);
        let open = items().filter(|item| item.head.review_open).count();
        if open > 0 {
            let text =
                format!("{open} of the resources wait for a person's decision; decide first");
            return Err(Failure::new(
                Category::Conflict,
                "E-PURGE-1",
                IssueCode::Conflict,
                text,
            ));
        }
        if order.with_unsent {
            return Ok(());
        }
        let unsent = unsent(
            repository,
            &items().map(|item| item.head).collect::<Vec<_>>(),
        )?;
        match unsent {
            0 => Ok(()),
            _ => {
                let text = format!(
                    "{unsent} of the resources wait to be sent to a target; let them leave first, \
                     or say with-unsent"
                );
                let code = IssueCode::Conflict;
                Err(Failure::new(Category::Conflict, "E-PURGE-2", code, text))
            }
        }
    }

    fn look(
        &mut self,
        repository: &Repository,
        view: &View<'_>,
        (rid, patient): (Rid, &str),
    ) -> Result<(), Failure> {
        let Some(head) = view.head_of(rid)?.filter(|head| !head.deleted) else {
            return Ok(());
        };
        let values = indexing::values_of(view, rid, repository.zone())?;
        let (Some(values), Some(stored)) = (values, view.version(rid, head.version)?) else {
            return Ok(());
        };
        match belongs(&stored.key, &values, patient) {
            Belongs::Alone => self.members.extend(Item::of(view, head)?),
            Belongs::Shared => *self.kept.entry(stored.key.resource_type).or_default() += 1,
            Belongs::Not => {}
        }
        Ok(())
    }

    /// Deleted resources post nothing, so all of them are looked at.
    fn deleted(&mut self, repository: &Repository, patient: &str) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let snapshot = repository.store().snapshot()?;
            let view = snapshot.view();
            let heads = view.scan_heads(after, STEP)?;
            let Some(last) = heads.last() else {
                return Ok(());
            };
            after = Some(last.rid);
            for head in heads.into_iter().filter(|head| head.deleted) {
                let Some(stored) = last_live(&view, &head)? else {
                    continue;
                };
                let tree = parse(&stored.body, Limits::default());
                let tree = tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
                let values = extract(&tree, repository.zone());
                if belongs(&stored.key, &values, patient) == Belongs::Alone {
                    self.members.extend(Item::of(&view, head)?);
                }
            }
        }
    }
}

impl Item {
    fn of(view: &View<'_>, head: Head) -> Result<Option<Item>, Failure> {
        let Some(stored) = view.version(head.rid, head.version)? else {
            return Ok(None);
        };
        let mut item = Item {
            key: stored.key,
            head,
            versions: 0,
            bytes: 0,
        };
        let mut before = None;
        loop {
            let some = view.history(head.rid, before, VERSIONS_STEP)?;
            let Some((last, _)) = some.last() else {
                return Ok(Some(item));
            };
            before = Some(*last);
            for (version, _) in some {
                let stored = view.version(head.rid, version)?;
                let size = stored.map_or(0, |stored| stored.body.len());
                item.versions += 1;
                item.bytes += u64::try_from(size).unwrap_or(0);
            }
        }
    }
}

#[derive(PartialEq)]
enum Belongs {
    Alone,
    Shared,
    Not,
}

/// Whose a resource is, by the parameters of the compartment. Another Patient is another person.
fn belongs(key: &ResourceKey, values: &SearchValues, patient: &str) -> Belongs {
    let name = key.resource_type.as_str();
    let parameters = compartment::parameters("Patient", name).unwrap_or_default();
    let targets = parameters.iter().flat_map(|one| values.references(one));
    let patients: HashSet<String> = targets
        .filter(|(kind, _)| kind == "Patient")
        .map(|(_, id)| id)
        .collect();
    match patients.contains(patient) {
        false => Belongs::Not,
        true if name == "Patient" && key.id == patient => Belongs::Not,
        true if name == "Patient" || patients.len() > 1 => Belongs::Shared,
        true => Belongs::Alone,
    }
}

/// The newest version with content that was in force; `None` when it was purged.
fn last_live(view: &View<'_>, head: &Head) -> Result<Option<StoredVersion>, Failure> {
    let mut before = Some(head.version);
    loop {
        let some = view.history(head.rid, before, VERSIONS_STEP)?;
        let Some((last, _)) = some.last() else {
            return Ok(None);
        };
        before = Some(*last);
        for (version, _) in some {
            let stored = view.version(head.rid, version)?;
            let live = stored.filter(|stored| stored.was_head && !stored.deleted);
            if live.is_some() {
                return Ok(live);
            }
        }
    }
}

/// Is anything left below the head of a resource that is purged so far?
fn has_more(view: &View<'_>, head: &Head) -> Result<bool, Failure> {
    Ok(!view.history(head.rid, Some(head.version), 1)?.is_empty())
}

/// How many have a delivery, or a change that the loops of a target have not looked at yet.
fn unsent(repository: &Repository, heads: &[Head]) -> Result<u64, Failure> {
    let snapshot = repository.store().snapshot()?;
    let view = snapshot.view();
    let mut waiting: HashSet<Rid> = HashSet::new();
    let rids: HashSet<Rid> = heads.iter().map(|head| head.rid).collect();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = view.rows(Table::DeliveryByResource, &[], after.as_deref(), ROWS_STEP)?;
        let Some((last, _)) = rows.last() else { break };
        after = Some(last.clone());
        let named = rows
            .iter()
            .filter_map(|(key, _)| key.get(2..)?.first_chunk());
        let named = named.map(|rid| Rid(u64::from_be_bytes(*rid)));
        waiting.extend(named.filter(|rid| rids.contains(rid)));
    }
    if let Some(taken) = taken_by_all(&view)? {
        let newer = heads.iter().filter(|head| head.seq > taken);
        waiting.extend(newer.map(|head| head.rid));
    }
    u64::try_from(waiting.len()).map_err(|_beyond_numbers| super::damaged())
}

/// How far every target's loop has come; `None` without targets.
fn taken_by_all(view: &View<'_>) -> Result<Option<Seq>, Failure> {
    let rows = view.rows(Table::Checkpoints, &[], None, usize::from(u16::MAX))?;
    let taken = rows.iter().filter_map(|(key, value)| {
        let (target, name) = key.split_at_checked(2)?;
        let is_targets = name == b"taken" && target != [0, 0];
        let seq = u64::from_be_bytes(value.as_slice().try_into().ok()?);
        is_targets.then_some(Seq(seq))
    });
    Ok(taken.min())
}

/// The highest version that is left below the head.
pub(super) fn top(view: &View<'_>, head: &Head) -> Result<Option<VersionId>, Failure> {
    let below = view.history(head.rid, Some(head.version), 1)?;
    Ok(below.first().map(|(version, _)| *version))
}
