//! What the CapabilityStatement says of searching, from the tables that searching reads.
//! <https://hl7.org/fhir/R4/capabilitystatement.html>

use fhir_mapping::compartment;
use fhir_mapping::model::Json;
use fhir_mapping::search::{Definition, Doubt, Zone, definitions};
use fhir_mapping::validate::resource_types;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Modifiers of each kind of parameter. `:[type]` is the name of a type that a reference points at.
const MODIFIERS: [(&str, &[&str]); 9] = [
    ("composite", &["missing"]),
    ("date", &["missing"]),
    ("number", &["missing"]),
    ("quantity", &["missing"]),
    ("reference", &["missing", "identifier", "[type]"]),
    ("special", &["missing"]),
    ("string", &["missing", "exact", "contains"]),
    (
        "token",
        &[
            "missing", "text", "not", "in", "not-in", "above", "below", "of-type",
        ],
    ),
    ("uri", &["missing", "above", "below"]),
];

/// Parameters of every search that no definition of a type lists.
const EVERYWHERE: [(&str, &str, &str); 6] = [
    (
        "_content",
        "string",
        "words of the whole resource; OR, -word and word* are understood",
    ),
    (
        "_filter",
        "special",
        "an expression of comparisons with and, or, not",
    ),
    (
        "_has",
        "special",
        "_has:Type:reference:parameter, nested too",
    ),
    (
        "_list",
        "string",
        "members of a List, by its id; or $current-problems, $current-allergies, $current-drug-allergies, $current-medications",
    ),
    (
        "_text",
        "string",
        "words of the narrative; OR, -word and word* are understood",
    ),
    (
        "_type",
        "token",
        "types to search, when no type is named in the path",
    ),
];

const CHAINS: &str = "may be chained, as in {}.parameter or {}:Type.parameter";

/// `searchInclude`, `searchRevInclude` and `searchParam` of a type, those that are not empty. What
/// is in doubt is not claimed: it is found, but not yet by the index.
pub(in crate::interactions) fn of_type(
    name: &str,
    (zone, doubt): (&Zone, Option<&Doubt>),
) -> Vec<(&'static str, Json)> {
    let is_ready = |source: &str, name: &str| doubt.is_none_or(|d| !d.holds(source, name));
    let mut known = zone.definitions(name);
    known.retain(|known| is_ready(name, known.name));
    let references = known.iter().filter(|known| known.kind == "reference");
    let mut includes: Vec<Json> = references
        .map(|known| format!("{name}:{}", known.name).into())
        .collect();
    if !includes.is_empty() {
        includes.insert(0, format!("{name}:*").into());
    }
    let reverse = reverse(name).iter().filter(|text| {
        let named = text.split_once(':');
        named.is_some_and(|(source, parameter)| is_ready(source, parameter))
    });
    let reverse = reverse.map(|text| text.as_str().into());
    let rows = [
        ("searchInclude", includes),
        ("searchRevInclude", reverse.collect()),
        ("searchParam", known.iter().map(parameter).collect()),
    ];
    rows.into_iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(key, items)| (key, Json::Array(items)))
        .collect()
}

pub(in crate::interactions) fn of_everything() -> Json {
    let rows = EVERYWHERE.iter().map(|(name, kind, text)| {
        Json::object([
            ("name", (*name).into()),
            ("type", (*kind).into()),
            ("documentation", (*text).into()),
        ])
    });
    Json::array(rows)
}

pub(in crate::interactions) fn compartments() -> Json {
    let url = |name: &str| {
        let (first, rest) = name.split_at_checked(1).unwrap_or((name, ""));
        let name = format!("{}{rest}", first.to_ascii_lowercase());
        format!("http://hl7.org/fhir/CompartmentDefinition/{name}").into()
    };
    Json::array(compartment::compartments().map(url))
}

fn parameter(known: &Definition) -> Json {
    let mut parameter = vec![("name", Json::from(known.name))];
    if !known.url.is_empty() {
        parameter.push(("definition", known.url.into()));
    }
    parameter.push(("type", known.kind.into()));
    parameter.push(("documentation", documentation(known).into()));
    Json::object(parameter)
}

