//! `_include`: the resources that a page's matches refer to (R4 3.1.1.5.4).

use crate::repository::indexing;
use fhir_mapping::search::{Query, SearchValues, Zone};
use std::collections::HashSet;
use store::{ResourceKey, Rid, StoreError, StoredVersion, View};

/// Most included resources of one page; the bundle says so when there are more.
const INCLUDES_MAX: usize = 1000;

/// Included resources without repeats, none of them a match, and whether some were left out.
pub(super) fn of(
    view: &View<'_>,
    query: &Query,
    matches: &[Rid],
    zone: &Zone,
) -> Result<(Vec<StoredVersion>, bool), StoreError> {
    let mut included = Vec::new();
    if query.includes().is_empty() {
        return Ok((included, false));
    }
    let mut seen: HashSet<Rid> = matches.iter().copied().collect();
    for rid in matches {
        let values = indexing::values_of(view, *rid, zone)?;
        for key in values.iter().flat_map(|values| targets(query, values)) {
            let Some(head) = view.head(&key)?.filter(|head| !head.deleted) else {
                continue;
            };
            if !seen.insert(head.rid) {
                continue;
            }
            if included.len() == INCLUDES_MAX {
                return Ok((included, true));
            }
            included.extend(view.version(head.rid, head.version)?);
        }
    }
    Ok((included, false))
}

fn targets<'a>(
    query: &'a Query,
    values: &'a SearchValues,
) -> impl Iterator<Item = ResourceKey> + 'a {
    query.includes().iter().flat_map(|include| {
        let targets = values.references(&include.parameter).into_iter();
        let targets = targets.map(|(resource_type, id)| ResourceKey { resource_type, id });
        targets.filter(|key| {
            let wanted = include.target_type.as_ref();
            wanted.is_none_or(|wanted| *wanted == key.resource_type)
        })
    })
}
