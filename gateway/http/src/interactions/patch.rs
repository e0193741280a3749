//! PATCH Type/id and PATCH Type?criteria: JSON Patch, FHIRPath Patch or a merge patch, made on what
//! is stored in the writing transaction itself. <https://hl7.org/fhir/R4/http.html#patch>

use super::create::write_one;
use super::{Surface, answers, content, door, preconditions};
use crate::exchange::{Answer, Exchange};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fhir_mapping::model::{IssueCode, Json, format};
use fhir_mapping::patch::Patch;
use gateway_ground::failure::{Category, Failure};
use gateway_repository::{Check, Which, Write};
use http::header;
use std::sync::Arc;

/// Content types of patches; without one the body tells.
const KINDS: [&str; 6] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/json",
    "application/fhir+json",
    "application/json+fhir",
    "",
];

pub(super) async fn answer(
    surface: &Surface,
    exchange: &Exchange,
    which: Which,
) -> Result<Answer, Failure> {
    let kind = exchange.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let patch = Write::Patch {
        which,
        patch: read(kind, &exchange.body)?,
        if_match: preconditions::if_match(&exchange.headers)?,
        check: check(surface),
    };
    let written = write_one(surface, exchange, patch).await?;
    Ok(answers::written(200, written, &exchange.base_url))
}

/// The resource of a conditional patch.
pub(super) fn which(
    surface: &Surface,
    exchange: &Exchange,
    resource_type: &str,
) -> Result<Which, Failure> {
    let repository = &surface.repository;
    Ok(Which::Where {
        resource_type: resource_type.to_owned(),
        query: preconditions::criteria_of(&exchange.query, resource_type, repository)?,
    })
}

/// A patched resource is judged as an update is.
pub(super) fn check(surface: &Surface) -> Check {
    let (surface, is_long) = (surface.clone(), surface.door.is_ever_full());
    Check {
        judge: Arc::new(move |resource| door::check(&surface, resource)),
        is_long,
    }
}

/// Reads a patch by its content type. JSON under any name is told apart by its form: an array is a
/// JSON Patch, Parameters are a FHIRPath Patch, any other object is merged.
pub(super) fn read(content_type: &str, body: &[u8]) -> Result<Patch, Failure> {
    let kind = content_type.split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    // What cannot be a patch is told by its type, whatever it holds.
    if !KINDS.contains(&kind.as_str()) {
        return Err(unknown_kind());
    }
    let tree = content::json(body)?;
    let patch = match kind.as_str() {
        "application/json-patch+json" => Patch::json(&tree),
        "application/merge-patch+json" => Patch::merge(tree),
        _ => match &tree {
            Json::Array(_) => Patch::json(&tree),
            _ if tree.resource_type() == Some("Parameters") => Patch::fhirpath(&tree),
            _ => Patch::merge(tree),
        },
    };
    patch.map_err(|issue| Failure::of(Category::Incorrect, vec![issue]))
}

/// The content type and body of the patch that an entry of a Bundle carries: in a Binary, or as
/// Parameters.
pub(super) fn unpacked(resource: Option<Json>) -> Result<(String, Vec<u8>), Failure> {
    match resource {
        Some(resource) if resource.resource_type() == Some("Binary") => {
            let kind = resource.get("contentType").and_then(Json::as_str);
            let kind = kind.unwrap_or_default().to_owned();
            let data = resource.get("data").and_then(Json::as_str);
            let data = data.unwrap_or_default().trim().as_bytes();
            let data = STANDARD.decode(data).map_err(|_not_base64| not_base64())?;
            Ok((kind, data))
        }
        Some(resource) if resource.resource_type() == Some("Parameters") => Ok((
            "application/fhir+json".to_owned(),
            format(&resource).into_bytes(),
        )),
        _ => {
            let text = "a PATCH entry carries its patch in a Binary or in Parameters";
            let code = IssueCode::Required;
            Err(Failure::new(Category::Incorrect, "E-PATCH-15", code, text))
        }
    }
}

fn unknown_kind() -> Failure {
    let text = "a patch is application/json-patch+json, application/merge-patch+json, or \
                application/fhir+json with Parameters";
    let code = IssueCode::NotSupported;
    Failure::new(Category::UnsupportedMedia, "E-PATCH-13", code, text)
}

fn not_base64() -> Failure {
    let text = "the data of the Binary is not base64";
    Failure::new(Category::Incorrect, "E-PATCH-14", IssueCode::Value, text).at("Binary.data")
}
