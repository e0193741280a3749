//! What a transaction is about to write, findable by search: a Bundle may hold thousands of entries
//! and as many conditions, and each is asked of all.

use fhir_mapping::search::{Query, SearchValues};
use std::collections::HashMap;
use store::ResourceKey;

/// One write's content, by what searches see of it.
pub(super) struct Pending {
    pub(super) index: usize,
    pub(super) key: ResourceKey,
    values: SearchValues,
}

#[derive(Default)]
pub(super) struct Pool {
    items: Vec<Pending>,
    /// Places in `items`.
    by_term: HashMap<Vec<u8>, Vec<usize>>,
}

impl Pool {
    pub(super) fn add(&mut self, (index, key): (usize, ResourceKey), values: SearchValues) {
        for term in values.terms() {
            self.by_term.entry(term).or_default().push(self.items.len());
        }
        self.items.push(Pending { index, key, values });
    }

    /// Every match, in the order of the writes; none for a query that other resources decide
    /// (chains), which what is not stored yet cannot meet for sure.
    pub(super) fn matching(&self, query: &Query) -> Vec<&Pending> {
        if !query.is_own() {
            return Vec::new();
        }
        let groups = query.candidates().all_of.into_iter();
        let lists = groups.map(|terms| -> Vec<&[usize]> {
            let lists = terms.iter().filter_map(|term| self.by_term.get(term));
            lists.map(Vec::as_slice).collect()
        });
        let shortest = lists.min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>());
        let mut places: Vec<usize> = shortest.unwrap_or_default().concat();
        places.sort_unstable();
        places.dedup();
        let items = places.into_iter().filter_map(|place| self.items.get(place));
        items.filter(|item| query.matches(&item.values)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, parse};
    use fhir_mapping::search::{Handling, Zone, extract};

    #[test]
    fn a_pool_finds_what_matches() {
        let zone = Zone::of(jiff::tz::TimeZone::UTC);
        let mut pool = Pool::default();
        for (index, number) in ["1", "2", "2", "3"].iter().enumerate() {
            let text = format!(
                r#"{{"resourceType":"Patient","id":"p{index}","active":true,"identifier":[{{"system":"s","value":"{number}"}}]}}"#
            );
            let tree = parse(text.as_bytes(), Limits::default()).unwrap();
            let key = ResourceKey {
                resource_type: "Patient".to_owned(),
                id: format!("p{index}"),
            };
            pool.add((index, key), extract(&tree, &zone));
        }
        for (name, value, expected) in [
            ("identifier", "s|2", "p1 p2"),
            ("identifier", "s|3,s|1", "p0 p3"),
            ("identifier", "s|9", ""),
            ("active", "true", "p0 p1 p2 p3"),
            ("identifier:not", "s|2", "p0 p3"),
        ] {
            let pairs = [(name.to_owned(), value.to_owned())];
            let query = Query::parse("Patient", &pairs, Handling::Strict, &zone).unwrap();
            let found: Vec<_> = pool
                .matching(&query)
                .iter()
                .map(|p| p.key.id.as_str())
                .collect();
            assert_eq!(found.join(" "), expected, "{name}={value}");
        }
    }
}
