//! The policy table: what happens to an element that both sides changed. `POLICY.md` is the same
//! table for clinicians; a test keeps them equal.

use crate::model::Json;

/// What happens to one element when local and incoming both changed it, each in its own way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Class {
    /// The later write wins, the whole element at once.
    Latest,
    /// Items are matched by key and merged three-way.
    List(ListRule),
    /// A person decides.
    Ask,
    /// The status further along its order wins; off the order a person decides.
    Status,
    /// Part of a recorded fact: two accounts of one fact are never mixed, a person decides.
    Fact,
    /// Kept by each site for itself, never a difference.
    Ignored,
}

/// Elements that only make sense together: changes to two of them are a change to the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Alone,
    /// While undecided, all elements of the unit come from one side.
    Whole(&'static str),
    /// While undecided, each element of the unit shows its more cautious value.
    Each(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ListRule {
    /// Fields that identify an item; `reference` means that the item itself is a Reference, none at
    /// all that the whole value is the key.
    pub key: &'static [&'static str],
    pub rest: Rest,
    pub removal: Removal,
    pub slot: Option<Slot>,
}

/// What happens to one item that both sides changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// The later write's item, whole.
    Whole,
    /// The later write's value, field by field.
    Fields,
    Ask,
}

/// What happens to an item that one side took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Gone, unless the other side changed the item.
    Honour,
    /// A person decides.
    Ask,
    /// It stays until both sides took it away.
    Never,
}

/// Fields that name a place which holds one item: `phone, home`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub fields: &'static [&'static str],
    pub clash: Clash,
}

/// What happens when both sides put another item into the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// The later write wins if both replaced the same item; additions are both kept.
    Latest,
    /// A person decides.
    Ask,
}

/// One row. Types and elements are lists of words; `*` is "any other".
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub types: &'static str,
    pub elements: &'static str,
    pub class: Class,
    pub unit: Unit,
    pub rule: &'static str,
    /// For people: why.
    pub why: &'static str,
}

/// The row for an element: its own type before any type, its own name before any name.
pub(super) fn row(kind: &str, element: &str) -> &'static Row {
    let found = |kind: &str, element: &str| {
        let has = |words: &str, word: &str| words.split(' ').any(|w| w == word);
        TABLE
            .iter()
            .find(|row| has(row.types, kind) && has(row.elements, element))
    };
    found(kind, element)
        .or_else(|| found("*", element))
        .or_else(|| found(kind, "*"))
        .unwrap_or(&UNKNOWN)
}

/// The name under which a resource is looked up: a form that somebody signed has its own rows.
pub(super) fn kind_of(local: &Json, incoming: &Json) -> String {
    let resource_type = local.resource_type().unwrap_or_default();
    let signed = |resource: &Json| {
        let status = resource.get("status").and_then(Json::as_str);
        matches!(status, Some("completed" | "amended"))
    };
    if resource_type == "QuestionnaireResponse" && (signed(local) || signed(incoming)) {
        return "QuestionnaireResponse(signed)".to_owned();
    }
    resource_type.to_owned()
}

const fn list(key: &'static [&'static str], rest: Rest) -> Class {
    Class::List(ListRule {
        key,
        rest,
        removal: Removal::Honour,
        slot: None,
    })
}

const fn strict_list(key: &'static [&'static str], rest: Rest, removal: Removal) -> Class {
    Class::List(ListRule {
        key,
        rest,
        removal,
        slot: None,
    })
}

const fn slotted(key: &'static [&'static str], slot: Slot) -> Class {
    Class::List(ListRule {
        key,
        rest: Rest::Fields,
        removal: Removal::Honour,
        slot: Some(slot),
    })
}

const fn row_of(
    place: (&'static str, &'static str),
    class: Class,
    rule: &'static str,
    why: &'static str,
) -> Row {
    Row {
        types: place.0,
        elements: place.1,
        class,
        unit: Unit::Alone,
        rule,
        why,
    }
}

const fn in_unit(unit: Unit, row: Row) -> Row {
    Row { unit, ..row }
}

const TELECOM_SLOT: Slot = Slot {
    fields: &["system", "use"],
    clash: Clash::Latest,
};
const IDENTIFIER_SLOT: Slot = Slot {
    fields: &["system"],
    clash: Clash::Ask,
};

/// What no row names.
const UNKNOWN: Row = row_of(
    ("*", "*"),
    Class::Ask,
    "any.unknown",
    "what we do not know we do not mix",
);

