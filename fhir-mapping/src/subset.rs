//! `_summary` and `_elements`: a resource with less in it, marked so that nobody takes it for the
//! whole. <https://hl7.org/fhir/R4/search.html#summary>

use crate::model::{Json, Object};
use std::collections::HashMap;
use std::sync::LazyLock;

/// What is left of a resource. Its type, id and meta are always left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subset {
    /// `_summary=true`: the elements that R4 marks as summary.
    Summary,
    /// `_summary=text`: the narrative and what is mandatory.
    Text,
    /// `_summary=data`: everything but the narrative.
    Data,
    /// `_elements`: these, what is mandatory, and what changes the meaning of the rest. A name may
    /// be limited to a type (`Patient.name`); of a path below an element the element counts.
    Elements(Vec<String>),
}

/// The resource with only that left, tagged as SUBSETTED.
pub fn subset(resource: &Json, how: &Subset) -> Json {
    let Json::Object(object) = resource else {
        return resource.clone();
    };
    let resource_type = resource.resource_type().unwrap_or_default();
    let marks = ALL.get(resource_type);
    let left = match how {
        Subset::Data => kept(object, &|name| name != "text"),
        Subset::Summary => summary(object, marks, ""),
        Subset::Text => kept(object, &|name| name == "text" || is_mandatory(marks, name)),
        Subset::Elements(asked) => kept(object, &|name| {
            is_asked(asked, resource_type, name)
                || is_mandatory(marks, name)
                || ALWAYS_MEANT.contains(&name)
        }),
    };
    Json::Object(tagged(left))
}

/// Elements that change the meaning of others.
const ALWAYS_MEANT: [&str; 2] = ["implicitRules", "modifierExtension"];
const ALWAYS: [&str; 3] = ["resourceType", "id", "meta"];
const TAG_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
const TAG_CODE: &str = "SUBSETTED";

static TABLE: &str = include_str!("../definitions/summary.txt");
static ALL: LazyLock<HashMap<&'static str, Marks>> = LazyLock::new(read_table);

/// The marked elements of a type by path; `value[x]` stands under `value`.
type Marks = HashMap<&'static str, Mark>;

#[derive(Clone, Copy, Default)]
struct Mark {
    is_summary: bool,
    is_mandatory: bool,
    is_choice: bool,
    /// Some of its own elements are marked, so the others are left out.
    has_marked_parts: bool,
}

fn read_table() -> HashMap<&'static str, Marks> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(resource_type, words)| (resource_type, read_marks(words)))
        .collect()
}

fn read_marks(words: &'static str) -> Marks {
    let mut marks = Marks::new();
    for word in words.split(' ') {
        let Some((sign, path)) = word.split_at_checked(1) else {
            continue;
        };
        let name = path.trim_end_matches("[x]");
        let mark = marks.entry(name).or_default();
        mark.is_summary = sign != "!";
        mark.is_mandatory = sign != "+";
        mark.is_choice = name != path;
        if let Some((group, part)) = name.rsplit_once('.')
            && part != "modifierExtension"
        {
            marks.entry(group).or_default().has_marked_parts = true;
        }
    }
    marks
}

/// The mark of a JSON member below `path`; a choice is found without its type.
fn mark_of(marks: Option<&Marks>, path: &str, name: &str) -> Mark {
    let Some(marks) = marks else {
        return Mark::default();
    };
    let full = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    if let Some(mark) = marks.get(full(name).as_str()) {
        return *mark;
    }
    let stems = name.char_indices().filter(|(_, c)| c.is_ascii_uppercase());
    let stems = stems.filter_map(|(at, _)| name.get(..at));
    let found = stems.filter_map(|stem| marks.get(full(stem).as_str()));
    found
        .copied()
        .find(|mark| mark.is_choice)
        .unwrap_or_default()
}

fn is_mandatory(marks: Option<&Marks>, name: &str) -> bool {
    mark_of(marks, "", name).is_mandatory
}

fn is_asked(asked: &[String], resource_type: &str, name: &str) -> bool {
    asked.iter().any(|asked| {
        let mut parts = asked.split('.');
        let first = parts.next().unwrap_or_default();
        let element = match first.starts_with(|c: char| c.is_ascii_uppercase()) {
            true if first != resource_type => return false,
            true => parts.next().unwrap_or_default(),
            false => first,
        };
        let rest = name.strip_prefix(element.trim_end_matches("[x]"));
        // `value` asks for `valueQuantity` too.
        let is_type = |rest: &str| rest.starts_with(|c: char| c.is_ascii_uppercase());
        !element.is_empty() && rest.is_some_and(|rest| rest.is_empty() || is_type(rest))
    })
}

/// Members that a test picks by the name of their element; a primitive's companion goes with it.
fn kept(object: &Object, picks: &dyn Fn(&str) -> bool) -> Object {
    let members = object.iter().filter(|(key, _)| {
        let name = key.strip_prefix('_').unwrap_or(key);
        ALWAYS.contains(&name) || picks(name)
    });
    members
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}

