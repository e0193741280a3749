//! A code system with its hierarchy. <https://hl7.org/fhir/R4/codesystem.html>

use crate::model::Json;
use std::collections::{HashMap, HashSet};

/// All concepts of one code system; the hierarchy may have several parents.
#[derive(Clone, Debug, Default)]
pub struct CodeSystem {
    pub url: String,
    pub version: Option<String>,
    pub name: Option<String>,
    /// All codes are here (content `complete` or `supplement`); otherwise a code that is not found
    /// may still be one.
    pub is_whole: bool,
    pub is_case_sensitive: bool,
    pub concepts: Vec<Concept>,
    pub(super) by_code: HashMap<String, usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Concept {
    pub code: String,
    pub display: Option<String>,
    pub definition: Option<String>,
    /// CodeSystem.concept.property, as given.
    pub properties: Vec<Json>,
    /// CodeSystem.concept.designation, as given.
    pub designations: Vec<Json>,
    /// Places in `concepts`.
    pub parents: Vec<usize>,
    pub children: Vec<usize>,
}

/// How code A stands to code B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subsumption {
    Equivalent,
    Subsumes,
    SubsumedBy,
    NotSubsumed,
}

impl Subsumption {
    /// The code of concept-subsumption-outcome.
    pub fn code(self) -> &'static str {
        match self {
            Self::Equivalent => "equivalent",
            Self::Subsumes => "subsumes",
            Self::SubsumedBy => "subsumed-by",
            Self::NotSubsumed => "not-subsumed",
        }
    }
}

impl CodeSystem {
    /// Reads a CodeSystem resource.
    pub fn of(resource: &Json) -> CodeSystem {
        let text = |name: &str| resource.get(name).and_then(Json::as_str).map(str::to_owned);
        let content = text("content");
        let mut system = CodeSystem {
            url: text("url").unwrap_or_default(),
            version: text("version"),
            name: text("name"),
            is_whole: matches!(content.as_deref(), Some("complete" | "supplement") | None),
            is_case_sensitive: resource.get("caseSensitive") != Some(&Json::Bool(false)),
            ..CodeSystem::default()
        };
        let mut open: Vec<(&Json, Option<usize>)> = Vec::new();
        open.extend(resource.items("concept").iter().rev().map(|c| (c, None)));
        while let Some((concept, parent)) = open.pop() {
            let place = system.add(read(concept), parent);
            let below = concept.items("concept").iter().rev();
            open.extend(below.map(|child| (child, Some(place))));
        }
        system.link();
        system
    }

    /// Adds a concept below another one; of a repeated code the first counts.
    pub fn add(&mut self, concept: Concept, parent: Option<usize>) -> usize {
        let place = self.concepts.len();
        let key = self.key(&concept.code);
        self.by_code.entry(key).or_insert(place);
        self.concepts.push(concept);
        if let Some(parent) = parent {
            self.put_below(place, parent);
        }
        place
    }

    /// Hierarchy given by the properties `parent` and `child` instead of nesting.
    fn link(&mut self) {
        let mut links = Vec::new();
        for (place, concept) in self.concepts.iter().enumerate() {
            for property in &concept.properties {
                let value = property.get("valueCode").and_then(Json::as_str);
                let other = value.and_then(|code| self.place(code));
                match (property.str_at(&["code"]), other) {
                    (Some("parent" | "subsumedBy"), Some(other)) => links.push((place, other)),
                    (Some("child"), Some(other)) => links.push((other, place)),
                    _ => {}
                }
            }
        }
        for (child, parent) in links {
            self.put_below(child, parent);
        }
    }

    fn put_below(&mut self, child: usize, parent: usize) {
        if let Some(concept) = self.concepts.get_mut(child)
            && !concept.parents.contains(&parent)
        {
            concept.parents.push(parent);
            if let Some(concept) = self.concepts.get_mut(parent) {
                concept.children.push(child);
            }
        }
    }

    pub fn find(&self, code: &str) -> Option<&Concept> {
        self.concepts.get(self.place(code)?)
    }

    pub fn place(&self, code: &str) -> Option<usize> {
        self.by_code.get(&self.key(code)).copied()
    }

    fn key(&self, code: &str) -> String {
        match self.is_case_sensitive {
            true => code.to_owned(),
            false => code.to_lowercase(),
        }
    }

    /// The concept and all below it, in no special order.
    pub fn below(&self, place: usize) -> HashSet<usize> {
        self.reach(place, |concept| &concept.children)
    }