/// All rows, in the order in which they are shown.
pub(super) const TABLE: &[Row] = &[
    // Patient
    row_of(
        ("Patient", "telecom"),
        slotted(&["system", "value"], TELECOM_SLOT),
        "patient.telecom",
        "numbers add up; a wrong number does little harm",
    ),
    row_of(
        ("Patient", "name"),
        list(&["use", "period"], Rest::Whole),
        "patient.name",
        "a name is one unit and visible to everyone",
    ),
    row_of(
        ("Patient", "address"),
        list(&["use", "type"], Rest::Whole),
        "patient.address",
        "lines of two addresses make a third that does not exist",
    ),
    row_of(
        ("Patient", "identifier"),
        slotted(&["system", "value"], IDENTIFIER_SLOT),
        "patient.identifier",
        "a wrong identifier is a wrong patient",
    ),
    row_of(
        ("Patient", "birthDate gender deceased[x] multipleBirth[x]"),
        Class::Ask,
        "patient.identity",
        "dosing and identity rest on it; a death stops care",
    ),
    row_of(
        ("Patient", "active link"),
        Class::Ask,
        "patient.link",
        "joining and parting patients is a decision",
    ),
    row_of(
        ("Patient", "contact"),
        list(&["relationship", "name"], Rest::Whole),
        "patient.contact",
        "low harm",
    ),
    row_of(
        ("Patient", "communication"),
        list(&["language"], Rest::Whole),
        "patient.communication",
        "low harm",
    ),
    row_of(
        ("Patient", "generalPractitioner"),
        list(&["reference"], Rest::Whole),
        "patient.practitioner",
        "low harm",
    ),
    row_of(
        ("Patient", "maritalStatus photo managingOrganization"),
        Class::Latest,
        "patient.simple",
        "low harm",
    ),
    // Allergies
    in_unit(
        Unit::Each("allergy"),
        row_of(
            (
                "AllergyIntolerance",
                "clinicalStatus verificationStatus code criticality",
            ),
            Class::Ask,
            "allergy.state",
            "hiding an allergy kills; while undecided the most cautious values show",
        ),
    ),
    row_of(
        ("AllergyIntolerance", "reaction"),
        strict_list(&["substance", "onset"], Rest::Ask, Removal::Ask),
        "allergy.reaction",
        "reactions add up; none disappears without a person",
    ),
    row_of(
        (
            "AllergyIntolerance",
            "lastOccurrence recorder asserter recordedDate encounter",
        ),
        Class::Latest,
        "allergy.simple",
        "low harm",
    ),
    // Diagnoses
    row_of(
        (
            "Condition",
            "verificationStatus clinicalStatus code severity stage onset[x] abatement[x]",
        ),
        Class::Ask,
        "condition.diagnosis",
        "a diagnosis is the clinician's; while undecided it stays visible",
    ),
    row_of(
        ("Condition", "evidence"),
        list(&[], Rest::Whole),
        "condition.evidence",
        "evidence adds up",
    ),
    // Prescriptions
    in_unit(
        Unit::Whole("prescription"),
        row_of(
            (
                "MedicationRequest",
                "doNotPerform status statusReason medication[x] dosageInstruction dispenseRequest",
            ),
            Class::Ask,
            "prescription.order",
            "two orders mixed are a third that nobody wrote; while undecided the stopped one holds",
        ),
    ),
    row_of(
        ("MedicationRequest", "substitution intent priority"),
        Class::Ask,
        "prescription.terms",
        "changes what is handed out",
    ),
    row_of(
        ("MedicationRequest", "insurance supportingInformation"),
        list(&["reference"], Rest::Whole),
        "prescription.references",
        "references add up",
    ),
    in_unit(
        Unit::Whole("medication"),
        row_of(
            ("MedicationStatement", "status medication[x] dosage"),
            Class::Ask,
            "statement.medication",
            "drug, dose and whether it is taken belong together",
        ),
    ),
    // Medication lists and other lists
    row_of(
        ("List", "entry"),
        list(&["item"], Rest::Ask),
        "list.entry",
        "entries add up; one that both changed is decided",
    ),
    row_of(
        ("List", "status mode code emptyReason"),
        Class::Ask,
        "list.state",
        "an empty list with a reason says that there is nothing",
    ),
    row_of(
        ("List", "title date source orderedBy"),
        Class::Latest,
        "list.simple",
        "low harm",
    ),
    // Facts
    in_unit(
        Unit::Whole("fact"),
        row_of(
            ("MedicationDispense MedicationAdministration", "status"),
            Class::Status,
            "dispense.status",
            "what was handed out or given cannot be undone by a later clock",
        ),
    ),
    in_unit(
        Unit::Whole("fact"),
        row_of(
            ("MedicationDispense MedicationAdministration", "*"),
            Class::Fact,
            "dispense.fact",
            "a dispense is a fact",
        ),
    ),
    in_unit(
        Unit::Whole("fact"),
        row_of(
            ("Observation", "status"),
            Class::Status,
            "observation.status",
            "a correction replaces a final result, whenever it arrives",
        ),
    ),
    in_unit(
        Unit::Whole("fact"),
        row_of(
            ("Observation", "*"),
            Class::Fact,
            "observation.fact",
            "a value, its unit and its range are one measurement",
        ),
    ),
    in_unit(
        Unit::Whole("report"),
        row_of(
            ("DiagnosticReport", "status"),
            Class::Status,
            "report.status",
            "an amended report replaces a final one, whenever it arrives",
        ),
    ),
    in_unit(
        Unit::Whole("report"),
        row_of(
            (
                "DiagnosticReport",
                "conclusion conclusionCode presentedForm issued effective[x]",
            ),
            Class::Fact,
            "report.conclusion",
            "a conclusion belongs to the report that states it",
        ),
    ),
    row_of(
        ("DiagnosticReport", "result"),
        list(&["reference"], Rest::Whole),
        "report.result",
        "results add up",
    ),
    in_unit(
        Unit::Whole("fact"),
        row_of(
            ("Immunization", "*"),
            Class::Fact,
            "immunization.fact",
            "a second dose by mistake harms",
        ),
    ),
    in_unit(
        Unit::Whole("fact"),
        row_of(
            ("SupplyDelivery", "*"),
            Class::Fact,
            "supply.fact",
            "stock is the sum of its movements",
        ),
    ),
    // Orders and care
    row_of(
        (
            "ServiceRequest Encounter Procedure CarePlan QuestionnaireResponse \
             QuestionnaireResponse(signed)",
            "status",
        ),
        Class::Status,
        "care.status",
        "care moves forward; what leaves the path is decided",
    ),
    row_of(
        ("Goal", "lifecycleStatus"),
        Class::Status,
        "goal.status",
        "care moves forward; what leaves the path is decided",
    ),
    row_of(
        ("ServiceRequest", "code"),
        Class::Ask,
        "order.code",
        "another test than the one ordered",
    ),
    row_of(
        ("Encounter", "participant"),
        list(&["individual", "type"], Rest::Whole),
        "encounter.participant",
        "people add up",
    ),
    row_of(
        ("Encounter", "location"),
        list(&["location", "period"], Rest::Whole),
        "encounter.location",
        "stays add up",
    ),
    row_of(
        ("Encounter", "statusHistory classHistory"),
        list(&[], Rest::Whole),
        "encounter.past",
        "the past adds up",
    ),
    row_of(
        ("Encounter", "period length"),
        Class::Latest,
        "encounter.period",
        "low harm",
    ),
    row_of(
        ("Encounter", "diagnosis"),
        Class::Ask,
        "encounter.diagnosis",
        "a diagnosis is the clinician's",
    ),
    row_of(
        ("CarePlan", "activity"),
        list(&["reference", "id"], Rest::Whole),
        "careplan.activity",
        "activities add up",
    ),
    row_of(
        ("QuestionnaireResponse", "item"),
        list(&["linkId"], Rest::Whole),
        "form.draft",
        "a form being filled in has one answer a question",
    ),
    row_of(
        ("QuestionnaireResponse(signed)", "item"),
        Class::Ask,
        "form.signed",
        "a signed form is a legal record",
    ),
    // Planning and master data
    row_of(
        ("Appointment Schedule Slot", "*"),
        Class::Latest,
        "planning",
        "low harm",
    ),
    row_of(
        (
            "Location Practitioner PractitionerRole Organization HealthcareService",
            "*",
        ),
        Class::Latest,
        "master",
        "one source of truth; low harm",
    ),
    row_of(
        ("Coverage", "beneficiary subscriber payor policyHolder"),
        Class::Latest,
        "money.references",
        "low harm; amounts are decided",
    ),
    row_of(
        ("Claim", "provider insurer facility enterer"),
        Class::Latest,
        "money.parties",
        "low harm; amounts are decided",
    ),
    // Law
    in_unit(
        Unit::Whole("consent"),
        row_of(
            ("Consent", "*"),
            Class::Ask,
            "consent",
            "the law; while undecided the more restrictive one holds",
        ),
    ),
    in_unit(
        Unit::Whole("flag"),
        row_of(
            ("Flag", "*"),
            Class::Ask,
            "flag",
            "a warning stays up while undecided",
        ),
    ),
    // Any type
    row_of(
        ("*", "identifier"),
        list(&["system", "value"], Rest::Fields),
        "any.identifier",
        "identifiers add up",
    ),
    row_of(
        ("*", "note"),
        list(&["time", "author[x]", "text"], Rest::Whole),
        "any.note",
        "notes add up",
    ),
    row_of(
        ("*", "extension meta.extension"),
        list(&["url"], Rest::Whole),
        "any.extension",
        "additions do not change the meaning",
    ),
    row_of(
        ("*", "modifierExtension implicitRules"),
        Class::Ask,
        "any.modifier",
        "changes the meaning of everything else",
    ),
    row_of(
        ("*", "contained"),
        list(&["id"], Rest::Ask),
        "any.contained",
        "may be the drug itself",
    ),
    row_of(
        ("*", "meta.tag"),
        list(&["system", "code"], Rest::Whole),
        "any.tag",
        "labels add up",
    ),
    row_of(
        ("*", "meta.security"),
        strict_list(&["system", "code"], Rest::Whole, Removal::Never),
        "any.security",
        "protection is never lost by a merge",
    ),
    row_of(
        ("*", "meta.profile"),
        list(&[], Rest::Whole),
        "any.profile",
        "claims add up",
    ),
    row_of(("*", "language"), Class::Latest, "any.language", "low harm"),
    row_of(
        (
            "*",
            "resourceType id meta.versionId meta.lastUpdated meta.source",
        ),
        Class::Ignored,
        "any.bookkeeping",
        "each site keeps its own",
    ),
    UNKNOWN,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::status;

    fn outcome(class: Class) -> String {
        match class {
            Class::Latest => "the later write".to_owned(),
            Class::Ask => "**a person decides**".to_owned(),
            Class::Status => "the status further along; off its order **a person decides**".into(),
            Class::Fact => "not mixed: **a person decides**".to_owned(),
            Class::Ignored => "no difference".to_owned(),
            Class::List(rule) => list_outcome(rule),
        }
    }

    fn list_outcome(rule: ListRule) -> String {
        let key = match rule.key {
            [] => "whole value".to_owned(),
            fields => fields.join(" + "),
        };
        let mut text = format!("list by {key}; ");
        text += match rule.rest {
            Rest::Whole => "one item changed twice: the later write",
            Rest::Fields => "one item changed twice: the later write, field by field",
            Rest::Ask => "one item changed twice: **a person decides**",
        };
        text += match rule.removal {
            Removal::Honour => "",
            Removal::Ask => "; one item removed: **a person decides**",
            Removal::Never => "; kept until both remove it",
        };
        if let Some(slot) = rule.slot {
            text += &format!("; same {} filled twice: ", slot.fields.join(" + "));
            text += match slot.clash {
                Clash::Latest => "the later write, if it was replaced",
                Clash::Ask => "**a person decides**",
            };
        }
        text
    }

    fn unit(unit: Unit) -> String {
        match unit {
            Unit::Alone => String::new(),
            Unit::Whole(name) => format!("{name}: one side's, whole"),
            Unit::Each(name) => format!("{name}: most cautious each"),
        }
    }

    fn table() -> String {
        let mut text = String::from(
            "| Resource | Element | Changed on both sides | Together with, while undecided | Rule | Why |\n\
             |---|---|---|---|---|---|\n",
        );
        for row in TABLE {
            let any = |words: &str| match words {
                "*" => "any other".to_owned(),
                words => words.split(' ').collect::<Vec<_>>().join(", "),
            };
            text += &format!(
                "| {} | {} | {} | {} | `{}` | {} |\n",
                any(row.types),
                any(row.elements),
                outcome(row.class),
                unit(row.unit),
                row.rule,
                row.why
            );
        }
        text + "\n" + &status::tables()
    }

    #[test]
    fn the_page_for_clinicians_is_this_table() {
        let page = include_str!("../../POLICY.md");
        let shown = page.split_once("<!-- table -->\n").map(|(_, table)| table);
        assert_eq!(
            shown,
            Some(table().as_str()),
            "copy this table:\n{}",
            table()
        );
    }

    #[test]
    fn every_rule_has_its_own_name() {
        let mut rules: Vec<_> = TABLE.iter().map(|row| row.rule).collect();
        rules.sort_unstable();
        let count = rules.len();
        rules.dedup();
        assert_eq!(rules.len(), count);
    }

    #[test]
    fn rows_are_found_from_special_to_general() {
        let cases = [
            ("Patient", "telecom", "patient.telecom"),
            ("Patient", "identifier", "patient.identifier"),
            ("Condition", "identifier", "any.identifier"),
            ("Observation", "note", "any.note"),
            ("Observation", "value[x]", "observation.fact"),
            ("Observation", "status", "observation.status"),
            ("Basic", "code", "any.unknown"),
            ("Patient", "shoeSize", "any.unknown"),
        ];
        for (kind, element, rule) in cases {
            assert_eq!(row(kind, element).rule, rule, "{kind}.{element}");
        }
    }
}
