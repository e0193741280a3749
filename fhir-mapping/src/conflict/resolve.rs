//! The three-way merge of one resource, element by element under the policy table.

use super::list::{self, Turn};
use super::policy::{self, Class, ListRule, Row, Unit};
use super::{ElementConflict, MergeNote, Outcome, Pick, Sides, Times, diff, latest, status};
use crate::conflict::diff::Parts;
use crate::model::{Json, Object};

/// Merges. `base` is `None` when both sides made the resource independently. `meta.versionId`,
/// `meta.lastUpdated`, `meta.source` and a generated narrative are no differences.
///
/// Deterministic and, but for `provisional`, symmetric: the other site comes to the same resource.
pub fn resolve(base: Option<&Json>, local: &Json, incoming: &Json, times: Times) -> Outcome {
    let same = diff::is_same_resource;
    if same(local, incoming) || base.is_some_and(|base| same(base, incoming)) {
        return Outcome::KeepLocal;
    }
    if base.is_some_and(|base| same(base, local)) {
        return Outcome::TakeIncoming;
    }
    let merged = Merge::run(base, (local, incoming), times, &|_| None);
    let (resource, notes) = (merged.resource, merged.notes);
    if !merged.conflicts.is_empty() {
        let provisional = if same(&resource, local) {
            local.clone()
        } else {
            resource
        };
        return Outcome::Ask {
            provisional,
            conflicts: merged.conflicts,
            notes,
        };
    }
    if same(&resource, local) {
        Outcome::KeepLocal
    } else if same(&resource, incoming) {
        Outcome::TakeIncoming
    } else {
        Outcome::Merged { resource, notes }
    }
}

/// What a merge comes to when each contested path is answered by `pick`, as far as it answers.
pub(super) struct Merged {
    pub resource: Json,
    pub conflicts: Vec<ElementConflict>,
    pub notes: Vec<MergeNote>,
}

/// One merge under way.
pub(super) struct Merge<'a> {
    resource_type: String,
    kind: String,
    parts: Sides<Parts>,
    later: Pick,
    /// The element in which one side declares the resource an error while the other went on editing.
    error: Option<&'static str>,
    pick: &'a dyn Fn(&str) -> Option<Pick>,
    elements: Vec<(String, Option<Object>)>,
    conflicts: Vec<ElementConflict>,
    notes: Vec<MergeNote>,
}

impl<'a> Merge<'a> {
    pub(super) fn run(
        base: Option<&Json>,
        both: (&Json, &Json),
        times: Times,
        pick: &'a dyn Fn(&str) -> Option<Pick>,
    ) -> Merged {
        let (local, incoming) = both;
        let resource_type = local.resource_type().unwrap_or_default();
        let kind = policy::kind_of(local, incoming);
        let empty = Json::Object(Object::new());
        let parts = Sides {
            base: Parts::of(base.unwrap_or(&empty)),
            local: Parts::of(local),
            incoming: Parts::of(incoming),
        };
        let mut merge = Merge {
            resource_type: resource_type.to_owned(),
            kind,
            error: declared_error(&parts),
            parts,
            later: latest::later(local, incoming, times),
            pick,
            elements: Vec::new(),
            conflicts: Vec::new(),
            notes: Vec::new(),
        };
        merge.all_elements();
        merge.finish()
    }

    fn all_elements(&mut self) {
        let mut units: Vec<&str> = Vec::new();
        for name in self.names() {
            let row = policy::row(&self.kind, &name);
            match row.unit {
                Unit::Alone => self.element(&name, row),
                Unit::Whole(unit) | Unit::Each(unit) if !units.contains(&unit) => {
                    units.push(unit);
                    self.unit(row.unit);
                }
                Unit::Whole(_) | Unit::Each(_) => {}
            }
        }
    }

