//! Reading by key.

use super::Repository;
use crate::failure::Failure;
use store::{ResourceKey, StoredVersion, VersionId};

/// What history and bundles say of a version besides its body.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionInfo {
    pub stored: StoredVersion,
    /// POST for the first version, PUT for later ones, DELETE for deletions.
    pub method: &'static str,
}

/// A page of an instance's history, newest first. Versions kept aside are part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    pub versions: Vec<VersionInfo>,
    pub total: u64,
    /// Continue before this version.
    pub next: Option<VersionId>,
}

impl Repository {
    /// The head. 404 when unknown, 410 when deleted.
    pub fn read(&self, _key: &ResourceKey) -> Result<StoredVersion, Failure> {
        unimplemented!()
    }

    /// One version, kept-aside ones included. 404 or 410 (a deletion).
    pub fn vread(&self, _key: &ResourceKey, _version: VersionId) -> Result<StoredVersion, Failure> {
        unimplemented!()
    }

    /// 404 when the key was never written.
    pub fn history(
        &self,
        _key: &ResourceKey,
        _before: Option<VersionId>,
        _count: usize,
    ) -> Result<HistoryPage, Failure> {
        unimplemented!()
    }
}
