//! What judging costs, counted in steps: the law behind "a large body never holds up others".

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

/// A resource filled with parts up to a size.
fn filled(bytes: usize, (head, tail): (&str, &str), part: impl Fn(usize) -> String) -> String {
    let mut text = String::from(head);
    let mut count = 0;
    while text.len() + tail.len() + 300 < bytes {
        if count > 0 {
            text.push(',');
        }
        text.push_str(&part(count));
        count += 1;
    }
    text + tail
}

/// Resources of a size, each of as many parts as fit.
fn dense(bytes: usize) -> Vec<String> {
    let of_type = |rest: &str| format!(r#"{{"resourceType":{rest}"#);
    let fill = |head: &str, tail: &str, part: &dyn Fn(usize) -> String| {
        filled(bytes, (&of_type(head), tail), part)
    };
    vec![
        fill(r#""Questionnaire","status":"draft","item":["#, "]}", &|n| {
            format!(r#"{{"linkId":"{n}","type":"string"}}"#)
        }),
        fill(r#""Questionnaire","status":"draft","item":["#, "]}", &|n| {
            format!(
                r#"{{"linkId":"{n}","type":"group","item":[{{"linkId":"a{n}","type":"choice","answerOption":[{{"valueInteger":1}}]}}]}}"#
            )
        }),
        fill(
            r#""QuestionnaireResponse","status":"completed","item":["#,
            "]}",
            &|n| format!(r#"{{"linkId":"{n}","answer":[{{"valueInteger":1}}]}}"#),
        ),
        fill(r#""Bundle","type":"collection","entry":["#, "]}", &|n| {
            format!(
                r#"{{"fullUrl":"urn:x:{n}","resource":{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"urn:c","code":"8480-6"}}]}},"subject":{{"reference":"Patient/1"}},"valueQuantity":{{"value":1.5,"system":"http://unitsofmeasure.org","code":"mm"}}}}}}"#
            )
        }),
        fill(r#""Bundle","type":"collection","entry":["#, "]}", &|n| {
            format!(
                r#"{{"fullUrl":"urn:x:{n}","resource":{{"resourceType":"Patient","active":true}}}}"#
            )
        }),
        fill(
            r#""Observation","status":"final","code":{"text":"x"},"component":["#,
            "]}",
            &|n| format!(r#"{{"code":{{"text":"c{n}"}},"valueInteger":1}}"#),
        ),
        fill(r#""Parameters","parameter":["#, "]}", &|n| {
            format!(r#"{{"name":"p{n}","part":[{{"name":"a","valueInteger":1}}]}}"#)
        }),
        fill(
            r#""Basic","code":{"text":"x"},"extension":["#,
            "]}",
            &|_| r#"{"url":"u","valueCode":"x"}"#.to_owned(),
        ),
        fill(
            r#""CodeSystem","status":"draft","content":"complete","concept":["#,
            "]}",
            &|n| format!(r#"{{"code":"{n}"}}"#),
        ),
        fill(r#""Patient","name":["#, "]}", &|_| {
            r#"{"text":"x"}"#.to_owned()
        }),
        fill(
            r#""List","status":"current","mode":"working","entry":["#,
            "]}",
            &|n| format!(r#"{{"item":{{"reference":"Patient/{n}"}}}}"#),
        ),
    ]
}

/// Ten megabytes are judged whole, whatever their parts.
#[test]
fn no_rule_is_left_out_for_size() {
    for text in dense(100_000) {
        let shown = text.get(..90).unwrap();
        let taken = steps(&text) * 100;
        assert!(taken < STEPS_MAX, "{shown}: {taken} steps in 10 MB");
    }
}

/// Only an optimised build tells about time.
#[cfg(not(debug_assertions))]
#[test]
fn ten_megabytes_are_judged_in_two_seconds() {
    for text in dense(10_000_000) {
        let resource = parse(text.as_bytes(), Limits::default()).unwrap();
        let start = jiff::Timestamp::now();
        let judged = full(&resource, Surroundings::default());
        let taken = jiff::Timestamp::now().duration_since(start).as_millis();
        let shown = text.get(..60).unwrap();
        eprintln!("{shown}: {taken} ms, {} steps", judged.steps);
        assert!(taken < 2_000, "{shown}: {taken} ms");
        assert!(judged.issues.iter().all(|i| i.code != IssueCode::TooCostly));
    }
}
