//! Cases made from the server's own statement: the life of one resource of every claimed type, each
//! claimed include, and a search by each claimed parameter that must find a resource made for it.

use crate::case::{Case, Given, Theme};
use crate::claims::Claims;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// `Type \t resource`, and `Type \t parameter \t query \t resource`; `definitions/generate.py`.
const TYPES: &str = include_str!("../definitions/types.txt");
const PARAMETERS: &str = include_str!("../definitions/parameters.txt");

const REST: &str = "https://hl7.org/fhir/R4/http.html";
const SEARCH: &str = "https://hl7.org/fhir/R4/search.html";

/// A server may refuse more at once.
const INCLUDES_IN_A_REQUEST: usize = 8;

/// The themes that this server's claims ask for.
pub fn themes(claims: &Claims) -> Vec<Theme> {
    let resources: BTreeMap<&str, &str> =
        rows(TYPES).filter_map(|row| row.split_once('\t')).collect();
    let mut themes = vec![
        theme("claims/types", "Claims: every type"),
        theme("claims/includes", "Claims: every include"),
        theme("claims/parameters", "Claims: every search parameter"),
    ];
    let [types, includes, parameters] = themes.as_mut_slice() else {
        return Vec::new();
    };
    for of_type in claims.types() {
        if let Some(resource) = resources.get(of_type) {
            types.cases.push(life(of_type, resource, claims));
        }
        includes.cases.extend(all_includes(of_type, claims));
    }
    parameters.cases = searches(claims, &resources);
    themes
}

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().filter(|line| !line.starts_with('#'))
}

fn theme(file: &str, capability: &str) -> Theme {
    Theme {
        file: file.to_owned(),
        capability: capability.to_owned(),
        of_type: String::new(),
        given: Vec::new(),
        cases: Vec::new(),
    }
}

fn case(name: String, section: &str, spec: &str, steps: Vec<Value>) -> Case {
    let steps = steps.into_iter().filter_map(|step| match step {
        Value::Object(members) => Some(members),
        _ => None,
    });
    Case {
        name,
        section: section.to_owned(),
        spec: spec.to_owned(),
        needs: Vec::new(),
        is_optional: false,
        is_free: false,
        given: Vec::new(),
        steps: steps.collect::<Vec<Map<String, Value>>>(),
    }
}

fn given(resource: &str) -> Vec<Given> {
    vec![Given {
        name: "a".to_owned(),
        times: None,
        resource: Value::String(resource.to_owned()),
    }]
}

/// Every interaction that is claimed for the type, on one resource.
fn life(of_type: &str, resource: &str, claims: &Claims) -> Case {
    let holds = |interaction: &str| claims.hold(&format!("{of_type}.{interaction}"));
    let mut rows = beginning(of_type, resource);
    rows.extend(end(of_type, resource));
    let steps = rows
        .into_iter()
        .filter(|(interactions, _)| interactions.iter().all(|i| holds(i)))
        .map(|(_, step)| step)
        .collect();
    let mut case = case(of_type.to_owned(), "RESTful API", REST, steps);
    case.given = given(resource);
    let told = TOLD.iter().filter(|claim| holds(claim));
    case.needs = told.map(|claim| format!("{of_type}.{claim}")).collect();
    case
}

/// Claims that are no interaction, but come with those of a life.
const TOLD: [&str; 5] = [
    "versioning:versioned",
    "versioning:versioned-update",
    "readHistory",
    "conditionalDelete:single",
    "conditionalDelete:multiple",
];

/// A step, and what must be claimed for it.
type Row = (&'static [&'static str], Value);

fn with_id(resource: &str, id: &str) -> String {
    resource.replacen('{', &format!("{{\"id\":\"{id}\","), 1)
}

