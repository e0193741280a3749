//! Profiles as sites write them, and what they find.

use super::super::{Surroundings, judge};
use super::*;
use crate::fhirpath::Outside;
use crate::model::{Limits, parse};
use insta::assert_snapshot;

fn json(text: &str) -> Json {
    parse(text.as_bytes(), Limits::default()).unwrap()
}

struct Codes;

impl Outside for Codes {
    fn member_of(&self, set: &str, _system: Option<&str>, code: &str) -> Option<bool> {
        (set == "urn:colours").then(|| ["red", "green"].contains(&code))
    }

    fn conforms_to(&self, _value: &Json, _profile: &str) -> Option<bool> {
        None
    }
}

/// Errors and warnings of the first profile about a resource, a line each; R4's own left out.
fn check(definitions: &[&str], resource: &str) -> String {
    let all: Vec<Arc<Profile>> = definitions
        .iter()
        .map(|text| Arc::new(Profile::read(&json(text)).unwrap()))
        .collect();
    let wanted = [all[0].url.clone()];
    let mut fetch = |url: &str| all.iter().find(|p| p.url == url).cloned();
    let (mut profiles, missing) = Profiles::gather(&wanted, &mut fetch);
    assert_eq!(missing, Vec::<String>::new());
    let resource = json(resource);
    profiles.gather_extensions(&resource, &mut fetch);
    let surroundings = Surroundings {
        outside: Some(&Codes),
        ..Surroundings::default()
    };
    let judged = judge(&resource, &wanted, (&profiles, surroundings));
    let lines: Vec<String> = judged
        .issues
        .iter()
        .filter(|i| !i.text.contains("dom-6"))
        .map(|i| format!("{} {} | {}", i.severity.as_str(), i.expression, i.text))
        .collect();
    lines.join("\n")
}

const PATIENT: &str = r##"{"resourceType":"StructureDefinition","url":"urn:p","type":"Patient","kind":"resource",
 "baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient","derivation":"constraint",
 "differential":{"element":[
  {"id":"Patient","path":"Patient","constraint":[{"key":"p-1","severity":"error","human":"male or female",
    "expression":"gender = 'male' or gender = 'female'"}]},
  {"id":"Patient.identifier","path":"Patient.identifier","slicing":{"discriminator":[{"type":"value","path":"system"}],"rules":"open"},"min":1},
  {"id":"Patient.identifier:mrn","path":"Patient.identifier","sliceName":"mrn","min":1,"max":"1"},
  {"id":"Patient.identifier:mrn.system","path":"Patient.identifier.system","min":1,"fixedUri":"urn:mrn"},
  {"id":"Patient.identifier:mrn.value","path":"Patient.identifier.value","min":1},
  {"id":"Patient.maritalStatus","path":"Patient.maritalStatus","patternCodeableConcept":{"coding":[{"system":"s","code":"M"}]}},
  {"id":"Patient.language","path":"Patient.language","binding":{"strength":"required","valueSet":"urn:colours"}},
  {"id":"Patient.deceased[x]","path":"Patient.deceased[x]","type":[{"code":"boolean"}]},
  {"id":"Patient.photo","path":"Patient.photo","max":"0"},
  {"id":"Patient.managingOrganization","path":"Patient.managingOrganization","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Organization"]}]}
 ]}}"##;

#[test]
fn a_sound_patient() {
    let patient = r#"{"resourceType":"Patient","gender":"male","language":"red","deceasedBoolean":false,
      "identifier":[{"system":"urn:x"},{"system":"urn:mrn","value":"1"}],
      "maritalStatus":{"text":"t","coding":[{"code":"x"},{"system":"s","code":"M","display":"Married"}]},
      "managingOrganization":{"reference":"Organization/1"}}"#;
    assert_eq!(check(&[PATIENT], patient), "");
}

