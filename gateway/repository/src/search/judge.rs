//! Decides conditions that look at other resources: chains, `_has`, hierarchies, words.

use super::candidates::Group;
use super::ground::Ground;
use super::scan::{Asked, Scan};
use fhir_mapping::search::{
    Chain, Condition, Handling, Has, Hierarchy, Query, SearchValues, definitions, reference_terms,
};
use gateway_ground::failure::Failure;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use store::Rid;

/// Remembers what it found of each resource: a chain leads many to one.
pub(super) struct Judge<'g, 't> {
    pub(super) ground: &'g Ground<'t>,
    known: RefCell<HashMap<(usize, Rid), bool>>,
    above: RefCell<HashMap<usize, HashSet<Rid>>>,
    referred: RefCell<HashMap<usize, Rc<Referred>>>,
}

/// Type and id of what is referred to.
type Referred = HashSet<(String, String)>;

/// Parents followed upwards at most: a circle of them ends somewhere.
const PARENTS_MAX: usize = 64;

impl<'g, 't> Judge<'g, 't> {
    pub(super) fn new(ground: &'g Ground<'t>) -> Judge<'g, 't> {
        Judge {
            ground,
            known: RefCell::default(),
            above: RefCell::default(),
            referred: RefCell::default(),
        }
    }

    pub(super) fn holds(
        &self,
        condition: &Condition,
        rid: Rid,
        values: &SearchValues,
    ) -> Result<bool, Failure> {
        condition.decide(values, &mut |inner| self.look(inner, rid, values))
    }

    fn look(
        &self,
        condition: &Condition,
        rid: Rid,
        values: &SearchValues,
    ) -> Result<bool, Failure> {
        match condition {
            Condition::Chain(chain) => self.chain(chain, values),
            Condition::Has(has) => self.remembered(condition, rid, &|| self.has(has, values)),
            Condition::Hierarchy(hierarchy) => self.hierarchy((condition, hierarchy), values),
            Condition::Words(words) => self.remembered(condition, rid, &|| {
                let tree = self.ground.tree(rid)?;
                Ok(tree.is_some_and(|tree| words.matches(&tree)))
            }),
            // `decide` asks about the others itself.
            _ => Ok(false),
        }
    }

    /// The answer for this place in the query and this resource.
    fn remembered(
        &self,
        condition: &Condition,
        rid: Rid,
        find: &dyn Fn() -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let place = (std::ptr::from_ref(condition).addr(), rid);
        if let Some(known) = self.known.borrow().get(&place) {
            return Ok(*known);
        }
        let found = find()?;
        self.known.borrow_mut().insert(place, found);
        Ok(found)
    }

