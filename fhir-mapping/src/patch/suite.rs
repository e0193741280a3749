//! The cases of FHIR's own test repository for JSON Patch and FHIRPath Patch.
//! <https://github.com/FHIR/fhir-test-cases>

use super::*;
use crate::model::{format, parse};
use crate::xml;

const DATA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../shared/data/fhir-test-cases/patch"
);

/// Cases that are answered otherwise, with the reason.
const OTHERWISE: &[(&str, &str)] = &[(
    "A.10.  Adding a nested Member Object",
    "it leaves an empty object, and FHIR knows none: it is taken away",
)];

fn read(name: &str) -> Option<String> {
    let path = format!("{DATA}/{name}");
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("skipped: no {path}");
    }
    text
}

/// What went wrong, but for what is known.
fn judge(wrong: Vec<String>, count: usize, least: usize) {
    assert!(count >= least, "only {count} cases");
    let known = |line: &&String| !OTHERWISE.iter().any(|(name, _)| line.starts_with(name));
    let wrong: Vec<&String> = wrong.iter().filter(known).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    eprintln!("{count} cases");
}

#[test]
fn json_patch_cases() {
    let Some(text) = read("json-patch-tests.json") else {
        return;
    };
    let cases = parse(text.as_bytes(), Limits::default()).unwrap();
    let mut wrong = Vec::new();
    let cases = cases.as_array().unwrap();
    for case in cases {
        let name = case.get("comment").and_then(Json::as_str).unwrap();
        let done = Patch::json(case.get("patch").unwrap())
            .and_then(|patch| patch.apply(case.get("doc").unwrap()));
        let is_right = match (&done, case.get("expected")) {
            (Ok(done), Some(expected)) => sorted(done) == sorted(expected),
            (Err(_), None) => true,
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{name}: {:?}", done.map(|done| format(&done))));
        }
    }
    judge(wrong, cases.len(), 16);
}

/// The order of members means nothing in these cases, nor do white space and escaped
/// quotes in narratives.
fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(object) => {
            let mut members: Vec<(String, Json)> = object
                .iter()
                .map(|(name, value)| (name.to_owned(), sorted(value)))
                .collect();
            members.sort_by(|one, two| one.0.cmp(&two.0));
            Json::Object(members.into_iter().collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        Json::String(text) if text.starts_with("<div") => {
            let words: Vec<&str> = text.split_whitespace().collect();
            Json::from(words.concat().replace("&quot;", "\"").as_str())
        }
        other => other.clone(),
    }
}

#[test]
fn fhirpath_patch_cases() {
    let Some(text) = read("fhir-patch-tests.xml") else {
        return;
    };
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in text.split("<case ").skip(1) {
        let name = between(case, "name=\"", "\"");
        count += 1;
        let tree = |tag: &str| {
            let text = between(case, &format!("<{tag}>"), &format!("</{tag}>"));
            xml::parse(text.trim().as_bytes(), Limits::default())
        };
        let done = tree("diff")
            .and_then(|diff| Patch::fhirpath(&diff))
            .and_then(|patch| patch.apply(&tree("input").unwrap()));
        match (done, tree("output")) {
            (Ok(done), Ok(expected)) if sorted(&done) == sorted(&expected) => {}
            (Err(_), Err(_)) if case.contains("<error ") => {}
            (done, _) => wrong.push(format!("{name}: {:?}", done.map(|done| format(&done)))),
        }
    }
    judge(wrong, count, 33);
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or("", |(inner, _)| inner)
}