#[test]
fn a_patient_that_breaks_every_rule() {
    let patient = r#"{"resourceType":"Patient","gender":"other","language":"blue","deceasedDateTime":"2020",
      "identifier":[{"system":"urn:mrn"},{"system":"urn:mrn","value":"2"}],"photo":[{"title":"x"}],
      "maritalStatus":{"coding":[{"system":"s","code":"S"}]},
      "managingOrganization":{"reference":"Patient/1"}}"#;
    assert_snapshot!(check(&[PATIENT], patient), @r"
    error Patient | male or female (p-1)
    error Patient.identifier[0].value | the profile wants at least 1 of it
    error Patient.identifier:mrn | the profile allows at most 1 of it
    error Patient.maritalStatus | the value lacks what the profile's pattern holds
    error Patient.language | no code here is in the value set that the profile requires: urn:colours
    error Patient.deceased | the profile allows boolean here
    error Patient.photo | the profile allows at most 0 of it
    error Patient.managingOrganization | the profile allows no reference to Patient here
    ");
    assert_snapshot!(check(&[PATIENT], r#"{"resourceType":"Patient","gender":"male","identifier":[{"system":"urn:x"}]}"#), @r"error Patient.identifier:mrn | the profile wants at least 1 of it");
    assert_snapshot!(check(&[PATIENT], r#"{"resourceType":"Practitioner","active":true}"#), @r"error Practitioner | urn:p is a profile of Patient");
}

#[test]
fn slices_of_choices_components_and_extensions() {
    let profile = r##"{"resourceType":"StructureDefinition","url":"urn:o","type":"Observation",
     "baseDefinition":"http://hl7.org/fhir/StructureDefinition/Observation",
     "differential":{"element":[
      {"id":"Observation.extension","slicing":{"discriminator":[{"type":"value","path":"url"}],"rules":"closed"}},
      {"id":"Observation.extension:site","min":1,"max":"1","type":[{"code":"Extension","profile":["urn:site"]}]},
      {"id":"Observation.component","slicing":{"discriminator":[{"type":"pattern","path":"code"}],"rules":"open"},"min":1},
      {"id":"Observation.component:sys","min":1,"max":"1"},
      {"id":"Observation.component:sys.code","patternCodeableConcept":{"coding":[{"code":"8480-6"}]}},
      {"id":"Observation.component:sys.value[x]","min":1,"type":[{"code":"Quantity"}]},
      {"id":"Observation.component:sys.valueQuantity.unit","min":1}
     ]}}"##;
    let site = r#"{"resourceType":"StructureDefinition","url":"urn:site","type":"Extension",
     "baseDefinition":"http://hl7.org/fhir/StructureDefinition/Extension",
     "differential":{"element":[{"id":"Extension.url","fixedUri":"urn:site"},
      {"id":"Extension.value[x]","min":1,"type":[{"code":"code"}],"binding":{"strength":"required","valueSet":"urn:colours"}}]}}"#;
    let all = [profile, site];
    let sound = r#"{"resourceType":"Observation","status":"final","code":{"text":"bp"},
      "extension":[{"url":"urn:site","valueCode":"red"}],
      "component":[{"code":{"coding":[{"code":"8480-6"}]},"valueQuantity":{"value":1,"unit":"x"}}]}"#;
    assert_eq!(check(&all, sound), "");
    let broken = r#"{"resourceType":"Observation","status":"final","code":{"text":"bp"},
      "extension":[{"url":"urn:site","valueCode":"blue"},{"url":"urn:other","valueCode":"x"}],
      "component":[{"code":{"coding":[{"code":"8480-6"}]},"valueString":"x"},{"code":{"text":"y"}},
       {"code":{"coding":[{"code":"8480-6"}]},"valueQuantity":{"value":1}}]}"#;
    assert_snapshot!(check(&all, broken), @r"
    error Observation.extension[0].value | no code here is in the value set that the profile requires: urn:colours
    error Observation.extension[1] | the profile allows its own slices only, and this fits none
    error Observation.component[0].value | the profile allows Quantity here
    error Observation.component[2].value.unit | the profile wants at least 1 of it
    error Observation.component:sys | the profile allows at most 1 of it
    ");
}

#[test]
fn a_profile_of_a_profile_and_one_that_cannot_be_used() {
    let base = r#"{"resourceType":"StructureDefinition","url":"urn:base","type":"Patient",
     "differential":{"element":[{"id":"Patient.name","min":1}]}}"#;
    let child = r#"{"resourceType":"StructureDefinition","url":"urn:child","type":"Patient","baseDefinition":"urn:base|1.0",
     "differential":{"element":[{"id":"Patient.birthDate","min":1}]}}"#;
    assert_snapshot!(check(&[child, base], r#"{"resourceType":"Patient","active":true}"#), @r"
    error Patient.birthDate | the profile wants at least 1 of it
    error Patient.name | the profile wants at least 1 of it
    ");
    let broken = r#"{"resourceType":"StructureDefinition","url":"u","type":"Patient","differential":{"element":[
      {"id":"Patient","constraint":[{"key":"x","severity":"error","human":"h","expression":"name.("}]}]}}"#;
    let issue = Profile::read(&json(broken)).unwrap_err();
    assert_snapshot!(format!("{} {}", issue.expression, issue.text), @r"StructureDefinition.differential.element[0] the expression of x cannot be read: at character 5: a name is wanted");
}

