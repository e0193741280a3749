//! Carrying out an export: one walk over all resources in short steps, which lists what belongs
//! into which file. <https://hl7.org/fhir/uv/bulkdata/STU2/export.html>

use super::{File, Files, State, snapshots};
use crate::{Repository, indexing};
use fhir_mapping::compartment;
use fhir_mapping::model::{IssueCode, Json, Limits, Reference, parse};
use fhir_mapping::search::{Handling, Query, SearchValues, Zone, extract};
use gateway_ground::failure::{Category, Failure};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use store::{ResourceKey, Rid, Seq, StoredVersion, View};
use uuid::Uuid;

/// What is exported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportOrder {
    pub scope: Scope,
    /// Empty means all types.
    pub types: Vec<String>,
    /// Only what was written after this (milliseconds since 1970-01-01T00:00:00Z).
    pub since_ms: Option<i64>,
    /// `Type?criteria`: of a type that is named here, only what one of its criteria finds. Asks only
    /// what a resource's own values decide.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Ids of the only patients that are wanted; empty means all of the scope.
    #[serde(default)]
    pub patients: Vec<String>,
    /// The state of the site that is exported; set when the job starts.
    pub seq: u64,
    pub rid_max: u64,
}

/// Whose resources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Scope {
    Site,
    /// All patients and their compartments.
    Patients,
    /// The members of the Group with this id and their compartments.
    Group(String),
}

/// Resources looked at in one step, with one short snapshot.
const STEP: u64 = 512;
/// A file ends with so many resources, or before so many bytes.
const FILE_RESOURCES_MAX: u64 = 10_000;
const FILE_BYTES_MAX: usize = 8 << 20;
/// How the state shows progress: no more often than every so many steps.
const TOLD_EVERY: u64 = 20;

impl ExportOrder {
    /// Refuses filters that cannot be carried out.
    pub fn check(&self, zone: &Zone) -> Result<(), Failure> {
        self.filters.iter().try_for_each(|text| {
            let query = filter(text, zone)?;
            let is_asked = self.types.is_empty()
                || self.types.iter().any(|name| name == query.resource_type());
            if is_asked {
                return Ok(());
            }
            let text = "a _typeFilter is for a type that _type leaves out";
            let code = IssueCode::Value;
            Err(Failure::new(Category::Incorrect, "E-EXPORT-2", code, text))
        })
    }
}

impl Repository {
    /// Carries a job out, from its start: the walk gives the same files each time.
    pub async fn export(&self, id: Uuid) -> Result<(), Failure> {
        let Some(order) = self.job_order(&id)? else {
            return Ok(());
        };
        let mut walk = Walk::of(self, order)?;
        let mut steps = 0_u64;
        loop {
            let repository = self.clone();
            let stepped = tokio::task::spawn_blocking(move || {
                let is_done = walk.step(&repository)?;
                Ok::<_, Failure>((walk, is_done))
            });
            let is_done;
            (walk, is_done) = stepped.await.map_err(|_panicked| stopped())??;
            if is_done {
                break;
            }
            steps += 1;
            if steps % TOLD_EVERY == 1 {
                let percent = walk.percent();
                let running = State::Running { percent };
                if !self.set_job(id, running, Files::new()).await? {
                    return Ok(());
                }
            }
        }
        let ended_ms = self.clock().now_ms();
        self.set_job(id, State::Done { ended_ms }, walk.finish())
            .await?;
        Ok(())
    }
}

/// A walk under way.
struct Walk {
    order: ExportOrder,
    /// Of a Group's members; `None` for every patient.
    patients: Option<HashSet<String>>,
    filters: Vec<Query>,
    at: u64,
    open: BTreeMap<String, Open>,
    files: Files,
}

/// A file that is being filled.
#[derive(Default)]
struct Open {
    rids: Vec<u8>,
    last: u64,
    count: u64,
    bytes: usize,
}

impl Walk {
    fn of(repository: &Repository, order: ExportOrder) -> Result<Walk, Failure> {
        let patients = match &order.scope {
            Scope::Group(id) => Some(members(repository, id, Seq(order.seq))?),
            Scope::Site | Scope::Patients => None,
        };
        let chosen: HashSet<String> = order.patients.iter().cloned().collect();
        let patients = match patients {
            _ if chosen.is_empty() => patients,
            None => Some(chosen),
            Some(members) => Some(&members & &chosen),
        };
        let filters = order.filters.iter();
        let filters = filters.map(|text| filter(text, repository.zone()));
        Ok(Walk {
            filters: filters.collect::<Result<_, _>>()?,
            order,
            patients,
            at: 0,
            open: BTreeMap::new(),
            files: Vec::new(),
        })
    }

    /// Looks at the next resources; true when none is left.
    fn step(&mut self, repository: &Repository) -> Result<bool, Failure> {
        let snapshot = repository.store().snapshot()?;
        let view = snapshot.view();
        let end = self.at.saturating_add(STEP).min(self.order.rid_max);
        while self.at < end {
            self.at += 1;
            let rid = Rid(self.at);
            let Some((stored, is_head)) = snapshots::at(&view, rid, Seq(self.order.seq))? else {
                continue;
            };
            if !self.wants(&stored) {
                continue;
            }
            let values = || values(repository, (&view, is_head), &stored);
            if self.is_in_scope(&stored, &values)? && self.passes(&stored, &values)? {
                self.add(&stored);
            }
        }
        Ok(self.at >= self.order.rid_max)
    }

