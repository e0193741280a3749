//! What judging costs, counted in steps: the law behind "a large body never holds up others".

#[path = "../../benches/judging/dense.rs"]
mod dense;

use super::rules::STEPS_MAX;
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
    // obs-7 looks for each component among all the codings of the resource.
    let codings: Vec<String> = (0..3_000)
        .map(|n| format!(r#"{{"code":"a{n}"}}"#))
        .collect();
    let component = |n: usize| format!(r#"{{"code":{{"coding":[{{"code":"b{n}"}}]}}}}"#);
    let components: Vec<String> = (0..3_000).map(component).collect();
    let text = format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{}]}},"valueInteger":1,
        "component":[{}]}}"#,
        codings.join(","),
        components.join(",")
    );
    let resource = parse(text.as_bytes(), Limits::default()).unwrap();
    let judged = full(&resource, Surroundings::default());
    assert!(judged.steps <= STEPS_MAX, "{} steps", judged.steps);
    let is_named = |i: &Issue| i.code == IssueCode::TooCostly && i.text.contains("obs-7");
    assert!(judged.issues.iter().any(is_named), "{:?}", judged.issues);
}

/// Ten megabytes are judged whole, whatever their parts.
#[test]
fn no_rule_is_left_out_for_size() {
    for text in dense::dense(100_000) {
        let shown = text.get(..90).unwrap();
        let taken = steps(&text) * 100;
        assert!(taken < STEPS_MAX, "{shown}: {taken} steps in 10 MB");
    }
}