fn beginning(of_type: &str, resource: &str) -> Vec<Row> {
    let one = format!("{of_type}/${{a}}");
    let get = format!("GET {one}");
    let keep = json!({"v": "/meta/versionId", "e": "header etag", "m": "header last-modified"});
    let patch = json!([{"op": "add", "path": "/language", "value": "en"}]);
    let patched = json!({"content-type": "application/json-patch+json"});
    vec![
        (
            &["read"],
            json!({"send": get, "status": 200, "is": {"/id": "${a}"}, "keep": keep}),
        ),
        (
            &["vread"],
            json!({"send": format!("{get}/_history/${{v}}"), "status": 200}),
        ),
        (
            &["conditionalRead:not-match"],
            json!({"send": get, "headers": {"if-none-match": "${e}"}, "status": 304}),
        ),
        (
            &["conditionalRead:modified-since"],
            json!({"send": get, "headers": {"if-modified-since": "${m}"}, "status": 304}),
        ),
        (
            &["update"],
            json!({"send": format!("PUT {one}"), "text": with_id(resource, "${a}"), "status": 200}),
        ),
        (
            &["patch"],
            json!({"send": format!("PATCH {one}"), "headers": patched, "body": patch,
                "status": 200, "is": {"/language": "en"}}),
        ),
        (
            &["search-type"],
            json!({"send": format!("GET {of_type}?_id=${{a}}"), "status": 200, "count": {"/entry": 1}}),
        ),
    ]
}

fn end(of_type: &str, resource: &str) -> Vec<Row> {
    let one = format!("{of_type}/${{a}}");
    let by_id = format!("{of_type}?_id=${{a}}");
    let new = "${world}-${run}-x";
    let history = json!({"/type": "history"});
    let gone = json!([200, 202, 204, 404]);
    vec![
        (
            &["conditionalCreate"],
            json!({"send": format!("POST {of_type}"), "text": resource,
                "headers": {"if-none-exist": "_id=${a}"}, "status": 200}),
        ),
        (
            &["conditionalUpdate"],
            json!({"send": format!("PUT {by_id}"), "text": with_id(resource, "${a}"), "status": 200}),
        ),
        (
            &["history-instance"],
            json!({"send": format!("GET {one}/_history"), "status": 200, "is": history}),
        ),
        (
            &["history-type"],
            json!({"send": format!("GET {of_type}/_history?_count=1"), "status": 200, "is": history}),
        ),
        (
            &["delete"],
            json!({"send": format!("DELETE {one}"), "status": [200, 202, 204]}),
        ),
        (
            &["delete", "read"],
            json!({"send": format!("GET {one}"), "status": [404, 410]}),
        ),
        (
            &["conditionalDelete"],
            json!({"send": format!("DELETE {by_id}"), "status": gone}),
        ),
        (
            &["updateCreate"],
            json!({"send": format!("PUT {of_type}/{new}"), "text": with_id(resource, new), "status": 201}),
        ),
    ]
}

/// Each `_include` and `_revinclude` that is claimed for the type.
fn all_includes(of_type: &str, claims: &Claims) -> Option<Case> {
    let (mut pairs, mut needs) = (Vec::new(), Vec::new());
    for (sign, name) in [('+', "_include"), ('-', "_revinclude")] {
        let before = format!("{of_type}{sign}");
        for claim in claims.iter().filter(|claim| claim.starts_with(&before)) {
            let value = claim.trim_start_matches(&before);
            pairs.push(format!("&{name}={value}"));
            needs.push(claim.to_owned());
        }
    }
    let several = pairs.chunks(INCLUDES_IN_A_REQUEST).map(<[String]>::concat);
    let steps: Vec<Value> = several
        .map(|pairs| json!({"send": format!("GET {of_type}?_id=none{pairs}"), "status": 200}))
        .collect();
    let section = "Including other resources in result";
    let mut case = case(
        of_type.to_owned(),
        section,
        &format!("{SEARCH}#include"),
        steps,
    );
    case.needs = needs;
    (!case.steps.is_empty()).then_some(case)
}

