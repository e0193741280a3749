//! Expectations of a step against the reply: each either holds or is told in one line.

use crate::case::Kept;
use crate::wire::Reply;
use serde_json::{Map, Value};

/// Everything that does not hold.
pub(crate) fn failures(step: &Map<String, Value>, reply: &Reply) -> Vec<String> {
    let json = reply.json();
    let mut failures = Vec::new();
    for (member, wanted) in step {
        let failure = match member.as_str() {
            "status" => status(wanted, reply),
            "header" => each(wanted, |name, value| header(name, value, reply)),
            "no_header" => listed(wanted, |name| !reply.headers.contains_key(name)),
            "is" => each(wanted, |at, value| is(at, value, &json)),
            "has" => each(wanted, |at, value| has(at, value, &json)),
            "absent" => listed(wanted, |at| json.pointer(at).is_none()),
            "count" => each(wanted, |at, value| count(at, value, &json)),
            "ids" => ids(wanted, &reply.match_ids()),
            "issue" => issue(wanted, &json),
            "at" => located(wanted, &json),
            "raw" => listed(wanted, |part| reply.text().contains(part)),
            _ => None,
        };
        failures.extend(failure.map(|failure| format!("{member}: {failure}")));
    }
    failures
}

/// Puts the step's `keep` aside: a JSON pointer, or `header name`.
pub(crate) fn keep(step: &Map<String, Value>, reply: &Reply, kept: &mut Kept) {
    let json = reply.json();
    for (name, from) in step
        .get("keep")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let from = from.as_str().unwrap_or_default();
        let value = match from.strip_prefix("header ") {
            Some(header) => reply.header(header).to_owned(),
            None => match json.pointer(from) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            },
        };
        kept.insert(name.clone(), value);
    }
}

/// Does the text fit a pattern in which `*` stands for anything?
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn status(wanted: &Value, reply: &Reply) -> Option<String> {
    let found = Value::from(reply.status);
    let holds = match wanted {
        Value::Array(any) => any.contains(&found),
        one => *one == found,
    };
    let shown: String = reply.text().chars().take(400).collect();
    (!holds).then(|| format!("wanted {wanted}, found {found}: {shown}"))
}

/// The first pair that does not hold.
fn each(wanted: &Value, check: impl Fn(&str, &Value) -> Option<String>) -> Option<String> {
    let pairs = wanted.as_object().into_iter().flatten();
    pairs
        .filter_map(|(key, value)| check(key, value).map(|f| format!("{key}: {f}")))
        .next()
}

/// The first item that does not hold.
fn listed(wanted: &Value, holds: impl Fn(&str) -> bool) -> Option<String> {
    let mut items = wanted.as_array().into_iter().flatten();
    items
        .find(|item| !item.as_str().is_some_and(&holds))
        .map(|item| format!("{item} does not hold"))
}

fn header(name: &str, wanted: &Value, reply: &Reply) -> Option<String> {
    let found = reply.header(name);
    let holds = wanted.as_str().is_some_and(|pattern| fits(pattern, found));
    (!holds).then(|| format!("wanted {wanted}, found {found:?}"))
}

fn is(at: &str, wanted: &Value, json: &Value) -> Option<String> {
    let found = json.pointer(at);
    let holds = match (wanted, found) {
        (Value::String(pattern), Some(Value::String(text))) => fits(pattern, text),
        _ => found == Some(wanted),
    };
    (!holds).then(|| format!("wanted {wanted}, found {found:?}"))
}

fn has(at: &str, wanted: &Value, json: &Value) -> Option<String> {
    let found = json.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let holds = wanted.as_str().is_some_and(|part| found.contains(part));
    (!holds).then(|| format!("wanted {wanted} within {found:?}"))
}

fn count(at: &str, wanted: &Value, json: &Value) -> Option<String> {
    let found = json
        .pointer(at)
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    (wanted.as_u64() != u64::try_from(found).ok())
        .then(|| format!("wanted {wanted}, found {found}"))
}

fn ids(wanted: &Value, found: &[String]) -> Option<String> {
    let found: Value = found.iter().cloned().collect();
    (*wanted != found).then(|| format!("wanted {wanted}, found {found}"))
}

/// An OperationOutcome whose issues are whole, one of them with this code.
fn issue(wanted: &Value, json: &Value) -> Option<String> {
    let text = |issue: &Value, key: &str| {
        let text = issue.get(key).and_then(Value::as_str);
        text.is_some_and(|text| !text.is_empty())
    };
    let issues = json.get("issue").and_then(Value::as_array);
    let issues = issues.map_or(&[][..], |list| list);
    let is_outcome = json.get("resourceType") == Some(&Value::from("OperationOutcome"))
        && issues
            .iter()
            .all(|i| text(i, "severity") && text(i, "code") && text(i, "diagnostics"));
    let holds = is_outcome && issues.iter().any(|i| i.get("code") == Some(wanted));
    (!holds).then(|| format!("wanted an OperationOutcome with {wanted}, found {issues:?}"))
}

/// One of the issues names this element.
fn located(wanted: &Value, json: &Value) -> Option<String> {
    let issues = json.get("issue").and_then(Value::as_array);
    let expressions: Vec<&Value> = issues
        .into_iter()
        .flatten()
        .filter_map(|issue| issue.pointer("/expression/0"))
        .collect();
    (!expressions.contains(&wanted)).then(|| format!("wanted {wanted}, found {expressions:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            (
                "*/Patient/*/_history/1",
                "http://h/Patient/7/_history/1",
                true,
            ),
            (
                "*/Patient/*/_history/1",
                "http://h/Patient/7/_history/2",
                false,
            ),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn each_expectation_can_fail() {
        let reply = Reply {
            status: 404,
            headers: http::HeaderMap::from_iter([(
                http::header::ETAG,
                http::HeaderValue::from_static("W/\"1\""),
            )]),
            body: r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error",
                "code":"not-found","diagnostics":"E-1: x","expression":["A.b"]}]}"#
                .into(),
        };
        let good = json!({"status": 404, "header": {"etag": "W/*"}, "no_header": ["location"],
            "is": {"/issue/0/code": "not-found"}, "has": {"/issue/0/diagnostics": "x"},
            "absent": ["/entry"], "count": {"/issue": 1}, "ids": [], "issue": "not-found",
            "at": "A.b", "raw": ["E-1"]});
        let bad = json!({"status": [200, 201], "header": {"etag": "1"}, "no_header": ["etag"],
            "is": {"/issue/0/code": 7}, "has": {"/issue/0/diagnostics": "y"},
            "absent": ["/issue"], "count": {"/issue": 2}, "ids": ["a"], "issue": "deleted",
            "at": "A.c", "raw": ["E-2"]});
        let members = good.as_object().unwrap();
        assert_eq!(failures(members, &reply), Vec::<String>::new());
        let members = bad.as_object().unwrap();
        assert_eq!(failures(members, &reply).len(), members.len());
    }
}
