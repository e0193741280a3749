//! Writing: every interaction that changes something is a list of writes in one transaction.

use super::Repository;
use crate::failure::Failure;
use fhir_mapping::model::Json;
use fhir_mapping::search::Query;
use store::{Committed, Origin, ResourceKey, RowWrite, VersionId};

/// Who asks for a write, for origin and audit.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Name of the token, device connection, target or reviewer.
    pub name: String,
    pub origin: Origin,
}

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
        if_match: Option<VersionId>,
    },
    Delete {
        key: ResourceKey,
        if_match: Option<VersionId>,
    },
}

/// What a write came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub kind: WrittenKind,
    pub key: ResourceKey,
    pub version: VersionId,
    pub time_ms: i64,
    /// Exact JSON text as stored; empty after a deletion.
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenKind {
    Created,
    Updated,
    /// Content equal to the head (meta aside): no version was made.
    Unchanged,
    /// If-None-Exist matched this one.
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

impl Repository {
    /// Commits. In one store transaction: matches If-None-Exist and conditional references, checks
    /// If-Match, numbers versions, stamps meta, indexes, logs, audits. A failure of a write is
    /// returned with its index in the list.
    pub async fn write(
        &self,
        _transaction: Transaction,
    ) -> Result<(Vec<Written>, Committed), (usize, Failure)> {
        unimplemented!()
    }
}
