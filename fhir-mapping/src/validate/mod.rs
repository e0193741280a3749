//! Structure validation against the R4 definitions: names, types, cardinality, required codes.
//!
//! `walk` goes through a resource beside its definitions, `path` and `fault` say where and what is
//! wrong.

mod fault;
mod walk;

#[cfg(test)]
mod tests;

use crate::model::{Issue, Json};
use crate::structure::table;

/// Findings about one resource, in document order; empty when it is sound. Checks: `resourceType`
/// known, every element known, JSON type and primitive pattern right, min and max kept, required
/// bindings of codes kept, choice elements given once, primitives' `_` companions sound,
/// no empty objects or arrays, ids valid. Resources inside (contained, Bundle entries, Parameters)
/// are checked by their own type. Stops after [`ISSUES_MAX`] findings.
pub fn structure(resource: &Json) -> Vec<Issue> {
    walk::resource(resource, table::table())
}

/// More findings than these help nobody, and would let a bad body make a huge answer.
pub const ISSUES_MAX: usize = 50;

/// True for a resource type of R4.
pub fn is_resource_type(name: &str) -> bool {
    table::table().resource(name).is_some()
}

/// All R4 resource types, sorted.
pub fn resource_types() -> &'static [&'static str] {
    table::table().resource_names()
}
