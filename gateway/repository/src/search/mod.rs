//! Searching: candidates from posting lists, one evaluator, keyset pages.
//! Reading order: scan, candidates, judge, ground, since; then page, cursor, ordered, includes.

mod candidates;
mod counted;
mod cursor;
mod ground;
mod includes;
mod judge;
mod ordered;
mod page;
mod pending;
mod scan;
mod since;

#[cfg(test)]
mod tests;

pub(super) use counted::Counted;
pub use cursor::Cursor;
pub(super) use pending::{Made, Pending};
pub(super) use since::Kept;

use super::Repository;
use fhir_mapping::search::{Query, SearchValues, Total, Zone};
use gateway_ground::failure::Failure;
use ground::{Budget, Ground, Moment, TOO_COSTLY};
use judge::Judge;
use page::{Picked, Picker};
use scan::{Asked, Scan};
use std::sync::atomic::Ordering;
use store::{ResourceKey, Rid, Seq, StoredVersion, View};

/// A parsed search with its paging.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// One for each type that is searched; their result parameters are alike.
    pub queries: Vec<Query>,
    /// Matches on a page; 0 when only the total is asked.
    pub count: usize,
    /// Matches left out before the first page; counts only without `after`.
    pub offset: usize,
    pub after: Option<Cursor>,
    /// When the first page was asked, milliseconds since 1970.
    pub asked_ms: i64,
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
/// With more candidates than this, an estimate is not counted.
const COUNTED_ESTIMATE_MAX: u64 = 2_000;
/// Matches on a page that is made at once.
const AT_ONCE_MAX: usize = 64;
/// A page ends before its bodies are longer than this together; one match it always has.
const PAGE_BYTES_MAX: usize = 16 << 20;

impl SearchRequest {
    /// The first page of a search in one type.
    pub fn of(query: Query, count: usize) -> SearchRequest {
        SearchRequest {
            queries: vec![query],
            count,
            offset: 0,
            after: None,
            asked_ms: 0,
        }
    }
}

