//! A resource in a request: parsed, of the right type, and sound in structure (R4 3.1.0.8).

use crate::failure::{Category, Failure};
use fhir_mapping::model::{Issue, IssueCode, Json, Limits, Severity, parse};
use fhir_mapping::validate::structure;

/// Parses a body: 400 when it is no JSON or no resource of `expected` type, 422 for findings.
pub(super) fn resource(body: &[u8], expected: &str) -> Result<Json, Failure> {
    let tree = json(body)?;
    check_type(&tree, expected)?;
    check(&tree)?;
    Ok(tree)
}

/// Parses a body without looking at it.
pub(super) fn json(body: &[u8]) -> Result<Json, Failure> {
    if body.is_empty() {
        let text = "the request needs a body: one resource in JSON";
        return Err(Failure::new(
            Category::Incorrect,
            "E-CONTENT-1",
            IssueCode::Required,
            text,
        ));
    }
    parse(body, Limits::default()).map_err(|issue| Failure::of(Category::Incorrect, vec![issue]))
}

/// 400 when the resource is not of the type in the URL.
pub(super) fn check_type(resource: &Json, expected: &str) -> Result<(), Failure> {
    match resource.resource_type() {
        Some(found) if found == expected => Ok(()),
        Some(_) => {
            let text = format!("resourceType must be {expected}, as the URL says");
            Err(
                Failure::new(Category::Incorrect, "E-CONTENT-2", IssueCode::Value, text)
                    .at("resourceType"),
            )
        }
        None => {
            let text = format!("resourceType is missing; the URL wants {expected}");
            Err(Failure::new(
                Category::Incorrect,
                "E-CONTENT-3",
                IssueCode::Required,
                text,
            )
            .at("resourceType"))
        }
    }
}

/// 400 unless the resource's own id is that of the URL.
pub(super) fn check_id(resource: &Json, id: &str) -> Result<(), Failure> {
    if resource.id() == Some(id) {
        return Ok(());
    }
    let path = format!("{}.id", resource.resource_type().unwrap_or_default());
    let text = "the resource's id must be there and equal the id in the URL";
    Err(Failure::new(Category::Incorrect, "E-CONTENT-4", IssueCode::Value, text).at(&path))
}

/// 422 when the structure has errors; warnings do not stop a write.
pub(super) fn check(resource: &Json) -> Result<(), Failure> {
    let errors: Vec<Issue> = structure(resource)
        .into_iter()
        .filter(|issue| issue.severity >= Severity::Error)
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::of(Category::Unprocessable, errors))
}
