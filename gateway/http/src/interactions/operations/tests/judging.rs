//! `$validate`: what is found, by which profile, and that nothing is written.

use super::*;
use insta::assert_snapshot;

const PROFILE: &str = r#"{"resourceType":"StructureDefinition","id":"p","url":"urn:site:patient","name":"P","status":"active",
  "kind":"resource","abstract":false,"type":"Patient","derivation":"constraint",
  "baseDefinition":"http://hl7.org/fhir/StructureDefinition/Patient",
  "differential":{"element":[{"id":"Patient","path":"Patient"},
   {"id":"Patient.name","path":"Patient.name","min":1},
   {"id":"Patient.language","path":"Patient.language","binding":{"strength":"required","valueSet":"urn:site:languages"}}]}}"#;

const LANGUAGES: &str = r#"{"resourceType":"ValueSet","id":"l","url":"urn:site:languages","status":"active",
  "compose":{"include":[{"system":"urn:ietf:bcp:47","concept":[{"code":"sw"},{"code":"fr"}]}]}}"#;

/// Severity, place and text of each finding but the one on narratives.
async fn check(site: &Site, request: &str, body: &str) -> String {
    let outcome = site.ask(request, &[], body).await.ok(200);
    assert_eq!(outcome.resource_type(), Some("OperationOutcome"));
    let lines: Vec<String> = outcome
        .items("issue")
        .iter()
        .filter(|issue| !issue.str_at(&["diagnostics"]).unwrap().contains("dom-6"))
        .map(|issue| {
            let text = |key| issue.str_at(&[key]).unwrap_or("-");
            format!(
                "{} {} {} | {}",
                text("severity"),
                text("code"),
                text("expression"),
                text("diagnostics")
            )
        })
        .collect();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_judged_and_not_written() {
    let site = Site::new();
    let body = r#"{"resourceType":"Patient","contact":[{"gender":"x"}],"nam":1,
      "managingOrganization":{"reference":"Patient/1"}}"#;
    assert_snapshot!(check(&site, "POST Patient/$validate", body).await, @"
    error code-invalid Patient.contact[0].gender | E-VAL-15: the code is not in the list that R4 requires here
    error structure Patient.nam | E-VAL-5: R4 has no such element here
    error invariant Patient.contact[0] | E-VAL-20: SHALL at least contain a contact's details or a reference to an organization (pat-1)
    ");
    let wrapped = parameters(&[&format!(r#"{{"name":"resource","resource":{body}}}"#)]);
    let same = check(&site, "POST Patient/$validate", body).await;
    assert_eq!(check(&site, "POST Patient/$validate", &wrapped).await, same);
    let (ids, _) = site.page("GET Patient").await;
    assert_eq!(ids, Vec::<String>::new());
    let sound = r#"{"resourceType":"Patient","text":{"status":"empty","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}}"#;
    assert_snapshot!(check(&site, "POST Patient/$validate", sound).await, @"information informational - | E-VALID-5: nothing is wrong with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_those_asked_for_and_those_claimed() {
    let site = Site::new();
    let asked = "POST Patient/$validate?profile=urn:site:patient";
    let body = r#"{"resourceType":"Patient","language":"en","active":true}"#;
    assert_snapshot!(check(&site, asked, body).await, @"error not-found - | E-VALID-1: the profile urn:site:patient is not loaded here, so it is not judged: PUT its StructureDefinition");
    site.put(PROFILE).await;
    assert_snapshot!(check(&site, asked, body).await, @"
    error required Patient.name | E-VAL-32: the profile wants at least 1 of it
    warning code-invalid Patient.language | E-VAL-39: the value set is not known here, so the code is not judged: urn:site:languages
    ");
    site.put(LANGUAGES).await;
    let found = check(&site, asked, body).await;
    assert_snapshot!(found, @"
    error required Patient.name | E-VAL-32: the profile wants at least 1 of it
    error code-invalid Patient.language | E-VAL-39: no code here is in the value set that the profile requires: urn:site:languages
    ");
    let claiming = body.replace(
        r#""active""#,
        r#""meta":{"profile":["urn:site:patient"]},"active""#,
    );
    assert_eq!(
        check(&site, "POST Patient/$validate", &claiming).await,
        found
    );
    site.put(&PROFILE.replace(r#","min":1"#, "")).await;
    assert!(
        !check(&site, asked, body).await.contains("E-VAL-32"),
        "the newest version counts"
    );
    let sound = r#"{"resourceType":"Patient","language":"sw","active":true}"#;
    assert!(
        check(&site, asked, sound).await.is_empty()
            || !check(&site, asked, sound).await.contains("error")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_and_levels() {
    let site = Site::new();
    site.put(r#"{"resourceType":"Patient","id":"a","active":true}"#)
        .await;
    let stored = check(&site, "GET Patient/a/$validate", "").await;
    assert!(!stored.contains("error"), "{stored}");
    let other = r#"{"resourceType":"Patient","id":"b","active":true}"#;
    assert_snapshot!(check(&site, "POST Patient/a/$validate?mode=update", other).await, @"error value Patient.id | E-VALID-3: an update needs the id that the URL has");
    assert_snapshot!(check(&site, "POST Practitioner/$validate", other).await, @"error value resourceType | E-VALID-2: the resource is not of the type in the URL");
    let deletion = check(&site, "GET Patient/a/$validate?mode=delete", "").await;
    assert!(!deletion.contains("error"), "{deletion}");
    let absent = site
        .ask("GET Patient/none/$validate?mode=delete", &[], "")
        .await;
    assert_eq!(absent.status, 404, "{}", absent.text);
    let unknown = site.ask("GET Patient/a/$validate?mode=x", &[], "").await;
    unknown.refused(
        400,
        "E-OPERATION-1",
        "Parameters.parameter.where(name='mode')",
    );
    let nothing = site.ask("POST Patient/$validate", &[], "").await;
    nothing.refused(
        400,
        "E-OPERATION-2",
        "Parameters.parameter.where(name='resource')",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_look_at_what_is_stored_and_extensions_at_their_definitions() {
    let site = Site::new();
    site.put(
        r#"{"resourceType":"StructureDefinition","id":"w","url":"urn:site:mothers","name":"W","status":"active",
      "kind":"resource","abstract":false,"type":"Patient","derivation":"constraint",
      "differential":{"element":[{"id":"Patient","path":"Patient","constraint":[{"key":"w-1","severity":"error",
        "human":"others linked are women","expression":"link.other.all(resolve().gender = 'female')"}]}]}}"#,
    )
    .await;
    for (id, gender) in [("f", "female"), ("m", "male")] {
        site.put(&format!(
            r#"{{"resourceType":"Patient","id":"{id}","gender":"{gender}"}}"#
        ))
        .await;
    }
    let linked = |id: &str| {
        format!(
            r#"{{"resourceType":"Patient","link":[{{"type":"seealso","other":{{"reference":"Patient/{id}"}}}}]}}"#
        )
    };
    let asked = "POST Patient/$validate?profile=urn:site:mothers";
    assert_snapshot!(check(&site, asked, &linked("f")).await, @"");
    assert_snapshot!(check(&site, asked, &linked("m")).await, @"error invariant Patient | E-VAL-20: others linked are women (w-1)");
    let body = r#"{"resourceType":"Patient","modifierExtension":[{"url":"urn:site:foetus","valueBoolean":true}]}"#;
    assert_snapshot!(check(&site, "POST Patient/$validate", body).await, @"error extension Patient.modifierExtension[0] | E-VAL-41: this extension may change the meaning of the element, and is not known here: PUT its StructureDefinition");
    site.put(
        r#"{"resourceType":"StructureDefinition","id":"x","url":"urn:site:foetus","name":"X","status":"active",
      "kind":"complex-type","abstract":false,"type":"Extension","derivation":"constraint",
      "differential":{"element":[{"id":"Extension","path":"Extension"},{"id":"Extension.value[x]","path":"Extension.value[x]","type":[{"code":"code"}]}]}}"#,
    )
    .await;
    assert_snapshot!(check(&site, "POST Patient/$validate", body).await, @"error structure Patient.modifierExtension[0].value | E-VAL-37: the profile allows code here");
}

/// A profile of Patient with one rule, and what else its elements are to be.
fn ruled(url: &str, rule: &str, elements: &str) -> String {
    format!(
        r#"{{"resourceType":"StructureDefinition","id":"{}","url":"{url}","name":"R","status":"active",
      "kind":"resource","abstract":false,"type":"Patient","derivation":"constraint",
      "differential":{{"element":[{{"id":"Patient","path":"Patient","constraint":[{{"key":"r-1","severity":"error",
        "human":"the rule","expression":"{rule}"}}]}}{elements}]}}}}"#,
        url.replace(':', "-")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_to_asks_the_profiles_that_are_loaded() {
    let site = Site::new();
    let rule = "link.other.resolve().all(conformsTo('urn:named'))";
    site.put(&ruled("urn:family", rule, "")).await;
    site.put(r#"{"resourceType":"Patient","id":"with","name":[{"family":"Juma"}]}"#)
        .await;
    site.put(r#"{"resourceType":"Patient","id":"without","gender":"male"}"#)
        .await;
    let linked = |id: &str| {
        format!(
            r#"{{"resourceType":"Patient","link":[{{"type":"seealso","other":{{"reference":"Patient/{id}"}}}}]}}"#
        )
    };
    let asked = "POST Patient/$validate?profile=urn:family";
    assert_snapshot!(check(&site, asked, &linked("with")).await, @"warning processing Patient | E-VAL-21: rule r-1 is not judged here: conformsTo() cannot be answered here");
    let named = r#",{"id":"Patient.name","path":"Patient.name","min":1}"#;
    site.put(&ruled("urn:named", "name.family.exists()", named))
        .await;
    assert_snapshot!(check(&site, asked, &linked("with")).await, @"");
    assert_snapshot!(check(&site, asked, &linked("without")).await, @"error invariant Patient | E-VAL-20: the rule (r-1)");
    // One that asks for itself comes to an end.
    site.put(&ruled("urn:round", "conformsTo('urn:round')", ""))
        .await;
    let round = "POST Patient/$validate?profile=urn:round";
    assert_snapshot!(check(&site, round, &linked("with")).await, @"warning processing Patient | E-VAL-21: rule r-1 is not judged here: conformsTo() cannot be answered here");
}
