//! `$match`, `$merge`, `$convert`.

use super::*;

const AMINA: &str = r#"{"resourceType":"Patient","id":"amina","identifier":[{"system":"urn:nid","value":"7"}],"name":[{"family":"Juma","given":["Amina"]}],"gender":"female","birthDate":"1991-05-02"}"#;

fn described(fields: &str) -> String {
    format!(r#"{{"resourceType":"Patient",{fields}}}"#)
}

/// `id grade score` of each entry.
fn matches(bundle: &Json) -> Vec<String> {
    let entries = bundle.items("entry").iter();
    entries
        .map(|entry| {
            let grade = entry.str_at(&["search", "extension", "valueCode"]).unwrap();
            let score = entry
                .at(&["search", "score"])
                .and_then(Json::as_number)
                .unwrap();
            format!(
                "{} {grade} {score}",
                entry.str_at(&["resource", "id"]).unwrap()
            )
        })
        .collect()
}

#[tokio::test]
async fn patients_are_matched() {
    let site = Site::new();
    site.put(AMINA).await;
    site.put(
        &AMINA
            .replace("amina", "twin")
            .replace("Amina", "Asha")
            .replace("\"7\"", "\"8\""),
    )
    .await;
    site.put(r#"{"resourceType":"Patient","id":"other","name":[{"family":"Okello","given":["Peter"]}],"gender":"male","birthDate":"1950-01-01"}"#).await;
    let name = r#""name":[{"family":"JUMA","given":["amina"]}]"#;
    let birth = r#""birthDate":"1991-05-02","gender":"female""#;
    for (fields, expected) in [
        (
            r#""identifier":[{"system":"urn:nid","value":"7"}]"#.to_owned(),
            vec!["amina certain 1.00"],
        ),
        (
            format!("{name},{birth}"),
            vec!["amina certain 1.00", "twin possible 0.63"],
        ),
        (name.to_owned(), vec!["amina probable 1.00"]),
        (
            r#""identifier":[{"system":"urn:nid","value":"9"}]"#.to_owned(),
            vec![],
        ),
    ] {
        let body = format!(r#"{{"name":"resource","resource":{}}}"#, described(&fields));
        let bundle = site
            .ask("POST Patient/$match", &[], &parameters(&[&body]))
            .await
            .ok(200);
        assert_eq!(matches(&bundle), expected, "{fields}");
    }
    let whole = described(&format!("{name},{birth}"));
    let bundle = site
        .ask("POST Patient/$match?onlyCertainMatches=true", &[], &whole)
        .await
        .ok(200);
    assert_eq!(matches(&bundle), ["amina certain 1.00"]);
    assert_eq!(bundle.str_at(&["link", "relation"]), Some("self"));
    let bundle = site
        .ask("POST Patient/$match?count=1", &[], &described(birth))
        .await
        .ok(200);
    assert_eq!(matches(&bundle).len(), 1);
    let missing = site.ask("POST Patient/$match", &[], "").await;
    missing.refused(
        400,
        "E-OPERATION-2",
        "Parameters.parameter.where(name='resource')",
    );
    let group = r#"{"resourceType":"Group","type":"person","actual":true}"#;
    let wrong = site.ask("POST Patient/$match", &[], group).await;
    wrong.refused(
        400,
        "E-OPERATION-1",
        "Parameters.parameter.where(name='resource')",
    );
}

fn merge(source: &str, target: &str, more: &[&str]) -> String {
    let reference = |name: &str, id: &str| {
        format!(r#"{{"name":"{name}","valueReference":{{"reference":"Patient/{id}"}}}}"#)
    };
    let (source, target) = (
        reference("source-patient", source),
        reference("target-patient", target),
    );
    parameters(&[&[source.as_str(), target.as_str()], more].concat())
}

#[tokio::test]
async fn a_merge_moves_what_refers_and_closes_the_source() {
    let site = Site::new();
    site.put(AMINA).await;
    site.put(r#"{"resourceType":"Patient","id":"twice","identifier":[{"system":"urn:mrn","value":"55"}],"name":[{"family":"Juma"}]}"#).await;
    // No search parameter finds these two.
    site.put(r#"{"resourceType":"Basic","id":"b","code":{"text":"x"},"extension":[{"url":"urn:x","valueReference":{"reference":"Patient/twice"}}]}"#).await;
    site.put(r#"{"resourceType":"Patient","id":"r","contact":[{"name":{"family":"\"reference\":\"Patient/twice\""}}],"extension":[{"url":"urn:x","valueReference":{"reference":"Patient/twice"}}]}"#).await;
    let observations: Vec<String> = (0..250).map(|n| entry("PUT", &format!("Observation/o{n}"), "", &format!(r#"{{"resourceType":"Observation","id":"o{n}","status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/twice"}},"valueQuantity":{{"value":{n}.00}}}}"#))).collect();
    site.bundle("transaction", &observations).await.ok(200);
    let preview = merge(
        "twice",
        "amina",
        &[r#"{"name":"preview","valueBoolean":true}"#],
    );
    let reply = site.ask("POST Patient/$merge", &[], &preview).await.ok(200);
    let identifiers = |patient: &Json| {
        patient
            .items("identifier")
            .iter()
            .map(|i| {
                format!(
                    "{}{}",
                    i.str_at(&["value"]).unwrap(),
                    i.str_at(&["use"]).unwrap_or("")
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        identifiers(value(&reply, "result", "resource").unwrap()),
        ["7", "55old"]
    );
    assert_eq!(
        site.page("GET Observation?patient=amina&_count=1")
            .await
            .0
            .len(),
        0,
        "a preview writes nothing"
    );
    let stale = site
        .ask(
            "POST Patient/$merge",
            &["If-Match: W/\"9\""],
            &merge("twice", "amina", &[]),
        )
        .await;
    assert_eq!(stale.status, 412, "{}", stale.text);
    let reply = site
        .ask(
            "POST Patient/$merge",
            &["If-Match: W/\"1\""],
            &merge("twice", "amina", &[]),
        )
        .await
        .ok(200);
    let result = value(&reply, "result", "resource").unwrap();
    assert_eq!(result.str_at(&["link", "type"]), Some("replaces"));
    assert!(
        reply.items("parameter").iter().any(|p| p
            .str_at(&["resource", "issue", "diagnostics"])
            .is_some_and(|text| text.contains("merged in one transaction; 252 resources"))),
        "{reply:?}"
    );
    for path in ["Basic/b", "Patient/r"] {
        let moved = site.ask(&format!("GET {path}"), &[], "").await;
        assert!(
            moved.text.contains(r#""reference":"Patient/amina""#),
            "{}",
            moved.text
        );
    }
    let total = |bundle: &Json| {
        bundle
            .get("total")
            .and_then(Json::as_number)
            .map(str::to_owned)
    };
    let moved = site
        .ask("GET Observation?patient=amina&_summary=count", &[], "")
        .await
        .ok(200);
    let left = site
        .ask("GET Observation?patient=twice&_summary=count", &[], "")
        .await
        .ok(200);
    assert_eq!(
        (total(&moved).as_deref(), total(&left).as_deref()),
        (Some("250"), Some("0"))
    );
    assert!(
        site.ask("GET Observation/o7", &[], "")
            .await
            .text
            .contains("7.00")
    );
    let source = site.ask("GET Patient/twice", &[], "").await.ok(200);
    assert_eq!(source.get("active"), Some(&Json::Bool(false)));
    assert_eq!(source.str_at(&["link", "type"]), Some("replaced-by"));
    assert_eq!(
        source.str_at(&["link", "other", "reference"]),
        Some("Patient/amina")
    );
    // Asked again it changes nothing, and the source cannot go elsewhere.
    let again = site
        .ask("POST Patient/$merge", &[], &merge("twice", "amina", &[]))
        .await
        .ok(200);
    assert_eq!(value(&again, "result", "resource"), Some(result));
    site.put(r#"{"resourceType":"Patient","id":"third"}"#).await;
    site.ask("POST Patient/$merge", &[], &merge("twice", "third", &[]))
        .await
        .refused(422, "E-MERGE-4", "");
}

#[tokio::test]
async fn a_merge_says_what_is_wrong() {
    let site = Site::new();
    site.put(AMINA).await;
    site.put(r#"{"resourceType":"Patient","id":"twice","identifier":[{"system":"urn:mrn","value":"55"}]}"#).await;
    site.ask("POST Patient/$merge", &[], &merge("amina", "amina", &[]))
        .await
        .refused(422, "E-MERGE-3", "");
    assert_eq!(
        site.ask("POST Patient/$merge", &[], &merge("none", "amina", &[]))
            .await
            .status,
        404
    );
    site.ask("POST Patient/$merge", &[], "").await.refused(
        400,
        "E-OPERATION-2",
        "Parameters.parameter.where(name='source-patient')",
    );
    let wrong = merge(
        "twice",
        "amina",
        &[r#"{"name":"result-patient","resource":{"resourceType":"Patient","id":"x"}}"#],
    );
    site.ask("POST Patient/$merge", &[], &wrong)
        .await
        .refused(422, "E-MERGE-5", "Patient.id");
    assert_eq!(site.ask("GET Patient/$merge", &[], "").await.status, 405);
    let given = r#"{"name":"result-patient","resource":{"resourceType":"Patient","id":"amina","gender":"other"}}"#;
    let by_identifier = parameters(&[
        r#"{"name":"source-patient-identifier","valueIdentifier":{"system":"urn:mrn","value":"55"}}"#,
        r#"{"name":"target-patient-identifier","valueIdentifier":{"system":"urn:nid","value":"7"}}"#,
        given,
    ]);
    site.ask("POST Patient/$merge", &[], &by_identifier)
        .await
        .ok(200);
    let target = site.ask("GET Patient/amina", &[], "").await.ok(200);
    assert_eq!(
        (target.str_at(&["gender"]), target.str_at(&["link", "type"])),
        (Some("other"), Some("replaces"))
    );
}

#[tokio::test]
async fn a_resource_is_converted_and_not_stored() {
    let site = Site::new();
    let observation = r#"{"resourceType":"Observation","id":"c","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}}"#;
    let reply = site.ask("POST $convert", &[], observation).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, observation));
    assert_eq!(site.ask("GET Observation/c", &[], "").await.status, 404);
    site.ask("POST $convert", &[], "").await.refused(
        400,
        "E-OPERATION-2",
        "Parameters.parameter.where(name='input')",
    );
    assert_eq!(
        site.ask(
            "POST $convert",
            &[],
            r#"{"resourceType":"Patient","actve":true}"#
        )
        .await
        .status,
        422
    );
}
