//! Which changes are sent first when a link comes back (sync-and-conflict, send order): a pure
//! table by resource type and content.

use fhir_mapping::model::Json;
use store::Urgency;

/// Interpretation codes (v3 ObservationInterpretation) that a clinician must hear of at once.
const CRITICAL: [&str; 3] = ["HH", "LL", "AA"];

/// By type; what is not named is bulk.
const BY_TYPE: [(Urgency, &[&str]); 3] = [
    (
        Urgency::Urgent,
        &["AllergyIntolerance", "DetectedIssue", "Flag"],
    ),
    (
        Urgency::Clinical,
        &[
            "MedicationRequest",
            "MedicationDispense",
            "MedicationAdministration",
            "MedicationStatement",
            "Condition",
            "Observation",
            "DiagnosticReport",
            "ServiceRequest",
            "Procedure",
            "Task",
        ],
    ),
    (
        Urgency::Routine,
        &[
            "Patient",
            "Encounter",
            "Immunization",
            "Specimen",
            "RelatedPerson",
            "Practitioner",
            "Organization",
            "Location",
        ],
    ),
];

/// The send order class of a resource's new content.
pub(super) fn of(resource: &Json) -> Urgency {
    let by_type = of_type(resource.resource_type().unwrap_or_default());
    if resource.resource_type() != Some("Observation") {
        return by_type;
    }
    if has_code(resource.items("interpretation"), &CRITICAL) || has_critical_component(resource) {
        Urgency::Urgent
    } else if has_code(resource.items("category"), &["vital-signs"]) {
        Urgency::Routine
    } else {
        by_type
    }
}

/// The class of a type whose content is not known, as of a deletion.
pub(super) fn of_type(resource_type: &str) -> Urgency {
    BY_TYPE
        .iter()
        .find(|(_, types)| types.contains(&resource_type))
        .map_or(Urgency::Bulk, |(urgency, _)| *urgency)
}

fn has_critical_component(resource: &Json) -> bool {
    resource
        .items("component")
        .iter()
        .any(|component| has_code(component.items("interpretation"), &CRITICAL))
}

fn has_code(concepts: &[Json], codes: &[&str]) -> bool {
    concepts
        .iter()
        .flat_map(|concept| concept.items("coding"))
        .filter_map(|coding| coding.get("code")?.as_str())
        .any(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, parse};

    #[test]
    fn by_type_and_content() {
        let concept = |code: &str| std::format!(r#"[{{"coding":[{{"code":"{code}"}}]}}]"#);
        let cases = [
            (
                r#"{"resourceType":"AllergyIntolerance"}"#.to_owned(),
                Urgency::Urgent,
            ),
            (
                r#"{"resourceType":"MedicationRequest"}"#.to_owned(),
                Urgency::Clinical,
            ),
            (r#"{"resourceType":"Patient"}"#.to_owned(), Urgency::Routine),
            (r#"{"resourceType":"Claim"}"#.to_owned(), Urgency::Bulk),
            (
                r#"{"resourceType":"Observation"}"#.to_owned(),
                Urgency::Clinical,
            ),
            (
                std::format!(
                    r#"{{"resourceType":"Observation","category":{}}}"#,
                    concept("vital-signs")
                ),
                Urgency::Routine,
            ),
            (
                std::format!(
                    r#"{{"resourceType":"Observation","category":{},"interpretation":{}}}"#,
                    concept("vital-signs"),
                    concept("HH")
                ),
                Urgency::Urgent,
            ),
            (
                std::format!(
                    r#"{{"resourceType":"Observation","component":[{{"interpretation":{}}}]}}"#,
                    concept("LL")
                ),
                Urgency::Urgent,
            ),
            (
                std::format!(
                    r#"{{"resourceType":"Observation","interpretation":{}}}"#,
                    concept("H")
                ),
                Urgency::Clinical,
            ),
        ];
        for (resource, expected) in cases {
            let tree = parse(resource.as_bytes(), Limits::default()).unwrap();
            assert_eq!(of(&tree), expected, "{resource}");
        }
    }
}
