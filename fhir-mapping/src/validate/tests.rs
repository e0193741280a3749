//! Cases of structure validation, and every official R4 example.

use super::*;
use crate::model::{Limits, Severity, parse};
use insta::assert_snapshot;

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

#[test]
fn sound_resources() {
    for text in [
        r#"{"resourceType":"Patient"}"#,
        r#"{"resourceType":"Patient","id":"a","gender":"female","birthDate":"1990-02-28"}"#,
        r#"{"resourceType":"Patient","deceasedBoolean":false,"_birthDate":{"id":"b"}}"#,
        r#"{"resourceType":"Patient","name":[{"given":["a",null],"_given":[null,{"id":"b"}]}]}"#,
        r#"{"resourceType":"Patient","name":[{"_given":[{"id":"b"}]}]}"#,
        r#"{"resourceType":"Basic","code":{"text":"x"},
            "extension":[{"url":"u","valueDosage":{"text":"y"}}]}"#,
        r#"{"resourceType":"Observation","_status":{"extension":[{"url":"u","valueCode":"x"}]},
            "code":{"text":"x"},"valueQuantity":{"value":1e400}}"#,
        r#"{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group",
            "item":[{"linkId":"2","type":"group","item":[{"linkId":"3","type":"string"}]}]}]}"#,
        r#"{"resourceType":"Parameters","parameter":[{"name":"a","resource":
            {"resourceType":"Patient"}},{"name":"b","part":[{"name":"c","valueInteger":1}]}]}"#,
    ] {
        assert_eq!(check(text), "", "{text}");
    }
}

