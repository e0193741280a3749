//! What a search asks, as a tree. One resource's own values decide the leaves called `Own`; the
//! others look at further resources, which the caller that has a store carries out.

use super::criterion::{Criterion, GROUP_TERMS_MAX};
use super::looks::Looks;
use super::terms::Sink;
use super::values::SearchValues;
use super::words::Words;

/// A condition on one resource.
#[derive(Clone, Debug)]
pub enum Condition {
    /// A parameter of the resource itself.
    Own(Criterion),
    /// `subject:Patient.name=x`: a reference parameter and what must hold of a resource it points at.
    Chain(Chain),
    /// `_has:Observation:patient:code=x`, and `_list`: what must hold of a resource that points here.
    Has(Has),
    /// `partof:below=Location/1`: `:above` and `:below` on references.
    Hierarchy(Hierarchy),
    /// `_text`, `_content`: words of the narrative or of the whole resource.
    Words(Words),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// Holds when a resource that `parameter` refers to is of one branch's type and meets its condition.
#[derive(Clone, Debug)]
pub struct Chain {
    /// A reference parameter of the resource that is asked about: see `SearchValues::references`
    /// and, for canonical references, `SearchValues::canonicals`.
    pub parameter: &'static str,
    /// One for each possible target type; never empty.
    pub branches: Vec<Branch>,
}

#[derive(Clone, Debug)]
pub struct Branch {
    pub resource_type: String,
    pub condition: Condition,
}

/// Holds when a resource of `source_type` refers here with `parameter` and meets the condition.
#[derive(Clone, Debug)]
pub struct Has {
    pub source_type: String,
    pub parameter: &'static str,
    pub condition: Box<Condition>,
}

/// Holds when `parameter` refers to `target_type/target_id`, or to a resource above it (`is_below`
/// false) or below it (`is_below` true) by the target type's own `parent` parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub parameter: &'static str,
    pub target_type: String,
    pub target_id: String,
    /// The reference parameter of `target_type` that points at its parent, such as `partof`.
    pub parent: &'static str,
    pub is_below: bool,
}

impl Condition {
    /// What the resource's own values tell; `None` when other resources decide.
    pub fn known(&self, values: &SearchValues) -> Option<bool> {
        match self {
            Condition::Own(criterion) => Some(criterion.matches(values)),
            Condition::All(parts) => fold(parts, values, false),
            Condition::Any(parts) => fold(parts, values, true),
            Condition::Not(part) => part.known(values).map(|holds| !holds),
            _ => None,
        }
    }

    /// Decides with the caller's help: `look` is asked about every `Chain`, `Has`, `Hierarchy` and
    /// `Words` whose answer matters. What is known without looking is used first.
    pub fn decide<E>(
        &self,
        values: &SearchValues,
        look: &mut dyn FnMut(&Condition) -> Result<bool, E>,
    ) -> Result<bool, E> {
        if let Some(known) = self.known(values) {
            return Ok(known);
        }
        match self {
            Condition::All(parts) => decide_parts(parts, values, false, look),
            Condition::Any(parts) => decide_parts(parts, values, true, look),
            Condition::Not(part) => Ok(!part.decide(values, look)?),
            _ => look(self),
        }
    }

    /// Notes the parameters whose values `known` and `decide` look at. What is asked of other
    /// resources is not among them.
    pub(super) fn note(&self, looks: &mut Looks) {
        match self {
            Condition::Own(criterion) => looks.add(criterion.index()),
            Condition::Chain(chain) => looks.add_named(chain.parameter),
            Condition::Hierarchy(hierarchy) => looks.add_named(hierarchy.parameter),
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| part.note(looks));
            }
            Condition::Not(part) => part.note(looks),
            Condition::Has(_) | Condition::Words(_) => {}
        }
    }

    /// Is every part decided by the resource's own values?
    pub fn is_own(&self) -> bool {
        match self {
            Condition::Own(_) => true,
            Condition::All(parts) | Condition::Any(parts) => parts.iter().all(Condition::is_own),
            Condition::Not(part) => part.is_own(),
            _ => false,
        }
    }

    /// Groups of terms: every resource of the type that meets the condition has a term of each.
    /// None when the type's own term is all that is sure.
    pub fn groups(&self, resource_type: &str) -> Vec<Vec<Vec<u8>>> {
        match self {
            Condition::Own(criterion) => criterion.candidates(resource_type).into_iter().collect(),
            Condition::All(parts) => parts.iter().flat_map(|p| p.groups(resource_type)).collect(),
            Condition::Any(parts) => union(parts, resource_type).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn localize(&mut self, base: &str) {
        match self {
            Condition::Own(criterion) => criterion.localize(base),
            Condition::Chain(chain) => {
                let branches = chain.branches.iter_mut();
                branches.for_each(|branch| branch.condition.localize(base));
            }
            Condition::Has(has) => has.condition.localize(base),
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter_mut().for_each(|part| part.localize(base));
            }
            Condition::Not(part) => part.localize(base),
            Condition::Hierarchy(_) | Condition::Words(_) => {}
        }
    }
}

/// The terms that resources of `resource_type` hold whose reference parameter points at one of
/// `targets` (`Type`, `id`): a group as in `Condition::groups`.
pub fn reference_terms(
    resource_type: &str,
    parameter: &str,
    targets: &[(String, String)],
) -> Vec<Vec<u8>> {
    let mut sink = Sink::new(resource_type, parameter);
    for (target_type, id) in targets {
        sink.put('=', &[target_type, "/", id]);
    }
    sink.into_group()
}

/// `decisive` is the answer that one part alone settles.
fn fold(parts: &[Condition], values: &SearchValues, decisive: bool) -> Option<bool> {
    let mut is_open = false;
    for part in parts {
        match part.known(values) {
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
            None => is_open = true,
        }
    }
    (!is_open).then_some(!decisive)
}

fn decide_parts<E>(
    parts: &[Condition],
    values: &SearchValues,
    decisive: bool,
    look: &mut dyn FnMut(&Condition) -> Result<bool, E>,
) -> Result<bool, E> {
    for part in parts {
        if part.decide(values, look)? == decisive {
            return Ok(decisive);
        }
    }
    Ok(!decisive)
}

/// One group for all alternatives, of each its smallest; `None` when one of them has none.
fn union(parts: &[Condition], resource_type: &str) -> Option<Vec<Vec<u8>>> {
    let mut terms = Vec::new();
    for part in parts {
        let groups = part.groups(resource_type);
        terms.extend(groups.into_iter().min_by_key(Vec::len)?);
    }
    terms.sort_unstable();
    terms.dedup();
    (terms.len() <= GROUP_TERMS_MAX && !parts.is_empty()).then_some(terms)
}
