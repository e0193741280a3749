//! Every claimed parameter against the official examples and an evaluation of its own: a plain
//! walker over the definitions' text and plain comparisons, sharing no code with the search.

use super::*;
use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization;

static TABLE: &str = include_str!("../../../definitions/search_parameters.txt");

pub(super) struct Row {
    pub(super) resource_type: String,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) paths: &'static str,
    pub(super) components: &'static str,
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut shared: Vec<&'static str> = Vec::new();
    let mut resource_type = "";
    let split = |resource_type: &str, line: &'static str| {
        let mut columns = line.split('\t');
        Row {
            resource_type: resource_type.to_owned(),
            name: columns.next().unwrap(),
            kind: columns.next().unwrap(),
            paths: columns.next().unwrap_or_default(),
            components: columns.next().unwrap_or_default(),
        }
    };
    for line in TABLE.lines() {
        match (line.contains('\t'), resource_type) {
            (true, "*") => shared.push(line),
            (true, _) => rows.push(split(resource_type, line)),
            (false, _) => {
                resource_type = line;
                let own = shared.iter().filter(|_| line != "*");
                rows.extend(own.map(|row| split(line, row)));
            }
        }
    }
    rows
}

fn examples() -> Option<BTreeMap<String, Vec<Json>>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/r4-examples");
    let mut by_type: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for file in std::fs::read_dir(folder).ok()? {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        if let Ok(resource) = parse(&bytes, Limits::default())
            && let Some(resource_type) = resource.resource_type()
        {
            by_type
                .entry(resource_type.to_owned())
                .or_default()
                .push(resource);
        }
    }
    Some(by_type)
}

/// Naive walk: a list of nodes, one step of the text after the other.
fn nodes<'a>(text: &str, root: &'a Json, start: &'a Json) -> Vec<Json> {
    let text = text.split('{').next().unwrap();
    if text == "deceased[x].isTrue()" {
        let dead = nodes("deceased[x]", root, start);
        return vec![Json::Bool(
            dead.first().is_some_and(|v| *v != Json::Bool(false)),
        )];
    }
    let (text, start) = match text.strip_prefix('%') {
        Some(text) => (text, root),
        None => (text, start),
    };
    let mut found = vec![start.clone()];
    let steps = text.replace("resolve() is ", "resolve is ");
    let mut steps: Vec<&str> = steps.split('.').filter(|step| !step.is_empty()).collect();
    while !steps.is_empty() {
        let step = steps.remove(0);
        found = found
            .iter()
            .flat_map(|node| step_of(step, node, root))
            .collect();
    }
    found
}

fn step_of(step: &str, node: &Json, root: &Json) -> Vec<Json> {
    if let Some(wanted) = step.strip_prefix("where(resolve is ") {
        let wanted = wanted.trim_end_matches(')');
        return if points_at(node, root) == Some(wanted.to_owned()) {
            vec![node.clone()]
        } else {
            vec![]
        };
    }
    if let Some(condition) = step.strip_prefix("where(") {
        let (key, literal) = condition.trim_end_matches(')').split_once('=').unwrap();
        let is = node.get(key).and_then(Json::as_str) == Some(literal.trim_matches('\''));
        return if is { vec![node.clone()] } else { vec![] };
    }
    let members: Vec<Json> = match (step.strip_suffix("[x]"), step.strip_suffix("[0]")) {
        (Some(stem), _) => node
            .as_object()
            .into_iter()
            .flat_map(|o| o.iter())
            .filter(|(key, _)| {
                key.strip_prefix(stem)
                    .is_some_and(|rest| rest.starts_with(char::is_uppercase))
            })
            .map(|(_, value)| value.clone())
            .collect(),
        (_, Some(name)) => node.items(name).first().cloned().into_iter().collect(),
        _ => node.get(step).cloned().into_iter().collect(),
    };
    members
        .into_iter()
        .flat_map(|value| match value {
            Json::Array(items) => items,
            one => vec![one],
        })
        .filter(|value| *value != Json::Null)
        .collect()
}