#[test]
fn not_a_resource() {
    assert_snapshot!(check("[]"), @"Resource | E-VAL-1 structure | a resource is a JSON object");
    assert_snapshot!(check("{}"), @"Resource | E-VAL-2 structure | resourceType is missing or is no string");
    assert_snapshot!(check(r#"{"resourceType":1}"#), @"Resource | E-VAL-2 structure | resourceType is missing or is no string");
    assert_snapshot!(check(r#"{"resourceType":"Patience"}"#), @"Resource | E-VAL-3 structure | resourceType names no resource type of R4");
    assert_snapshot!(check(r#"{"resourceType":"DomainResource"}"#), @"Resource | E-VAL-3 structure | resourceType names no resource type of R4");
}

#[test]
fn elements() {
    let patient = |members: &str| check(&format!(r#"{{"resourceType":"Patient",{members}}}"#));
    assert_snapshot!(patient(r#""name":[{"famly":"x"},{"_family":{"idd":"x"}}],"_name":[{}]"#), @"
    Patient.name[0].famly | E-VAL-5 structure | R4 has no such element here
    Patient.name[1].family.idd | E-VAL-5 structure | R4 has no such element here
    Patient._name | E-VAL-5 structure | R4 has no such element here
    ");
    assert_snapshot!(patient(r#""name":{"family":"x"},"gender":["male"],"active":"true""#), @"
    Patient.name | E-VAL-10 structure | this element repeats: use a JSON array
    Patient.gender | E-VAL-11 structure | this element does not repeat: use no JSON array
    Patient.active | E-VAL-13 structure | true or false is wanted here
    ");
    assert_snapshot!(patient(r#""name":[],"maritalStatus":{},"contact":[{}],"birthDate":null"#), @"
    Patient.name | E-VAL-8 structure | an array may not be empty: leave it out
    Patient.maritalStatus | E-VAL-9 structure | an object may not be empty: leave it out
    Patient.contact[0] | E-VAL-9 structure | an object may not be empty: leave it out
    Patient.birthDate | E-VAL-13 structure | a string is wanted here
    ");
    assert_snapshot!(patient(r#""gender":"femal","birthDate":"2023-02-29","id":"a_b","language":"""#), @"
    Patient.gender | E-VAL-15 code-invalid | the code is not in the list that R4 requires here
    Patient.birthDate | E-VAL-14 value | this is not a date: YYYY, YYYY-MM or YYYY-MM-DD, in the calendar
    Patient.id | E-VAL-14 value | this is not an id: 1 to 64 letters, digits, '-' and '.'
    Patient.language | E-VAL-14 value | this is not a code: not empty, single spaces inside only
    ");
    assert_snapshot!(patient(r#""multipleBirthInteger":1.5,"name":[{"family":1,"given":[[]]}]"#), @"
    Patient.multipleBirth | E-VAL-14 value | this is not a whole number of 32 bits
    Patient.name[0].family | E-VAL-13 structure | a string is wanted here
    Patient.name[0].given[0] | E-VAL-13 structure | a string is wanted here
    ");
    assert_snapshot!(patient(r#""deceasedBoolean":true,"_deceasedDateTime":{"id":"a"}"#), @"Patient.deceased | E-VAL-7 structure | only one type may be given, here are deceasedBoolean and deceasedDateTime");
    assert_snapshot!(patient(r#""extension":[{"valueString":"a","valueCode":"b"}],"link":[{"type":"x"}]"#), @"
    Patient.extension[0].value | E-VAL-7 structure | only one type may be given, here are valueString and valueCode
    Patient.extension[0].url | E-VAL-6 required | this element is required
    Patient.link[0].type | E-VAL-15 code-invalid | the code is not in the list that R4 requires here
    Patient.link[0].other | E-VAL-6 required | this element is required
    ");
    assert_snapshot!(patient(r#""text":{"status":"generated","div":"<div><script/></div>"}"#), @"Patient.text.div | E-VAL-16 value | the narrative has an element that narratives may not have");
}

#[test]
fn companions() {
    let name = |members: &str| {
        check(&format!(
            r#"{{"resourceType":"Patient","name":[{{{members}}}]}}"#
        ))
    };
    assert_snapshot!(name(r#""given":["a",null]"#), @"Patient.name[0].given[1] | E-VAL-12 structure | null stands only for a primitive item whose '_' companion has an object there");
    assert_snapshot!(name(r#""given":["a",null],"_given":[{"id":"x"},null]"#), @"Patient.name[0].given[1] | E-VAL-12 structure | null stands only for a primitive item whose '_' companion has an object there");
    assert_snapshot!(name(r#""given":["a","b"],"_given":[{"id":"x"}]"#), @"Patient.name[0].given | E-VAL-17 structure | the '_' companion has another number of items than the element");
    assert_snapshot!(name(r#""_given":[null,{"id":"x"}]"#), @"Patient.name[0].given[0] | E-VAL-19 structure | a '_' companion holds an id or extensions");
    assert_snapshot!(name(r#""_given":[null]"#), @"Patient.name[0].given | E-VAL-18 structure | the '_' companion is an object, or for an element that repeats an array of objects and nulls");
    assert_snapshot!(name(r#""_given":{"id":"x"},"_family":[{"id":"x"}],"_use":{}"#), @"
    Patient.name[0].given | E-VAL-18 structure | the '_' companion is an object, or for an element that repeats an array of objects and nulls
    Patient.name[0].family | E-VAL-18 structure | the '_' companion is an object, or for an element that repeats an array of objects and nulls
    Patient.name[0].use | E-VAL-19 structure | a '_' companion holds an id or extensions
    ");
    assert_snapshot!(name(r#""_family":{"extension":[{"url":"u","valueUri":"a b"}]}"#), @"Patient.name[0].family.extension[0].value | E-VAL-14 value | this is not a URI: not empty, no white space");
}

#[test]
fn resources_inside() {
    assert_snapshot!(check(r#"{"resourceType":"Bundle","type":"transaction","entry":[
        {"resource":{"resourceType":"Patient","contained":[{"resourceType":"Practitioner",
        "contained":[{"resourceType":"Basic"}],"nam":1}]}},
        {"resource":{"resourceType":"Observation","code":{}}},
        {"resource":{"id":"x"}},{"resource":"x"},{"request":{"method":"PUSH"}}]}"#), @"
    Bundle.entry[0].resource.contained[0].contained | E-VAL-4 invariant | a contained resource may not contain resources (dom-2)
    Bundle.entry[0].resource.contained[0].contained[0].code | E-VAL-6 required | this element is required
    Bundle.entry[0].resource.contained[0].nam | E-VAL-5 structure | R4 has no such element here
    Bundle.entry[1].resource.code | E-VAL-9 structure | an object may not be empty: leave it out
    Bundle.entry[1].resource.status | E-VAL-6 required | this element is required
    Bundle.entry[2].resource | E-VAL-2 structure | resourceType is missing or is no string
    Bundle.entry[3].resource | E-VAL-1 structure | a resource is a JSON object
    Bundle.entry[4].request.method | E-VAL-15 code-invalid | the code is not in the list that R4 requires here
    Bundle.entry[4].request.url | E-VAL-6 required | this element is required
    ");
}

#[test]
fn findings_are_capped() {
    let members: Vec<String> = (0..500).map(|n| format!(r#""x{n}":1"#)).collect();
    let text = check(&format!(
        r#"{{"resourceType":"Patient",{}}}"#,
        members.join(",")
    ));
    assert_eq!(text.lines().count(), ISSUES_MAX);
    let names = vec!["null"; 500].join(",");
    let text = check(&format!(r#"{{"resourceType":"Patient","name":[{names}]}}"#));
    assert_eq!(text.lines().count(), ISSUES_MAX);
    let long = "y".repeat(5_000);
    let text = check(&format!(r#"{{"resourceType":"Patient","{long}":1}}"#));
    assert!(text.len() < 200, "{text}");
}

#[test]
fn types_are_known() {
    assert!(is_resource_type("Observation") && !is_resource_type("observation"));
    assert!(!is_resource_type("Resource") && !is_resource_type("Bundle.entry"));
    assert!(resource_types().contains(&"VisionPrescription"));
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

/// Official examples that break R4's own rules: end of the file's name, the rule, reason.
const RULE_BREAKERS: &[(&str, &str, &str)] = &[(
    "-questionnaire.json",
    "que-2",
    "generated from profiles; a slice's items repeat the link ids of its element",
)];

#[test]
fn rules() {
    let cases = [
        (
            r#"{"resourceType":"Patient","contact":[{"gender":"male"}]}"#,
            "pat-1",
        ),
        (
            r##"{"resourceType":"Patient","managingOrganization":{"reference":"#x"}}"##,
            "ref-1",
        ),
        (
            r#"{"resourceType":"Patient","contained":[{"resourceType":"Basic","id":"x","code":{"text":"c"}}]}"#,
            "dom-3",
        ),
        (
            r#"{"resourceType":"Patient","name":[{"period":{"start":"2013","end":"2012-05"}}]}"#,
            "per-1",
        ),
        (
            r#"{"resourceType":"Patient","name":[{"period":{"start":"2026-01-02","end":"2026-01-01"}}]}"#,
            "per-1",
        ),
        (
            r#"{"resourceType":"Patient","name":[{"period":{"id":"x"}}]}"#,
            "ele-1",
        ),
        (
            r#"{"resourceType":"Patient","extension":[{"url":"u"}]}"#,
            "ext-1",
        ),
        (
            r#"{"resourceType":"Patient","_birthDate":{"extension":[{"url":"u"}]}}"#,
            "ext-1",
        ),
        (r#"{"resourceType":"Organization","active":true}"#, "org-1"),
        (
            r#"{"resourceType":"Organization","name":"o","address":[{"use":"home","text":"x"}]}"#,
            "org-2",
        ),
        (
            r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","contact":[{"gender":"male"}]}}]}"#,
            "pat-1",
        ),
        (
            r#"{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:a","search":{"mode":"match"}}]}"#,
            "bdl-2",
        ),
        (
            r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueInteger":1,"dataAbsentReason":{"text":"y"}}"#,
            "obs-6",
        ),
        (
            r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1,"code":"mg"}}"#,
            "qty-3",
        ),
    ];
    for (text, key) in cases {
        let resource = parse(text.as_bytes(), Limits::default()).unwrap();
        let judged = full(&resource, Surroundings::default());
        let errors = judged
            .issues
            .iter()
            .filter(|i| i.severity == Severity::Error);
        let keys: Vec<_> = errors.collect();
        assert!(
            keys.iter().any(|i| i.text.contains(key)),
            "{text}: {keys:?}"
        );
    }
}

#[test]
fn official_examples_keep_the_rules() {
    let mut wrong = Vec::new();
    let mut steps = (0, String::new());
    for_each_example(|name, resource| {
        let judged = full(&resource, Surroundings::default());
        steps = steps.clone().max((judged.steps, name.to_owned()));
        let rules = judged.issues.iter().filter(|i| i.number != "E-VAL-6");
        for issue in rules.filter(|i| i.severity >= Severity::Error || i.number == "E-VAL-21") {
            let is_excused = RULE_BREAKERS
                .iter()
                .any(|(file, key, _)| name.ends_with(file) && issue.text.contains(key));
            if !is_excused {
                wrong.push(format!("{name}: {} {}", issue.expression, issue.text));
            }
        }
    });
    assert!(wrong.is_empty(), "{}\n{steps:?}", wrong.join("\n"));
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
