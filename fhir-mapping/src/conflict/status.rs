//! Orders of status codes: which state is further along, and which is the more cautious one to show
//! while nobody has decided.

use super::Pick;
use crate::model::Json;
use std::cmp::Ordering;

/// Types, and their states from first to last; states of one group are of equal rank. A state that
/// is not named here (cancelled, entered-in-error, unknown) cannot be compared.
const ORDERS: &[(&str, &[&[&str]])] = &[
    (
        "Observation",
        &[
            &["registered"],
            &["preliminary"],
            &["final"],
            &["amended", "corrected"],
        ],
    ),
    (
        "DiagnosticReport",
        &[
            &["registered"],
            &["partial"],
            &["preliminary"],
            &["final"],
            &["amended", "corrected", "appended"],
        ],
    ),
    (
        "MedicationDispense MedicationAdministration",
        &[&["preparation"], &["in-progress"], &["completed"]],
    ),
    ("ServiceRequest", &[&["draft"], &["active"], &["completed"]]),
    (
        "Encounter",
        &[
            &["planned"],
            &["arrived"],
            &["triaged"],
            &["in-progress"],
            &["onleave"],
            &["finished"],
        ],
    ),
    (
        "Procedure",
        &[&["preparation"], &["in-progress"], &["completed"]],
    ),
    ("CarePlan", &[&["draft"], &["active"], &["completed"]]),
    (
        "Goal",
        &[
            &["proposed"],
            &["planned"],
            &["accepted"],
            &["active"],
            &["completed"],
        ],
    ),
    (
        "QuestionnaireResponse QuestionnaireResponse(signed)",
        &[&["in-progress"], &["completed"], &["amended"]],
    ),
];

/// Types, element, and its values from the most cautious on.
const CAUTION: &[(&str, &str, &[&str])] = &[
    (
        "AllergyIntolerance",
        "clinicalStatus",
        &["active", "inactive", "resolved"],
    ),
    (
        "AllergyIntolerance",
        "verificationStatus",
        &["confirmed", "unconfirmed", "refuted", "entered-in-error"],
    ),
    (
        "AllergyIntolerance",
        "criticality",
        &["high", "unable-to-assess", "low"],
    ),
    (
        "Condition",
        "verificationStatus",
        &[
            "entered-in-error",
            "confirmed",
            "provisional",
            "differential",
            "unconfirmed",
            "refuted",
        ],
    ),
    (
        "Condition",
        "clinicalStatus",
        &[
            "active",
            "recurrence",
            "relapse",
            "inactive",
            "remission",
            "resolved",
        ],
    ),
    ("MedicationRequest", "doNotPerform", &["true"]),
    (
        "MedicationRequest",
        "status",
        &[
            "entered-in-error",
            "stopped",
            "cancelled",
            "on-hold",
            "completed",
            "unknown",
            "draft",
            "active",
        ],
    ),
    (
        "MedicationStatement",
        "status",
        &[
            "entered-in-error",
            "stopped",
            "on-hold",
            "not-taken",
            "completed",
            "unknown",
            "intended",
            "active",
        ],
    ),
    (
        "Consent",
        "status",
        &[
            "rejected",
            "inactive",
            "entered-in-error",
            "proposed",
            "draft",
            "active",
        ],
    ),
    ("Consent", "provision", &["deny", "permit"]),
    (
        "Flag",
        "status",
        &["active", "inactive", "entered-in-error"],
    ),
    ("*", "status", &["entered-in-error"]),
];

/// Which side's status is further along; `None` when equal in rank or not comparable.
pub(super) fn further(kind: &str, local: Option<&Json>, incoming: Option<&Json>) -> Option<Pick> {
    let order = ORDERS.iter().find(|(types, _)| has(types, kind))?.1;
    let rank = |status: Option<&Json>| {
        let code = status?.as_str()?;
        order.iter().position(|group| group.contains(&code))
    };
    side(rank(incoming)?.cmp(&rank(local)?))
}

