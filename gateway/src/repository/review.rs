//! Reviews: conflicts that wait for a person. Each is a FHIR Task and a row that binds it.

use super::{Actor, Repository};
use crate::failure::Failure;
use fhir_mapping::conflict::{Decision, ElementConflict};
use fhir_mapping::model::Json;
use store::{ResourceKey, VersionId};

/// One open or closed review with all that a person needs to see.
#[derive(Clone, Debug)]
pub struct ReviewView {
    pub task_id: String,
    pub task_version: VersionId,
    pub focus: ResourceKey,
    pub base: Option<(VersionId, Json)>,
    pub local: (VersionId, Json),
    pub incoming: (VersionId, Option<Json>),
    pub conflicts: Vec<ElementConflict>,
    pub target_name: String,
    pub opened_ms: i64,
    pub is_open: bool,
}

/// What a reviewer says.
#[derive(Clone, Debug)]
pub struct ReviewDecision {
    pub decision: Decision,
    pub rationale: String,
    /// Version of the Task the reviewer saw; stale answers 412.
    pub if_match: VersionId,
}

impl Repository {
    /// Open reviews, most urgent first, then oldest; at most `limit`.
    pub fn reviews(&self, _limit: usize) -> Result<Vec<ReviewView>, Failure> {
        unimplemented!()
    }

    /// 404 when no such review is known.
    pub fn review(&self, _task_id: &str) -> Result<ReviewView, Failure> {
        unimplemented!()
    }

    /// Writes the decided version, completes the Task, records Provenance and audit, all in one
    /// commit. Gives the decided resource's version.
    pub async fn decide(
        &self,
        _actor: &Actor,
        _task_id: &str,
        _decision: ReviewDecision,
    ) -> Result<VersionId, Failure> {
        unimplemented!()
    }
}
