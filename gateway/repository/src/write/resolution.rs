//! The answers to a transaction's conditions, and what its writes store given them.

use super::super::plan::stale;
use super::super::stamp::Unstamped;
use super::super::{read, review};
use super::asked::{Check, Transaction, Write, set_id};
use super::conditions::At;
use super::references::Substitutions;
use super::reserved;
use crate::indexing;
use fhir_mapping::model::{Json, Limits, parse};
use fhir_mapping::patch::Patch;
use fhir_mapping::search::Zone;
use gateway_ground::failure::{Category, Failure};
use std::collections::{BTreeMap, HashMap};
use store::{ResourceKey, StoreError, VersionId, View};

/// The answers.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Resolution {
    /// What each conditional write found; absent when nothing.
    pub(super) existing: HashMap<usize, Vec<ResourceKey>>,
    /// What each patch starts from.
    pub(super) bases: HashMap<usize, Base>,
    /// Conditional references to `Type/id`.
    pub(super) references: BTreeMap<String, String>,
}

/// The version that a patch changes.
#[derive(Debug, PartialEq)]
pub(super) struct Base {
    pub(super) key: ResourceKey,
    pub(super) version: VersionId,
    body: Vec<u8>,
}

impl Base {
    /// The head that a patch changes; refused when it is not there or not the version it names.
    pub(super) fn read(
        view: &View<'_>,
        key: ResourceKey,
        write: Option<&Write>,
    ) -> Result<Base, Failure> {
        let head = read::live_head(view, &key)?;
        if let Some(Write::Patch {
            if_match: Some(expected),
            ..
        }) = write
            && *expected != head.version
        {
            return Err(stale(*expected, Some(head.version)));
        }
        let stored = view.version(head.rid, head.version)?;
        let stored =
            stored.ok_or_else(|| StoreError::Invalid("a head without a body".to_owned()))?;
        reserved::check_change(&stored)?;
        Ok(Base {
            key,
            version: head.version,
            body: stored.body,
        })
    }
}

impl Resolution {
    /// A conditional reference means this resource.
    pub(super) fn refer(&mut self, text: &str, target: &ResourceKey) {
        let target = format!("{}/{}", target.resource_type, target.id);
        self.references.insert(text.to_owned(), target);
    }

    /// What each write stores, given these answers; `None` for a deletion.
    pub(super) fn contents(
        &self,
        transaction: &Transaction,
        zone: &Zone,
    ) -> Result<Vec<Option<Unstamped>>, At> {
        let by = self.substitutions(transaction);
        let content = |resource: &Json| match by.applied(resource) {
            Some(copy) => Unstamped::new(&copy, zone),
            None => Unstamped::new(resource, zone),
        };
        let own = zone.own();
        let writes = transaction.writes.iter().enumerate();
        writes
            .map(|(index, write)| {
                if let Some(resource) = write.resource() {
                    indexing::own::check(resource, &own).map_err(|failure| (index, failure))?;
                }
                let found = self.existing.get(&index).and_then(|found| found.first());
                Ok(match (write, self.bases.get(&index), found) {
                    (Write::Patch { patch, check, .. }, Some(base), _) => {
                        let patched = patched(&base.body, patch, check);
                        let patched = patched.map_err(|failure| (index, failure))?;
                        let checked = indexing::own::check(&patched, &own);
                        checked.map_err(|failure| (index, failure))?;
                        Some(content(&patched))
                    }
                    (Write::UpdateWhere { resource, .. }, _, Some(found)) => {
                        let mut resource = resource.clone();
                        set_id(&mut resource, &found.id);
                        Some(content(&resource))
                    }
                    _ => write.resource().map(content),
                })
            })
            .collect()
    }

    /// The ids that were chosen for writes whose resource turned out to exist stand for that one.
    fn substitutions(&self, transaction: &Transaction) -> Substitutions {
        let mut by = Substitutions {
            references: self.references.clone(),
            ..Substitutions::default()
        };
        for (index, found) in &self.existing {
            let chosen = transaction.writes.get(*index).and_then(Write::key);
            if let (Some(chosen), Some(found)) = (chosen, found.first())
                && chosen != *found
            {
                by.chosen.insert(
                    format!("{}/{}", chosen.resource_type, chosen.id),
                    format!("{}/{}", found.resource_type, found.id),
                );
            }
        }
        by
    }
}

/// The stored text with the patch applied, as sound as an update must be.
pub(super) fn patched(body: &[u8], patch: &Patch, check: &Check) -> Result<Json, Failure> {
    let unprocessable = |issue| Failure::of(Category::Unprocessable, vec![issue]);
    let tree = parse(body, Limits::default())
        .map_err(|issue| Failure::of(Category::Fault, vec![issue]))?;
    let mut patched = patch.apply(&tree).map_err(unprocessable)?;
    if review::is_tagged(&patched) {
        patched = review::untagged(&patched);
    }
    reserved::check_content(&patched)?;
    check.run(&patched)?;
    Ok(patched)
}
