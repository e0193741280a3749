//! What judging costs, counted in steps: the law behind "a large body never holds up others".

use super::*;
use crate::model::{Limits, Severity, parse};

fn repeated(one: &str, count: usize) -> String {
    vec![one; count].join(",")
}

/// Resources of `count` parts, each of a shape whose rules look at many parts.
fn shapes(count: usize) -> Vec<(&'static str, String)> {
    let patient = r#"{"resource":{"resourceType":"Patient","name":[{"family":"x",
        "period":{"start":"2012"}}],"contact":[{"name":{"text":"y"}}]}}"#;
    let numbered = |part: &dyn Fn(usize) -> String| {
        let parts: Vec<String> = (0..count).map(part).collect();
        parts.join(",")
    };
    let contained =
        numbered(&|n| format!(r#"{{"resourceType":"Basic","id":"c{n}","code":{{"text":"t"}}}}"#));
    let local = numbered(&|n| format!(r##"{{"item":{{"reference":"#c{n}"}}}}"##));
    let items = numbered(&|n| format!(r#"{{"linkId":"q{n}","type":"string","text":"t"}}"#));
    let codes = numbered(&|n| format!(r#"{{"code":"c{n}","display":"d"}}"#));
    vec![
        (
            "bundle",
            format!(
                r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#,
                repeated(patient, count)
            ),
        ),
        (
            "contained",
            format!(
                r#"{{"resourceType":"List","status":"current","mode":"working","contained":[{contained}],"entry":[{local}]}}"#
            ),
        ),
        (
            "questionnaire",
            format!(r#"{{"resourceType":"Questionnaire","status":"draft","item":[{items}]}}"#),
        ),
        (
            "codes",
            format!(
                r#"{{"resourceType":"CodeSystem","status":"draft","content":"complete","concept":[{codes}]}}"#
            ),
        ),
    ]
}

fn steps(text: &str) -> u64 {
    let resource = parse(text.as_bytes(), Limits::default()).unwrap();
    let judged = full(&resource, Surroundings::default());
    let errors = judged
        .issues
        .iter()
        .filter(|i| i.severity == Severity::Error);
    let errors: Vec<_> = errors.filter(|i| i.code != IssueCode::Value).collect();
    assert!(errors.is_empty(), "{errors:?}");
    judged.steps
}

#[test]
fn steps_grow_with_the_size_and_no_faster() {
    for ((name, small), (_, large)) in shapes(100).into_iter().zip(shapes(1_000)) {
        let (one, ten) = (steps(&small), steps(&large));
        assert!(ten < one * 11, "{name}: {one} steps, then {ten}");
        let size = u64::try_from(large.len()).unwrap();
        assert!(ten < size * 6, "{name}: {ten} steps for {size} bytes");
        eprintln!("{name}: {ten} steps for {size} bytes");
    }
}

#[test]
fn a_rule_that_would_take_too_long_is_named_as_not_judged() {
    // sdf-8 looks at the whole snapshot from each of its elements.
    let elements: Vec<String> = (0..4_000)
        .map(|n| format!(r#"{{"id":"X.a{n}","path":"X.a{n}"}}"#))
        .collect();
    let text = format!(
        r#"{{"resourceType":"StructureDefinition","url":"u","name":"X","status":"draft","kind":"logical",
        "abstract":true,"type":"X","snapshot":{{"element":[{}]}}}}"#,
        [r#"{"id":"X","path":"X"}"#.to_owned(), elements.join(",")].join(",")
    );
    let resource = parse(text.as_bytes(), Limits::default()).unwrap();
    let judged = full(&resource, Surroundings::default());
    assert!(judged.steps < 20_000_000, "{} steps", judged.steps);
    let is_named = |i: &Issue| i.code == IssueCode::TooCostly && i.text.contains("sdf-8");
    assert!(judged.issues.iter().any(is_named), "{:?}", judged.issues);
}