    fn chain(&self, chain: &Chain, values: &SearchValues) -> Result<bool, Failure> {
        for (resource_type, id) in values.references(chain.parameter) {
            let of_type =
                |branch: &&fhir_mapping::search::Branch| branch.resource_type == resource_type;
            let Some(branch) = chain.branches.iter().find(of_type) else {
                continue;
            };
            let target = self.ground.rid_of(&resource_type, &id)?;
            if let Some(rid) = target
                && self.target_holds(&branch.condition, rid)?
            {
                return Ok(true);
            }
        }
        for canonical in values.canonicals(chain.parameter) {
            for branch in &chain.branches {
                for rid in self.by_url(&branch.resource_type, &canonical)? {
                    if self.target_holds(&branch.condition, rid)? {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    fn target_holds(&self, condition: &Condition, rid: Rid) -> Result<bool, Failure> {
        self.remembered(condition, rid, &|| match self.ground.values(rid)? {
            Some(values) => self.holds(condition, rid, &values),
            None => Ok(false),
        })
    }

    fn has(&self, has: &Has, values: &SearchValues) -> Result<bool, Failure> {
        let (resource_type, id) = values.key();
        let me = (resource_type.to_owned(), id.to_owned());
        let terms = reference_terms(&has.source_type, has.parameter, std::slice::from_ref(&me));
        let asked = Asked {
            resource_type: &has.source_type,
            conditions: std::slice::from_ref(&has.condition),
        };
        let mut scan = Scan::below(self, asked, Group::Terms(terms))?.unchanged();
        while let Some((_, source)) = scan.next()? {
            if source.references(has.parameter).contains(&me) {
                return Ok(true);
            }
        }
        let has_more = !self.ground.changed_of(&has.source_type).is_empty();
        Ok(has_more && self.referred(has, asked)?.contains(&me))
    }

    /// What the sources refer to that no posting tells of.
    fn referred(&self, has: &Has, asked: Asked<'_>) -> Result<Rc<Referred>, Failure> {
        let place = std::ptr::from_ref(has).addr();
        if let Some(found) = self.referred.borrow().get(&place) {
            return Ok(Rc::clone(found));
        }
        let mut found = HashSet::new();
        let mut scan = Scan::of_changed(self, asked)?;
        while let Some((_, source)) = scan.next()? {
            found.extend(source.references(has.parameter));
        }
        let found = Rc::new(found);
        self.referred.borrow_mut().insert(place, Rc::clone(&found));
        Ok(found)
    }

    fn hierarchy(
        &self,
        (condition, hierarchy): (&Condition, &Hierarchy),
        values: &SearchValues,
    ) -> Result<bool, Failure> {
        let Some(asked) = self
            .ground
            .rid_of(&hierarchy.target_type, &hierarchy.target_id)?
        else {
            return Ok(false);
        };
        for (resource_type, id) in values.references(hierarchy.parameter) {
            if resource_type != hierarchy.target_type {
                continue;
            }
            let Some(target) = self.ground.rid_of(&resource_type, &id)? else {
                continue;
            };
            let holds = if hierarchy.is_below {
                self.remembered(condition, target, &|| {
                    Ok(self.lineage(hierarchy, target)?.contains(&asked))
                })?
            } else {
                self.is_above((condition, hierarchy), asked, target)?
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Is `target` the resource asked about, or one above it?
    fn is_above(
        &self,
        (condition, hierarchy): (&Condition, &Hierarchy),
        asked: Rid,
        target: Rid,
    ) -> Result<bool, Failure> {
        let place = std::ptr::from_ref(condition).addr();
        if let Some(above) = self.above.borrow().get(&place) {
            return Ok(above.contains(&target));
        }
        let above = self.lineage(hierarchy, asked)?;
        let holds = above.contains(&target);
        self.above.borrow_mut().insert(place, above);
        Ok(holds)
    }

    /// The resource and all above it.
    fn lineage(&self, hierarchy: &Hierarchy, rid: Rid) -> Result<HashSet<Rid>, Failure> {
        let mut lineage = HashSet::from([rid]);
        let mut open = vec![rid];
        while let Some(rid) = open.pop().filter(|_| lineage.len() < PARENTS_MAX) {
            let Some(values) = self.ground.values(rid)? else {
                continue;
            };
            for (resource_type, id) in values.references(hierarchy.parent) {
                let parent = self.ground.rid_of(&resource_type, &id)?;
                open.extend(parent.filter(|parent| lineage.insert(*parent)));
            }
        }
        Ok(lineage)
    }

    /// Resources of a type with this canonical URL, in every version unless one is named.
    pub(super) fn by_url(&self, resource_type: &str, canonical: &str) -> Result<Vec<Rid>, Failure> {
        if !has_url(resource_type) {
            return Ok(Vec::new());
        }
        let (url, version) = match canonical.split_once('|') {
            Some((url, version)) => (url, Some(version)),
            None => (canonical, None),
        };
        let value = |text: &str| crate::search_value(text);
        let mut pairs = vec![("url".to_owned(), value(url))];
        pairs.extend(version.map(|version| ("version".to_owned(), value(version))));
        let query = Query::parse(resource_type, &pairs, Handling::Strict, self.ground.zone());
        let Ok(query) = query else {
            return Ok(Vec::new());
        };
        let mut scan = Scan::new(self, Asked::of(&query))?;
        let mut found = Vec::new();
        while let Some((rid, _)) = scan.next()? {
            found.push(rid);
        }
        Ok(found)
    }
}

/// Has this type canonical URLs?
pub(super) fn has_url(resource_type: &str) -> bool {
    let mut known = definitions(resource_type).into_iter();
    known.any(|definition| definition.name == "url" && definition.kind == "uri")
}