    /// All element names: base's order, then what the later side added, then the other's additions.
    fn names(&self) -> Vec<String> {
        let sides = [
            &self.parts.base,
            self.parts.side(self.later),
            self.parts.side(self.later.other()),
        ];
        let mut names: Vec<String> = Vec::new();
        for name in sides.into_iter().flat_map(Parts::names) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    fn element(&mut self, name: &str, row: &Row) {
        if let Class::List(rule) = row.class
            && self.list(name, row, &rule)
        {
            return;
        }
        match (row.class, self.changed(name)) {
            (Class::Ignored, _) => self.keep(name, self.ignored_side(name)),
            (_, Changed::Neither | Changed::Alike) => self.keep(name, self.spelling(name)),
            _ if self.error == Some(name) => self.contest(name, row, None),
            (_, Changed::Local) => self.take(name, row, Pick::Local),
            (_, Changed::Incoming) => self.take(name, row, Pick::Incoming),
            (Class::Latest, Changed::Both) => self.take(name, row, self.later),
            (Class::Status, Changed::Both) => match self.further(name) {
                Some(side) => self.take(name, row, side),
                None => self.contest(name, row, None),
            },
            (Class::Ask | Class::Fact | Class::List(_), Changed::Both) => {
                self.contest(name, row, None);
            }
        }
    }

    /// Merges a plain list; false when the element is something else on one side.
    fn list(&mut self, name: &str, row: &Row, rule: &ListRule) -> bool {
        let pairs = self.parts.each(|parts| parts.get(name));
        let (Some(base), Some(local), Some(incoming)) = (
            diff::items_of(name, pairs.base),
            diff::items_of(name, pairs.local),
            diff::items_of(name, pairs.incoming),
        ) else {
            return false;
        };
        let one_sided = diff::is_same_set(base, local) || diff::is_same_set(base, incoming);
        if diff::is_same_set(local, incoming)
            || one_sided && rule.removal == policy::Removal::Honour
        {
            return false;
        }
        let turn = Turn {
            later: self.later,
            pick: (self.pick)(&self.path(name)),
        };
        let sides = Sides {
            base,
            local,
            incoming,
        };
        let out = list::merge(rule, sides, turn);
        let took = !diff::is_same_set(&out.items, local);
        if let Some(contested) = out.contested {
            let value = |items: Vec<Json>| (!items.is_empty()).then_some(Json::Array(items));
            self.conflicts.push(ElementConflict {
                path: self.path(name),
                base: value(contested.base),
                local: value(contested.local),
                incoming: value(contested.incoming),
                rule: row.rule,
            });
        }
        let mut merged = Object::new();
        if !out.items.is_empty() {
            let key = name.strip_prefix("meta.").unwrap_or(name);
            merged.set(key, Json::Array(out.items));
        }
        self.note(
            name,
            row.rule,
            if took { Pick::Incoming } else { Pick::Local },
        );
        let merged = (!merged.is_empty()).then_some(merged);
        self.elements.push((name.to_owned(), merged));
        true
    }

    /// Elements that belong together: one side's whole change, a status order, or a question.
    fn unit(&mut self, unit: Unit) {
        let members: Vec<String> = {
            let of_unit = |name: &String| policy::row(&self.kind, name).unit == unit;
            self.names().into_iter().filter(of_unit).collect()
        };
        let (mut by_local, mut by_incoming, mut error) = (false, false, false);
        for name in &members {
            let changed = self.changed(name);
            by_local |= matches!(changed, Changed::Local | Changed::Both);
            by_incoming |= matches!(changed, Changed::Incoming | Changed::Both);
            error |= self.error == Some(name);
        }
        let side = match (by_local, by_incoming) {
            (true, false) if !error => Some(Pick::Local),
            (false, true) if !error => Some(Pick::Incoming),
            (false, false) => Some(Pick::Local),
            _ => self.further_member(&members),
        };
        let Some(side) = side else {
            return self.contest_unit(unit, &members);
        };
        for name in &members {
            if self.is_same(name) {
                self.keep(name, self.spelling(name));
            } else {
                self.take(name, policy::row(&self.kind, name), side);
            }
        }
    }

    fn contest_unit(&mut self, unit: Unit, members: &[String]) {
        let safer = || members.iter().find_map(|name| self.more_cautious(name));
        let shown = match unit {
            Unit::Whole(_) => Some(safer().unwrap_or(Pick::Local)),
            Unit::Each(_) | Unit::Alone => None,
        };
        for name in members {
            if self.is_same(name) {
                self.keep(name, self.spelling(name));
            } else {
                self.contest(name, policy::row(&self.kind, name), shown);
            }
        }
    }

    /// A question to a person, unless it is answered already; `shown` is what holds meanwhile.
    fn contest(&mut self, name: &str, row: &Row, shown: Option<Pick>) {
        let path = self.path(name);
        if let Some(pick) = (self.pick)(&path) {
            return self.take(name, row, pick);
        }
        self.conflicts.push(ElementConflict {
            path,
            base: self.parts.base.value(name),
            local: self.parts.local.value(name),
            incoming: self.parts.incoming.value(name),
            rule: row.rule,
        });
        let shown = shown.or_else(|| self.more_cautious(name));
        self.keep(name, shown.unwrap_or(Pick::Local));
    }

    fn take(&mut self, name: &str, row: &Row, side: Pick) {
        self.note(name, row.rule, side);
        self.keep(name, side);
    }

    fn keep(&mut self, name: &str, side: Pick) {
        let pairs = self.parts.side(side).get(name).cloned();
        self.elements.push((name.to_owned(), pairs));
    }

    fn note(&mut self, name: &str, rule: &'static str, side: Pick) {
        self.notes.push(MergeNote {
            path: self.path(name),
            rule,
            took_incoming: side == Pick::Incoming,
        });
    }

    fn path(&self, name: &str) -> String {
        let name = name.strip_suffix("[x]").unwrap_or(name);
        format!("{}.{name}", self.resource_type)
    }

    fn changed(&self, name: &str) -> Changed {
        let pairs = self.parts.each(|parts| parts.get(name));
        let same = |a, b| diff::is_same_element((&self.kind, name), a, b);
        match (
            same(pairs.base, pairs.local),
            same(pairs.base, pairs.incoming),
            same(pairs.local, pairs.incoming),
        ) {
            (true, _, true) => Changed::Neither,
            (false, _, true) => Changed::Alike,
            (true, _, false) => Changed::Incoming,
            (false, true, false) => Changed::Local,
            (false, false, false) => Changed::Both,
        }
    }

    fn is_same(&self, name: &str) -> bool {
        matches!(self.changed(name), Changed::Neither | Changed::Alike)
    }

    fn further_member(&self, members: &[String]) -> Option<Pick> {
        let is_status =
            |name: &&String| matches!(policy::row(&self.kind, name).class, Class::Status);
        self.further(members.iter().find(is_status)?)
    }

    fn further(&self, name: &str) -> Option<Pick> {
        let [local, incoming] = [&self.parts.local, &self.parts.incoming].map(|p| p.value(name));
        status::further(&self.kind, local.as_ref(), incoming.as_ref())
    }

    fn more_cautious(&self, name: &str) -> Option<Pick> {
        let [local, incoming] = [&self.parts.local, &self.parts.incoming].map(|p| p.value(name));
        status::more_cautious((&self.kind, name), local.as_ref(), incoming.as_ref())
    }

    fn spelling(&self, name: &str) -> Pick {
        let pairs = self.parts.each(|parts| parts.get(name));
        let (Some(local), Some(incoming)) = (pairs.local, pairs.incoming) else {
            return Pick::Local;
        };
        let length = |pairs: &Object| {
            let text = crate::model::format(&Json::Object(pairs.clone()));
            (text.len(), text)
        };
        let kept = latest::spelling(pairs.base, local, incoming, length);
        if std::ptr::eq(kept, local) {
            Pick::Local
        } else {
            Pick::Incoming
        }
    }

    fn ignored_side(&self, name: &str) -> Pick {
        let has = |side: Pick| self.parts.side(side).get(name).is_some();
        if has(self.later) {
            self.later
        } else {
            self.later.other()
        }
    }

    fn finish(mut self) -> Merged {
        let order = self.names();
        self.elements
            .sort_by_key(|(name, _)| order.iter().position(|known| known == name));
        Merged {
            resource: assemble(self.elements),
            conflicts: self.conflicts,
            notes: self.notes,
        }
    }
}

/// Puts elements together again. A narrative made from one side's elements would lie about the
/// merged ones: it is left out. The version and its time are given by whoever stores it.
pub(super) fn assemble(elements: Vec<(String, Option<Object>)>) -> Json {
    let mut resource = Object::new();
    let mut meta = Object::new();
    for (name, pairs) in elements {
        let into = match name.as_str() {
            "meta.versionId" | "meta.lastUpdated" => continue,
            name if name.starts_with("meta.") => &mut meta,
            _ => &mut resource,
        };
        for (key, value) in pairs.into_iter().flatten() {
            into.set(&key, value);
        }
    }
    if !meta.is_empty() {
        let named = |key: &&str| matches!(*key, "resourceType" | "id");
        let position = resource.keys().take_while(named).count();
        resource.set_at(position, "meta", Json::Object(meta));
    }
    Json::Object(resource)
}

/// Which sides changed an element.
#[derive(Clone, Copy)]
enum Changed {
    Neither,
    /// Both, to the same.
    Alike,
    Local,
    Incoming,
    Both,
}

/// The status element in which exactly one side newly says `entered-in-error`.
fn declared_error(parts: &Sides<Parts>) -> Option<&'static str> {
    ["status", "verificationStatus"].into_iter().find(|name| {
        let is = |parts: &Parts| {
            let value = parts.value(name);
            value.is_some_and(|value| status::is_entered_in_error(&value))
        };
        !is(&parts.base) && is(&parts.local) != is(&parts.incoming)
    })
}
