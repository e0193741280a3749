//! Patches of whole resources: a table of cases for each form.

use super::*;
use crate::model::{format, parse};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","identifier":[{"system":"a","value":"1"},{"system":"b","value":"2"}],"name":[{"use":"official","family":"Juma","given":["Amina","X"],"_given":[null,{"id":"x"}]},{"use":"nickname","given":["Ami"]}],"birthDate":"1991-05","multipleBirthInteger":2}"#;

fn tree(text: &str) -> Json {
    parse(text.replace('\'', "\"").as_bytes(), Limits::default()).unwrap()
}

/// `expected` is a part of the patched text, or of what the refusal says.
#[track_caller]
fn check(patch: Result<Patch, Issue>, resource: &str, expected: &str) {
    let said = match patch.and_then(|patch| patch.apply(&tree(resource))) {
        Ok(patched) => format(&patched),
        Err(issue) => format!("{}: {}", issue.number, issue.text),
    };
    assert!(said.contains(&expected.replace('\'', "\"")), "{said}");
}

fn operation(parts: &str) -> Result<Patch, Issue> {
    Patch::fhirpath(&tree(&format!(
        "{{'resourceType':'Parameters','parameter':[{{'name':'operation','part':[{parts}]}}]}}"
    )))
}

fn part(name: &str, value: &str) -> String {
    format!("{{'name':'{name}',{value}}}")
}

fn verb(verb: &str, path: &str, more: &[String]) -> Result<Patch, Issue> {
    let path = path.replace('\'', "\\u0027");
    let mut parts = vec![
        part("type", &format!("'valueCode':'{verb}'")),
        part("path", &format!("'valueString':'{path}'")),
    ];
    parts.extend_from_slice(more);
    operation(&parts.join(","))
}

fn value(value: &str) -> String {
    part("value", value)
}

fn named(name: &str) -> String {
    part("name", &format!("'valueString':'{name}'"))
}

fn number(name: &str, at: usize) -> String {
    part(name, &format!("'valueInteger':{at}"))
}

#[test]
fn elements_are_added() {
    let check = |path: &str, name: &str, given: &str, expected: &str| {
        check(
            verb("add", path, &[named(name), value(given)]),
            PATIENT,
            expected,
        );
    };
    check("Patient", "active", "'valueBoolean':true", "'active':true");
    check(
        "Patient.name[1]",
        "given",
        "'valueString':'Y'",
        "'given':['Ami','Y']",
    );
    check(
        "Patient.name.where(use = 'official')",
        "given",
        "'valueString':'Z'",
        "'given':['Amina','X','Z'],'_given':[null,{'id':'x'}]",
    );
    check(
        "Patient",
        "contact",
        "'part':[{'name':'name','valueHumanName':{'text':'C'}},{'name':'telecom','valueContactPoint':{'value':'1'}}]",
        "'contact':[{'name':{'text':'C'},'telecom':[{'value':'1'}]}]",
    );
    check(
        "Patient",
        "deceased",
        "'valueDateTime':'2020'",
        "'deceasedDateTime':'2020'",
    );
    check(
        "Patient",
        "birthDate",
        "'valueDate':'2000'",
        "E-PATCH-12: operation 0 (add Patient): birthDate is there already",
    );
    check(
        "Patient",
        "multipleBirth",
        "'valueBoolean':true",
        "multipleBirth is there already",
    );
    check("Patient", "colour", "'valueString':'red'", "has no colour");
    check(
        "Patient.name",
        "text",
        "'valueString':'x'",
        "several elements",
    );
    check(
        "Patient.photo",
        "title",
        "'valueString':'x'",
        "nothing is there",
    );
}

#[test]
fn elements_are_inserted_and_moved() {
    let insert = |path: &str, at: usize, expected: &str| {
        let more = [number("index", at), value("'valueString':'N'")];
        check(verb("insert", path, &more), PATIENT, expected);
    };
    insert(
        "Patient.name[0].given",
        0,
        "'given':['N','Amina','X'],'_given':[null,null,{'id':'x'}]",
    );
    insert(
        "Patient.name[0].given",
        2,
        "'given':['Amina','X','N'],'_given':[null,{'id':'x'}]",
    );
    insert("Patient.name[0].given", 3, "no such place");
    insert("Patient.name[1].prefix", 0, "'prefix':['N']");
    insert("Patient.birthDate", 0, "names no list");
    insert("Patient.name.given", 0, "does not name one list");
    let shift = |path: &str, (from, to): (usize, usize), expected: &str| {
        let more = [number("source", from), number("destination", to)];
        check(verb("move", path, &more), PATIENT, expected);
    };
    shift(
        "Patient.identifier",
        (1, 0),
        "'identifier':[{'system':'b','value':'2'},{'system':'a','value':'1'}]",
    );
    shift(
        "Patient.name.first().given",
        (1, 0),
        "'given':['X','Amina'],'_given':[{'id':'x'},null]",
    );
    shift("Patient.identifier", (2, 0), "no such place");
}

