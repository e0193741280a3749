//! Keyed three-way merge of a list: items are matched by what identifies them, never by position.

use super::policy::{Clash, ListRule, Removal, Rest};
use super::{Pick, Sides, diff, latest};
use crate::model::{Json, Object};
use std::collections::BTreeMap;

/// How ties are broken in this merge.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    /// The side whose write is the later one.
    pub later: Pick,
    /// What a person picked for this list, if anybody did.
    pub pick: Option<Pick>,
}

/// The merged list, and the items that a person must decide (each side's; absent is removed).
#[derive(Default)]
pub(super) struct ListOutcome {
    pub items: Vec<Json>,
    pub contested: Option<Sides<Vec<Json>>>,
}

/// Merges. Order: base's, then what the later side added, then what the other side added.
pub(super) fn merge(rule: &ListRule, lists: Sides<&[Json]>, turn: Turn) -> ListOutcome {
    let keyed = |items| Keyed::of(rule, items);
    let (Some(base), Some(local), Some(incoming)) =
        (keyed(lists.base), keyed(lists.local), keyed(lists.incoming))
    else {
        return merge_counted(rule, lists, turn);
    };
    let keyed = Sides {
        base,
        local,
        incoming,
    };
    let clashes = clashes(rule, &keyed);
    let mut out = ListOutcome::default();
    for key in order(&keyed, turn.later) {
        let item = keyed.each(|side| side.items.get(key).copied());
        let clash = clashes
            .iter()
            .find(|c| c.local == *key || c.incoming == *key);
        match clash {
            Some(clash) => out.settle_clash(rule, (clash, key), item, turn),
            None => out.settle(rule, item, turn),
        }
    }
    out
}

impl ListOutcome {
    fn settle(&mut self, rule: &ListRule, item: Sides<Option<&Json>>, turn: Turn) {
        match (verdict(rule, item, turn.later), turn.pick) {
            (Verdict::Keep(item), _) => self.items.extend(item),
            (Verdict::Contest, Some(pick)) => self.items.extend(item.side(pick).cloned()),
            (Verdict::Contest, None) => {
                let shown = match rule.removal {
                    Removal::Ask => item.local.or(item.incoming),
                    Removal::Honour | Removal::Never => item.local,
                };
                self.items.extend(shown.cloned());
                self.contest(item);
            }
        }
    }

    /// Two items in one place: the later one, or the one a person picks.
    fn settle_clash(
        &mut self,
        rule: &ListRule,
        place: (&Clashing, &String),
        item: Sides<Option<&Json>>,
        turn: Turn,
    ) {
        let (clash, key) = place;
        let asks = rule.slot.is_some_and(|slot| slot.clash == Clash::Ask);
        let kept = match turn.pick {
            Some(pick) if asks => pick,
            None if asks => Pick::Local,
            _ => turn.later,
        };
        let kept_key = match kept {
            Pick::Local => &clash.local,
            Pick::Incoming => &clash.incoming,
        };
        if kept_key == key {
            self.items.extend(item.side(kept).cloned());
        }
        if asks && turn.pick.is_none() {
            self.contest(item);
        }
    }

    fn contest(&mut self, item: Sides<Option<&Json>>) {
        let contested = self.contested.get_or_insert_with(Sides::default);
        contested.base.extend(item.base.cloned());
        contested.local.extend(item.local.cloned());
        contested.incoming.extend(item.incoming.cloned());
    }
}

/// A list by key; made only when no key occurs twice.
struct Keyed<'a> {
    order: Vec<String>,
    items: BTreeMap<String, &'a Json>,
}

