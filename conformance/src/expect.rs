//! Expectations of a step against the reply: each either holds or is told in one line.

use crate::exact;
use crate::fill::Kept;
use crate::select::{equals, fits, select};
use crate::wire::Reply;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Everything that does not hold.
pub(crate) fn failures(step: &Map<String, Value>, reply: &Reply) -> Vec<String> {
    let json = reply.json();
    let mut failures = Vec::new();
    for (member, wanted) in step {
        let failure = match member.as_str() {
            "status" => status(wanted, reply),
            "header" => each(wanted, |name, value| header(name, value, reply)),
            "no_header" => listed(wanted, |name| !reply.headers.contains_key(name)),
            "raw" => listed(wanted, |part| reply.text().contains(part)),
            "no_raw" => listed(wanted, |part| !reply.text().contains(part)),
            "number" => {
                let tree = exact::parse(&reply.text());
                each(wanted, |at, text| number(at, text, &tree))
            }
            "equal" => equal(wanted, reply),
            "issue" => issue(wanted, &json),
            "at" => located(wanted, &json),
            "types" => types(wanted, &json),
            "absent" => listed(wanted, |at| select(&json, at).is_empty()),
            "present" => listed(wanted, |at| !select(&json, at).is_empty()),
            _ => each(wanted, |at, value| {
                by_path(member, value, &select(&json, at))
            }),
        };
        failures.extend(failure.map(|failure| format!("{member}: {failure}")));
    }
    failures
}

/// Puts the step's `keep` aside: a JSON pointer, `header name` or `link relation`.
pub(crate) fn keep(step: &Map<String, Value>, reply: &Reply, kept: &mut Kept) {
    let json = reply.json();
    let wanted = step.get("keep").and_then(Value::as_object);
    for (name, from) in wanted.into_iter().flatten() {
        let from = from.as_str().unwrap_or_default();
        let value = if let Some(header) = from.strip_prefix("header ") {
            reply.header(header).to_owned()
        } else if let Some(relation) = from.strip_prefix("link ") {
            reply.link(relation).unwrap_or_default()
        } else {
            match select(&json, from).first() {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            }
        };
        kept.insert(name.clone(), value);
    }
}

fn status(wanted: &Value, reply: &Reply) -> Option<String> {
    let found = Value::from(reply.status);
    let holds = match wanted {
        Value::Array(any) => any.contains(&found),
        one => *one == found,
    };
    (!holds).then(|| format!("wanted {wanted}, found {found}"))
}

/// The first pair that does not hold. Members that expect nothing have no pairs.
fn each(wanted: &Value, check: impl Fn(&str, &Value) -> Option<String>) -> Option<String> {
    let mut pairs = wanted.as_object().into_iter().flatten();
    pairs.find_map(|(key, value)| check(key, value).map(|f| format!("{key}: {f}")))
}

/// The first item that does not hold.
fn listed(wanted: &Value, holds: impl Fn(&str) -> bool) -> Option<String> {
    let mut items = wanted.as_array().into_iter().flatten();
    let item = items.find(|item| !item.as_str().is_some_and(&holds))?;
    Some(format!("{item} does not hold"))
}

fn header(name: &str, wanted: &Value, reply: &Reply) -> Option<String> {
    let found = reply.header(name);
    let holds = wanted.as_str().is_some_and(|pattern| fits(pattern, found));
    (!holds).then(|| format!("wanted {wanted}, found {found:?}"))
}

fn by_path(member: &str, wanted: &Value, found: &[&Value]) -> Option<String> {
    let holds = match member {
        "is" => matches!(found, [one] if equals(wanted, one)),
        "every" => !found.is_empty() && found.iter().all(|value| equals(wanted, value)),
        "some" => found.iter().any(|value| equals(wanted, value)),
        "none" => !found.iter().any(|value| equals(wanted, value)),
        "list" => same(wanted, found),
        "bag" => same(&sorted(wanted), &sorted_refs(found)),
        "has" => found.iter().any(|value| contains(value, wanted)),
        "count" => wanted.as_u64() == length(found),
        "least" => wanted.as_u64() <= length(found),
        _ => return None,
    };
    let shown: Vec<String> = found.iter().take(12).map(|value| brief(value)).collect();
    (!holds).then(|| format!("wanted {wanted}, found [{}]", shown.join(", ")))
}

