//! Carrying out an export: one walk over all resources in short steps, which lists what belongs
//! into which file. <https://hl7.org/fhir/uv/bulkdata/STU2/export.html>

use super::rids::RidList;
use super::wanted::{self, Place, Wanted};
use super::{File, FileKind, Files, State, snapshots};
use crate::Repository;
use fhir_mapping::model::{Issue, IssueCode, format};
use fhir_mapping::search::Zone;
use gateway_ground::failure::{Category, Failure, outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{Rid, Seq, StoreError, StoredVersion, View};
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
    /// Elements that are wanted, as `name` or `Patient.name`, besides mandatory ones; empty means all.
    #[serde(default)]
    pub elements: Vec<String>,
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
/// A file ends with so many resources: one that breaks off on a bad link is not the whole type again.
const FILE_RESOURCES_MAX: u64 = 50_000;
/// How the state shows progress: no more often than every so many steps.
const TOLD_EVERY: u64 = 20;
/// Resources that cannot be read and are told one by one.
const DAMAGED_MAX: usize = 1_000;

impl ExportOrder {
    /// Refuses filters that cannot be carried out.
    pub fn check(&self, zone: &Zone) -> Result<(), Failure> {
        self.filters.iter().try_for_each(|text| {
            let query = wanted::filter(text, zone)?;
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
    wanted: Wanted,
    at: u64,
    open: BTreeMap<(FileKind, String), Open>,
    files: Files,
    damaged: Vec<Rid>,
}

/// A file that is being filled.
#[derive(Default)]
struct Open {
    rids: RidList,
    count: u64,
}

impl Walk {
    fn of(repository: &Repository, order: ExportOrder) -> Result<Walk, Failure> {
        Ok(Walk {
            wanted: Wanted::of(repository, order)?,
            at: 0,
            open: BTreeMap::new(),
            files: Vec::new(),
            damaged: Vec::new(),
        })
    }

    /// Looks at the next resources; true when none is left.
    fn step(&mut self, repository: &Repository) -> Result<bool, Failure> {
        let snapshot = repository.store().snapshot()?;
        let view = snapshot.view();
        let rid_max = self.wanted.order().rid_max;
        let end = self.at.saturating_add(STEP).min(rid_max);
        while self.at < end {
            self.at += 1;
            self.look(repository, &view, Rid(self.at))?;
        }
        Ok(self.at >= rid_max)
    }

    fn look(&mut self, repository: &Repository, view: &View<'_>, rid: Rid) -> Result<(), Failure> {
        let place = Place { repository, view };
        let (stored, is_head) = match snapshots::stand(view, rid, Seq(self.wanted.order().seq)) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            // Damage to one resource is told, and keeps back no other.
            Err(StoreError::Corrupt { .. }) => {
                if self.damaged.len() < DAMAGED_MAX {
                    self.damaged.push(rid);
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if stored.deleted {
            if self.wanted.misses(place, &stored)? {
                self.add((FileKind::Deleted, "Bundle"), &stored);
            }
        } else if self.wanted.takes(place, (&stored, is_head))? {
            self.add((FileKind::Output, &stored.key.resource_type), &stored);
        }
        Ok(())
    }

    fn add(&mut self, (kind, name): (FileKind, &str), stored: &StoredVersion) {
        let file = (kind, name.to_owned());
        let open = self.open.entry(file.clone()).or_default();
        open.rids.push(stored.rid);
        open.count += 1;
        if open.count >= FILE_RESOURCES_MAX
            && let Some(full) = self.open.remove(&file)
        {
            self.files.push(closed(file, full));
        }
    }

    fn percent(&self) -> u8 {
        let rid_max = self.wanted.order().rid_max.max(1);
        let hundredths = self.at.saturating_mul(100) / rid_max;
        u8::try_from(hundredths.min(99)).unwrap_or(99)
    }

    /// All files, by kind and type.
    fn finish(mut self) -> Files {
        let open = std::mem::take(&mut self.open).into_iter();
        self.files
            .extend(open.map(|(file, open)| closed(file, open)));
        if !self.damaged.is_empty() {
            let lines: String = self.damaged.iter().map(|rid| damage(*rid)).collect();
            let file = File {
                resource_type: "OperationOutcome".to_owned(),
                count: u64::try_from(self.damaged.len()).unwrap_or(u64::MAX),
                kind: FileKind::Error,
            };
            self.files.push((file, lines.into_bytes()));
        }
        let place = |file: &File| (file.kind, file.resource_type.clone());
        self.files.sort_by_key(|(file, _)| place(file));
        self.files
    }
}

fn closed((kind, resource_type): (FileKind, String), open: Open) -> (File, Vec<u8>) {
    let file = File {
        resource_type,
        count: open.count,
        kind,
    };
    (file, open.rids.into_bytes())
}

/// A line of the file of errors.
fn damage(rid: Rid) -> String {
    let text = std::format!(
        "resource number {} of the store is damaged and left out; run wayside verify",
        rid.0
    );
    let issue = Issue::error("E-EXPORT-3", IssueCode::Exception, "", text);
    format(&outcome(&[issue])) + "\n"
}

fn stopped() -> Failure {
    let text = "the export stopped unexpectedly";
    Failure::new(Category::Fault, "E-JOB-3", IssueCode::Exception, text)
}
