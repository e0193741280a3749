//! HL7's FHIRPath suite for R4, where it is among the shared data, and cases of our own in its manner.
//! <https://github.com/FHIR/fhir-test-cases/blob/master/r4/fhirpath/tests-fhir-r4.xml>

use super::*;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::BTreeMap;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");

#[test]
fn the_standards_cases() {
    let cases = include_str!("standard.txt").lines();
    let mut wrong = Vec::new();
    for line in cases.filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (subject, rest) = line.split_once(" | ").unwrap();
        let (expression, expected) = rest.rsplit_once(" |").unwrap();
        let resource = match subject {
            "patient" => PATIENT,
            _ => OBSERVATION,
        };
        let got = on(resource, expression);
        if got != expected.trim_start() {
            wrong.push(format!("{line}\n  gives {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tests of the suite that this engine answers otherwise, with the reason.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "testPrecedence3",
        "N1's grammar binds `is` tighter than `>`; the suite has it the other way",
    ),
    (
        "testPrecedence4",
        "N1's grammar binds `is` tighter than `|`; the suite has it the other way",
    ),
    (
        "HighBoundaryDateTimeMillisecond1",
        "08 is an hour of sixty minutes; the suite reads it as 08:00",
    ),
    (
        "HighBoundaryDateTimeMillisecond3",
        "08 is an hour of sixty minutes; the suite reads it as 08:00",
    ),
    (
        "testPolymorphicsB",
        "paths are not checked against the definitions before evaluation: no such element is empty",
    ),
];

#[test]
fn the_official_suite() {
    let path = format!("{DATA}/fhir-test-cases/r4/fhirpath/tests-fhir-r4.xml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no {path}");
        return;
    };
    let tally = run(&text);
    for (group, counts) in &tally.groups {
        eprintln!("{group}: {} of {} pass", counts.0, counts.1);
    }
    eprintln!("not run, without their resource: {}", tally.without);
    let known = |line: &&String| !OTHERWISE.iter().any(|(name, _)| line.starts_with(name));
    let wrong: Vec<&String> = tally.wrong.iter().filter(known).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One test: what it asks, and what it wants.
#[derive(Default)]
struct Test {
    name: String,
    input: String,
    is_strict: bool,
    is_predicate: bool,
    is_invalid: bool,
    expression: String,
    outputs: Vec<String>,
}

#[derive(Default)]
struct Tally {
    /// Passed and run, by group.
    groups: BTreeMap<String, (usize, usize)>,
    without: usize,
    wrong: Vec<String>,
}

fn run(xml: &str) -> Tally {
    let mut tally = Tally::default();
    for (group, test) in tests(xml) {
        let Some(resource) = resource(&test.input) else {
            tally.without += 1;
            continue;
        };
        let got = on(&resource, &test.expression);
        let is_right = match (test.is_invalid, test.is_predicate) {
            (true, _) => got == "stop" || got == "misread" || test.is_strict,
            (false, true) => got.is_empty() != (test.outputs == ["true"]),
            (false, false) => got == test.outputs.join(" "),
        };
        let counts = tally.groups.entry(group).or_default();
        counts.0 += usize::from(is_right);
        counts.1 += 1;
        if !is_right {
            let wanted = test.outputs.join(" ");
            let (name, text) = (&test.name, &test.expression);
            tally
                .wrong
                .push(format!("{name}: {text} gives {got}, wanted {wanted}"));
        }
    }
    tally
}

/// The suite's inputs are official examples, in XML there.
fn resource(input: &str) -> Option<String> {
    if input.is_empty() {
        return Some(PATIENT.to_owned());
    }
    let stem = input.rsplit_once('.')?.0;
    std::fs::read_to_string(format!("{DATA}/r4-examples/{stem}.json")).ok()
}

fn tests(xml: &str) -> Vec<(String, Test)> {
    let mut reader = Reader::from_str(xml);
    let (mut found, mut group, mut test) = (Vec::new(), String::new(), Test::default());
    let mut text = String::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => {
                text.clear();
                match tag.name().as_ref() {
                    "group" => group = attribute(&tag, "name"),
                    "test" => test = begun(&tag),
                    "expression" => {
                        test.is_invalid = !attribute(&tag, "invalid").is_empty();
                        test.is_strict |= attribute(&tag, "mode") == "strict";
                    }
                    _ => {}
                }
            }
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(name) => text.push(match &*name {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                other => panic!("&{other};"),
            }),
            Event::End(tag) => match tag.name().as_ref() {
                "expression" => test.expression = text.clone(),
                // Times are shown without the T of their literal.
                "output" => test.outputs.push(text.replace("@T", "@")),
                "test" => found.push((group.clone(), std::mem::take(&mut test))),
                _ => {}
            },
            Event::Eof => return found,
            _ => {}
        }
    }
}

fn begun(tag: &BytesStart<'_>) -> Test {
    Test {
        name: attribute(tag, "name"),
        input: attribute(tag, "inputfile"),
        is_strict: attribute(tag, "mode") == "strict",
        is_predicate: attribute(tag, "predicate") == "true",
        ..Test::default()
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> String {
    let found = tag.try_get_attribute(name).unwrap();
    found.map_or(String::new(), |found| found.value.into_owned())
}

/// So that the reading of the suite is tested where the suite is not.
#[test]
fn the_suites_form_is_read() {
    let tally = run(r#"<tests><group name="g">
        <test name="a"><expression>1 &lt; 2 and 'a' &amp; 'b' = 'ab'</expression><output type="boolean">true</output></test>
        <test name="b"><expression>name.given.first() | 'x'</expression><output>Peter</output><output>x</output></test>
        <test name="c"><expression invalid="syntax">1 +</expression></test>
        <test name="d" mode="strict"><expression invalid="semantic">name.nothing</expression></test>
        <test name="e" predicate="true"><expression>birthDate</expression><output type="boolean">true</output></test>
        <test name="f"><expression>@T10:30</expression><output>@T10:30</output></test>
        <test name="g"><expression>1</expression><output>2</output></test>
        <test name="h" inputfile="nobody.xml"><expression>1</expression><output>2</output></test>
        </group></tests>"#);
    assert_eq!(tally.groups.get("g"), Some(&(6, 7)));
    assert_eq!(tally.wrong, ["g: 1 gives 1, wanted 2"]);
    assert_eq!(tally.without, 1);
}