fn summary(object: &Object, marks: Option<&Marks>, path: &str) -> Object {
    let mut left = Object::new();
    for (key, value) in object.iter() {
        let name = key.strip_prefix('_').unwrap_or(key);
        let is_always = match path {
            "" => ALWAYS.contains(&name),
            _ => name == "id",
        };
        let mark = mark_of(marks, path, name);
        if is_always || !(mark.is_summary || mark.is_mandatory) {
            if is_always {
                left.set(key, value.clone());
            }
            continue;
        }
        let inner = match path {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let value = match mark.has_marked_parts {
            true => summary_of_part(value, marks, &inner),
            false => value.clone(),
        };
        if !is_hollow(&value) {
            left.set(key, value);
        }
    }
    left
}

/// Nothing of it is left: R4 has no empty objects and lists.
fn is_hollow(value: &Json) -> bool {
    match value {
        Json::Object(object) => object.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn summary_of_part(value: &Json, marks: Option<&Marks>, path: &str) -> Json {
    match value {
        Json::Array(items) => {
            let items = items.iter().map(|item| summary_of_part(item, marks, path));
            Json::array(items.filter(|item| !is_hollow(item)))
        }
        Json::Object(object) => Json::Object(summary(object, marks, path)),
        other => other.clone(),
    }
}

/// Adds the tag to `meta`, which comes after the id when there was none.
fn tagged(mut object: Object) -> Object {
    let tag = Json::object([("system", TAG_SYSTEM.into()), ("code", TAG_CODE.into())]);
    if let Some(Json::Object(meta)) = object.get_mut("meta") {
        match meta.get_mut("tag").and_then(Json::as_array_mut) {
            Some(tags) if tags.contains(&tag) => {}
            Some(tags) => tags.push(tag),
            None => meta.set("tag", Json::array([tag])),
        }
        return object;
    }
    let position = object.keys().take_while(|key| ALWAYS.contains(key)).count();
    object.set_at(
        position,
        "meta",
        Json::object([("tag", Json::array([tag]))]),
    );
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Limits, format, parse};

    const TAG: &str = r#""meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}"#;

    #[track_caller]
    fn check(resource: &str, how: &Subset, expected: &str) {
        let tree = parse(resource.as_bytes(), Limits::default()).unwrap();
        let expected = expected.replace("TAG", TAG);
        assert_eq!(format(&subset(&tree, how)), expected);
    }

    fn elements(names: &str) -> Subset {
        Subset::Elements(names.split(',').map(str::to_owned).collect())
    }

    #[test]
    fn what_is_left() {
        let patient = r#"{"resourceType":"Patient","id":"a","text":{"status":"generated"},"active":true,"deceasedBoolean":false,"_birthDate":{"id":"x"},"birthDate":"1990","maritalStatus":{"text":"M"},"contact":[{"gender":"male"}],"link":[{"id":"l","extension":[{"url":"u"}],"other":{"reference":"Patient/b"},"type":"seealso"}]}"#;
        check(
            patient,
            &Subset::Summary,
            r#"{"resourceType":"Patient","id":"a",TAG,"active":true,"deceasedBoolean":false,"_birthDate":{"id":"x"},"birthDate":"1990","link":[{"id":"l","other":{"reference":"Patient/b"},"type":"seealso"}]}"#,
        );
        check(
            patient,
            &Subset::Text,
            r#"{"resourceType":"Patient","id":"a",TAG,"text":{"status":"generated"}}"#,
        );
        check(
            patient,
            &elements("birthDate,deceased,Practitioner.active,Patient.maritalStatus.text"),
            r#"{"resourceType":"Patient","id":"a",TAG,"deceasedBoolean":false,"_birthDate":{"id":"x"},"birthDate":"1990","maritalStatus":{"text":"M"}}"#,
        );
    }

    /// Of `rest.security` the description is no part of the summary.
    #[test]
    fn what_nothing_is_left_of_goes_too() {
        check(
            r#"{"resourceType":"CapabilityStatement","id":"a","rest":[{"mode":"server","security":{"description":"d"}},{"mode":"client","security":{"cors":true,"description":"d"}}]}"#,
            &Subset::Summary,
            r#"{"resourceType":"CapabilityStatement","id":"a",TAG,"rest":[{"mode":"server"},{"mode":"client","security":{"cors":true}}]}"#,
        );
    }

    #[test]
    fn mandatory_elements_stay() {
        let observation = r#"{"resourceType":"Observation","id":"o","meta":{"versionId":"1"},"text":{"status":"empty"},"modifierExtension":[{"url":"u"}],"status":"final","code":{"text":"c"},"valueString":"v","note":[{"text":"n"}]}"#;
        let meta = TAG.replace('{', r#"{"versionId":"1","#).replacen(
            r#""tag":[{"versionId":"1","#,
            r#""tag":[{"#,
            1,
        );
        check(
            observation,
            &Subset::Text,
            &format!(
                r#"{{"resourceType":"Observation","id":"o",{meta},"text":{{"status":"empty"}},"status":"final","code":{{"text":"c"}}}}"#
            ),
        );
        check(
            observation,
            &elements("note"),
            &format!(
                r#"{{"resourceType":"Observation","id":"o",{meta},"modifierExtension":[{{"url":"u"}}],"status":"final","code":{{"text":"c"}},"note":[{{"text":"n"}}]}}"#
            ),
        );
        check(
            observation,
            &Subset::Data,
            &format!(
                r#"{{"resourceType":"Observation","id":"o",{meta},"modifierExtension":[{{"url":"u"}}],"status":"final","code":{{"text":"c"}},"valueString":"v","note":[{{"text":"n"}}]}}"#
            ),
        );
    }

    #[test]
    fn every_type_is_in_the_table() {
        for name in crate::validate::resource_types() {
            let abstract_ = ["DomainResource", "Resource"].contains(name);
            assert!(abstract_ || ALL.contains_key(name), "{name}");
        }
    }
}
