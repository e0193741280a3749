//! What counts as a difference: resources are cut into elements, and values are compared by a
//! canonical text that ignores key order and the spelling of numbers.

use super::policy::{self, Class};
use crate::model::{Json, Object};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A resource cut into its elements. An element is a key with its `_` companion, and all spellings
/// of a choice: `medicationReference` and `medicationCodeableConcept` are both `medication[x]`.
/// `meta` is cut one level deeper; a generated narrative is set aside.
pub(super) struct Parts {
    elements: Vec<(String, Object)>,
    /// A narrative that was made from the other elements.
    pub(super) narrative: Option<Json>,
}

impl Parts {
    pub(super) fn of(resource: &Json) -> Parts {
        let mut parts = Parts {
            elements: Vec::new(),
            narrative: None,
        };
        for (key, value) in resource.as_object().into_iter().flat_map(Object::iter) {
            match (key, value) {
                ("text", narrative) if is_generated(narrative) => {
                    parts.narrative = Some(narrative.clone());
                }
                ("meta", Json::Object(meta)) => {
                    for (key, value) in meta.iter() {
                        let name = format!("meta.{}", plain(key));
                        parts.add(name, key, value);
                    }
                }
                _ => parts.add(element_name(key), key, value),
            }
        }
        parts
    }

    fn add(&mut self, name: String, key: &str, value: &Json) {
        if let Some((_, pairs)) = self.elements.iter_mut().find(|(n, _)| *n == name) {
            pairs.set(key, value.clone());
            return;
        }
        let mut pairs = Object::new();
        pairs.set(key, value.clone());
        self.elements.push((name, pairs));
    }

    /// The keys and values of one element.
    pub(super) fn get(&self, name: &str) -> Option<&Object> {
        let mut elements = self.elements.iter();
        elements.find(|(n, _)| n == name).map(|(_, pairs)| pairs)
    }

    /// The element as one value.
    pub(super) fn value(&self, name: &str) -> Option<Json> {
        self.get(name).map(|pairs| value_of(name, pairs))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.elements.iter().map(|(name, _)| name.as_str())
    }
}

/// The plain value of an element; an object of its spellings when a choice or a companion is there.
pub(super) fn value_of(name: &str, pairs: &Object) -> Json {
    let key = name.strip_prefix("meta.").unwrap_or(name);
    match pairs.get(key) {
        Some(value) if pairs.len() == 1 => value.clone(),
        _ => Json::Object(pairs.clone()),
    }
}

/// The items of an element that is a plain list; `None` for anything else.
pub(super) fn items_of<'a>(name: &str, pairs: Option<&'a Object>) -> Option<&'a [Json]> {
    let Some(pairs) = pairs else {
        return Some(&[]);
    };
    let key = name.strip_prefix("meta.").unwrap_or(name);
    let value = pairs.get(key).filter(|_| pairs.len() == 1)?;
    value.as_array()
}

/// Equal as far as the policy sees: lists that are sets may be in any order.
pub(super) fn is_same_element(place: (&str, &str), a: Option<&Object>, b: Option<&Object>) -> bool {
    let (kind, name) = place;
    if let Class::List(_) = policy::row(kind, name).class
        && let (Some(a), Some(b)) = (items_of(name, a), items_of(name, b))
    {
        return is_same_set(a, b);
    }
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => canonical_object(a) == canonical_object(b),
        _ => false,
    }
}

pub(super) fn is_same_set(a: &[Json], b: &[Json]) -> bool {
    let sorted = |items: &[Json]| {
        let mut texts: Vec<String> = items.iter().map(canonical).collect();
        texts.sort_unstable();
        texts
    };
    a.len() == b.len() && sorted(a) == sorted(b)
}

/// Equal but for what the policy ignores.
pub(super) fn is_same_resource(a: &Json, b: &Json) -> bool {
    let kind = policy::kind_of(a, b);
    let (a, b) = (Parts::of(a), Parts::of(b));
    a.names().chain(b.names()).all(|name| {
        matches!(policy::row(&kind, name).class, Class::Ignored) && name.starts_with("meta.")
            || is_same_element((&kind, name), a.get(name), b.get(name))
    })
}

/// Alike for all resources that are the same to the policy.
pub(super) fn digest(resource: &Json) -> [u8; 32] {
    let kind = policy::kind_of(resource, resource);
    let parts = Parts::of(resource);
    let mut names: Vec<&str> = parts.names().collect();
    names.sort_unstable();
    let mut hash = Sha256::new();
    for name in names {
        let is_set = match policy::row(&kind, name).class {
            Class::Ignored if name.starts_with("meta.") => continue,
            Class::List(_) => true,
            _ => false,
        };
        let mut text = String::new();
        if let Some(value) = parts.value(name) {
            write_canonical(&value, is_set, &mut text);
        }
        hash.update(format!("{name:?}:{text},"));
    }
    hash.finalize().into()
}

/// One text for all spellings of a value.
pub(super) fn canonical(value: &Json) -> String {
    let mut out = String::new();
    write_canonical(value, false, &mut out);
    out
}

fn canonical_object(pairs: &Object) -> String {
    let mut out = String::new();
    write_object(pairs, &mut out);
    out
}