impl Repository {
    /// Sees every commit that was answered before. CPU bound: a long one belongs on a blocking thread.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchPage, Failure> {
        self.search_within(request, Budget::WHOLE)
    }

    /// The same when it is short; `None` when it reads more than some ten thousand resources.
    pub fn search_briefly(&self, request: &SearchRequest) -> Result<Option<SearchPage>, Failure> {
        self.search_if(request, Budget::BRIEF)
    }

    /// The same when it takes no longer than a few reads, which need no thread that may block; `None`
    /// when it reads more than some hundred resources.
    pub fn search_at_once(&self, request: &SearchRequest) -> Result<Option<SearchPage>, Failure> {
        let is_small = request.queries.len() == 1 && request.count <= AT_ONCE_MAX;
        if !is_small {
            return Ok(None);
        }
        let page = self.search_if(request, Budget::TINY)?;
        // Includes that were left out for want of budget are not.
        Ok(page.filter(|page| !page.includes_cut))
    }

    fn search_if(
        &self,
        request: &SearchRequest,
        budget: Budget,
    ) -> Result<Option<SearchPage>, Failure> {
        match self.search_within(request, budget) {
            Ok(page) => Ok(Some(page)),
            Err(failure) if failure.issues.iter().any(|i| i.number == TOO_COSTLY) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn search_within(
        &self,
        request: &SearchRequest,
        budget: Budget,
    ) -> Result<SearchPage, Failure> {
        // Asked before the snapshot is taken: what was whole then is whole in it.
        let is_whole = self.inner.is_index_whole.load(Ordering::SeqCst);
        let snapshot = self.inner.store.snapshot()?;
        let view = snapshot.view();
        let ground = Ground::now(view, self.zone(), budget)
            .trusting(is_whole)
            .remembering(&self.inner.counted, snapshot.moment());
        let Some(after) = &request.after else {
            let moment = ground.moment()?;
            return page_of(&ground, request, moment);
        };
        let moment = Moment {
            seq: Seq(after.seq),
            last_rid: Rid(after.last_rid),
        };
        let mut since = self.inner.moments.take(moment);
        let page = match since.read_on(&ground) {
            Ok(()) => page_of(&ground.at(&since), request, moment),
            Err(failure) => Err(failure),
        };
        self.inner.moments.put(since);
        page
    }
}

impl Repository {
    /// Does a resource with these values meet the query, other resources being as they are in this
    /// view? CPU bound, and refused where it reads more than a short search.
    pub fn holds(
        &self,
        view: &View<'_>,
        query: &Query,
        (rid, values): (Rid, &SearchValues),
    ) -> Result<bool, Failure> {
        let ground = Ground::now(*view, self.zone(), Budget::BRIEF);
        let judge = Judge::new(&ground);
        for condition in query.conditions() {
            if !judge.holds(condition, rid, values)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn page_of(
    ground: &Ground,
    request: &SearchRequest,
    moment: Moment,
) -> Result<SearchPage, Failure> {
    let (mut picked, total) = pick(ground, request)?;
    let mut matches = Vec::with_capacity(picked.places.len());
    let mut bytes = 0_usize;
    for (_, rid) in &picked.places {
        let Some(stored) = ground.shown(Rid(*rid))? else {
            continue;
        };
        bytes = bytes.saturating_add(stored.body.len());
        if bytes > PAGE_BYTES_MAX && !matches.is_empty() {
            picked.more = true;
            break;
        }
        matches.push(stored);
    }
    picked.places.truncate(matches.len());
    let rids: Vec<Rid> = picked.places.iter().map(|(_, rid)| Rid(*rid)).collect();
    let included = match request.queries.first() {
        Some(query) => includes::of(ground, query, &rids)?,
        None => return Ok(SearchPage::empty()),
    };
    let next = picked.places.pop().filter(|_| picked.more);
    Ok(SearchPage {
        matches,
        included: included.resources,
        includes_cut: included.is_cut,
        total,
        next: next.map(|(sort_key, rid)| Cursor {
            seq: moment.seq.0,
            last_rid: moment.last_rid.0,
            asked_ms: request.asked_ms,
            sort_key,
            rid,
            total,
        }),
    })
}

impl SearchPage {
    fn empty() -> SearchPage {
        SearchPage {
            matches: Vec::new(),
            included: Vec::new(),
            includes_cut: false,
            total: Some(0),
            next: None,
        }
    }
}

/// Finds the resources that conditional writes mean; all its searches share one budget.
pub(super) struct Finder<'t> {
    ground: Ground<'t>,
}

/// Rows that the searches of a transaction may read, and so many more for each of them: others wait
/// for the writer meanwhile.
const FOUND_ROWS_MAX: u64 = 100_000;
const FOUND_ROWS_EACH: u64 = 40;

impl<'t> Finder<'t> {
    /// For so many searches of what is stored.
    pub(super) fn new((view, zone): (View<'t>, &'t Zone), searches: usize) -> Finder<'t> {
        Finder {
            ground: Ground::now(view, zone, Finder::budget(searches)),
        }
    }

    /// For so many searches of what will be stored.
    pub(super) fn after(
        (view, zone): (View<'t>, &'t Zone),
        pending: &'t Pending,
        searches: usize,
    ) -> Finder<'t> {
        Finder {
            ground: Ground::after((view, zone), pending, Finder::budget(searches)),
        }
    }

    fn budget(searches: usize) -> Budget {
        let searches = u64::try_from(searches).unwrap_or(u64::MAX);
        Budget(FOUND_ROWS_MAX.saturating_add(searches.saturating_mul(FOUND_ROWS_EACH)))
    }

    /// Keys of the first `limit` resources that match.
    pub(super) fn keys(&self, query: &Query, limit: usize) -> Result<Vec<ResourceKey>, Failure> {
        let judge = Judge::new(&self.ground);
        let mut scan = Scan::new(&judge, Asked::of(query))?;
        let mut keys = Vec::new();
        while keys.len() < limit {
            let Some((_, values)) = scan.next()? else {
                break;
            };
            let (resource_type, id) = values.key();
            keys.push(ResourceKey {
                resource_type: resource_type.to_owned(),
                id: id.to_owned(),
            });
        }
        Ok(keys)
    }
}

/// The page's matches, and the total where it is known.
fn pick(ground: &Ground, request: &SearchRequest) -> Result<(Picked, Option<u64>), Failure> {
    let judge = Judge::new(ground);
    let offset = match request.after {
        None => request.offset,
        Some(_) => 0,
    };
    let mut picker = Picker::new(offset, request.count, request.after.as_ref());
    let mut total = Some(0_u64);
    for query in &request.queries {
        let counted = pick_from(&judge, (query, request), &mut picker)?;
        total = total.zip(counted).map(|(total, counted)| total + counted);
    }
    let total = match &request.after {
        Some(after) => after.total,
        None => total.filter(|_| {
            request
                .queries
                .first()
                .is_none_or(|q| q.total() != Total::None || q.is_count_only())
        }),
    };
    Ok((picker.finish(), total))
}

/// Offers the matches of one type; answers how many there are, where that is known.
fn pick_from(
    judge: &Judge,
    (query, request): (&Query, &SearchRequest),
    picker: &mut Picker,
) -> Result<Option<u64>, Failure> {
    let ground = judge.ground;
    let whole_type = match query.is_unrestricted() && ground.is_now() {
        true => Some(ground.count_of(query.resource_type())?),
        false => None,
    };
    if let Some(whole) = whole_type.filter(|whole| request.count == 0 || *whole == 0) {
        return Ok(Some(whole));
    }
    let looks = query.looks();
    let mut scan = Scan::new(judge, Asked::of(query))?.looking(&looks);
    if let Some(after) = request.after.as_ref().filter(|a| a.sort_key.is_empty()) {
        scan.at = Rid(after.rid.saturating_add(1));
    }
    let estimate = estimate(query, request, scan.count_max());
    let counts = request.after.is_none()
        && whole_type.is_none()
        && estimate.is_none()
        && (query.wants_total() || scan.count_max() <= COUNTED_UNASKED_MAX);
    if !counts
        && scan.count_max() > ordered::LARGE
        && query.is_own()
        && ground.trust()?.is_whole()
        && let Some(order) = query.date_order()
    {
        ordered::offer(judge, (query, &order), picker)?;
        return Ok(whole_type.or(estimate));
    }
    let before = picker.matched;
    while let Some((rid, values)) = scan.next()? {
        let key = query.sort_key(&values);
        let is_past = key.is_none()
            && picker
                .last()
                .is_some_and(|(key, last)| key.is_empty() && *last < rid.0);
        if is_past && !counts {
            return Ok(whole_type.or(estimate));
        }
        picker.offer(rid, key);
    }
    Ok(whole_type.or(estimate).or(Some(picker.matched - before)))
}

/// The total of `_total=estimate` when counting would take long: no more than this match.
fn estimate(query: &Query, request: &SearchRequest, count_max: u64) -> Option<u64> {
    let is_asked = query.total() == Total::Estimate && request.count > 0;
    (is_asked && count_max > COUNTED_ESTIMATE_MAX).then_some(count_max)
}