impl<'a> Keyed<'a> {
    fn of(rule: &ListRule, list: &'a [Json]) -> Option<Keyed<'a>> {
        let mut keyed = Keyed {
            order: Vec::with_capacity(list.len()),
            items: BTreeMap::new(),
        };
        for item in list {
            let key = key_of(item, rule.key);
            if keyed.items.insert(key.clone(), item).is_some() {
                return None;
            }
            keyed.order.push(key);
        }
        Some(keyed)
    }
}

fn order<'k>(keyed: &'k Sides<Keyed<'_>>, later: Pick) -> Vec<&'k String> {
    let sides = [&keyed.base, keyed.side(later), keyed.side(later.other())];
    let mut seen = std::collections::BTreeSet::new();
    let keys = sides.into_iter().flat_map(|side| &side.order);
    keys.filter(|key| seen.insert(*key)).collect()
}

enum Verdict {
    Keep(Option<Json>),
    Contest,
}

fn verdict(rule: &ListRule, item: Sides<Option<&Json>>, later: Pick) -> Verdict {
    let Sides {
        base,
        local,
        incoming,
    } = item;
    let canonical = |item: Option<&Json>| item.map(diff::canonical);
    let texts = item.each(|item| canonical(*item));
    if texts.local == texts.incoming {
        let both = local.zip(incoming);
        let length = |item: &Json| (crate::model::format(item).len(), crate::model::format(item));
        return Verdict::Keep(both.map(|(l, i)| latest::spelling(base, l, i, length).clone()));
    }
    let changed = if texts.base == texts.local {
        Some(incoming)
    } else if texts.base == texts.incoming {
        Some(local)
    } else {
        None
    };
    match (changed, rule.removal) {
        (Some(None), Removal::Ask) => Verdict::Contest,
        (Some(None), Removal::Never) => Verdict::Keep(base.cloned()),
        (Some(item), _) => Verdict::Keep(item.cloned()),
        (None, _) => both_changed(rule, item, later),
    }
}

fn both_changed(rule: &ListRule, item: Sides<Option<&Json>>, later: Pick) -> Verdict {
    let asks = rule.rest == Rest::Ask || rule.removal == Removal::Ask;
    match (item.local, item.incoming) {
        _ if asks => Verdict::Contest,
        (Some(kept), None) | (None, Some(kept)) => Verdict::Keep(Some(kept.clone())),
        (Some(Json::Object(local)), Some(Json::Object(incoming))) if rule.rest == Rest::Fields => {
            let base = item.base.and_then(Json::as_object);
            let merged = merge_fields(base, (local, incoming), later);
            Verdict::Keep(Some(Json::Object(merged)))
        }
        _ => Verdict::Keep(item.side(later).cloned()),
    }
}

/// Field by field: a field that one side changed is that side's, one that both changed the later's.
fn merge_fields(base: Option<&Object>, both: (&Object, &Object), later: Pick) -> Object {
    let (local, incoming) = both;
    let (first, second) = match later {
        Pick::Local => (local, incoming),
        Pick::Incoming => (incoming, local),
    };
    let mut merged = Object::new();
    let old = base.into_iter().flat_map(Object::keys);
    for key in old.chain(first.keys()).chain(second.keys()) {
        let text = |object: Option<&Object>| object.and_then(|o| o.get(key)).map(diff::canonical);
        let kept = if text(Some(first)) == text(base) {
            second
        } else {
            first
        };
        if let Some(value) = kept.get(key) {
            merged.set(key, value.clone());
        }
    }
    merged
}

/// The keys of two items that fill one place.
struct Clashing {
    local: String,
    incoming: String,
}

fn clashes(rule: &ListRule, keyed: &Sides<Keyed<'_>>) -> Vec<Clashing> {
    let Some(slot) = rule.slot else {
        return Vec::new();
    };
    let places = keyed.each(|side| places(side, slot.fields));
    let mut found = Vec::new();
    for (place, local) in &places.local {
        let base = places.base.get(place).map_or(&[][..], Vec::as_slice);
        let incoming = places.incoming.get(place).map_or(&[][..], Vec::as_slice);
        let ([local], [incoming]) = (local.as_slice(), incoming) else {
            continue;
        };
        let fresh = |key: &String| !keyed.base.items.contains_key(key);
        let replaced = base.len() == 1 || (slot.clash == Clash::Ask && base.is_empty());
        if local != incoming && replaced && fresh(local) && fresh(incoming) {
            found.push(Clashing {
                local: (*local).clone(),
                incoming: (*incoming).clone(),
            });
        }
    }
    found
}

fn places<'k>(side: &'k Keyed<'_>, fields: &[&str]) -> BTreeMap<String, Vec<&'k String>> {
    let mut places: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (key, item) in &side.items {
        if fields.iter().any(|field| item.get(field).is_some()) {
            places.entry(key_of(item, fields)).or_default().push(key);
        }
    }
    places
}

/// Lists with a repeated key are compared by whole values and how often each occurs.
fn merge_counted(rule: &ListRule, lists: Sides<&[Json]>, turn: Turn) -> ListOutcome {
    let [base, local, incoming] = [lists.base, lists.local, lists.incoming].map(counted);
    let asks = rule.rest == Rest::Ask || rule.removal == Removal::Ask;
    if asks && base != local && base != incoming && local != incoming {
        return contest_whole(lists, turn);
    }
    let sides = [
        lists.base,
        lists.side(turn.later),
        lists.side(turn.later.other()),
    ];
    let mut out = ListOutcome::default();
    let mut seen = std::collections::BTreeSet::new();
    for item in sides.into_iter().flatten() {
        let text = diff::canonical(item);
        let [b, l, i] = [&base, &local, &incoming].map(|c| c.get(&text).copied().unwrap_or(0));
        let times = match rule.removal {
            Removal::Never => l.max(i),
            Removal::Honour | Removal::Ask => merged_count(b, l, i),
        };
        if seen.insert(text) {
            out.items.extend(std::iter::repeat_n(item.clone(), times));
        }
    }
    out
}

fn contest_whole(lists: Sides<&[Json]>, turn: Turn) -> ListOutcome {
    ListOutcome {
        items: lists.side(turn.pick.unwrap_or(Pick::Local)).to_vec(),
        contested: turn
            .pick
            .is_none()
            .then(|| lists.each(|list| list.to_vec())),
    }
}

fn counted(list: &[Json]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for item in list {
        *counts.entry(diff::canonical(item)).or_insert(0) += 1;
    }
    counts
}

/// Removal wins only when nobody added the same value.
fn merged_count(base: usize, local: usize, incoming: usize) -> usize {
    if local == base {
        incoming
    } else if incoming == base {
        local
    } else if local < base && incoming < base {
        local.min(incoming)
    } else {
        local.max(incoming)
    }
}

/// What identifies an item; the whole value when none of its key fields is there.
fn key_of(item: &Json, fields: &[&str]) -> String {
    let mut found = false;
    let mut texts = Vec::with_capacity(fields.len());
    for field in fields {
        let value = match (*field, item) {
            ("reference", Json::Object(_)) => Some(item),
            ("author[x]", _) => item.get("authorReference").or(item.get("authorString")),
            (field, _) => item.get(field),
        };
        found |= value.is_some();
        texts.push(value.map(field_text).unwrap_or_default());
    }
    if found {
        texts.join("\u{1f}")
    } else {
        diff::canonical(item)
    }
}

/// A reference is its target, a concept its codes, anything else its whole value.
fn field_text(value: &Json) -> String {
    if let Json::Array(items) = value {
        let mut texts: Vec<String> = items.iter().map(field_text).collect();
        texts.sort_unstable();
        return texts.join("\u{1e}");
    }
    if let Some(target) = value.get("reference").and_then(Json::as_str) {
        let unversioned = target.split_once("/_history/");
        return unversioned.map_or(target, |(head, _)| head).to_owned();
    }
    if let Some(identifier) = value.get("identifier") {
        return diff::canonical(identifier);
    }
    let mut codes: Vec<String> = value.items("coding").iter().map(coding_text).collect();
    if codes.is_empty() {
        return diff::canonical(value);
    }
    codes.sort_unstable();
    codes.join("\u{1e}")
}

fn coding_text(coding: &Json) -> String {
    let text = |key| coding.get(key).and_then(Json::as_str).unwrap_or_default();
    format!("{}|{}", text("system"), text("code"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::policy::{self, Class};
    use crate::model::{Limits, format, parse};

    fn list(text: &str) -> Vec<Json> {
        let value = parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap();
        value.as_array().unwrap().to_vec()
    }

    /// Lists in JSON with single quotes; `?` before the expected list when a person must decide.
    fn check(place: (&str, &str), lists: [&str; 3], expected: &str) {
        let Class::List(rule) = policy::row(place.0, place.1).class else {
            panic!("{place:?} is no list");
        };
        let [base, local, incoming] = lists.map(list);
        let sides = Sides {
            base: &base[..],
            local: &local[..],
            incoming: &incoming[..],
        };
        let turn = Turn {
            later: Pick::Incoming,
            pick: None,
        };
        let out = merge(&rule, sides, turn);
        let mark = if out.contested.is_some() { "?" } else { "" };
        let found = format!(
            "{mark}{}",
            format(&Json::Array(out.items)).replace('"', "'")
        );
        assert_eq!(found, expected, "{place:?} {lists:?}");
    }

    #[test]
    fn lists_merge_by_key() {
        let tag = ("Basic", "meta.tag");
        let security = ("Basic", "meta.security");
        let telecom = ("Patient", "telecom");
        let identifier = ("Patient", "identifier");
        let entry = ("List", "entry");
        let reaction = ("AllergyIntolerance", "reaction");
        let cases = [
            // added on both, removed on one, changed on one
            (
                tag,
                ["[]", "[{'code':'a'}]", "[{'code':'b'}]"],
                "[{'code':'b'},{'code':'a'}]",
            ),
            (
                tag,
                [
                    "[{'code':'a'},{'code':'b'}]",
                    "[{'code':'b'}]",
                    "[{'code':'a'},{'code':'b'}]",
                ],
                "[{'code':'b'}]",
            ),
            (
                tag,
                ["[{'code':'a'}]", "[]", "[{'code':'a','display':'x'}]"],
                "[{'code':'a','display':'x'}]",
            ),
            // protection stays
            (
                security,
                ["[{'code':'R'}]", "[]", "[{'code':'R'}]"],
                "[{'code':'R'}]",
            ),
            (security, ["[{'code':'R'}]", "[]", "[]"], "[]"),
            // one number replaced twice; two numbers added
            (
                telecom,
                [
                    "[{'system':'phone','value':'1'}]",
                    "[{'system':'phone','value':'2'}]",
                    "[{'system':'phone','value':'3'}]",
                ],
                "[{'system':'phone','value':'3'}]",
            ),
            (
                telecom,
                [
                    "[]",
                    "[{'system':'phone','value':'2'}]",
                    "[{'system':'phone','value':'3'}]",
                ],
                "[{'system':'phone','value':'3'},{'system':'phone','value':'2'}]",
            ),
            (
                telecom,
                [
                    "[{'system':'phone','value':'1'}]",
                    "[{'system':'phone','value':'1','use':'home'}]",
                    "[{'system':'phone','value':'1','rank':1}]",
                ],
                "[{'system':'phone','value':'1','rank':1,'use':'home'}]",
            ),
            // two values of one identifier system
            (
                identifier,
                [
                    "[]",
                    "[{'system':'s','value':'1'}]",
                    "[{'system':'s','value':'2'}]",
                ],
                "?[{'system':'s','value':'1'}]",
            ),
            (
                identifier,
                [
                    "[]",
                    "[{'system':'s','value':'1'}]",
                    "[{'system':'t','value':'2'}]",
                ],
                "[{'system':'t','value':'2'},{'system':'s','value':'1'}]",
            ),
            // a medication list
            (
                entry,
                [
                    "[]",
                    "[{'item':{'reference':'M/1'}}]",
                    "[{'item':{'reference':'M/1'},'deleted':true}]",
                ],
                "?[{'item':{'reference':'M/1'}}]",
            ),
            // reactions never disappear alone
            (
                reaction,
                ["[{'onset':'1'}]", "[]", "[{'onset':'1'}]"],
                "?[{'onset':'1'}]",
            ),
            // the same key twice: whole values count
            (
                tag,
                [
                    "[{'code':'a'},{'code':'a'}]",
                    "[{'code':'a'}]",
                    "[{'code':'a'},{'code':'a'},{'code':'b'}]",
                ],
                "[{'code':'a'},{'code':'b'}]",
            ),
            (
                entry,
                [
                    "[]",
                    "[{'item':{'reference':'M/1'}},{'item':{'reference':'M/1'},'deleted':true}]",
                    "[{'item':{'reference':'M/2'}}]",
                ],
                "?[{'item':{'reference':'M/1'}},{'item':{'reference':'M/1'},'deleted':true}]",
            ),
        ];
        for (place, lists, expected) in cases {
            check(place, lists, expected);
        }
    }
}