    fn wants(&self, stored: &StoredVersion) -> bool {
        let types = &self.order.types;
        let is_type = types.is_empty() || types.contains(&stored.key.resource_type);
        is_type
            && self
                .order
                .since_ms
                .is_none_or(|since| stored.time_ms > since)
    }

    /// Is it found by a filter of its type, if there is one?
    fn passes(
        &self,
        stored: &StoredVersion,
        values: &dyn Fn() -> Result<SearchValues, Failure>,
    ) -> Result<bool, Failure> {
        let name = stored.key.resource_type.as_str();
        let mut filters = self.filters.iter();
        if filters.all(|filter| filter.resource_type() != name) {
            return Ok(true);
        }
        let values = values()?;
        Ok(self.filters.iter().any(|filter| filter.matches(&values)))
    }

    fn is_in_scope(
        &self,
        stored: &StoredVersion,
        values: &dyn Fn() -> Result<SearchValues, Failure>,
    ) -> Result<bool, Failure> {
        if self.order.scope == Scope::Site {
            return Ok(true);
        }
        let name = stored.key.resource_type.as_str();
        if name == "Patient" {
            return Ok(self.is_patient(&stored.key.id));
        }
        let Some(parameters) = compartment::parameters("Patient", name) else {
            return Ok(false);
        };
        let values = values()?;
        let refers = |values: &SearchValues, parameter: &str| {
            let targets = values.references(parameter);
            let mut targets = targets.iter();
            targets.any(|(kind, id)| kind == "Patient" && self.is_patient(id))
        };
        Ok(parameters
            .iter()
            .any(|parameter| refers(&values, parameter)))
    }

    fn is_patient(&self, id: &str) -> bool {
        self.patients
            .as_ref()
            .is_none_or(|patients| patients.contains(id))
    }

    fn add(&mut self, stored: &StoredVersion) {
        let name = &stored.key.resource_type;
        let size = stored.body.len() + 1;
        let open = self.open.entry(name.clone()).or_default();
        let is_full = open.count >= FILE_RESOURCES_MAX
            || (open.count > 0 && open.bytes + size > FILE_BYTES_MAX);
        if is_full {
            let full = std::mem::take(open);
            self.files.push(closed(name, full));
        }
        let open = self.open.entry(name.clone()).or_default();
        push_number(&mut open.rids, stored.rid.0 - open.last);
        open.last = stored.rid.0;
        open.count += 1;
        open.bytes += size;
    }

    fn percent(&self) -> u8 {
        let hundredths = self.at.saturating_mul(100) / self.order.rid_max.max(1);
        u8::try_from(hundredths.min(99)).unwrap_or(99)
    }

    /// All files, by type.
    fn finish(mut self) -> Files {
        let open = std::mem::take(&mut self.open);
        self.files
            .extend(open.into_iter().map(|(name, open)| closed(&name, open)));
        self.files
            .sort_by(|(a, _), (b, _)| a.resource_type.cmp(&b.resource_type));
        self.files
    }
}

/// Search values of a version, kept ones of the head.
fn values(
    repository: &Repository,
    (view, is_head): (&View<'_>, bool),
    stored: &StoredVersion,
) -> Result<SearchValues, Failure> {
    let kept = match is_head {
        true => indexing::values_of(view, stored.rid, repository.zone())?,
        false => None,
    };
    match kept {
        Some(values) => Ok(values),
        None => Ok(extract(&tree(stored)?, repository.zone())),
    }
}

/// A filter, `Type?criteria` with the criteria still encoded as in a URL.
fn filter(text: &str, zone: &Zone) -> Result<Query, Failure> {
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

fn closed(name: &str, open: Open) -> (File, Vec<u8>) {
    let file = File {
        resource_type: name.to_owned(),
        count: open.count,
    };
    (file, open.rids)
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// The rids of a list.
pub(super) fn rids(list: &[u8]) -> impl Iterator<Item = Rid> {
    let mut bytes = list.iter();
    let mut last = 0_u64;
    std::iter::from_fn(move || {
        let (mut number, mut shift) = (0_u64, 0_u32);
        loop {
            let byte = *bytes.next()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            shift += 7;
            if byte & 0x80 == 0 {
                last = last.saturating_add(number);
                return Some(Rid(last));
            }
        }
    })
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

fn stopped() -> Failure {
    let text = "the export stopped unexpectedly";
    Failure::new(Category::Fault, "E-JOB-3", IssueCode::Exception, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_rids_come_back() {
        let given = [1, 2, 129, 130, 20_000, 20_001, u64::MAX / 2];
        let (mut list, mut last) = (Vec::new(), 0);
        for rid in given {
            push_number(&mut list, rid - last);
            last = rid;
        }
        let found: Vec<u64> = rids(&list).map(|rid| rid.0).collect();
        assert_eq!(found, given);
        assert_eq!(rids(&[]).count(), 0);
        assert_eq!(rids(&[0x80]).count(), 0, "a cut list");
    }
}
