//! A person's decision on a conflict becomes a resource.

use super::diff::{self, Parts};
use super::list::{self, Turn};
use super::policy::{self, Class};
use super::resolve::{self, Merge};
use super::{Decision, Pick, Sides, Times};
use crate::model::{Json, Object};

/// The resource a decision yields, or the paths that it leaves undecided.
pub(super) fn decide(
    decision: &Decision,
    base: Option<&Json>,
    both: (&Json, &Json),
    times: Times,
) -> Result<Json, Vec<String>> {
    let (local, incoming) = both;
    match decision {
        Decision::Local => Ok(local.clone()),
        Decision::Incoming => Ok(incoming.clone()),
        Decision::Edited(resource) => Ok(resource.clone()),
        Decision::Picks(picks) => {
            let pick = |path: &str| picks.iter().find(|(p, _)| p == path).map(|(_, pick)| *pick);
            let merged = Merge::run(base, both, times, &pick);
            let open: Vec<String> = merged.conflicts.into_iter().map(|c| c.path).collect();
            if open.is_empty() {
                Ok(merged.resource)
            } else {
                Err(open)
            }
        }
    }
}

/// What `later` changed in `shown`, done to `local` instead: a write that was made while a provisional
/// version stood in for the local one.
pub fn carry(shown: &Json, local: &Json, later: &Json) -> Json {
    let kind = policy::kind_of(local, later);
    let parts = Sides {
        base: Parts::of(shown),
        local: Parts::of(local),
        incoming: Parts::of(later),
    };
    let mut names: Vec<&str> = parts.local.names().collect();
    names.extend(
        parts
            .incoming
            .names()
            .filter(|name| parts.local.get(name).is_none()),
    );
    let element = |name: &str| (name.to_owned(), carry_element((&kind, name), &parts));
    resolve::assemble(names.into_iter().map(element).collect())
}

fn carry_element(place: (&str, &str), parts: &Sides<Parts>) -> Option<Object> {
    let name = place.1;
    let pairs = parts.each(|parts| parts.get(name));
    if diff::is_same_element(place, pairs.base, pairs.incoming) {
        return pairs.local.cloned();
    }
    let items = |pairs| diff::items_of(name, pairs);
    let lists = (items(pairs.base), items(pairs.local), items(pairs.incoming));
    let (Class::List(rule), (Some(base), Some(local), Some(incoming))) =
        (policy::row(place.0, name).class, lists)
    else {
        return pairs.incoming.cloned();
    };
    let sides = Sides {
        base,
        local,
        incoming,
    };
    let turn = Turn {
        later: Pick::Incoming,
        pick: Some(Pick::Incoming),
    };
    let items = list::merge(&rule, sides, turn).items;
    let mut merged = Object::new();
    if !items.is_empty() {
        let key = name.strip_prefix("meta.").unwrap_or(name);
        merged.set(key, Json::Array(items));
    }
    (!merged.is_empty()).then_some(merged)
}