/// `modifiers :missing :exact :contains`
fn documentation(known: &Definition) -> String {
    let mut text = "modifiers".to_owned();
    for modifier in modifiers(known) {
        text.push_str(" :");
        text.push_str(modifier);
    }
    if known.kind == "reference" {
        text.push_str("; ");
        text.push_str(&CHAINS.replace("{}", known.name));
    }
    text
}

fn modifiers(known: &Definition) -> &'static [&'static str] {
    // Sounds are compared, not letters.
    let kind = match known.name {
        "phonetic" => "special",
        _ => known.kind,
    };
    let found = MODIFIERS.iter().find(|(of, _)| *of == kind);
    found.map_or(&[][..], |(_, modifiers)| modifiers)
}

/// `Source:parameter` of the references that name this type among their targets.
fn reverse(name: &str) -> &'static [String] {
    static ALL: OnceLock<HashMap<&'static str, Vec<String>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let mut all: HashMap<&'static str, Vec<String>> = HashMap::new();
        for source in resource_types() {
            for known in definitions(source) {
                for target in known.targets {
                    let text = format!("{source}:{}", known.name);
                    all.entry(target).or_default().push(text);
                }
            }
        }
        all
    });
    all.get(name).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::search::{Asking, Handling, Include, Query};

    /// Each claimed modifier is understood for every parameter that claims it, chains included.
    #[test]
    fn every_claimed_modifier_and_include_is_understood() {
        let zone = Zone::of(jiff::tz::TimeZone::UTC);
        let asking = Asking::new(Handling::Strict, &zone).whole();
        let parse = |name: &str, asked: &str, value: &str| {
            Query::parse_with(name, &[(asked.to_owned(), value.to_owned())], &asking)
        };
        let (mut asked_of, mut includes) = (0, 0);
        for name in resource_types() {
            for known in definitions(name) {
                for modifier in modifiers(&known) {
                    let (modifier, value) = match *modifier {
                        "missing" => ("missing", "true"),
                        "[type]" => (known.targets.first().copied().unwrap_or("Patient"), "1"),
                        "of-type" => ("of-type", "s|c|v"),
                        "identifier" => ("identifier", "s|v"),
                        "above" | "below" if known.kind == "uri" => (*modifier, "http://a.b/c"),
                        other => (other, "s|a"),
                    };
                    let asked = format!("{}:{modifier}", known.name);
                    if let Err(issues) = parse(name, &asked, value) {
                        // Terminology is looked up only where a store is.
                        assert_eq!(
                            issues[0].number, "E-SEARCH-13",
                            "{name}?{asked}: {issues:?}"
                        );
                    }
                    asked_of += 1;
                }
                if known.kind == "reference" {
                    let target = known.targets.first().copied().unwrap_or("Patient");
                    let asked = format!("{}:{target}._id", known.name);
                    assert!(parse(name, &asked, "1").is_ok(), "{name}?{asked}");
                }
            }
            for (claim, asked) in [
                ("searchInclude", "_include"),
                ("searchRevInclude", "_revinclude"),
            ] {
                let rows = of_type(name, (&zone, None));
                let found = rows.iter().find(|(key, _)| *key == claim);
                for value in found
                    .iter()
                    .flat_map(|(_, items)| items.as_array().unwrap())
                {
                    let query = parse(name, asked, value.as_str().unwrap()).unwrap();
                    let all: Vec<&Include> = query
                        .includes()
                        .iter()
                        .chain(query.rev_includes())
                        .collect();
                    assert_eq!(all.len(), 1, "{name}?{asked}={value:?}");
                    includes += 1;
                }
            }
        }
        assert!(
            asked_of > 4_000 && includes > 1_000,
            "{asked_of} {includes}"
        );
        for (name, _, _) in EVERYWHERE {
            let (asked, value) = match name {
                "_has" => ("_has:Observation:patient:code", "a"),
                "_filter" => (name, "gender eq male"),
                "_type" => continue, // of a search without a type: see the tests of known clients
                name => (name, "a"),
            };
            assert!(parse("Patient", asked, value).is_ok(), "{name}");
        }
    }
}