#[test]
fn elements_are_deleted_and_replaced() {
    let delete = |path: &str, expected: &str| check(verb("delete", path, &[]), PATIENT, expected);
    delete(
        "Patient.birthDate",
        "'given':['Ami']}],'multipleBirthInteger':2}",
    );
    delete(
        "Patient.identifier.where(system = 'a')",
        "'identifier':[{'system':'b','value':'2'}]",
    );
    delete(
        "Patient.name[0].given[1]",
        "'given':['Amina'],'_given':[null]",
    );
    delete("Patient.name[1].given[0]", "{'use':'nickname'}]");
    delete(
        "Patient.identifier.where(value.toInteger() > 1 and system in ('b' | 'c'))",
        "'identifier':[{'system':'a','value':'1'}]",
    );
    delete(
        "Patient.name.descendants().where($this = 'Amina')",
        "'_given':[",
    );
    delete("Patient.photo", "'birthDate':'1991-05'");
    delete("Patient.identifier", "several elements");
    delete("Patient", "the resource itself");
    delete("Patient.multipleBirth", "'birthDate':'1991-05'}");
    let replace = |path: &str, given: &str, expected: &str| {
        check(verb("replace", path, &[value(given)]), PATIENT, expected);
    };
    replace(
        "Patient.birthDate",
        "'valueDate':'1990'",
        "'birthDate':'1990'",
    );
    replace(
        "Patient.multipleBirth",
        "'valueBoolean':true",
        "'birthDate':'1991-05','multipleBirthBoolean':true}",
    );
    replace(
        "Patient.multipleBirth",
        "'valueQuantity':{'value':1}",
        "cannot hold this type",
    );
    replace(
        "Patient.name.where(use='nickname').given.last()",
        "'valueString':'Q'",
        "'given':['Q']",
    );
    replace("Patient.gender", "'valueCode':'female'", "nothing is there");
    replace(
        "Patient.id",
        "'valueId':'q'",
        "E-PATCH-1: a patch may not change id",
    );
}

#[test]
fn what_is_no_fhirpath_patch_is_refused() {
    for (parts, expected) in [
        ("", "the part path is missing"),
        (
            "{'name':'path','valueString':'Patient'}",
            "the type is one of",
        ),
        (
            "{'name':'type','valueCode':'add'},{'name':'path','valueString':'Patient'}",
            "the part name is missing",
        ),
        (
            "{'name':'type','valueCode':'insert'},{'name':'path','valueString':'Patient.name'}",
            "index needs a valueInteger",
        ),
        (
            "{'name':'type','valueCode':'delete'},{'name':'path','valueString':'Patient.count()'}",
            "names no place",
        ),
    ] {
        check(operation(parts), PATIENT, expected);
    }
    let other = Patch::fhirpath(&tree("{'resourceType':'Patient'}"));
    check(other, PATIENT, "E-PATCH-9");
}

#[test]
fn json_patches_keep_number_texts_and_leave_nothing_empty() {
    let observation = "{'resourceType':'Observation','id':'o','valueQuantity':{'value':1.00},'note':[{'text':'a'}],'component':[{'valueQuantity':{'value':2.50}}]}";
    let patch = |text: &str| Patch::json(&tree(text));
    check(
        patch(
            "[{'op':'test','path':'/valueQuantity/value','value':1.0},{'op':'remove','path':'/note/0'},{'op':'add','path':'/status','value':'final'}]",
        ),
        observation,
        "{'resourceType':'Observation','id':'o','valueQuantity':{'value':1.00},'component':[{'valueQuantity':{'value':2.50}}],'status':'final'}",
    );
    check(
        patch("[{'op':'replace','path':'/resourceType','value':'Patient'}]"),
        observation,
        "E-PATCH-1: a patch may not change resourceType",
    );
    check(
        patch("[{'op':'remove','path':'/id'}]"),
        observation,
        "may not change id",
    );
    check(
        patch("[{'op':'replace','path':'/subject/reference','value':'x'}]"),
        observation,
        "E-PATCH-6: operation 0 (replace /subject/reference): nothing is there",
    );
    let merge = |text: &str| Patch::merge(tree(text));
    check(
        merge("{'note':null,'valueQuantity':{'unit':'g'}}"),
        observation,
        "'valueQuantity':{'value':1.00,'unit':'g'},'component'",
    );
    check(merge("{'id':'q'}"), observation, "may not change id");
    check(merge("[]"), observation, "E-PATCH-7");
}

#[test]
fn values_are_seen_and_rewritten_under_their_names() {
    let json = "[{'op':'add','path':'/subject/reference','value':'urn:1'},{'op':'add','path':'/performer/-','value':{'reference':'urn:1'}},{'op':'add','path':'/identifier/0/value','value':'urn:1'},{'op':'remove','path':'/status'}]";
    let mut patch = Patch::json(&tree(json)).unwrap();
    let mut seen = Vec::new();
    patch.visit_values(&mut |value| seen.push(format(value).replace('"', "'")));
    assert_eq!(
        seen,
        [
            "{'reference':'urn:1'}",
            "{'performer':{'reference':'urn:1'}}",
            "{'value':'urn:1'}"
        ]
    );
    patch.rewrite_values(&mut |value| {
        if value.get("reference").is_some() {
            *value = tree("{'reference':'Patient/1'}");
        }
    });
    let document =
        "{'resourceType':'Observation','subject':{},'performer':[],'identifier':[{}],'status':'x'}";
    check(Ok(patch), document, "'subject':{'reference':'Patient/1'}");
    let fhir = verb(
        "add",
        "Observation",
        &[
            named("subject"),
            value("'valueReference':{'reference':'urn:1'}"),
        ],
    );
    let mut seen = Vec::new();
    fhir.unwrap()
        .visit_values(&mut |value| seen.push(format(value).replace('"', "'")));
    assert_eq!(seen, ["{'subject':{'reference':'urn:1'}}"]);
}
