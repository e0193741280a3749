//! References that are settled while writing: conditional ones, and those to a resource that a
//! conditional create found to exist already.

use fhir_mapping::model::{Json, Reference, walk_references, walk_references_mut};
use std::collections::BTreeMap;

/// Text of a reference to the text that replaces it.
pub(super) type Substitutions = BTreeMap<String, String>;

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

/// The resource with its references replaced; `None` when none of them occurs in it.
pub(super) fn substituted(resource: &Json, by: &Substitutions) -> Option<Json> {
    if by.is_empty() {
        return None;
    }
    let mut occurs = false;
    walk_references(resource, &mut |text| occurs |= by.contains_key(text));
    occurs.then(|| {
        let mut copy = resource.clone();
        walk_references_mut(&mut copy, &mut |object| {
            let text = object.get("reference").and_then(Json::as_str);
            if let Some(target) = text.and_then(|text| by.get(text)) {
                object.set("reference", target.as_str().into());
            }
        });
        copy
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, format, parse};

    #[test]
    fn replaces_only_what_is_named() {
        let text = r#"{"subject":{"reference":"Patient?identifier=s|1"},"performer":[{"reference":"Practitioner/1"}]}"#;
        let tree = parse(text.as_bytes(), Limits::default()).unwrap();
        let found = conditional(&tree);
        assert_eq!(
            found,
            [("Patient?identifier=s|1", "Patient", "identifier=s|1")]
        );
        let by: Substitutions =
            [("Patient?identifier=s|1".to_owned(), "Patient/7".to_owned())].into();
        let copy = substituted(&tree, &by).unwrap();
        assert_eq!(
            format(&copy),
            r#"{"subject":{"reference":"Patient/7"},"performer":[{"reference":"Practitioner/1"}]}"#
        );
        assert_eq!(substituted(&copy, &by), None);
    }
}