fn write_canonical(value: &Json, is_set: bool, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(text) => out.push_str(&canonical_number(text)),
        Json::String(text) => {
            let _infallible = write!(out, "{text:?}");
        }
        Json::Array(items) => {
            let mut texts: Vec<String> = items.iter().map(canonical).collect();
            if is_set {
                texts.sort_unstable();
            }
            let _infallible = write!(out, "[{}]", texts.join(","));
        }
        Json::Object(pairs) => write_object(pairs, out),
    }
}

fn write_object(pairs: &Object, out: &mut String) {
    let mut sorted: Vec<_> = pairs.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (key, value) in sorted {
        let _infallible = write!(out, "{key:?}:");
        write_canonical(value, key == "coding", out);
        out.push(',');
    }
    out.push('}');
}

/// `1.10`, `1.1` and `11e-1` are all `11e-1`.
fn canonical_number(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else {
        return text.to_owned();
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let scale = exponent
        .saturating_sub(length(fraction.len()))
        .saturating_add(length(zeros));
    format!("{sign}{significant}e{scale}")
}

/// Narrative.status: only `additional` holds what the other elements do not.
fn is_generated(narrative: &Json) -> bool {
    narrative.get("status").and_then(Json::as_str) != Some("additional")
}

fn plain(key: &str) -> &str {
    key.strip_prefix('_').unwrap_or(key)
}

/// `valueQuantity` -> `value[x]`, `_birthDate` -> `birthDate`.
fn element_name(key: &str) -> String {
    let key = plain(key);
    for prefix in CHOICES {
        if let Some(suffix) = key.strip_prefix(prefix)
            && CHOICE_TYPES.contains(&suffix)
        {
            return format!("{prefix}[x]");
        }
    }
    key.to_owned()
}

/// Names of R4 elements `name[x]` at the top of a resource.
const CHOICES: &[&str] = &[
    "abatement",
    "age",
    "allowed",
    "asNeeded",
    "born",
    "content",
    "deceased",
    "definition",
    "effective",
    "entity",
    "event",
    "identified",
    "item",
    "legallyBinding",
    "location",
    "medication",
    "minimumVolume",
    "multipleBirth",
    "occurrence",
    "onset",
    "performed",
    "product",
    "quantity",
    "reported",
    "scheduled",
    "serviced",
    "source",
    "start",
    "statusReason",
    "subject",
    "target",
    "timing",
    "topic",
    "value",
];

const CHOICE_TYPES: &[&str] = &[
    "Address",
    "Age",
    "Annotation",
    "Attachment",
    "Base64Binary",
    "Boolean",
    "Canonical",
    "Code",
    "CodeableConcept",
    "Coding",
    "ContactPoint",
    "Count",
    "Date",
    "DateTime",
    "Decimal",
    "Distance",
    "Duration",
    "HumanName",
    "Id",
    "Identifier",
    "Instant",
    "Integer",
    "Markdown",
    "Money",
    "Oid",
    "Period",
    "PositiveInt",
    "Quantity",
    "Range",
    "Ratio",
    "Reference",
    "SampledData",
    "Signature",
    "String",
    "Time",
    "Timing",
    "UnsignedInt",
    "Uri",
    "Url",
    "Uuid",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_and_keep_every_digit() {
        let cases = [
            ("1.10", "1.1", true),
            ("100", "1e2", true),
            ("-0.0", "0", true),
            ("0.010", "1E-2", true),
            ("9007199254740993", "9007199254740992", false),
            ("1e400", "1e401", false),
            ("-1", "1", false),
            ("10", "1", false),
        ];
        for (a, b, same) in cases {
            assert_eq!(canonical_number(a) == canonical_number(b), same, "{a} {b}");
        }
    }

    #[test]
    fn one_digest_for_one_content() {
        let cases = [
            (
                "{'resourceType':'Patient','active':true,'id':'a'}",
                "{'id':'a','resourceType':'Patient','meta':{'versionId':'3'},'active':true}",
                true,
            ),
            (
                "{'resourceType':'Patient','telecom':[{'value':'1'},{'value':'2'}]}",
                "{'resourceType':'Patient','telecom':[{'value':'2'},{'value':'1'}]}",
                true,
            ),
            (
                "{'resourceType':'Observation','valueDecimal':1.10}",
                "{'resourceType':'Observation','valueDecimal':1.1}",
                true,
            ),
            (
                "{'resourceType':'Patient','active':true}",
                "{'resourceType':'Patient','active':false}",
                false,
            ),
        ];
        for (a, b, same) in cases {
            let [a, b] = [a, b].map(crate::conflict::cases::json);
            assert_eq!(digest(&a) == digest(&b), same);
            assert_eq!(is_same_resource(&a, &b), same);
        }
    }

    #[test]
    fn choices_and_companions_are_one_element() {
        let cases = [
            ("medicationReference", "medication[x]"),
            ("medicationCodeableConcept", "medication[x]"),
            ("_birthDate", "birthDate"),
            ("_valueString", "value[x]"),
            ("reasonReference", "reasonReference"),
            ("valueSet", "valueSet"),
            ("status", "status"),
        ];
        for (key, name) in cases {
            assert_eq!(element_name(key), name);
        }
    }
}