/// A case for each claimed parameter of each type: it finds what was made for it, where the table
/// has a value, and answers all the same where it has none.
fn searches(claims: &Claims, resources: &BTreeMap<&str, &str>) -> Vec<Case> {
    let made: BTreeMap<(&str, &str), (&str, &str)> = rows(PARAMETERS)
        .filter_map(|row| {
            let mut parts = row.splitn(4, '\t');
            let key = (parts.next()?, parts.next()?);
            Some((key, (parts.next()?, parts.next()?)))
        })
        .collect();
    let mut cases = Vec::new();
    for (of_type, name, kind) in claims.parameters() {
        let label = format!("{of_type}?{name}");
        let spec = format!("{SEARCH}#{kind}");
        let row = made
            .get(&(of_type, name))
            .filter(|_| resources.contains_key(of_type));
        let can_make = claims.hold(&format!("{of_type}.create"));
        match row.filter(|_| can_make) {
            Some((query, resource)) => {
                let find = format!("{of_type}?{name}={query}");
                let mut case = case(
                    label,
                    kind,
                    &spec,
                    vec![json!({"find": find, "ids": ["a"]})],
                );
                case.given = given(resource);
                cases.push(case);
            }
            None => {
                let query = any_value(name, kind);
                let step = json!({"send": format!("GET {of_type}?{name}={query}&_count=1"), "status": 200});
                cases.push(case(label, kind, &spec, vec![step]));
            }
        }
    }
    cases
}

/// A value that the parameter may have, by its type.
fn any_value(name: &str, kind: &str) -> &'static str {
    match (kind, name) {
        ("number", _) => "7",
        ("date", _) => "2026-02-03",
        ("quantity", _) => "7.25|http://unitsofmeasure.org|mg",
        ("reference", _) => "Patient/none",
        ("uri", _) => "http://example.org/none",
        ("special", "near") => "-3.37|36.68|10|km",
        ("special", "_filter") => "_id eq none",
        ("composite", _) if name.ends_with("-quantity") => "none$7",
        ("composite", _) if name.ends_with("-date") => "none$2026",
        ("composite", _) if name.contains("coordinate") => "none$1$2",
        ("composite", "relationship") => "DocumentReference/none$replaces",
        ("composite", _) => "none$none",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_become_cases() {
        let statement = json!({"rest": [{"resource": [{"type": "Account",
            "interaction": [{"code": "create"}, {"code": "read"}, {"code": "search-type"}],
            "searchInclude": ["Account:owner"],
            "searchParam": [{"name": "name", "type": "string"}, {"name": "odd", "type": "number"}]}]}]});
        let themes = themes(&Claims::read(&statement));
        let shown: Vec<String> = themes
            .iter()
            .flat_map(|t| {
                t.cases.iter().map(|c| {
                    format!(
                        "{} {}: {}",
                        t.file,
                        c.name,
                        Value::from_iter(c.steps.clone())
                    )
                })
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"claims/types Account: [{"is":{"/id":"${a}"},"keep":{"e":"header etag","m":"header last-modified","v":"/meta/versionId"},"send":"GET Account/${a}","status":200},{"count":{"/entry":1},"send":"GET Account?_id=${a}","status":200}]"#,
                r#"claims/includes Account: [{"send":"GET Account?_id=none&_include=Account:owner","status":200}]"#,
                r#"claims/parameters Account?name: [{"find":"Account?name=gen gen-${run}","ids":["a"]}]"#,
                r#"claims/parameters Account?odd: [{"send":"GET Account?odd=7&_count=1","status":200}]"#,
            ]
        );
    }

    #[test]
    fn the_tables_hold_every_type() {
        assert!(rows(TYPES).count() > 140);
        assert!(rows(PARAMETERS).count() > 1200);
        for row in rows(TYPES).chain(rows(PARAMETERS)) {
            let resource = row.rsplit('\t').next().unwrap();
            assert!(serde_json::from_str::<Value>(resource).is_ok(), "{row}");
        }
    }
}