/// A profile of List whose entries are sliced, by a discriminator or in an order.
fn entries(slicing: &str, elements: &str) -> String {
    format!(
        r#"{{"resourceType":"StructureDefinition","url":"urn:l","type":"List","differential":{{"element":[
        {{"id":"List.entry","slicing":{{{slicing}}}}},{elements}]}}}}"#
    )
}

fn list(entries: &str) -> String {
    format!(
        r#"{{"resourceType":"List","status":"current","mode":"working","entry":[{entries}],
        "contained":[{{"resourceType":"Patient","id":"m","gender":"male"}},{{"resourceType":"Patient","id":"f","gender":"female"}},
          {{"resourceType":"Basic","id":"b","code":{{"text":"x"}}}}]}}"#
    )
}

#[test]
fn slices_told_apart_by_type_profile_and_existence() {
    let by_type = entries(
        r#""discriminator":[{"type":"type","path":"item.resolve()"}],"rules":"closed""#,
        r#"{"id":"List.entry:who","max":"1"},
        {"id":"List.entry:who.item","type":[{"code":"Reference","targetProfile":["http://hl7.org/fhir/StructureDefinition/Patient"]}]}"#,
    );
    let people = list(
        r##"{"item":{"reference":"#m"}},{"item":{"reference":"#f"}},{"item":{"reference":"#b"}}"##,
    );
    assert_snapshot!(check(&[&by_type], &people), @r"
    error List.entry[2] | the profile allows its own slices only, and this fits none
    error List.entry:who | the profile allows at most 1 of it
    ");
    let by_profile = entries(
        r#""discriminator":[{"type":"profile","path":"item.resolve()"}],"rules":"closed""#,
        r#"{"id":"List.entry:who","min":1},
        {"id":"List.entry:who.item","type":[{"code":"Reference","targetProfile":["urn:woman"]}]}"#,
    );
    let woman = r#"{"resourceType":"StructureDefinition","url":"urn:woman","type":"Patient",
      "differential":{"element":[{"id":"Patient.gender","min":1,"fixedCode":"female"}]}}"#;
    assert_snapshot!(check(&[&by_profile, woman], &people), @r"
    error List.entry[0] | the profile allows its own slices only, and this fits none
    error List.entry[2] | the profile allows its own slices only, and this fits none
    ");
    let by_existence = entries(
        r#""discriminator":[{"type":"exists","path":"flag"}],"rules":"open""#,
        r#"{"id":"List.entry:marked","max":"1"},{"id":"List.entry:marked.flag","min":1},
        {"id":"List.entry:plain","max":"0"},{"id":"List.entry:plain.flag","max":"0"}"#,
    );
    let marked = list(
        r##"{"item":{"reference":"#m"},"flag":{"text":"x"}},{"item":{"reference":"#f"},"flag":{"text":"x"}},{"item":{"reference":"#b"}}"##,
    );
    assert_snapshot!(check(&[&by_existence], &marked), @r"
    error List.entry:marked | the profile allows at most 1 of it
    error List.entry:plain | the profile allows at most 0 of it
    ");
}

#[test]
fn slices_in_an_order_and_the_rest_at_the_end() {
    let elements = r#"{"id":"List.entry:a"},{"id":"List.entry:a.flag","patternCodeableConcept":{"text":"a"}},
        {"id":"List.entry:b"},{"id":"List.entry:b.flag","patternCodeableConcept":{"text":"b"}}"#;
    let by = r#""discriminator":[{"type":"pattern","path":"flag"}]"#;
    let flags = |texts: &[&str]| {
        let entry = |text: &&str| {
            format!(r##"{{"item":{{"reference":"#m"}},"flag":{{"text":"{text}"}}}}"##)
        };
        let all: Vec<String> = texts.iter().map(entry).collect();
        let text = list(&all.join(","));
        text.replace(
            r##"{"resourceType":"Patient","id":"f","gender":"female"},"##,
            "",
        )
        .replace(
            r##",
          {"resourceType":"Basic","id":"b","code":{"text":"x"}}"##,
            "",
        )
    };
    let ordered = entries(&format!(r#"{by},"ordered":true,"rules":"open""#), elements);
    let found = |profile: &str, texts: &[&str]| {
        let all = check(&[profile], &flags(texts));
        let mine = all.lines().filter(|line| line.contains("the profile"));
        mine.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(found(&ordered, &["a", "x", "b", "y"]), "");
    assert_snapshot!(found(&ordered, &["b", "a"]), @"error List.entry[1] | the profile has its slices in order, and this comes too late");
    let at_end = entries(&format!(r#"{by},"rules":"openAtEnd""#), elements);
    assert_eq!(found(&at_end, &["b", "a", "x"]), "");
    assert_snapshot!(found(&at_end, &["a", "x", "b"]), @"error List.entry[2] | the profile has what is in no slice at the end, and this comes after it");
}

#[test]
fn an_extensions_value_tells_slices_apart() {
    let profile = r#"{"resourceType":"StructureDefinition","url":"urn:t","type":"Patient","differential":{"element":[
      {"id":"Patient.telecom","slicing":{"discriminator":[{"type":"value","path":"extension('http://a.b/kind.x').value"}],"rules":"open"}},
      {"id":"Patient.telecom:home","max":"1"},
      {"id":"Patient.telecom:home.extension:kind","type":[{"code":"Extension","profile":["http://a.b/kind.x"]}]},
      {"id":"Patient.telecom:home.extension:kind.value[x]","fixedCode":"home"}]}}"#;
    let telecom = |kind: &str| {
        format!(
            r#"{{"value":"1","system":"phone","extension":[{{"url":"http://a.b/kind.x","valueCode":"{kind}"}}]}}"#
        )
    };
    let patient = |kinds: [&str; 2]| {
        let all = kinds.map(telecom).join(",");
        format!(r#"{{"resourceType":"Patient","telecom":[{all}]}}"#)
    };
    assert_eq!(check(&[profile], &patient(["home", "work"])), "");
    assert_snapshot!(check(&[profile], &patient(["home", "home"])), @"error Patient.telecom:home | the profile allows at most 1 of it");
}

#[test]
fn a_content_reference_has_the_rules_of_what_it_names() {
    let profile = r##"{"resourceType":"StructureDefinition","url":"urn:q","type":"Questionnaire","snapshot":{"element":[
      {"id":"Questionnaire","path":"Questionnaire"},
      {"id":"Questionnaire.item","path":"Questionnaire.item"},
      {"id":"Questionnaire.item.prefix","path":"Questionnaire.item.prefix","min":1,"max":"1"},
      {"id":"Questionnaire.item.item","path":"Questionnaire.item.item","contentReference":"#Questionnaire.item"}]}}"##;
    let deep = r#"{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","prefix":"1","type":"group",
      "item":[{"linkId":"2","prefix":"2","type":"group","item":[{"linkId":"3","type":"string","text":"t"}]}]}]}"#;
    assert_snapshot!(check(&[profile], deep), @"error Questionnaire.item[0].item[0].item[0].prefix | the profile wants at least 1 of it");
}