    /// The concept and all above it.
    pub fn above(&self, place: usize) -> HashSet<usize> {
        self.reach(place, |concept| &concept.parents)
    }

    /// `None` when a code is not known.
    pub fn subsumption(&self, a: &str, b: &str) -> Option<Subsumption> {
        let (a, b) = (self.place(a)?, self.place(b)?);
        Some(match () {
            () if a == b => Subsumption::Equivalent,
            () if self.below(a).contains(&b) => Subsumption::Subsumes,
            () if self.below(b).contains(&a) => Subsumption::SubsumedBy,
            () => Subsumption::NotSubsumed,
        })
    }

    /// A circle in the hierarchy is walked once.
    fn reach(&self, place: usize, next: fn(&Concept) -> &Vec<usize>) -> HashSet<usize> {
        let mut reached = HashSet::from([place]);
        let mut open = vec![place];
        while let Some(concept) = open.pop().and_then(|place| self.concepts.get(place)) {
            for place in next(concept) {
                if reached.insert(*place) {
                    open.push(*place);
                }
            }
        }
        reached
    }
}

impl Concept {
    /// The values of a property as text.
    pub fn property<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.properties.iter();
        let named = named.filter(move |property| property.str_at(&["code"]) == Some(name));
        named.filter_map(|property| match value_of(property)? {
            Json::String(text) => Some(text.as_str()),
            Json::Number(text) => Some(text),
            Json::Bool(true) => Some("true"),
            Json::Bool(false) => Some("false"),
            coding => coding.str_at(&["code"]),
        })
    }

    /// Not to be used any more.
    pub fn is_inactive(&self) -> bool {
        let is_out = |status| matches!(status, "retired" | "inactive" | "deprecated");
        self.property("inactive").any(|value| value == "true")
            || self.property("status").any(is_out)
    }

    /// A heading that is no answer itself.
    pub fn is_abstract(&self) -> bool {
        ["notSelectable", "abstract"]
            .iter()
            .any(|name| self.property(name).any(|value| value == "true"))
    }
}

/// The `value[x]` of a property.
fn value_of(property: &Json) -> Option<&Json> {
    let members = property.as_object()?.iter();
    let mut values = members.filter(|(name, _)| name.starts_with("value"));
    values.next().map(|(_, value)| value)
}

fn read(concept: &Json) -> Concept {
    let text = |name: &str| concept.get(name).and_then(Json::as_str).map(str::to_owned);
    Concept {
        code: text("code").unwrap_or_default(),
        display: text("display"),
        definition: text("definition"),
        properties: concept.items("property").to_vec(),
        designations: concept.items("designation").to_vec(),
        parents: Vec::new(),
        children: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, parse};

    fn animals() -> CodeSystem {
        let text = r#"{"resourceType":"CodeSystem","url":"urn:animals","caseSensitive":false,"content":"complete","concept":[
            {"code":"mammal","concept":[{"code":"Dog"},{"code":"cat","concept":[{"code":"lion"}]}]},
            {"code":"pet","property":[{"code":"child","valueCode":"dog"},{"code":"notSelectable","valueBoolean":true}]},
            {"code":"cub","property":[{"code":"parent","valueCode":"lion"},{"code":"status","valueCode":"retired"}]},
            {"code":"ouroboros","property":[{"code":"parent","valueCode":"ouroboros"}]}]}"#;
        CodeSystem::of(&parse(text.as_bytes(), Limits::default()).unwrap())
    }

    #[track_caller]
    fn check(a: &str, b: &str, expected: Option<Subsumption>) {
        assert_eq!(animals().subsumption(a, b), expected, "{a} {b}");
    }

    #[test]
    fn hierarchies_by_nesting_and_by_property() {
        use Subsumption::{Equivalent, NotSubsumed, SubsumedBy, Subsumes};
        check("mammal", "lion", Some(Subsumes));
        check("mammal", "cub", Some(Subsumes));
        check("CUB", "cat", Some(SubsumedBy));
        check("pet", "dog", Some(Subsumes));
        check("pet", "cat", Some(NotSubsumed));
        check("dog", "DOG", Some(Equivalent));
        check("ouroboros", "ouroboros", Some(Equivalent));
        check("dog", "unicorn", None);
    }

    #[test]
    fn standing_of_concepts() {
        let animals = animals();
        let concept = |code| animals.find(code).unwrap();
        assert!(concept("pet").is_abstract() && !concept("dog").is_abstract());
        assert!(concept("cub").is_inactive() && !concept("dog").is_inactive());
    }
}
