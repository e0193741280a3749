//! Resources that clients may read but not change: review Tasks, which only a decision closes.

use fhir_mapping::model::{IssueCode, Json, Limits, parse};
use gateway_ground::failure::{Category, Failure};
use store::{ResourceKey, StoredVersion};

/// `Task.code` of a review.
const REVIEW_CODE: &str = "conflict-review";

/// Could this key be a reserved resource at all?
pub(super) fn may_be(key: &ResourceKey) -> bool {
    key.resource_type == "Task"
}

/// Refuses a client's content that would pass for a review.
pub(super) fn check_content(resource: &Json) -> Result<(), Failure> {
    if is_review(resource) {
        let text = "Tasks with the code conflict-review are made by this server only";
        return Err(
            Failure::new(Category::Forbidden, "E-WRITE-9", IssueCode::Forbidden, text)
                .at("Task.code"),
        );
    }
    Ok(())
}

/// Refuses to replace or delete a stored review.
pub(super) fn check_change(stored: &StoredVersion) -> Result<(), Failure> {
    if !may_be(&stored.key) {
        return Ok(());
    }
    let tree = parse(&stored.body, Limits::default());
    if tree.is_ok_and(|tree| is_review(&tree)) {
        let text = "a review is closed by POST Task/{id}/$resolve only";
        return Err(Failure::new(
            Category::Forbidden,
            "E-WRITE-10",
            IssueCode::Forbidden,
            text,
        ));
    }
    Ok(())
}

fn is_review(resource: &Json) -> bool {
    resource.resource_type() == Some("Task")
        && resource
            .get("code")
            .map(|code| code.items("coding"))
            .unwrap_or_default()
            .iter()
            .any(|coding| coding.get("code").and_then(Json::as_str) == Some(REVIEW_CODE))
}