fn points_at(node: &Json, root: &Json) -> Option<String> {
    let text = node.get("reference").and_then(Json::as_str);
    if let Some(id) = text.and_then(|t| t.strip_prefix('#')) {
        let inner = root
            .items("contained")
            .iter()
            .find(|c| c.id() == Some(id))?;
        return inner.resource_type().map(str::to_owned);
    }
    let parts: Vec<&str> = text.unwrap_or_default().split('/').collect();
    let at = parts
        .iter()
        .position(|p| *p == "_history")
        .unwrap_or(parts.len());
    match at.checked_sub(2).and_then(|at| parts.get(at)) {
        Some(name) if name.starts_with(char::is_uppercase) => Some((*name).to_owned()),
        _ => node.get("type").and_then(Json::as_str).map(str::to_owned),
    }
}

/// The values of an element under a kind, as plain texts that compare equal when a search for one
/// should find the other.
fn plain(kind: &str, node: &Json) -> Vec<String> {
    let text = |key: &str| node.get(key).and_then(Json::as_str).map(str::to_owned);
    match (kind, node) {
        ("t", Json::String(code)) => vec![code.clone()],
        ("t", Json::Bool(code)) => vec![code.to_string()],
        ("t", Json::Number(code)) => vec![code.to_string()],
        ("t", _) if !node.items("coding").is_empty() => node
            .items("coding")
            .iter()
            .flat_map(|c| plain("t", c))
            .collect(),
        ("t", _) => text("value").or_else(|| text("code")).into_iter().collect(),
        ("s", Json::String(text)) => vec![text.clone()],
        ("s", _) => [
            "text",
            "family",
            "given",
            "prefix",
            "suffix",
            "line",
            "city",
            "district",
            "state",
            "postalCode",
            "country",
        ]
        .iter()
        .filter_map(|key| node.get(key))
        .flat_map(|part| match part {
            Json::Array(items) => items.clone(),
            one => vec![one.clone()],
        })
        .filter_map(|part| part.as_str().map(str::to_owned))
        .collect(),
        ("r", Json::String(text)) => vec![text.split('|').next().unwrap().to_owned()],
        ("r", _) => {
            let own = node
                .resource_type()
                .zip(node.id())
                .map(|(t, id)| format!("{t}/{id}"));
            let text = text("reference").or(own);
            text.map(|t| {
                t.split("/_history")
                    .next()
                    .unwrap()
                    .split('|')
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .into_iter()
            .collect()
        }
        ("u", _) => node.as_str().map(str::to_owned).into_iter().collect(),
        ("d", _) => date_text(node).into_iter().collect(),
        ("n" | "q", Json::Number(number)) => vec![number.to_string()],
        ("n" | "q", _) if text("comparator").is_none() => node
            .get("value")
            .and_then(Json::as_number)
            .map(str::to_owned)
            .into_iter()
            .collect(),
        ("x", _) => {
            let number = |key| node.get(key).and_then(Json::as_number);
            number("latitude")
                .zip(number("longitude"))
                .map(|(a, b)| format!("{a}|{b}|1|m"))
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Plain dates and instants only: periods and timings have tests of their own.
fn date_text(node: &Json) -> Option<String> {
    let text = node.as_str()?;
    // `scheduled[x]` may be a text too.
    text.starts_with(|c: char| c.is_ascii_digit())
        .then(|| text.to_owned())
}

fn own_values(row: &Row, resource: &Json) -> Vec<String> {
    if row.kind == "c" {
        let mut found = Vec::new();
        for context in row
            .paths
            .split('|')
            .flat_map(|path| nodes(path, resource, resource))
        {
            let mut tuples = vec![String::new()];
            for component in row.components.split(';') {
                let parts: Vec<&str> = component.splitn(3, '=').collect();
                let texts: Vec<String> = parts[2]
                    .split('|')
                    .flat_map(|path| nodes(path, resource, &context))
                    .flat_map(|node| plain(parts[0], &node))
                    .map(|text| escape(parts[0], &text))
                    .collect();
                tuples = tuples
                    .iter()
                    .flat_map(|start| texts.iter().map(move |text| format!("{start}${text}")))
                    .collect();
            }
            found.extend(
                tuples
                    .iter()
                    .map(|tuple| tuple.trim_start_matches('$').to_owned()),
            );
        }
        return found;
    }
    let found = row
        .paths
        .split('|')
        .flat_map(|path| nodes(path, resource, resource));
    found.flat_map(|node| plain(row.kind, &node)).collect()
}

fn escape(kind: &str, text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | ',' | '$') || (c == '|' && kind != "x") {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Should a search for `asked` find a resource with this value?
fn finds(kind: &str, asked: &str, value: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().unwrap();
    match kind {
        "s" => folded(value).starts_with(&folded(asked)),
        "d" => {
            let (asked, value) = (range(asked), range(value));
            asked.0 <= value.0 && value.1 <= asked.1
        }
        "n" | "q" => {
            let decimals = asked.split_once('.').map_or(0, |(_, d)| d.len());
            if asked.contains(['e', 'E']) {
                return (number(asked) - number(value)).abs() < number(asked).abs() * 0.04;
            }
            let half = 0.5 * 0.1_f64.powi(i32::try_from(decimals).unwrap());
            (number(asked) - number(value)).abs() < half * (1.0 - 1e-9)
        }
        "x" => {
            let near = |text: &str| text.split('|').take(2).map(number).collect::<Vec<_>>();
            near(asked) == near(value)
        }
        _ => asked == value,
    }
}

fn folded(text: &str) -> String {
    let plain = text.nfd().filter(|c| !('\u{300}'..='\u{36f}').contains(c));
    let kept = plain.filter(|c| c.is_alphanumeric() || c.is_whitespace());
    kept.collect::<String>()
        .to_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// First and last second of a date's text in UTC, as `YYYY-MM-DDThh:mm:ss` texts.
fn range(text: &str) -> (String, String) {
    if text.len() > 10 {
        let instant: jiff::Timestamp = text.parse().unwrap();
        let at = format!("{:.6}", instant.to_string().trim_end_matches('Z'));
        let at = instant.to_string().get(..19).map_or(at, str::to_owned);
        return (at.clone(), at);
    }
    let low = format!("{text}{}", "-01-01T00:00:00".get(text.len() - 4..).unwrap());
    let high = format!("{text}{}", "-12-31T23:59:59".get(text.len() - 4..).unwrap());
    (low, high)
}

/// One query of each kind, made from a value, and whom it must find.
#[test]
fn every_parameter_finds_the_examples_that_carry_its_value() {
    let Some(examples) = examples() else {
        eprintln!("skipped: no official examples beside this repository");
        return;
    };
    let zone = zone("UTC");
    let (mut parameters, mut claims, mut queries) = (0, 0, 0);
    for row in rows() {
        claims += 1;
        let none = Vec::new();
        let resources = examples.get(&row.resource_type).unwrap_or(&none);
        let values: Vec<Vec<String>> = resources.iter().map(|r| own_values(&row, r)).collect();
        let extracted: Vec<SearchValues> = resources.iter().map(|r| extract(r, &zone)).collect();
        let nodes_of = |r: &Json| row.paths.split('|').map(|p| nodes(p, r, r).len()).sum();
        let counts: Vec<usize> = resources.iter().map(nodes_of).collect();
        let mut asked: Vec<&String> = values.iter().flatten().collect();
        asked.sort_unstable();
        asked.dedup();
        parameters += usize::from(!asked.is_empty());
        // A hundred different values show enough of one parameter.
        for value in asked.into_iter().filter(|v| !v.is_empty()).take(100) {
            let text = if row.kind == "c" {
                value.clone()
            } else {
                escape(row.kind, value)
            };
            let pairs = [(row.name.to_owned(), text.clone())];
            let query = Query::parse(&row.resource_type, &pairs, Handling::Strict, &zone)
                .unwrap_or_else(|issues| {
                    panic!("{}.{}={text}: {issues:?}", row.resource_type, row.name)
                });
            queries += 1;
            for (((own, all), extracted), resource) in
                values.iter().zip(&counts).zip(&extracted).zip(resources)
            {
                let expected = own.iter().any(|v| finds(row.kind, value, v));
                let found = query.matches(extracted);
                // What the plain comparison leaves out, periods, ranges, composites of several
                // values, has tables of its own.
                let is_simple = matches!(row.kind, "d" | "q" | "n") && *all == own.len();
                let is_plain = !matches!(row.kind, "d" | "q" | "n" | "c") || is_simple || expected;
                if is_plain {
                    assert_eq!(
                        found,
                        expected,
                        "{}.{}={text} {:?}",
                        row.resource_type,
                        row.name,
                        resource.id()
                    );
                }
                if found {
                    let terms = extracted.terms();
                    for group in query.candidates().all_of {
                        assert!(
                            group.iter().any(|t| terms.binary_search(t).is_ok()),
                            "{}={text}",
                            row.name
                        );
                    }
                }
            }
        }
    }
    eprintln!("{claims} parameters claimed, {parameters} carried by examples, {queries} queries");
    assert!(parameters > 700, "{parameters} of {claims}");
}