fn same(wanted: &Value, found: &[&Value]) -> bool {
    let wanted = wanted.as_array().map_or(&[][..], Vec::as_slice);
    wanted.len() == found.len() && wanted.iter().zip(found).all(|(a, b)| equals(a, b))
}

fn sorted(list: &Value) -> Value {
    let mut items = list.as_array().cloned().unwrap_or_default();
    items.sort_by_key(Value::to_string);
    items.into()
}

fn sorted_refs<'a>(found: &[&'a Value]) -> Vec<&'a Value> {
    let mut found = found.to_vec();
    found.sort_by_key(|value| value.to_string());
    found
}

fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        _ => value == part,
    }
}

/// Items of the list that was found, or how many values were.
fn length(found: &[&Value]) -> Option<u64> {
    let length = match found {
        [Value::Array(items)] => items.len(),
        values => values.len(),
    };
    u64::try_from(length).ok()
}

fn brief(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

fn number(at: &str, wanted: &Value, tree: &Value) -> Option<String> {
    let found = select(tree, at)
        .first()
        .and_then(|value| exact::number(value));
    (wanted.as_str() != found).then(|| format!("wanted the text {wanted}, found {found:?}"))
}

/// The same content, numbers to the text; id, version and time of change are the server's.
fn equal(wanted: &Value, reply: &Reply) -> Option<String> {
    let text = match wanted {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let wanted = exact::content(exact::parse(&text));
    let mut found = exact::content(exact::parse(&reply.text()));
    if wanted.get("meta").is_none() {
        // Nothing said of it: the tag of the case may be there.
        found
            .as_object_mut()
            .and_then(|members| members.remove("meta"));
    }
    let difference = first_difference("", &wanted, &found)?;
    Some(difference.replace("\\u0001", ""))
}

fn first_difference(at: &str, wanted: &Value, found: &Value) -> Option<String> {
    match (wanted, found) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let mut names = names.into_iter();
            names.find_map(|name| {
                let pair = (a.get(name), b.get(name));
                let (a, b) = (
                    pair.0.unwrap_or(&Value::Null),
                    pair.1.unwrap_or(&Value::Null),
                );
                first_difference(&format!("{at}/{name}"), a, b)
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(n, (a, b))| first_difference(&format!("{at}/{n}"), a, b))
        }
        _ => (wanted != found)
            .then(|| format!("{at}: sent {}, came back {}", brief(wanted), brief(found))),
    }
}

/// An OperationOutcome with an error, one of its issues with this code; `*` takes any.
fn issue(wanted: &Value, json: &Value) -> Option<String> {
    let issues = json.get("issue").and_then(Value::as_array);
    let issues = issues.map_or(&[][..], Vec::as_slice);
    let text = |issue: &Value, key: &str| {
        let text = issue.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let is_whole = json
        .get("resourceType")
        .is_some_and(|kind| kind == "OperationOutcome")
        && issues
            .iter()
            .all(|i| !text(i, "severity").is_empty() && !text(i, "code").is_empty());
    let codes = match wanted {
        Value::Array(any) => any.clone(),
        one => vec![one.clone()],
    };
    let is_wanted = |issue: &Value| {
        let code = Value::from(text(issue, "code"));
        codes.iter().any(|wanted| equals(wanted, &code))
    };
    let holds = is_whole && issues.iter().any(is_wanted);
    let shown: Vec<String> = issues.iter().map(brief).collect();
    (!holds).then(|| format!("wanted an OperationOutcome with {wanted}, found {shown:?}"))
}

/// One of the issues names this element.
fn located(wanted: &Value, json: &Value) -> Option<String> {
    let mut found = select(json, "/issue/*/expression/*");
    found.extend(select(json, "/issue/*/location/*"));
    let holds = found.iter().any(|expression| equals(wanted, expression));
    (!holds).then(|| format!("wanted {wanted}, found {found:?}"))
}

/// How many entries of each type the Bundle holds.
fn types(wanted: &Value, json: &Value) -> Option<String> {
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    for of_type in select(json, "/entry/*/resource/resourceType") {
        *found
            .entry(of_type.as_str().unwrap_or_default())
            .or_default() += 1;
    }
    let pairs = found
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.into()));
    let found = Value::Object(pairs.collect());
    (*wanted != found).then(|| format!("wanted {wanted}, found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reply() -> Reply {
        Reply {
            status: 404,
            headers: http::HeaderMap::from_iter([(
                http::header::ETAG,
                http::HeaderValue::from_static("W/\"1\""),
            )]),
            body: r#"{"resourceType":"OperationOutcome","id":"x","issue":[{"severity":"error",
                "code":"not-found","diagnostics":"E-1: x","expression":["A.b"]}],
                "n":1.00,"entry":[{"resource":{"resourceType":"A"}},{"resource":{"resourceType":"A"}}]}"#
                .into(),
        }
    }

    #[test]
    fn each_expectation_can_fail() {
        let good = json!({"status": 404, "header": {"etag": "W/*"}, "no_header": ["location"],
            "is": {"/issue/0/code": "not-found"}, "has": {"/issue/0/diagnostics": "x"},
            "absent": ["/entry/7"], "present": ["/entry"], "count": {"/issue": 1}, "least": {"/issue": 1},
            "issue": "not-*", "at": "A.b", "raw": ["E-1"], "no_raw": ["E-2"], "number": {"/n": "1.00"},
            "types": {"A": 2}, "every": {"/entry/*/resource/resourceType": "A"},
            "some": {"/entry/*/resource/resourceType": "A"}, "none": {"/entry/*/resource/resourceType": "B"},
            "list": {"/issue/*/code": ["not-found"]}, "bag": {"/issue/*/severity": ["error"]}});
        let bad = json!({"status": [200, 201], "header": {"etag": "1"}, "no_header": ["etag"],
            "is": {"/issue/0/code": 7}, "has": {"/issue/0/diagnostics": "y"},
            "absent": ["/issue"], "present": ["/x"], "count": {"/issue": 2}, "least": {"/issue": 2},
            "issue": "deleted", "at": "A.c", "raw": ["E-2"], "no_raw": ["E-1"], "number": {"/n": "1.0"},
            "types": {"A": 1}, "every": {"/entry/*/resource/resourceType": "B"},
            "some": {"/entry/*/resource/resourceType": "B"}, "none": {"/entry/*/resource/resourceType": "A"},
            "list": {"/issue/*/code": []}, "bag": {"/issue/*/severity": ["warning"]}});
        let members = good.as_object().unwrap();
        assert_eq!(failures(members, &reply()), Vec::<String>::new());
        let members = bad.as_object().unwrap();
        assert_eq!(failures(members, &reply()).len(), members.len());
    }

    #[test]
    fn equal_means_the_text_of_numbers_too() {
        let answer = |body: &'static str| Reply {
            body: body.into(),
            ..reply()
        };
        let sent = Value::from(r#"{"resourceType":"A","v":1.00}"#);
        let same = answer(r#"{"v":1.00,"id":"7","meta":{"versionId":"1"},"resourceType":"A"}"#);
        assert_eq!(equal(&sent, &same), None);
        let other = answer(r#"{"resourceType":"A","v":1.0}"#);
        assert_eq!(
            equal(&sent, &other).unwrap(),
            "/v: sent \"1.00\", came back \"1.0\""
        );
    }
}
