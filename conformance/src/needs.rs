//! What a case needs the server to claim, read off its requests. Requests that must be refused
//! need nothing.

use crate::case::{Case, Theme};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// All claims that the case uses, what is given included.
pub(crate) fn of_case(theme: &Theme, case: &Case) -> BTreeSet<String> {
    let mut needs: BTreeSet<String> = case.needs.iter().cloned().collect();
    let given = if case.given.is_empty() {
        &theme.given
    } else {
        &case.given
    };
    for resource in given.iter().map(|g| type_of(&g.resource)) {
        needs.insert(format!("{resource}.create"));
    }
    for step in &case.steps {
        of_step(step, &theme.of_type, &mut needs);
    }
    needs
}

/// The type of a resource, given as an object or as its text.
pub(crate) fn type_of(resource: &Value) -> String {
    let parsed = match resource {
        Value::String(text) => crate::exact::parse(text),
        other => other.clone(),
    };
    let named = parsed.get("resourceType").and_then(Value::as_str);
    named.unwrap_or_default().to_owned()
}

fn of_step(step: &Map<String, Value>, of_type: &str, needs: &mut BTreeSet<String>) {
    let text = |key: &str| step.get(key).and_then(Value::as_str);
    if step.contains_key("hooked") {
        return;
    }
    if step.contains_key("socket") {
        needs.insert("websocket".to_owned());
        return;
    }
    if let Some(query) = text("find") {
        return of_target("GET", &target_of_find(query, of_type), needs);
    }
    let may_succeed = statuses(step).iter().any(|status| *status < 400);
    // A precondition that fails is a feature too; what it names need not be there.
    let is_precondition = statuses(step).contains(&412);
    if !may_succeed && !is_precondition {
        return;
    }
    let send = text("send").unwrap_or_default();
    let (method, target) = send.split_once(' ').unwrap_or((send, ""));
    let is_bundle = method == "POST" && target.is_empty();
    if is_bundle {
        let kind = step.get("body").and_then(|body| body.get("type")?.as_str());
        needs.extend(kind.map(|kind| format!("system.{kind}")));
        return;
    }
    let has_header = |name: &str| step.get("headers").is_some_and(|h| h.get(name).is_some());
    let of_type = target.split(['/', '?']).next().unwrap_or_default();
    if method == "POST" && has_header("if-none-exist") {
        needs.insert(format!("{of_type}.conditionalCreate"));
    }
    for (header, kind) in [
        ("if-none-match", "not-match"),
        ("if-modified-since", "modified-since"),
    ] {
        if method == "GET" && has_header(header) {
            needs.insert(format!("{of_type}.conditionalRead:{kind}"));
        }
    }
    let target = match may_succeed {
        true => target,
        false => target.split_inclusive('?').next().unwrap_or_default(),
    };
    let form = text("form").map(|form| format!("{target}?{form}"));
    of_target(method, form.as_deref().unwrap_or(target), needs);
    if method == "PUT" && is_new(step) && !target.contains('?') {
        needs.insert(format!("{of_type}.updateCreate"));
    }
}

/// `gender=male` asks the theme's type; `Patient?gender=male`, `?_type=...` and
/// `Patient/1/Observation?...` ask what they name.
pub(crate) fn target_of_find(query: &str, of_type: &str) -> String {
    match query.split_once('?') {
        Some((before, _)) if !before.contains('=') => query.to_owned(),
        _ => format!("{of_type}?{query}"),
    }
}

fn statuses(step: &Map<String, Value>) -> Vec<u64> {
    match step.get("status") {
        Some(Value::Array(any)) => any.iter().filter_map(Value::as_u64).collect(),
        Some(one) => one.as_u64().into_iter().collect(),
        None => vec![200],
    }
}

fn is_new(step: &Map<String, Value>) -> bool {
    statuses(step).contains(&201)
}

fn of_target(method: &str, target: &str, needs: &mut BTreeSet<String>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    // `${a}` is a kept id.
    let operation = segments.iter().find_map(|segment| {
        segment
            .strip_prefix('$')
            .filter(|name| !name.starts_with('{'))
    });
    if let Some(operation) = operation {
        let of_type = segments.first().filter(|first| !first.starts_with('$'));
        needs.insert(format!(
            "{}${operation}",
            of_type.copied().unwrap_or_default()
        ));
        return;
    }
    let has_query = target.contains('?');
    match (method, segments.as_slice()) {
        ("GET" | "HEAD", ["metadata"]) | (_, [""]) => {}
        // A URL that the server gave.
        (_, [kept, ..]) if kept.starts_with("${") || kept.contains(':') => {}
        ("GET", []) | ("POST", ["_search"]) => {
            needs.insert("system.search-system".to_owned());
            of_query("system", query, needs);
        }
        ("GET", ["_history"]) => {
            needs.insert("system.history-system".to_owned());
        }
        (_, [of_type, rest @ ..]) => {
            // A search in a compartment asks the last type.
            let of_type = match rest {
                [_, last] if starts_upper(last) => last,
                _ => of_type,
            };
            needs.extend(interaction(method, rest, has_query).map(|i| format!("{of_type}.{i}")));
            of_query(of_type, query, needs);
        }
        _ => {}
    }
}

