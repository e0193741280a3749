//! Filters of a value set on the concepts of a code system.
//! <https://hl7.org/fhir/R4/valueset-filter-operator.html>

use super::{CodeSystem, Concept};
use crate::model::{Issue, IssueCode, Json};
use regex::{Regex, RegexBuilder};
use std::collections::HashSet;

/// `property op value`, as given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub property: String,
    pub op: String,
    pub value: String,
}

/// A filter made ready for one code system.
pub enum Test {
    /// Only these places, or all but these.
    Places(HashSet<usize>, bool),
    /// The text of the property is one of these, or none of these.
    Texts(String, Vec<String>, bool),
    Pattern(String, Regex),
    Exists(String, bool),
}

/// The operators that [`Filter::ready`] knows.
pub const OPERATORS: [&str; 9] = [
    "=",
    "is-a",
    "descendent-of",
    "is-not-a",
    "regex",
    "in",
    "not-in",
    "generalizes",
    "exists",
];

const PATTERN_BYTES_MAX: usize = 1 << 20;

impl Filter {
    pub fn of(filter: &Json) -> Filter {
        let text = |name: &str| filter.str_at(&[name]).unwrap_or_default().to_owned();
        Filter {
            property: text("property"),
            op: text("op"),
            value: text("value"),
        }
    }

    /// Refuses operators that do not exist, codes that the system lacks, and bad patterns.
    pub fn ready(&self, system: &CodeSystem) -> Result<Test, Issue> {
        let property = self.property.clone();
        let list = || {
            self.value
                .split(',')
                .map(|value| value.trim().to_owned())
                .collect()
        };
        match self.op.as_str() {
            "is-a" => Ok(Test::Places(system.below(self.place(system)?), true)),
            "is-not-a" => Ok(Test::Places(system.below(self.place(system)?), false)),
            "generalizes" => Ok(Test::Places(system.above(self.place(system)?), true)),
            "descendent-of" => {
                let place = self.place(system)?;
                let mut below = system.below(place);
                below.remove(&place);
                Ok(Test::Places(below, true))
            }
            "=" if is_hierarchy(&property) => {
                let place = self.place(system)?;
                let concept = system.concepts.get(place);
                let others = concept.map(|concept| match property.as_str() {
                    "parent" => &concept.children,
                    _ => &concept.parents,
                });
                let others = others.into_iter().flatten().copied().collect();
                Ok(Test::Places(others, true))
            }
            "=" => Ok(Test::Texts(property, vec![self.value.clone()], true)),
            "in" => Ok(Test::Texts(property, list(), true)),
            "not-in" => Ok(Test::Texts(property, list(), false)),
            "exists" => Ok(Test::Exists(property, self.value != "false")),
            "regex" => Ok(Test::Pattern(property, self.pattern()?)),
            _ => Err(self.wrong("E-TERM-1", "the operator of a filter is not known")),
        }
    }

    fn place(&self, system: &CodeSystem) -> Result<usize, Issue> {
        let unknown = || self.wrong("E-TERM-2", "a filter names a code that its system lacks");
        system.place(&self.value).ok_or_else(unknown)
    }

    /// The pattern of a filter is about the whole text.
    fn pattern(&self) -> Result<Regex, Issue> {
        let whole = format!("^(?:{})$", self.value);
        let built = RegexBuilder::new(&whole)
            .size_limit(PATTERN_BYTES_MAX)
            .build();
        built.map_err(|_bad_pattern| {
            self.wrong(
                "E-TERM-3",
                "the pattern of a filter cannot be read or is too large",
            )
        })
    }

    fn wrong(&self, number: &'static str, text: &str) -> Issue {
        let text = format!("{text}: {} {} {}", self.property, self.op, self.value);
        Issue::error(number, IssueCode::Value, "ValueSet.compose", text)
    }
}

/// Properties that stand for the hierarchy in filters.
fn is_hierarchy(property: &str) -> bool {
    matches!(property, "parent" | "child")
}

impl Test {
    pub fn holds(&self, place: usize, concept: &Concept) -> bool {
        match self {
            Test::Places(places, wanted) => places.contains(&place) == *wanted,
            Test::Texts(property, texts, wanted) => {
                let mut values = values(concept, property).into_iter();
                values.any(|value| texts.iter().any(|text| text == value)) == *wanted
            }
            Test::Pattern(property, pattern) => {
                let mut values = values(concept, property).into_iter();
                values.any(|value| pattern.is_match(value))
            }
            Test::Exists(property, wanted) => {
                let has_link = match property.as_str() {
                    "parent" => !concept.parents.is_empty(),
                    "child" => !concept.children.is_empty(),
                    _ => false,
                };
                (has_link || !values(concept, property).is_empty()) == *wanted
            }
        }
    }
}

fn values<'a>(concept: &'a Concept, property: &'a str) -> Vec<&'a str> {
    match property {
        "concept" | "code" => vec![concept.code.as_str()],
        "display" => concept.display.as_deref().into_iter().collect(),
        "definition" => concept.definition.as_deref().into_iter().collect(),
        _ => concept.property(property).collect(),
    }
}
