//! Cases of structure validation, and every official R4 example.

use super::*;
use crate::model::{Limits, parse};

/// The findings about `text` as lines: expression, number, text.
fn check(text: &str) -> String {
    let resource = parse(text.as_bytes(), Limits::default()).unwrap();
    let line = |i: Issue| {
        format!(
            "{} | {} {} | {}",
            i.expression,
            i.number,
            i.code.as_str(),
            i.text
        )
    };
    let lines: Vec<String> = structure(&resource).into_iter().map(line).collect();
    lines.join("\n")
}

fn sound(text: &str) {
    assert_eq!(check(text), "", "{text}");
}

#[test]
fn sound_resources() {
    sound(r#"{"resourceType":"Patient"}"#);
    sound(r#"{"resourceType":"Patient","id":"a","gender":"female","birthDate":"1990-02-28"}"#);
    sound(
        r#"{"resourceType":"Basic","code":{"text":"x"},"extension":[{"url":"u","valueDosage":{"text":"y"}}]}"#,
    );
}

/// Official examples that break R4's own definitions: end of the file's name, end of the
/// finding's expression, reason.
const WRONG_EXAMPLES: &[(&str, &str, &str)] = &[
    (
        "-questionnaire.json",
        ".linkId",
        "generated from profiles; items inside groups lack their required linkId",
    ),
    (
        "codesystem-extensions-CodeSystem-effective.json",
        "SearchParameter.base",
        "a search parameter on an extension, published without its required base",
    ),
];

#[test]
fn official_examples_are_sound() {
    let mut wrong = Vec::new();
    for_each_example(|name, resource| {
        for issue in structure(&resource) {
            let is_excused = WRONG_EXAMPLES
                .iter()
                .any(|(file, place, _)| name.ends_with(file) && issue.expression.ends_with(place));
            if !is_excused {
                wrong.push(format!("{name}: {} {}", issue.expression, issue.number));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Calls `visit` with each official example; the number of files, none when they are not there.
fn for_each_example(mut visit: impl FnMut(&str, Json)) -> usize {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/r4-examples");
    let Ok(files) = std::fs::read_dir(folder) else {
        eprintln!("skipped: no {folder}");
        return 0;
    };
    let paths: Vec<_> = files.map(|f| f.unwrap().path()).collect();
    for path in &paths {
        let name = path.file_name().unwrap().to_string_lossy();
        visit(
            &name,
            parse(&std::fs::read(path).unwrap(), Limits::default()).unwrap(),
        );
    }
    assert!(paths.len() > 600, "only {} examples", paths.len());
    paths.len()
}

#[test]
fn broken_examples_are_caught() {
    let mut missed = Vec::new();
    for_each_example(|name, mut resource| {
        let root = resource.as_object_mut().unwrap();
        root.set("statuss", Json::from("x"));
        root.set("id", Json::Array(vec![]));
        let found = structure(&resource);
        let has = |number: &str| found.iter().any(|i| i.number == number);
        if found.len() < ISSUES_MAX && !(has("E-VAL-5") && has("E-VAL-11")) {
            missed.push(name.to_owned());
        }
    });
    assert_eq!(missed, Vec::<String>::new());
}
