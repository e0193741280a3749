//! References that are settled while writing: conditional ones, and those to a resource that a
//! conditional create or update found to exist already.

use fhir_mapping::model::{Json, Object, Reference, walk_references};
use std::collections::BTreeMap;

/// Texts to the texts that replace them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Substitutions {
    /// Conditional references: they stand in `reference` only.
    pub(super) references: BTreeMap<String, String>,
    /// `Type/id` with an id made for this transaction alone, wherever it was put: references,
    /// other uris, links in narrative.
    pub(super) chosen: BTreeMap<String, String>,
}

/// The texts of the form `Type?query` in a resource (R4 3.1.0.11.3), with type and query.
pub(super) fn conditional(resource: &Json) -> Vec<(&str, &str, &str)> {
    let mut found = Vec::new();
    walk_references(resource, &mut |text| {
        if let Reference::Conditional {
            resource_type,
            query,
        } = Reference::parse(text)
        {
            found.push((text, resource_type, query));
        }
    });
    found
}

impl Substitutions {
    /// The resource with its references replaced; `None` when none of them occurs in it.
    pub(super) fn applied(&self, resource: &Json) -> Option<Json> {
        if self.references.is_empty() && self.chosen.is_empty() {
            return None;
        }
        let mut copy = resource.clone();
        self.walk(&mut copy).then_some(copy)
    }

    /// True when something was replaced.
    fn walk(&self, value: &mut Json) -> bool {
        match value {
            Json::Array(items) => {
                let mut replaced = false;
                for item in items {
                    replaced |= match item {
                        Json::String(text) => self.text("", text),
                        other => self.walk(other),
                    };
                }
                replaced
            }
            Json::Object(object) => self.members(object),
            _ => false,
        }
    }

    fn members(&self, object: &mut Object) -> bool {
        let mut replaced = false;
        for (name, value) in object.iter_mut() {
            replaced |= match value {
                Json::String(text) => self.text(name, text),
                other => self.walk(other),
            };
        }
        replaced
    }

    fn text(&self, name: &str, text: &mut String) -> bool {
        let by = match name {
            "reference" => self.references.get(text).or_else(|| self.chosen.get(text)),
            "div" => return self.narrative(text),
            _ => self.chosen.get(text),
        };
        if let Some(by) = by {
            by.clone_into(text);
        }
        by.is_some()
    }

    /// The ids are random, so a quoted one is a link that was rewritten to it.
    fn narrative(&self, text: &mut String) -> bool {
        let mut replaced = false;
        for (from, to) in &self.chosen {
            let from = format!("\"{from}\"");
            if text.contains(&from) {
                *text = text.replace(&from, &format!("\"{to}\""));
                replaced = true;
            }
        }
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, format, parse};

    #[test]
    fn replaces_only_what_is_named() {
        let text = r#"{"subject":{"reference":"Patient?identifier=s|1"},"performer":[{"reference":"Practitioner/1"}],"x":"Patient?identifier=s|1","valueUri":"Patient/u-1","text":{"div":"<a href=\"Patient/u-1\">Patient/u-1</a>"}}"#;
        let tree = parse(text.as_bytes(), Limits::default()).unwrap();
        let found = conditional(&tree);
        assert_eq!(
            found,
            [("Patient?identifier=s|1", "Patient", "identifier=s|1")]
        );
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let by = Substitutions {
            references: [pair("Patient?identifier=s|1", "Patient/7")].into(),
            chosen: [pair("Patient/u-1", "Patient/8")].into(),
        };
        let copy = by.applied(&tree).unwrap();
        assert_eq!(
            format(&copy),
            r#"{"subject":{"reference":"Patient/7"},"performer":[{"reference":"Practitioner/1"}],"x":"Patient?identifier=s|1","valueUri":"Patient/8","text":{"div":"<a href=\"Patient/8\">Patient/u-1</a>"}}"#
        );
        assert_eq!(by.applied(&copy), None);
    }
}
