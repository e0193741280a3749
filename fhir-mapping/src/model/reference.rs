//! References between resources (R4 2.3): relative, absolute, versioned, contained, urn, conditional.

use super::{Json, Object};

/// What the text of `Reference.reference` (or a canonical) points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// `Type/id`, with `/_history/n` if the version is fixed. `base` is set for absolute URLs.
    Literal {
        base: Option<&'a str>,
        resource_type: &'a str,
        id: &'a str,
        version: Option<&'a str>,
    },
    /// `#id`
    Contained(&'a str),
    /// `urn:uuid:...` or `urn:oid:...`
    Urn(&'a str),
    /// `Type?query`
    Conditional {
        resource_type: &'a str,
        query: &'a str,
    },
    /// Anything else: a URL that is no FHIR path.
    Other(&'a str),
}

impl<'a> Reference<'a> {
    pub fn parse(text: &'a str) -> Reference<'a> {
        if let Some(id) = text.strip_prefix('#') {
            return Reference::Contained(id);
        }
        if text.starts_with("urn:") {
            return Reference::Urn(text);
        }
        if let Some((path, query)) = text.split_once('?')
            && is_type_name(path)
        {
            return Reference::Conditional {
                resource_type: path,
                query,
            };
        }
        Reference::literal(text).unwrap_or(Reference::Other(text))
    }

    fn literal(text: &'a str) -> Option<Reference<'a>> {
        let (head, version) = match text.split_once("/_history/") {
            Some((head, version)) => (head, Some(version)),
            None => (text, None),
        };
        let (rest, id) = head.rsplit_once('/')?;
        let (base, resource_type) = match rest.rsplit_once('/') {
            Some((base, resource_type)) => (Some(base), resource_type),
            None => (None, rest),
        };
        let whole = is_type_name(resource_type) && is_valid_id(id);
        let based = base.is_none_or(|b| b.starts_with("http://") || b.starts_with("https://"));
        (whole && based).then_some(Reference::Literal {
            base,
            resource_type,
            id,
            version,
        })
    }
}

/// `[A-Za-z0-9\-\.]{1,64}` (R4 2.24.0.1, id).
pub fn is_valid_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn is_type_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Calls `visit` with the text of every `Reference.reference` in the tree.
pub fn walk_references<'a>(value: &'a Json, visit: &mut impl FnMut(&'a str)) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| walk_references(item, visit)),
        Json::Object(object) => {
            if let Some(Json::String(text)) = object.get("reference") {
                visit(text);
            }
            object
                .iter()
                .for_each(|(_, item)| walk_references(item, visit));
        }
        _ => {}
    }
}

/// Calls `visit` with every object that holds a `reference` text, for rewriting.
pub fn walk_references_mut(value: &mut Json, visit: &mut impl FnMut(&mut Object)) {
    match value {
        Json::Array(items) => {
            items
                .iter_mut()
                .for_each(|item| walk_references_mut(item, visit));
        }
        Json::Object(object) => {
            if matches!(object.get("reference"), Some(Json::String(_))) {
                visit(object);
            }
            object
                .iter_mut()
                .for_each(|(_, item)| walk_references_mut(item, visit));
        }
        _ => {}
    }
}
