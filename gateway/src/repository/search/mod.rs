//! Searching: candidates from posting lists, one evaluator, keyset pages.

mod candidates;
mod cursor;
mod includes;
mod page;

pub use cursor::Cursor;

use super::{Repository, indexing};
use crate::failure::Failure;
use candidates::Intersection;
use fhir_mapping::search::{Query, SearchValues, Zone};
use page::{Picked, Picker};
use store::{ResourceKey, Rid, StoreError, StoredVersion, View};

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
    /// The same on every page: counted for the first one.
    pub total: Option<u64>,
    /// `None` when no further match exists.
    pub next: Option<Cursor>,
}

/// With no more candidates than this, matches are counted unasked.
const COUNTED_UNASKED_MAX: u64 = 500;

impl Repository {
    /// Sees every commit that was answered before. CPU bound: a long one belongs on a blocking thread.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchPage, Failure> {
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let (picked, total) = pick(&view, request, self.zone())?;
        let (included, includes_cut) =
            includes::of(&view, &request.query, &picked.rids, self.zone())?;
        let mut matches = Vec::with_capacity(picked.rids.len());
        for rid in &picked.rids {
            matches.extend(head_version(&view, *rid)?);
        }
        Ok(SearchPage {
            matches,
            included,
            includes_cut,
            total,
            next: picked.next.map(|(sort_key, rid)| Cursor {
                sort_key,
                rid,
                total,
            }),
        })
    }
}

/// Keys of the first `limit` resources that match.
pub(super) fn matching_keys(
    view: &View<'_>,
    query: &Query,
    zone: &Zone,
    limit: usize,
) -> Result<Vec<ResourceKey>, Failure> {
    let mut scan = Scan::new(view, query, zone)?;
    let mut keys = Vec::new();
    while keys.len() < limit {
        let Some((rid, _)) = scan.next()? else { break };
        keys.extend(head_version(view, rid)?.map(|stored| stored.key));
    }
    Ok(keys)
}

/// The page's matches, and the total where it is known.
fn pick(
    view: &View<'_>,
    request: &SearchRequest,
    zone: &Zone,
) -> Result<(Picked, Option<u64>), Failure> {
    let mut scan = Scan::new(view, &request.query, zone)?;
    let counts = match &request.after {
        None => request.with_total || scan.candidates.count_max() <= COUNTED_UNASKED_MAX,
        Some(_) => false,
    };
    if let Some(after) = request
        .after
        .as_ref()
        .filter(|after| after.sort_key.is_empty())
    {
        scan.at = Rid(after.rid.saturating_add(1));
    }
    let mut picker = Picker::new(request.count, request.after.as_ref());
    let mut is_whole = false;
    while !is_whole && (counts || !picker.is_full()) {
        match scan.next()? {
            Some((rid, values)) => picker.offer(rid, request.query.sort_key(&values)),
            None => is_whole = true,
        }
    }
    let picked = picker.finish();
    let total = match &request.after {
        Some(after) => after.total,
        None => Some(picked.matched).filter(|_| is_whole),
    };
    Ok((picked, total))
}

/// Matches in the store's order.
struct Scan<'v, 't> {
    view: &'v View<'t>,
    query: &'v Query,
    zone: &'v Zone,
    candidates: Intersection<'v>,
    at: Rid,
}

impl<'v, 't> Scan<'v, 't> {
    fn new(
        view: &'v View<'t>,
        query: &'v Query,
        zone: &'v Zone,
    ) -> Result<Scan<'v, 't>, StoreError> {
        Ok(Scan {
            view,
            query,
            zone,
            candidates: Intersection::of(view, query)?,
            at: Rid(0),
        })
    }

    fn next(&mut self) -> Result<Option<(Rid, SearchValues)>, StoreError> {
        while let Some(rid) = self.candidates.seek(self.at)? {
            self.at = Rid(rid.0.saturating_add(1));
            if let Some(values) = indexing::values_of(self.view, rid, self.zone)?
                && self.query.matches(&values)
            {
                return Ok(Some((rid, values)));
            }
        }
        Ok(None)
    }
}

fn head_version(view: &View<'_>, rid: Rid) -> Result<Option<StoredVersion>, StoreError> {
    match view.head_of(rid)?.filter(|head| !head.deleted) {
        Some(head) => view.version(rid, head.version),
        None => Ok(None),
    }
}
