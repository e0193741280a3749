//! Structure validation against the R4 definitions: names, types, cardinality, required codes.

use crate::model::{Issue, Json};

/// Findings about one resource, in document order; empty when it is sound. Checks: `resourceType`
/// known, every element known, JSON type and primitive pattern right, min and max kept, required
/// bindings of codes kept, choice elements given once, primitives' `_` companions sound,
/// no empty objects or arrays, ids valid.
pub fn structure(_resource: &Json) -> Vec<Issue> {
    unimplemented!()
}

/// True for a resource type of R4.
pub fn is_resource_type(_name: &str) -> bool {
    unimplemented!()
}

/// All R4 resource types, sorted.
pub fn resource_types() -> &'static [&'static str] {
    unimplemented!()
}
