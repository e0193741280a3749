//! A resource in a request: parsed, of the right type, and sound in structure (R4 3.1.0.8).

use super::{Surface, aside, door};
use bytes::Bytes;
use fhir_mapping::model::{Issue, IssueCode, Json, Limits, Severity, parse};
use fhir_mapping::validate::structure;
use gateway_ground::failure::{Category, Failure};

/// The resource that a request brings: 400 when its body is no JSON, or no resource of `expected`
/// type or, if given, of that id; 422 for findings. A large body is read and judged aside, so that
/// short requests are answered meanwhile.
pub(super) async fn resource(
    surface: &Surface,
    body: &Bytes,
    (expected, id): (&str, Option<&str>),
) -> Result<Json, Failure> {
    let (place, bytes) = (surface.clone(), body.clone());
    let (expected, id) = (expected.to_owned(), id.map(str::to_owned));
    let read = move || {
        let tree = json(&bytes)?;
        check_type(&tree, &expected)?;
        if let Some(id) = &id {
            check_id(&tree, id)?;
        }
        door::check(&place, &tree)?;
        Ok(tree)
    };
    if body.len() <= AT_ONCE_BYTES_MAX && !surface.door.is_ever_full() {
        return read();
    }
    aside(read).await
}

/// A body up to this size is judged in well under a millisecond.
pub(super) const AT_ONCE_BYTES_MAX: usize = 64 * 1024;

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

/// 422 when the structure of what is only read here (a Bundle's frame, Parameters) has errors.
pub(super) fn check(resource: &Json) -> Result<(), Failure> {
    let errors = errors(resource);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::of(Category::Unprocessable, errors))
}

/// The same, for who decides what they spoil.
pub(super) fn errors(resource: &Json) -> Vec<Issue> {
    let mut issues = structure(resource);
    issues.retain(|issue| issue.severity >= Severity::Error);
    issues
}
