//! Which resources belong into an export: by type, time, compartment, patient and criteria.

use super::{ExportOrder, Scope, snapshots};
use crate::{Repository, indexing};
use fhir_mapping::compartment;
use fhir_mapping::model::{Json, Limits, Reference, parse};
use fhir_mapping::search::{Handling, Query, SearchValues, Zone, extract};
use gateway_ground::failure::{Category, Failure};
use percent_encoding::percent_decode_str;
use std::collections::HashSet;
use store::{ResourceKey, Seq, StoredVersion, View};

/// An order that was looked up: it judges resources one by one.
pub(super) struct Wanted {
    order: ExportOrder,
    /// Of a Group's members, or those asked for; `None` for every patient.
    patients: Option<HashSet<String>>,
    filters: Vec<Query>,
}

/// Where a resource is judged.
#[derive(Clone, Copy)]
pub(super) struct Place<'v, 't> {
    pub(super) repository: &'v Repository,
    pub(super) view: &'v View<'t>,
}

impl Wanted {
    pub(super) fn of(repository: &Repository, order: ExportOrder) -> Result<Wanted, Failure> {
        let members = match &order.scope {
            Scope::Group(id) => Some(members(repository, id, Seq(order.seq))?),
            Scope::Site | Scope::Patients => None,
        };
        let chosen: HashSet<String> = order.patients.iter().cloned().collect();
        let patients = match members {
            _ if chosen.is_empty() => members,
            None => Some(chosen),
            Some(members) => Some(&members & &chosen),
        };
        let filters = order.filters.iter();
        let filters = filters.map(|text| filter(text, repository.zone()));
        Ok(Wanted {
            filters: filters.collect::<Result<_, _>>()?,
            order,
            patients,
        })
    }

    pub(super) fn order(&self) -> &ExportOrder {
        &self.order
    }

    /// Does a resource with content belong into the export?
    pub(super) fn takes(
        &self,
        place: Place<'_, '_>,
        (stored, is_head): (&StoredVersion, bool),
    ) -> Result<bool, Failure> {
        if !self.is_of_type(stored) || !self.is_since(stored) {
            return Ok(false);
        }
        let values = || values(place, (stored, is_head));
        Ok(self.is_in_scope(&stored.key, &values)? && self.passes(&stored.key, &values)?)
    }

    /// Belonged a resource into it until this deletion, which is news? Only an export since some
    /// time tells. Of what was purged nothing is known but its name.
    pub(super) fn misses(
        &self,
        place: Place<'_, '_>,
        deletion: &StoredVersion,
    ) -> Result<bool, Failure> {
        let is_asked = self.order.since_ms.is_some();
        if !is_asked || !self.is_of_type(deletion) || !self.is_since(deletion) {
            return Ok(false);
        }
        match snapshots::before(place.view, deletion)? {
            Some(stored) => {
                let values = || values(place, (&stored, false));
                Ok(self.is_in_scope(&stored.key, &values)? && self.passes(&stored.key, &values)?)
            }
            None => Ok(self.may_have_held(&deletion.key)),
        }
    }

    fn is_of_type(&self, stored: &StoredVersion) -> bool {
        let types = &self.order.types;
        types.is_empty() || types.contains(&stored.key.resource_type)
    }

    fn is_since(&self, stored: &StoredVersion) -> bool {
        let since = self.order.since_ms;
        since.is_none_or(|since| stored.time_ms > since)
    }

    /// Is it found by a filter of its type, if there is one?
    fn passes(&self, key: &ResourceKey, values: &Valued<'_>) -> Result<bool, Failure> {
        let is_of_type = |filter: &&Query| filter.resource_type() == key.resource_type;
        let mut filters = self.filters.iter().filter(is_of_type).peekable();
        if filters.peek().is_none() {
            return Ok(true);
        }
        let values = values()?;
        Ok(filters.any(|filter| filter.matches(&values)))
    }

    fn is_in_scope(&self, key: &ResourceKey, values: &Valued<'_>) -> Result<bool, Failure> {
        if self.order.scope == Scope::Site {
            return Ok(true);
        }
        let name = key.resource_type.as_str();
        if name == "Patient" {
            return Ok(self.is_patient(&key.id));
        }
        let Some(parameters) = compartment::parameters("Patient", name) else {
            return Ok(false);
        };
        let values = values()?;
        let refers = |parameter: &&str| {
            let targets = values.references(parameter);
            let mut targets = targets.iter();
            targets.any(|(kind, id)| kind == "Patient" && self.is_patient(id))
        };
        Ok(parameters.iter().any(refers))
    }

    /// Of a purged resource: a patient's own name, or anything of a kind that is exported whole.
    fn may_have_held(&self, key: &ResourceKey) -> bool {
        let name = key.resource_type.as_str();
        if self.filters.iter().any(|one| one.resource_type() == name) {
            return false;
        }
        match (&self.order.scope, &self.patients) {
            (Scope::Site, _) => true,
            (_, _) if name == "Patient" => self.is_patient(&key.id),
            (_, Some(_)) => false,
            (_, None) => compartment::parameters("Patient", name).is_some(),
        }
    }

    fn is_patient(&self, id: &str) -> bool {
        self.patients
            .as_ref()
            .is_none_or(|patients| patients.contains(id))
    }
}

/// Search values, made when they are needed.
type Valued<'a> = dyn Fn() -> Result<SearchValues, Failure> + 'a;

/// Search values of a version: the kept ones of the head, unless they are damaged.
fn values(
    place: Place<'_, '_>,
    (stored, is_head): (&StoredVersion, bool),
) -> Result<SearchValues, Failure> {
    let zone = place.repository.zone();
    let kept = match is_head {
        true => indexing::values_of(place.view, stored.rid, zone).unwrap_or_default(),
        false => None,
    };
    match kept {
        Some(values) => Ok(values),
        None => Ok(extract(&tree(stored)?, zone)),
    }
}

/// A filter, `Type?criteria` with the criteria still encoded as in a URL.
pub(super) fn filter(text: &str, zone: &Zone) -> Result<Query, Failure> {
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    let query = query.split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let text = percent_decode_str(&text).decode_utf8_lossy();
        text.into_owned()
    };
    let pairs = query.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    });
    let pairs: Vec<(String, String)> = pairs.collect();
    let query = Query::parse(name, &pairs, Handling::Strict, zone);
    query.map_err(|issues| Failure::of(Category::Incorrect, issues))
}

/// Ids of the patients that are active members of a Group.
fn members(repository: &Repository, id: &str, seq: Seq) -> Result<HashSet<String>, Failure> {
    let snapshot = repository.store().snapshot()?;
    let view = snapshot.view();
    let key = ResourceKey {
        resource_type: "Group".to_owned(),
        id: id.to_owned(),
    };
    let head = view.head(&key)?;
    let stored = head
        .map(|head| snapshots::at(&view, head.rid, seq))
        .transpose()?
        .flatten();
    let Some((stored, _)) = stored else {
        return Ok(HashSet::new());
    };
    let group = tree(&stored)?;
    let active = group
        .items("member")
        .iter()
        .filter(|member| member.get("inactive") != Some(&Json::Bool(true)));
    let references = active.filter_map(|member| member.str_at(&["entity", "reference"]));
    Ok(references
        .filter_map(|reference| match Reference::parse(reference) {
            Reference::Literal {
                base: None,
                resource_type: "Patient",
                id,
                ..
            } => Some(id.to_owned()),
            _ => None,
        })
        .collect())
}

fn tree(stored: &StoredVersion) -> Result<Json, Failure> {
    let tree = parse(&stored.body, Limits::default());
    tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))
}
