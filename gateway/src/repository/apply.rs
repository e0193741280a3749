//! Applying an incoming change from a target: three-way merge inside the writing transaction.

use super::Repository;
use crate::failure::Failure;
use fhir_mapping::model::Json;
use store::{ResourceKey, RowWrite, VersionId};

/// A change that a target sent.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Number of the target (its place in the configuration).
    pub target: u16,
    pub target_name: String,
    /// Our key of the resource.
    pub key: ResourceKey,
    /// `None` is a deletion.
    pub resource: Option<Json>,
    /// Version that both sides last agreed on, if any.
    pub base: Option<VersionId>,
    /// Hybrid time of the incoming change (from `meta.lastUpdated` when the target has none).
    pub hlc: u64,
    /// Rows (shadow, checkpoint) to write in the same commit. `{version}` of the shadow is given by
    /// `shadow_row`, called with the version that holds the incoming content.
    pub rows: Vec<RowWrite>,
    pub shadow_row: Option<fn(&Incoming, VersionId) -> RowWrite>,
    /// Remote version, for the shadow.
    pub remote_version: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// Nothing new in it.
    AlreadyHave,
    /// It is the new head.
    Taken(VersionId),
    /// Kept aside; local is the head.
    KeptLocal(VersionId),
    /// Merged by policy into a new head.
    Merged {
        incoming: VersionId,
        head: VersionId,
    },
    /// A person must decide; the Task's id.
    Asked {
        incoming: VersionId,
        head: VersionId,
        task: String,
    },
}

impl Repository {
    /// Applies one incoming change: the incoming version is kept in every case, and a question to a
    /// person opens (or renews) its review Task in the same commit.
    pub async fn apply(&self, _incoming: Incoming) -> Result<Applied, Failure> {
        unimplemented!()
    }
}
