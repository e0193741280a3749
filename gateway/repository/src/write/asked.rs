//! What a writer may ask for, and what it is told.

use super::super::review;
use fhir_mapping::model::Json;
use fhir_mapping::patch::Patch;
use fhir_mapping::search::Query;
use gateway_ground::failure::Failure;
use std::fmt;
use std::sync::Arc;
use store::{Origin, ResourceKey, RowWrite, VersionId};

/// Who asks for a write, for origin and audit.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Name of the token, device connection, target or reviewer.
    pub name: String,
    pub origin: Origin,
}

/// As the version that a write expects: there is no such resource, or no longer.
pub const NOTHING: VersionId = VersionId(0);

/// One write. Resources have been validated by the caller.
#[derive(Clone, Debug)]
pub enum Write {
    /// A new resource; the id is given here (the server's or, in a transaction, chosen before).
    Create {
        id: String,
        resource: Json,
        if_none_exist: Option<Query>,
    },
    /// Create or replace by id.
    Update {
        id: String,
        resource: Json,
        /// The version in whose place it comes; [`NOTHING`] where nothing may be.
        if_match: Option<VersionId>,
    },
    /// Replace the one resource that a search finds, or create when it finds none.
    UpdateWhere {
        /// The content's own id, or one made for the case that nothing is found.
        id: String,
        is_id_given: bool,
        resource: Json,
        query: Query,
        if_match: Option<VersionId>,
    },
    Delete {
        key: ResourceKey,
        if_match: Option<VersionId>,
    },
    /// Delete all that a search finds, or nothing when that is more than `most`.
    DeleteWhere {
        resource_type: String,
        query: Query,
        most: usize,
        if_match: Option<VersionId>,
    },
    /// Change parts of what is stored. One that names an older version is refused, but what it
    /// would have made waits in a review when the policy has a question about it.
    Patch {
        which: Which,
        patch: Patch,
        if_match: Option<VersionId>,
        check: Check,
    },
}

/// The resource that a patch is for.
#[derive(Clone, Debug)]
pub enum Which {
    Key(ResourceKey),
    /// The one that a search finds.
    Where {
        resource_type: String,
        query: Query,
    },
}

/// Judges content that only the writing transaction knows.
#[derive(Clone)]
pub struct Check {
    pub judge: Arc<Judge>,
    /// It may take seconds: never on the writer thread, nor on one that answers requests.
    pub is_long: bool,
}

type Judge = dyn Fn(&Json) -> Result<(), Failure> + Send + Sync;

impl Check {
    pub(super) fn run(&self, resource: &Json) -> Result<(), Failure> {
        (self.judge)(resource)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

/// What a write came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub kind: WrittenKind,
    pub key: ResourceKey,
    /// The head's version; 0 when a deletion found a key that was never written.
    pub version: VersionId,
    pub time_ms: i64,
    /// Exact JSON text as stored; empty after a deletion.
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenKind {
    Created,
    Updated,
    /// Content equal to the head (meta aside), or a deletion of what is not there: no version was made.
    Unchanged,
    /// A conditional create matched this one.
    Existed,
    Deleted,
}

/// Writes that stand or fall together, with the rows that must change in the same commit.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub actor: Actor,
    pub writes: Vec<Write>,
    pub rows: Vec<RowWrite>,
    /// Resolve `Type?query` references inside the same transaction.
    pub resolve_conditional_references: bool,
}

impl Write {
    /// Which resource this writes; for a conditional one the key it has when nothing is found.
    /// `None` when only a search tells.
    pub fn key(&self) -> Option<ResourceKey> {
        match self {
            Write::Create { id, resource, .. }
            | Write::Update { id, resource, .. }
            | Write::UpdateWhere { id, resource, .. } => Some(key_of(resource, id)),
            Write::Delete { key, .. } => Some(key.clone()),
            Write::Patch { which, .. } => match which {
                Which::Key(key) => Some(key.clone()),
                Which::Where { .. } => None,
            },
            Write::DeleteWhere { .. } => None,
        }
    }

    /// The content, where it is known beforehand.
    pub fn resource(&self) -> Option<&Json> {
        match self {
            Write::Create { resource, .. }
            | Write::Update { resource, .. }
            | Write::UpdateWhere { resource, .. } => Some(resource),
            Write::Delete { .. } | Write::DeleteWhere { .. } | Write::Patch { .. } => None,
        }
    }

    /// Whether preparing it may take seconds.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Write::Patch { check, .. } if check.is_long)
    }

    /// Calls `visit` with all that this write brings: its resource, or the values of its patch.
    pub(super) fn visit_trees(&self, visit: &mut impl FnMut(&Json)) {
        match self {
            Write::Patch { patch, .. } => patch.visit_values(visit),
            other => other.resource().into_iter().for_each(visit),
        }
    }

    /// Calls `rewrite` with the same, for changing it.
    pub fn rewrite_trees(&mut self, rewrite: &mut impl FnMut(&mut Json)) {
        match self {
            Write::Create { resource, .. }
            | Write::Update { resource, .. }
            | Write::UpdateWhere { resource, .. } => rewrite(resource),
            Write::Patch { patch, .. } => patch.rewrite_values(rewrite),
            Write::Delete { .. } | Write::DeleteWhere { .. } => {}
        }
    }

    /// Sets the id; takes away the mark of an open review, which is this server's to give.
    pub(super) fn prepare(&mut self) {
        if let Write::Create { id, resource, .. }
        | Write::Update { id, resource, .. }
        | Write::UpdateWhere { id, resource, .. } = self
        {
            if review::is_tagged(resource) {
                *resource = review::untagged(resource);
            }
            set_id(resource, id);
        }
    }
}

pub(super) fn key_of(resource: &Json, id: &str) -> ResourceKey {
    ResourceKey {
        resource_type: resource.resource_type().unwrap_or_default().to_owned(),
        id: id.to_owned(),
    }
}

pub(super) fn set_id(resource: &mut Json, id: &str) {
    if let Some(object) = resource.as_object_mut() {
        object.set_at(1, "id", id.into());
    }
}
