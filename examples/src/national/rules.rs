//! What this server refuses: its national profile, in a small table of its own.

use super::shelf::Shelf;
use serde_json::Value;

/// Types it knows, each with the elements that must be there; `x[x]` is any choice of `x`.
const REQUIRED: &[(&str, &[&str])] = &[
    ("AllergyIntolerance", &["patient"]),
    ("Appointment", &["status", "participant"]),
    ("CarePlan", &["status", "intent", "subject"]),
    ("CareTeam", &[]),
    (
        "Claim",
        &[
            "status",
            "type",
            "use",
            "patient",
            "created",
            "provider",
            "priority",
            "insurance",
        ],
    ),
    ("Condition", &["subject"]),
    ("Coverage", &["status", "beneficiary", "payor"]),
    ("DetectedIssue", &["status"]),
    ("Device", &[]),
    ("DiagnosticReport", &["status", "code"]),
    ("DocumentReference", &["status", "content"]),
    ("Encounter", &["status", "class"]),
    (
        "ExplanationOfBenefit",
        &[
            "status",
            "type",
            "use",
            "patient",
            "created",
            "insurer",
            "provider",
            "outcome",
            "insurance",
        ],
    ),
    ("Goal", &["lifecycleStatus", "description", "subject"]),
    ("ImagingStudy", &["status", "subject"]),
    (
        "Immunization",
        &["status", "vaccineCode", "patient", "occurrence[x]"],
    ),
    ("Location", &[]),
    ("Medication", &[]),
    (
        "MedicationAdministration",
        &["status", "medication[x]", "subject", "effective[x]"],
    ),
    ("MedicationDispense", &["status", "medication[x]"]),
    (
        "MedicationRequest",
        &["status", "intent", "medication[x]", "subject"],
    ),
    (
        "MedicationStatement",
        &["status", "medication[x]", "subject"],
    ),
    ("Observation", &["status", "code"]),
    ("Organization", &[]),
    ("Patient", &[]),
    ("Practitioner", &[]),
    ("PractitionerRole", &[]),
    ("Procedure", &["status", "subject"]),
    ("Provenance", &["target", "recorded", "agent"]),
    ("RelatedPerson", &["patient"]),
    ("ServiceRequest", &["status", "intent", "subject"]),
    ("Specimen", &[]),
    ("SupplyDelivery", &[]),
];

pub(super) fn is_known_type(resource_type: &str) -> bool {
    REQUIRED.iter().any(|(name, _)| *name == resource_type)
}

/// `[A-Za-z0-9\-\.]{1,64}`
pub(super) fn is_valid_id(id: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    (1..=64).contains(&id.len()) && id.bytes().all(is_plain)
}

/// The first thing wrong with a resource sent to `resource_type/id`.
pub(super) fn check(
    shelf: &Shelf,
    resource_type: &str,
    id: &str,
    json: &Value,
) -> Result<(), (u16, String)> {
    let field = |name: &str| json.get(name).and_then(Value::as_str);
    if field("resourceType") != Some(resource_type) {
        return Err((400, "resourceType differs from the address".to_owned()));
    }
    if field("id") != Some(id) {
        return Err((400, "id differs from the address".to_owned()));
    }
    let required = REQUIRED.iter().find(|(name, _)| *name == resource_type);
    for element in required.map(|(_, elements)| *elements).unwrap_or_default() {
        if !has(json, element) {
            return Err((422, format!("{resource_type}.{element} is required")));
        }
    }
    match missing_reference(shelf, json, &format!("{resource_type}/{id}")) {
        Some(reference) => Err((422, format!("{reference} is not known here"))),
        None => Ok(()),
    }
}

fn has(json: &Value, element: &str) -> bool {
    match element.strip_suffix("[x]") {
        None => json.get(element).is_some_and(|value| !value.is_null()),
        Some(stem) => json.as_object().is_some_and(|object| {
            let is_choice = |key: &String| {
                let rest = key.strip_prefix(stem);
                rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
            };
            object.keys().any(is_choice)
        }),
    }
}

/// Integrity: what is referred to as `Type/id` must be here (its own address counts).
fn missing_reference(shelf: &Shelf, json: &Value, own: &str) -> Option<String> {
    match json {
        Value::Array(items) => items
            .iter()
            .find_map(|item| missing_reference(shelf, item, own)),
        Value::Object(object) => {
            let reference = object.get("reference").and_then(Value::as_str);
            if let Some(reference) = reference
                && reference != own
                && !is_here(shelf, reference)
            {
                return Some(reference.to_owned());
            }
            object
                .values()
                .find_map(|item| missing_reference(shelf, item, own))
        }
        _ => None,
    }
}

fn is_here(shelf: &Shelf, reference: &str) -> bool {
    let path = reference.split("/_history/").next().unwrap_or(reference);
    match path.split_once('/') {
        Some((resource_type, id)) if is_known_type(resource_type) => shelf
            .current(&(resource_type.to_owned(), id.to_owned()))
            .is_some(),
        // Contained, urn and absolute references, and types of no concern here.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national::shelf::By;
    use serde_json::json;

    #[test]
    fn strictness_has_reasons() {
        let mut shelf = Shelf::default();
        let patient = json!({"resourceType": "Patient", "id": "p"});
        shelf.write(
            ("Patient".to_owned(), "p".to_owned()),
            Some(patient),
            By::National,
        );
        let observation = |more: Value| {
            let mut json = json!({"resourceType": "Observation", "id": "o", "status": "final",
                "code": {"text": "x"}, "subject": {"reference": "Patient/p"}});
            if let (Some(object), Value::Object(more)) = (json.as_object_mut(), more) {
                object.extend(more);
            }
            json
        };
        let cases = [
            (json!({}), "ok"),
            (json!({"id": "other"}), "400 id differs from the address"),
            (
                json!({"resourceType": "Patient"}),
                "400 resourceType differs from the address",
            ),
            (json!({"code": null}), "422 Observation.code is required"),
            (
                json!({"subject": {"reference": "Patient/q"}}),
                "422 Patient/q is not known here",
            ),
            (json!({"subject": {"reference": "#c"}}), "ok"),
            (json!({"focus": [{"reference": "Observation/o"}]}), "ok"),
        ];
        for (more, expected) in cases {
            let outcome = match check(&shelf, "Observation", "o", &observation(more.clone())) {
                Ok(()) => "ok".to_owned(),
                Err((status, reason)) => format!("{status} {reason}"),
            };
            assert_eq!(outcome, expected, "{more}");
        }
        assert!(has(&json!({"occurrenceDateTime": "2020"}), "occurrence[x]"));
        assert!(!has(&json!({"occurrence": "2020"}), "occurrence[x]"));
    }
}