#[test]
fn extensions_are_judged_by_their_definitions() {
    let any = r#"{"resourceType":"StructureDefinition","url":"urn:any","type":"Patient","differential":{"element":[]}}"#;
    let colour = r#"{"resourceType":"StructureDefinition","url":"urn:colour","type":"Extension","differential":{"element":[
      {"id":"Extension.url","fixedUri":"urn:colour"},
      {"id":"Extension.value[x]","min":1,"type":[{"code":"code"}],"binding":{"strength":"extensible","valueSet":"urn:colours"}}]}}"#;
    let patient = r#"{"resourceType":"Patient","active":true,
      "extension":[{"url":"urn:colour","valueCode":"red"},{"url":"urn:colour","valueString":"x"},{"url":"urn:nobody","valueString":"x"}],
      "_birthDate":{"extension":[{"url":"urn:colour","valueCode":"blue"}]},
      "modifierExtension":[{"url":"urn:colour","valueCode":"green"},{"url":"urn:unknown","valueBoolean":true}]}"#;
    assert_snapshot!(check(&[any, colour], patient), @r"
    error Patient.extension[1].value | the profile allows code here
    error Patient.modifierExtension[1] | this extension may change the meaning of the element, and is not known here: PUT its StructureDefinition
    warning Patient.extension[1].value | no code here is in the value set that the profile prefers: urn:colours
    warning Patient.birthDate.extension[0].value | no code here is in the value set that the profile prefers: urn:colours
    ");
}
