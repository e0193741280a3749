//! Code systems, value sets and concept maps of this site, with R4's own behind them.

use super::{Repository, search};
use fhir_mapping::model::{Issue, IssueCode, Json, Limits, parse};
use fhir_mapping::search::{Handling, Query, Zone};
use fhir_mapping::terminology::library::split_canonical;
use fhir_mapping::terminology::{Base, CodeSystem, ConceptMap, Library, Terminology, ValueSet};
use gateway_ground::failure::{Category, Failure};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use store::{ResourceKey, Rid, StoredVersion, VersionId, View};

/// Code systems as last read: a large one takes long to read and seldom changes.
#[derive(Default)]
pub(super) struct Cache {
    systems: Mutex<HashMap<(Rid, VersionId), Arc<CodeSystem>>>,
    names: Mutex<HashMap<(Rid, VersionId), Named>>,
}

/// URL and version of a definition.
type Named = (String, Option<String>);

/// Code systems kept; with one more, all are read anew.
const CACHED_MAX: usize = 64;
/// Versions of one definition that are compared.
const VERSIONS_MAX: usize = 32;
/// Concept maps looked through when none is named.
const MAPS_MAX: usize = 64;

impl Repository {
    /// URL and version of the code systems that this site holds, the first `limit` of them. Reads
    /// each one once: for a blocking thread.
    pub fn code_systems(&self, limit: usize) -> Result<Vec<Named>, Failure> {
        let heads = self.heads("CodeSystem", limit)?;
        let lock = || {
            let names = self.inner.terminology.names.lock();
            names.unwrap_or_else(PoisonError::into_inner)
        };
        let known = std::mem::take(&mut *lock());
        let (snapshot, mut names) = (self.store().snapshot()?, HashMap::new());
        let view = snapshot.view();
        for head in heads {
            let place = (head.rid, head.version);
            let named = match known.get(&place) {
                Some(named) => Some(named.clone()),
                None => named(view.version(place.0, place.1)?)?,
            };
            names.extend(named.map(|named| (place, named)));
        }
        let mut all: Vec<Named> = names.values().cloned().collect();
        all.sort_unstable();
        *lock() = names;
        Ok(all)
    }

    /// Judges codes in one snapshot. CPU bound: for a blocking thread.
    pub fn with_terminology<T>(
        &self,
        ask: impl FnOnce(&Terminology<'_>) -> Result<T, Issue>,
    ) -> Result<T, Failure> {
        let snapshot = self.store().snapshot()?;
        let library = Shelf {
            view: snapshot.view(),
            zone: self.zone(),
            cache: &self.inner.terminology,
        };
        ask(&Terminology::new(&library)).map_err(refused)
    }
}

/// One without a URL cannot be asked for.
fn named(stored: Option<StoredVersion>) -> Result<Option<Named>, Failure> {
    let tree = stored.as_ref().map(tree).transpose()?;
    let text = |name: &str| tree.as_ref()?.str_at(&[name]).map(str::to_owned);
    Ok(text("url").map(|url| (url, text("version"))))
}

/// A finding about definitions as an answer.
fn refused(issue: Issue) -> Failure {
    let category = match issue.code {
        IssueCode::NotFound => Category::NotFound,
        IssueCode::Exception => Category::Fault,
        _ => Category::Unprocessable,
    };
    Failure::of(category, vec![issue])
}

/// Definitions as one snapshot has them.
pub(super) struct Shelf<'v> {
    pub(super) view: View<'v>,
    pub(super) zone: &'v Zone,
    pub(super) cache: &'v Cache,
}

