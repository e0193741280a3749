//! A value set's rules. <https://hl7.org/fhir/R4/valueset.html>

use super::filter::Filter;
use crate::model::Json;

/// What a value set says of itself, and the rules that say which codes it has.
#[derive(Clone, Debug, Default)]
pub struct ValueSet {
    pub url: String,
    pub version: Option<String>,
    pub name: Option<String>,
    pub includes: Vec<Rule>,
    pub excludes: Vec<Rule>,
    /// Codes of a stored expansion, for a value set without rules.
    pub expanded: Vec<Listed>,
    /// The resource, without narrative and expansion; `None` for R4's own.
    pub resource: Option<Json>,
}

/// One `include` or `exclude`: codes of a system that fulfil all of it.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub system: Option<String>,
    pub version: Option<String>,
    pub concepts: Vec<Listed>,
    pub filters: Vec<Filter>,
    /// Canonical URLs; a code must be in all of them.
    pub value_sets: Vec<String>,
}

/// A code named by the value set itself.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Of an expansion only; a rule names its system once.
    pub system: Option<String>,
    pub code: String,
    pub display: Option<String>,
    pub designations: Vec<Json>,
}

impl ValueSet {
    /// Reads a ValueSet resource.
    pub fn of(resource: &Json) -> ValueSet {
        let text = |name: &str| resource.get(name).and_then(Json::as_str).map(str::to_owned);
        let rules = |name: &str| {
            let compose = resource.get("compose");
            let rules = compose.map(|compose| compose.items(name));
            rules.unwrap_or_default().iter().map(rule).collect()
        };
        let mut kept = resource.clone();
        if let Some(object) = kept.as_object_mut() {
            object.remove("text");
            object.remove("expansion");
        }
        let includes: Vec<Rule> = rules("include");
        ValueSet {
            url: text("url").unwrap_or_default(),
            version: text("version"),
            name: text("name"),
            expanded: match includes.is_empty() {
                true => expanded(resource),
                false => Vec::new(),
            },
            includes,
            excludes: rules("exclude"),
            resource: Some(kept),
        }
    }

    /// All codes of a code system, as `http://...?fhir_vs` names them.
    pub fn of_system(system: &str) -> ValueSet {
        ValueSet {
            url: format!("{system}?fhir_vs"),
            includes: vec![Rule {
                system: Some(system.to_owned()),
                ..Rule::default()
            }],
            ..ValueSet::default()
        }
    }
}

fn rule(rule: &Json) -> Rule {
    let text = |name: &str| rule.get(name).and_then(Json::as_str).map(str::to_owned);
    let canonicals = rule.items("valueSet").iter();
    Rule {
        system: text("system"),
        version: text("version"),
        concepts: rule.items("concept").iter().map(listed).collect(),
        filters: rule.items("filter").iter().map(Filter::of).collect(),
        value_sets: canonicals
            .filter_map(|url| url.as_str().map(str::to_owned))
            .collect(),
    }
}

fn listed(concept: &Json) -> Listed {
    let text = |name: &str| concept.get(name).and_then(Json::as_str).map(str::to_owned);
    Listed {
        system: text("system"),
        code: text("code").unwrap_or_default(),
        display: text("display"),
        designations: concept.items("designation").to_vec(),
    }
}

/// The leaves and the selectable headings of a stored expansion.
fn expanded(resource: &Json) -> Vec<Listed> {
    let expansion = resource.get("expansion");
    let mut open: Vec<&Json> = expansion
        .map(|expansion| expansion.items("contains"))
        .unwrap_or_default()
        .iter()
        .rev()
        .collect();
    let mut found = Vec::new();
    while let Some(item) = open.pop() {
        let is_code = item.get("code").is_some() && item.get("abstract") != Some(&Json::Bool(true));
        found.extend(is_code.then(|| listed(item)));
        open.extend(item.items("contains").iter().rev());
    }
    found
}
