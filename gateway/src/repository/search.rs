//! Searching: candidates from posting lists, one evaluator, keyset pages.

use super::Repository;
use crate::failure::Failure;
use fhir_mapping::search::{Query, Zone};
use store::{ResourceKey, StoredVersion, View};

/// Where the next page goes on: after this sort key and rid. Its text is opaque to clients and
/// carries a check (HMAC or digest), so a damaged cursor is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub sort_key: Vec<u8>,
    pub rid: u64,
    pub total: Option<u64>,
}

/// A parsed search with its paging.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    pub resource_type: String,
    pub query: Query,
    pub count: usize,
    pub after: Option<Cursor>,
    pub with_total: bool,
}

/// One page: matches in order, then the resources they include.
#[derive(Clone, Debug)]
pub struct SearchPage {
    pub matches: Vec<StoredVersion>,
    pub included: Vec<StoredVersion>,
    /// True when includes were cut at the bound (the bundle then says so).
    pub includes_cut: bool,
    pub total: Option<u64>,
    /// `None` when no further match exists.
    pub next: Option<Cursor>,
}

impl Repository {
    pub fn search(&self, _request: &SearchRequest) -> Result<SearchPage, Failure> {
        unimplemented!()
    }
}

/// Keys of the first `limit` resources that match.
pub(super) fn matching_keys(
    _view: &View<'_>,
    _query: &Query,
    _zone: &Zone,
    _limit: usize,
) -> Result<Vec<ResourceKey>, Failure> {
    unimplemented!()
}