impl Shelf<'_> {
    /// The newest active one of those with that URL and, if named, that version.
    fn find(&self, kind: &str, canonical: &str) -> Result<Option<StoredVersion>, Failure> {
        if let Some(id) = canonical
            .strip_prefix(kind)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            return self.read(&ResourceKey {
                resource_type: kind.to_owned(),
                id: id.to_owned(),
            });
        }
        if let Some(found) = self.newest(kind, canonical, None)? {
            return Ok(Some(found));
        }
        match split_canonical(canonical) {
            (url, Some(version)) => self.newest(kind, url, Some(version)),
            _ => Ok(None),
        }
    }

    /// Where a definition is, and how to read it.
    #[allow(clippy::type_complexity)]
    pub(super) fn definition(
        &self,
        kind: &str,
        canonical: &str,
    ) -> Result<Option<((Rid, VersionId), impl Fn() -> Result<Json, Failure> + use<>)>, Failure>
    {
        let stored = self.find(kind, canonical)?;
        Ok(stored.map(|stored| ((stored.rid, stored.version), move || tree(&stored))))
    }

    fn newest(
        &self,
        kind: &str,
        url: &str,
        version: Option<&str>,
    ) -> Result<Option<StoredVersion>, Failure> {
        let mut best: Option<((bool, i64), StoredVersion)> = None;
        for key in self.keys(kind, &[("url", url)], VERSIONS_MAX)? {
            let Some(stored) = self.read(&key)? else {
                continue;
            };
            let tree = tree(&stored)?;
            if version.is_some() && tree.str_at(&["version"]) != version {
                continue;
            }
            let rank = (tree.str_at(&["status"]) == Some("active"), stored.time_ms);
            if best.as_ref().is_none_or(|(known, _)| rank > *known) {
                best = Some((rank, stored));
            }
        }
        Ok(best.map(|(_, stored)| stored))
    }

    fn read(&self, key: &ResourceKey) -> Result<Option<StoredVersion>, Failure> {
        match self.view.head(key)?.filter(|head| !head.deleted) {
            Some(head) => Ok(self.view.version(head.rid, head.version)?),
            None => Ok(None),
        }
    }

    fn keys(
        &self,
        kind: &str,
        criteria: &[(&str, &str)],
        limit: usize,
    ) -> Result<Vec<ResourceKey>, Failure> {
        let pairs = criteria.iter();
        let pairs: Vec<(String, String)> = pairs
            .map(|(name, value)| ((*name).to_owned(), escaped(value)))
            .collect();
        let query = Query::parse(kind, &pairs, Handling::Strict, self.zone);
        let query = query.map_err(|issues| Failure::of(Category::Incorrect, issues))?;
        search::Finder::new((self.view, self.zone), 1).keys(&query, limit)
    }

    fn made<T>(
        &self,
        kind: &str,
        canonical: &str,
        make: fn(&Json) -> T,
    ) -> Result<Option<Arc<T>>, Issue> {
        let stored = self.find(kind, canonical).map_err(first_issue)?;
        let made = stored.map(|stored| tree(&stored).map(|tree| Arc::new(make(&tree))));
        made.transpose().map_err(first_issue)
    }
}

impl Library for Shelf<'_> {
    fn code_system(&self, canonical: &str) -> Result<Option<Arc<CodeSystem>>, Issue> {
        let stored = self.find("CodeSystem", canonical).map_err(first_issue)?;
        let Some(stored) = stored else {
            return Base.code_system(canonical);
        };
        let place = (stored.rid, stored.version);
        let lock = || {
            self.cache
                .systems
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(known) = lock().get(&place) {
            return Ok(Some(Arc::clone(known)));
        }
        let tree = tree(&stored).map_err(first_issue)?;
        let made = Arc::new(CodeSystem::of(&tree));
        let mut cached = lock();
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        cached.insert(place, Arc::clone(&made));
        Ok(Some(made))
    }

    fn value_set(&self, canonical: &str) -> Result<Option<Arc<ValueSet>>, Issue> {
        let found = self.made("ValueSet", canonical, ValueSet::of)?;
        found.map_or_else(|| Base.value_set(canonical), |found| Ok(Some(found)))
    }

    fn concept_map(&self, canonical: &str) -> Result<Option<Arc<ConceptMap>>, Issue> {
        let found = self.made("ConceptMap", canonical, ConceptMap::of)?;
        found.map_or_else(|| Base.concept_map(canonical), |found| Ok(Some(found)))
    }

    fn concept_maps_from(&self, system: &str) -> Result<Vec<Arc<ConceptMap>>, Issue> {
        let keys = self.keys("ConceptMap", &[("source-system", system)], MAPS_MAX);
        let mut maps = Vec::new();
        for key in keys.map_err(first_issue)? {
            let stored = self.read(&key).map_err(first_issue)?;
            let tree = stored.as_ref().map(tree).transpose().map_err(first_issue)?;
            maps.extend(tree.map(|tree| Arc::new(ConceptMap::of(&tree))));
        }
        let is_replaced = |own: &Arc<ConceptMap>| maps.iter().any(|map| map.url == own.url);
        let own = Base.concept_maps_from(system)?;
        let own: Vec<_> = own.into_iter().filter(|own| !is_replaced(own)).collect();
        Ok([maps, own].concat())
    }
}

fn tree(stored: &StoredVersion) -> Result<Json, Failure> {
    let tree = parse(&stored.body, Limits::default());
    tree.map_err(|issue| Failure::of(Category::Fault, vec![issue]))
}

/// Commas, bars and dollars stand for themselves in a search value only when escaped (R4 3.1.1.4.1).
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, ',' | '|' | '$' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn first_issue(failure: Failure) -> Issue {
    let unknown = || Issue::error("E-TERM-12", IssueCode::Exception, "", "the store failed");
    failure.issues.into_iter().next().unwrap_or_else(unknown)
}
