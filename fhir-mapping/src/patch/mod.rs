//! Changes to parts of a resource: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386) and FHIRPath
//! Patch (<https://hl7.org/fhir/R4/fhirpatch.html>), on the exact tree: decimals keep their text.
//!
//! `json-patch` and its like work on `serde_json::Value`, which rounds numbers: hence our own.

mod budget;
mod elements;
mod equal;
mod given;
mod locate;
mod merge;
mod operations;
mod path;
mod place;
mod pointer;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use self::budget::Budget;
use self::elements::ElementOperation;
use self::operations::Operation;
use crate::model::{Issue, IssueCode, Json, Limits};

/// A change, read and sound in its own form; whether it fits a resource shows when it is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch(Form);

#[derive(Clone, Debug, PartialEq)]
enum Form {
    Operations(Vec<Operation>),
    Merge(Json),
    Elements(Vec<ElementOperation>),
}

/// More operations than any honest patch has.
const OPERATIONS_MAX: usize = 10_000;

impl Patch {
    /// Reads a JSON Patch: an array of operations.
    pub fn json(patch: &Json) -> Result<Patch, Issue> {
        operations::read(patch).map(|operations| Patch(Form::Operations(operations)))
    }

    /// Reads a JSON Merge Patch: the members to change, `null` for those to take away.
    pub fn merge(patch: Json) -> Result<Patch, Issue> {
        merge::check(&patch)?;
        Ok(Patch(Form::Merge(patch)))
    }

    /// Reads a FHIRPath Patch: a Parameters resource of operations.
    pub fn fhirpath(parameters: &Json) -> Result<Patch, Issue> {
        elements::read(parameters).map(|operations| Patch(Form::Elements(operations)))
    }

    /// The resource with the change made; the issue names the operation and its path. Lists and
    /// objects that the change left empty are taken away, since FHIR knows none. `resourceType` and
    /// `id` stay as they are.
    pub fn apply(&self, resource: &Json) -> Result<Json, Issue> {
        let mut patched = resource.clone();
        match &self.0 {
            Form::Operations(operations) => operations::apply(&mut patched, operations)?,
            Form::Merge(patch) => merge::apply(&mut patched, patch),
            Form::Elements(operations) => elements::apply(&mut patched, operations)?,
        }
        check_bounds(&patched)?;
        prune(&mut patched);
        for name in ["resourceType", "id"] {
            if patched.get(name) != resource.get(name) {
                let text = format!("a patch may not change {name}");
                let code = IssueCode::BusinessRule;
                return Err(Issue::error("E-PATCH-1", code, name, text));
            }
        }
        Ok(patched)
    }

    /// Calls `visit` with every value that the patch brings, each as the one member of an object
    /// under the name it will have, so that what it refers to can be found.
    pub fn visit_values(&self, visit: &mut impl FnMut(&Json)) {
        // Looking is rewriting a copy: patches are small.
        self.clone().rewrite_values(&mut |value| visit(value));
    }

    /// The same, for changing them.
    pub fn rewrite_values(&mut self, rewrite: &mut impl FnMut(&mut Json)) {
        match &mut self.0 {
            Form::Operations(operations) => {
                operations.iter_mut().for_each(|one| one.rewrite(rewrite));
            }
            Form::Merge(patch) => rewrite(patch),
            Form::Elements(operations) => {
                operations.iter_mut().for_each(|one| one.rewrite(rewrite));
            }
        }
    }
}

/// `value` as the one member of an object, changed there, and taken out again.
fn rewrite_member(name: &str, value: &mut Json, rewrite: &mut impl FnMut(&mut Json)) {
    let mut wrapped = Json::object([(name, std::mem::replace(value, Json::Null))]);
    rewrite(&mut wrapped);
    if let Some(changed) = wrapped
        .as_object_mut()
        .and_then(|object| object.remove(name))
    {
        *value = changed;
    }
}

/// Copies can make a small patch huge, and moves a flat one deep.
fn check_bounds(patched: &Json) -> Result<(), Issue> {
    let depth_max = Limits::default().depth_max;
    let mut budget = Budget::default();
    if !is_shallow(patched, depth_max) || budget.spend_tree(patched).is_none() {
        let text = "the patched resource would be nested too deep or be too large";
        return Err(Issue::error("E-PATCH-2", IssueCode::TooCostly, "", text));
    }
    Ok(())
}

fn is_shallow(value: &Json, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return false;
    };
    match value {
        Json::Array(items) => items.iter().all(|item| is_shallow(item, below)),
        Json::Object(object) => object.iter().all(|(_, item)| is_shallow(item, below)),
        _ => true,
    }
}

/// Takes away members that hold an empty list or object.
fn prune(value: &mut Json) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(prune),
        Json::Object(object) => {
            object.iter_mut().for_each(|(_, item)| prune(item));
            let empty: Vec<String> = object
                .iter()
                .filter(|(_, item)| is_empty(item))
                .map(|(name, _)| name.to_owned())
                .collect();
            for name in empty {
                object.remove(&name);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Array(items) => items.is_empty(),
        Json::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// A path in a message: cut, in case somebody put a text there.
fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}