/// Which side's value is the more cautious one to show; `None` when there is no telling.
pub(super) fn more_cautious(
    place: (&str, &str),
    local: Option<&Json>,
    incoming: Option<&Json>,
) -> Option<Pick> {
    let (kind, element) = place;
    let found = |kind: &str| {
        let mut rows = CAUTION.iter();
        rows.find(|(types, name, _)| has(types, kind) && *name == element)
    };
    let order = found(kind).or_else(|| found("*"))?.2;
    let rank = |value: Option<&Json>| {
        let codes = value.map(codes).unwrap_or_default();
        let known = order.iter().position(|code| codes.contains(code));
        known.unwrap_or(order.len())
    };
    side(rank(local).cmp(&rank(incoming)))
}

/// Does this value say that the resource should never have been made?
pub(super) fn is_entered_in_error(value: &Json) -> bool {
    codes(value).contains(&"entered-in-error")
}

fn has(words: &str, word: &str) -> bool {
    words.split(' ').any(|w| w == word)
}

fn side(order: Ordering) -> Option<Pick> {
    match order {
        Ordering::Less => Some(Pick::Local),
        Ordering::Equal => None,
        Ordering::Greater => Some(Pick::Incoming),
    }
}

/// The codes in a code, boolean, CodeableConcept or the `type` of a backbone element.
fn codes(value: &Json) -> Vec<&str> {
    match value {
        Json::String(code) => vec![code],
        Json::Bool(true) => vec!["true"],
        Json::Object(_) => {
            let codings = value.items("coding").iter();
            let codes = codings.filter_map(|coding| coding.get("code")?.as_str());
            codes
                .chain(value.get("type").and_then(Json::as_str))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Both tables for the page that clinicians read.
#[cfg(test)]
pub(super) fn tables() -> String {
    let names = |types: &str| match types {
        "*" => "any other".to_owned(),
        types => types.replace(' ', ", "),
    };
    let mut text = String::from("| Resource | Status order, first to last |\n|---|---|\n");
    for (types, order) in ORDERS {
        let groups: Vec<String> = order.iter().map(|group| group.join(" = ")).collect();
        text += &format!("| {} | {} |\n", names(types), groups.join(" < "));
    }
    text +=
        "\n| Resource | Element | Shown while undecided, most cautious first |\n|---|---|---|\n";
    for (types, element, order) in CAUTION {
        text += &format!("| {} | {element} | {} |\n", names(types), order.join(" > "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_along_wins_and_incomparable_does_not() {
        let cases = [
            ("Observation", "final", "corrected", Some(Pick::Incoming)),
            ("Observation", "corrected", "final", Some(Pick::Local)),
            ("Observation", "amended", "corrected", None),
            ("Observation", "final", "cancelled", None),
            ("MedicationDispense", "completed", "cancelled", None),
            ("Encounter", "arrived", "finished", Some(Pick::Incoming)),
            ("Basic", "draft", "active", None),
        ];
        for (kind, local, incoming, expected) in cases {
            let found = further(kind, Some(&local.into()), Some(&incoming.into()));
            assert_eq!(found, expected, "{kind} {local} {incoming}");
        }
    }

    #[test]
    fn caution_prefers_the_safer_value() {
        let cases = [
            (
                "MedicationRequest",
                "status",
                "active",
                "stopped",
                Some(Pick::Incoming),
            ),
            (
                "AllergyIntolerance",
                "criticality",
                "high",
                "low",
                Some(Pick::Local),
            ),
            ("AllergyIntolerance", "criticality", "low", "low", None),
            (
                "Basic",
                "status",
                "entered-in-error",
                "x",
                Some(Pick::Local),
            ),
            ("Patient", "gender", "male", "female", None),
        ];
        for (kind, element, local, incoming, expected) in cases {
            let found = more_cautious((kind, element), Some(&local.into()), Some(&incoming.into()));
            assert_eq!(found, expected, "{kind}.{element}");
        }
    }
}
