//! Inside a transaction, references to another entry's `fullUrl` become references to the id that
//! the entry gets (R4 3.1.0.11.2): in references, in other uri values, and in narrative.

use fhir_mapping::model::{Json, Object, Reference};
use std::collections::HashMap;

/// `fullUrl` of an entry to `Type/id`.
#[derive(Debug, Default)]
pub(super) struct FullUrls {
    absolute: HashMap<String, String>,
    /// `Type/id` under the sender's own base: only what stands in `reference` can mean it.
    relative: HashMap<String, String>,
}

impl FullUrls {
    pub(super) fn insert(&mut self, full_url: &str, target: &str) {
        if let Reference::Literal {
            base: Some(_),
            resource_type,
            id,
            ..
        } = Reference::parse(full_url)
        {
            self.relative
                .insert(format!("{resource_type}/{id}"), target.to_owned());
        }
        self.absolute.insert(full_url.to_owned(), target.to_owned());
    }

    pub(super) fn rewrite(&self, resource: &mut Json) {
        if self.absolute.is_empty() {
            return;
        }
        match resource {
            Json::Object(object) => self.rewrite_object(object),
            Json::Array(items) => items.iter_mut().for_each(|item| self.rewrite(item)),
            _ => {}
        }
    }

    fn rewrite_object(&self, object: &mut Object) {
        for (name, value) in object.iter_mut() {
            match value {
                Json::String(text) => self.rewrite_text(name, text),
                Json::Array(items) => {
                    for item in items {
                        match item {
                            Json::String(text) => self.rewrite_text(name, text),
                            other => self.rewrite(other),
                        }
                    }
                }
                other => self.rewrite(other),
            }
        }
    }

    /// `value` of an identifier or contact point is a string, no uri, whatever it looks like.
    fn rewrite_text(&self, name: &str, text: &mut String) {
        let target = match name {
            "value" | "id" | "valueString" => None,
            "div" => return self.rewrite_narrative(text),
            "reference" => self.absolute.get(text).or_else(|| self.relative.get(text)),
            _ if text.contains(':') => self.absolute.get(text),
            _ => None,
        };
        if let Some(target) = target {
            target.clone_into(text);
        }
    }

    /// `<a href="...">` and `<img src="...">`.
    fn rewrite_narrative(&self, text: &mut String) {
        for attribute in ["href=\"", "src=\""] {
            if !text.contains(attribute) {
                continue;
            }
            let mut parts = text.split(attribute);
            let mut rewritten = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (url, rest) = part.split_once('"').unwrap_or((part, ""));
                rewritten.push_str(attribute);
                rewritten.push_str(self.absolute.get(url).map_or(url, String::as_str));
                if part.len() > url.len() {
                    rewritten.push('"');
                    rewritten.push_str(rest);
                }
            }
            *text = rewritten;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fhir_mapping::model::{Limits, format, parse};

    fn check(before: &str, after: &str) {
        let mut urls = FullUrls::default();
        urls.insert("urn:uuid:1", "Patient/a");
        urls.insert("http://old/fhir/Encounter/9", "Encounter/b");
        let mut tree = parse(before.as_bytes(), Limits::default()).unwrap();
        urls.rewrite(&mut tree);
        assert_eq!(format(&tree), after);
    }

    #[test]
    fn every_place_that_can_name_an_entry() {
        check(
            r#"{"subject":{"reference":"urn:uuid:1"}}"#,
            r#"{"subject":{"reference":"Patient/a"}}"#,
        );
        check(
            r#"{"a":[{"reference":"Encounter/9"},{"reference":"http://old/fhir/Encounter/9"}]}"#,
            r#"{"a":[{"reference":"Encounter/b"},{"reference":"Encounter/b"}]}"#,
        );
        check(
            r#"{"valueUri":"urn:uuid:1","list":["urn:uuid:1","x"]}"#,
            r#"{"valueUri":"Patient/a","list":["Patient/a","x"]}"#,
        );
        check(
            r#"{"identifier":[{"value":"urn:uuid:1"}],"display":"Encounter/9"}"#,
            r#"{"identifier":[{"value":"urn:uuid:1"}],"display":"Encounter/9"}"#,
        );
        check(
            r#"{"text":{"div":"<div><a href=\"urn:uuid:1\">x</a> <img src=\"no\"/> urn:uuid:1</div>"}}"#,
            r#"{"text":{"div":"<div><a href=\"Patient/a\">x</a> <img src=\"no\"/> urn:uuid:1</div>"}}"#,
        );
        check(
            r#"{"subject":{"reference":"urn:uuid:2"}}"#,
            r#"{"subject":{"reference":"urn:uuid:2"}}"#,
        );
    }
}
