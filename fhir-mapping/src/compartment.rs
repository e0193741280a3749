//! Compartments: what belongs to a patient, an encounter, a practitioner, a related person or a
//! device. <https://hl7.org/fhir/R4/compartmentdefinition.html>

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A type of resource in a compartment, and the reference parameters that put it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub resource_type: &'static str,
    pub parameters: Vec<&'static str>,
}

static TABLE: &str = include_str!("../definitions/compartments.txt");
static ALL: LazyLock<BTreeMap<&'static str, Vec<Member>>> = LazyLock::new(read_table);

/// The types that have compartments, sorted.
pub fn compartments() -> impl Iterator<Item = &'static str> {
    ALL.keys().copied()
}

/// What may belong to a compartment of this type, sorted by type; the resource that gives the
/// compartment its name is not among them. `None` when the type has no compartment.
pub fn members(compartment: &str) -> Option<&'static [Member]> {
    ALL.get(compartment).map(Vec::as_slice)
}

/// The parameters by which one type belongs to a compartment; `None` when it never does.
pub fn parameters(compartment: &str, resource_type: &str) -> Option<&'static [&'static str]> {
    let members = members(compartment)?;
    let at = members
        .binary_search_by(|member| member.resource_type.cmp(resource_type))
        .ok()?;
    members.get(at).map(|member| member.parameters.as_slice())
}

fn read_table() -> BTreeMap<&'static str, Vec<Member>> {
    let mut all: BTreeMap<&'static str, Vec<Member>> = BTreeMap::new();
    let mut compartment = "";
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix(' ').and_then(|row| row.split_once(' ')) {
            None => compartment = line,
            Some((resource_type, parameters)) => {
                let parameters = parameters.split(',').collect();
                all.entry(compartment).or_default().push(Member {
                    resource_type,
                    parameters,
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::definitions;

    #[test]
    fn every_parameter_is_a_reference_that_can_be_searched() {
        assert_eq!(
            compartments().collect::<Vec<_>>(),
            [
                "Device",
                "Encounter",
                "Patient",
                "Practitioner",
                "RelatedPerson"
            ]
        );
        for compartment in compartments() {
            let members = members(compartment).unwrap();
            assert!(members.len() > 20);
            assert!(members.is_sorted_by(|a, b| a.resource_type < b.resource_type));
            for member in members {
                let known = definitions(member.resource_type);
                for name in &member.parameters {
                    let found = known.iter().find(|d| d.name == *name);
                    let kind = found.map(|d| d.kind);
                    assert_eq!(kind, Some("reference"), "{} {name}", member.resource_type);
                }
            }
        }
    }

    #[test]
    fn members_are_found() {
        assert_eq!(
            parameters("Patient", "Observation"),
            Some(&["subject", "performer"][..])
        );
        assert_eq!(parameters("Patient", "Medication"), None);
        assert_eq!(parameters("Location", "Observation"), None);
    }
}