fn interaction(method: &str, rest: &[&str], has_query: bool) -> Option<&'static str> {
    Some(match (method, rest) {
        ("GET", ["_history"]) => "history-type",
        ("GET", [_, "_history"]) => "history-instance",
        ("GET" | "HEAD", [_, "_history", _]) => "vread",
        ("GET", []) | ("POST", ["_search"]) => "search-type",
        ("GET", [_, last]) if starts_upper(last) => "search-type",
        ("GET" | "HEAD", [_]) => "read",
        ("POST", []) => "create",
        ("PUT", [_]) => "update",
        ("PUT", []) if has_query => "conditionalUpdate",
        ("PATCH", _) => "patch",
        ("DELETE", [_]) => "delete",
        ("DELETE", []) if has_query => "conditionalDelete",
        _ => return None,
    })
}

fn starts_upper(text: &str) -> bool {
    text.chars().next().is_some_and(|c| c.is_ascii_uppercase())
}

/// `subject:Patient.name=x` needs `subject`; what tells how to answer needs nothing.
fn of_query(of_type: &str, query: &str, needs: &mut BTreeSet<String>) {
    const HOW: [&str; 16] = [
        "_sort",
        "_count",
        "_include",
        "_revinclude",
        "_summary",
        "_elements",
        "_total",
        "_format",
        "_pretty",
        "_contained",
        "_containedType",
        "_since",
        "_at",
        "_has",
        "_type",
        "_getpagesoffset",
    ];
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = key.split([':', '.']).next().unwrap_or_default();
        let is_plain = !key.contains(":iterate");
        match name {
            "_include" if is_plain => include(of_type, '+', value, needs),
            "_revinclude" if is_plain => include(of_type, '-', value, needs),
            "" => {}
            _ if HOW.contains(&name) || name.contains(['{', '}']) => {}
            _ if name.starts_with("no-such-") => {}
            _ => {
                needs.insert(format!("{of_type}?{name}"));
            }
        }
    }
}

fn include(of_type: &str, sign: char, value: &str, needs: &mut BTreeSet<String>) {
    let parts: Vec<&str> = value.split(':').take(2).collect();
    if !value.is_empty() && !value.contains('*') {
        needs.insert(format!("{of_type}{sign}{}", parts.join(":")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn needs_follow_from_requests() {
        for (step, expected) in [
            (
                json!({"find": "gender:not=male&_sort=name"}),
                "Patient.search-type Patient?gender",
            ),
            (
                json!({"find": "Observation?subject:Patient.name=x&_include=Observation:subject:Patient"}),
                "Observation+Observation:subject Observation.search-type Observation?subject",
            ),
            (
                json!({"find": "Patient/1/Observation?code=x"}),
                "Observation.search-type Observation?code",
            ),
            (json!({"find": "?_type=Patient"}), "system.search-system"),
            (json!({"send": "GET Patient?nonsense=1", "status": 400}), ""),
            (
                json!({"send": "PUT Patient?nonsense=1", "status": [400, 412]}),
                "Patient.conditionalUpdate",
            ),
            (json!({"send": "GET Patient/${a}"}), "Patient.read"),
            (
                json!({"send": "PUT Patient/1", "status": [200, 201]}),
                "Patient.update Patient.updateCreate",
            ),
            (
                json!({"send": "PUT Patient?identifier=1"}),
                "Patient.conditionalUpdate Patient?identifier",
            ),
            (
                json!({"send": "POST Patient", "headers": {"if-none-exist": "x"}, "status": 201}),
                "Patient.conditionalCreate Patient.create",
            ),
            (
                json!({"send": "POST Patient/_search", "form": "name=x"}),
                "Patient.search-type Patient?name",
            ),
            (
                json!({"send": "POST ", "body": {"type": "batch"}}),
                "system.batch",
            ),
            (
                json!({"send": "GET Patient/${a}/$everything"}),
                "Patient$everything",
            ),
            (json!({"send": "GET $export", "status": 202}), "$export"),
            (json!({"send": "GET Patient/1/_history/2"}), "Patient.vread"),
            (json!({"send": "GET metadata"}), ""),
            (json!({"socket": ["> bind 1"]}), "websocket"),
            (
                json!({"send": "GET Patient/1", "headers": {"if-none-match": "x"}, "status": 304}),
                "Patient.conditionalRead:not-match Patient.read",
            ),
        ] {
            let mut needs = BTreeSet::new();
            of_step(step.as_object().unwrap(), "Patient", &mut needs);
            let needs: Vec<String> = needs.into_iter().collect();
            assert_eq!(needs.join(" "), expected, "{step}");
        }
    }
}
