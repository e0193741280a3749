//! Transactions as offline clients send them, and the harms that other servers do to them.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn binary(patch: &str) -> String {
    format!(
        r#"{{"resourceType":"Binary","contentType":"application/json-patch+json","data":"{}"}}"#,
        STANDARD.encode(patch)
    )
}

/// An entry with conditions of its own: `more` are further members of its request.
fn asked(method: &str, url: &str, more: &str, resource: &str) -> String {
    let resource = match resource {
        "" => String::new(),
        resource => format!(r#""resource":{resource},"#),
    };
    format!(r#"{{{resource}"request":{{"method":"{method}","url":"{url}"{more}}}}}"#)
}

fn responses(tree: &Json) -> Vec<String> {
    let entries = tree.items("entry").iter();
    let text =
        |entry: &Json, name: &str| entry.str_at(&["response", name]).unwrap_or("-").to_owned();
    entries
        .map(|entry| {
            let response = entry.get("response").unwrap();
            assert_eq!(
                response.get("etag").is_some(),
                response.get("lastModified").is_some()
            );
            format!(
                "{} {} {}",
                text(entry, "status"),
                text(entry, "etag"),
                text(entry, "location")
            )
        })
        .collect()
}

fn with_id(id: &str, more: &str) -> String {
    format!(r#"{{"resourceType":"Patient","id":"{id}"{more}}}"#)
}

/// PUT for create, PATCH in a Binary for update, DELETE, each with its ETag.
#[tokio::test]
async fn the_upload_of_the_android_sdk_works() {
    let site = Site::new();
    for id in ["old", "gone"] {
        site.ask(&format!("PUT Patient/{id}"), &[], &with_id(id, ""))
            .await
            .ok(201);
    }
    let if_match = r#","ifMatch":"W/\"1\"""#;
    let patch = binary(
        r#"[{"op":"add","path":"/generalPractitioner","value":[{"reference":"urn:uuid:p"}]},{"op":"add","path":"/active","value":true}]"#,
    );
    let entries = [
        asked("PATCH", "Patient/old", if_match, &patch),
        asked("PUT", "Patient/new", "", &with_id("new", "")),
        asked("DELETE", "Patient/gone", if_match, ""),
        asked("GET", "Patient/old", "", ""),
        entry(
            "POST",
            "Practitioner",
            r#""fullUrl":"urn:uuid:p","#,
            r#"{"resourceType":"Practitioner"}"#,
        ),
    ];
    let tree = site.bundle("transaction", &entries).await.ok(200);
    let found = responses(&tree);
    assert_eq!(found[0], "200 OK W/\"2\" Patient/old/_history/2");
    assert_eq!(found[1], "201 Created W/\"1\" Patient/new/_history/1");
    assert_eq!(found[2], "204 No Content W/\"2\" -");
    let read = tree.items("entry")[3].get("resource").unwrap();
    assert_eq!(
        read.get("active").and_then(Json::as_bool),
        Some(true),
        "reads see what was written"
    );
    let practitioner = found[4]
        .rsplit(' ')
        .next()
        .unwrap()
        .split("/_history")
        .next()
        .unwrap();
    let reference = read.str_at(&["generalPractitioner", "reference"]);
    assert_eq!(
        reference,
        Some(practitioner),
        "references in patches are rewritten"
    );
    let stale = asked("PATCH", "Patient/old", if_match, &patch);
    let other = asked("PUT", "Patient/other", "", &with_id("other", ""));
    site.bundle("transaction", &[other, stale])
        .await
        .refused(412, "E-WRITE-1", "Bundle.entry[1]");
    assert_eq!(
        site.ask("GET Patient/other", &[], "").await.status,
        404,
        "all or nothing"
    );
}

#[tokio::test]
async fn patches_and_conditions_work_in_batches_too() {
    let site = Site::new();
    site.ask("PUT Patient/a", &[], &with_id("a", ""))
        .await
        .ok(201);
    let parameters = r#"{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"add"},{"name":"path","valueString":"Patient"},{"name":"name","valueString":"gender"},{"name":"value","valueCode":"female"}]}]}"#;
    let entries = [
        asked(
            "PATCH",
            "Patient/a",
            "",
            &binary(r#"[{"op":"add","path":"/active","value":true}]"#),
        ),
        asked("PATCH", "Patient/a", "", parameters),
        asked(
            "PATCH",
            "Patient/a",
            "",
            r#"{"resourceType":"Binary","contentType":"application/json-patch+json","data":"%"}"#,
        ),
        asked(
            "PUT",
            "Patient?identifier=http://mrn|7",
            "",
            r#"{"resourceType":"Patient","identifier":[{"system":"http://mrn","value":"7"}]}"#,
        ),
        asked(
            "PATCH",
            "Patient?identifier=http://mrn|7",
            "",
            &binary(r#"[{"op":"add","path":"/active","value":true}]"#),
        ),
        asked("GET", "Patient/a", r#","ifNoneMatch":"W/\"3\"""#, ""),
        asked(
            "GET",
            "Patient/a",
            r#","ifModifiedSince":"2026-11-24T19:06:18Z""#,
            "",
        ),
        asked("DELETE", "Patient?identifier=http://mrn|7", "", ""),
        asked(
            "PUT",
            "Patient/a",
            r#","ifMatch":"W/\"1\"""#,
            &with_id("a", ""),
        ),
    ];
    let tree = site.bundle("batch", &entries).await.ok(200);
    let statuses: Vec<String> = responses(&tree)
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        statuses,
        [
            "200", "200", "400", "201", "200", "304", "304", "204", "412"
        ]
    );
    let patient = site.ask("GET Patient/a", &[], "").await.ok(200);
    assert_eq!(patient.str_at(&["gender"]), Some("female"));
}

#[tokio::test]
async fn entries_take_effect_in_the_order_of_the_specification() {
    let site = Site::new();
    let known = site.ask("POST Patient", &[], &patient("1")).await.ok(201);
    let known = known.id().unwrap().to_owned();
    // In the order of reading this would find the patient, then delete it.
    let entries = [
        entry_if_none_exist("identifier=urn:mrn|1", "urn:uuid:n", &patient("1")),
        asked("DELETE", "Patient?identifier=urn:mrn|1", "", ""),
    ];
    let tree = site.bundle("transaction", &entries).await.ok(200);
    let found = responses(&tree);
    assert!(
        found[0].starts_with("201 Created") && found[1].starts_with("204"),
        "{found:?}"
    );
    let left = site.page("GET Patient").await.0;
    assert_eq!(left.len(), 1);
    assert_ne!(left[0], known);
}

/// Complaint 2: two entries with one condition.
#[tokio::test]
async fn twins_collapse_or_refuse_the_bundle_but_are_never_dropped() {
    let site = Site::new();
    let update = |resource: &str| asked("PUT", "Patient?identifier=urn:mrn|5", "", resource);
    let twins = [update(&patient("5")), update(&patient("5"))];
    let tree = site.bundle("transaction", &twins).await.ok(200);
    let found = responses(&tree);
    assert_eq!(found[0], found[1], "both are answered, with one resource");
    assert_eq!(site.page("GET Patient").await.0.len(), 1);
    let differing = [
        update(&patient("5")),
        update(r#"{"resourceType":"Patient"}"#),
    ];
    let reply = site.bundle("transaction", &differing).await;
    reply.refused(400, "E-TX-4", "Bundle.entry[1]");
    assert!(reply.text.contains("\"Bundle.entry[0]\""), "{}", reply.text);
    // A create and an update that would each make the same patient.
    let create = entry_if_none_exist("identifier=urn:mrn|6", "urn:uuid:n", &patient("6"));
    let rival = asked("PUT", "Patient?identifier=urn:mrn|6", "", &patient("6"));
    let reply = site.bundle("transaction", &[rival, create]).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    for text in ["E-WRITE-12", "\"Bundle.entry[0]\"", "\"Bundle.entry[1]\""] {
        assert!(reply.text.contains(text), "{text}: {}", reply.text);
    }
    // Criteria and id that mean one resource.
    site.ask(
        "PUT Patient/x",
        &[],
        &with_id("x", r#","identifier":[{"value":"x"}]"#),
    )
    .await
    .ok(201);
    let by_id = asked("PATCH", "Patient/x", "", &binary("[]"));
    let by_criteria = asked(
        "PUT",
        "Patient?identifier=x",
        "",
        r#"{"resourceType":"Patient","active":true}"#,
    );
    let reply = site.bundle("transaction", &[by_id, by_criteria]).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    for text in ["E-WRITE-7", "\"Bundle.entry[0]\"", "\"Bundle.entry[1]\""] {
        assert!(reply.text.contains(text), "{text}: {}", reply.text);
    }
    assert_eq!(
        site.page("GET Patient").await.0.len(),
        2,
        "nothing was written"
    );
}

/// Complaint 3: the answer was lost on the way, and the client sends all again.
#[tokio::test]
async fn a_bundle_sent_again_changes_nothing() {
    let site = Site::new();
    let entries = [
        entry_if_none_exist("identifier=urn:mrn|1", "urn:uuid:a", &patient("1")),
        asked("PUT", "Patient?identifier=urn:mrn|2", "", &patient("2")),
        asked("PUT", "Patient/c", "", &with_id("c", "")),
        asked(
            "PUT",
            "Observation/o",
            "",
            r#"{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"subject":{"reference":"urn:uuid:a"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"urn:uuid:a\">x</a></div>"},"extension":[{"url":"http://x","valueUri":"urn:uuid:a"}]}"#,
        ),
        asked("DELETE", "Patient/d", "", ""),
    ];
    let first = responses(&site.bundle("transaction", &entries).await.ok(200));
    let again = responses(&site.bundle("transaction", &entries).await.ok(200));
    for (first, again) in first.iter().zip(&again) {
        let place = |line: &str| line.split_once(" W/").map(|(_, rest)| rest.to_owned());
        assert_eq!(place(first), place(again));
        assert!(
            again.starts_with("200") || again.starts_with("204"),
            "{again}"
        );
    }
    let history = site.ask("GET _history", &[], "").await.ok(200);
    assert_eq!(history.items("entry").len(), 4, "no version was made twice");
    let text = site.ask("GET Observation/o", &[], "").await.text;
    assert!(!text.contains("urn:uuid"), "{text}");
    let patient = site
        .page("GET Patient?identifier=urn:mrn|1")
        .await
        .0
        .remove(0);
    for link in [
        format!(r#""reference":"Patient/{patient}""#),
        format!(r#"<a href=\"Patient/{patient}\">"#),
        format!(r#""valueUri":"Patient/{patient}""#),
    ] {
        assert!(text.contains(&link), "{link}: {text}");
    }
}

/// Complaints 14 and 15: which entry it was, and why.
#[tokio::test]
async fn a_refused_transaction_names_its_entries() {
    let site = Site::new();
    site.ask("PUT Patient/a", &[], &with_id("a", ""))
        .await
        .ok(201);
    let good = || entry("POST", "Patient", "", &patient("1"));
    let cases = [
        (
            asked(
                "PATCH",
                "Patient/a",
                "",
                &binary(r#"[{"op":"remove","path":"/photo"}]"#),
            ),
            422,
            "E-PATCH-6",
            "Bundle.entry[1]",
        ),
        (
            asked("PATCH", "Patient/zz", "", &binary("[]")),
            404,
            "E-READ-1",
            "Bundle.entry[1]",
        ),
        (
            asked(
                "PATCH",
                "Patient/a",
                "",
                &binary(r#"[{"op":"add","path":"/gender","value":"x"}]"#),
            ),
            422,
            "E-",
            "Bundle.entry[1].resource.gender",
        ),
        (
            asked("PUT", "Patient?colour=red", "", &patient("1")),
            400,
            "E-SEARCH-6",
            "Bundle.entry[1]",
        ),
        (
            asked("DELETE", "Patient", "", ""),
            400,
            "E-COND-2",
            "Bundle.entry[1]",
        ),
    ];
    for (bad, status, number, expression) in cases {
        let reply = site.bundle("transaction", &[good(), bad]).await;
        assert_eq!(reply.status, status, "{}", reply.text);
        assert!(reply.text.contains(number), "{}", reply.text);
        let found = reply.tree();
        let found = found.str_at(&["issue", "expression"]);
        assert_eq!(found, Some(expression), "{}", reply.text);
    }
    assert_eq!(
        site.page("GET Patient").await.0,
        ["a"],
        "nothing was stored"
    );
}

/// Complaint 19, as an offline device meets it: its whole upload is refused, its change is kept.
#[tokio::test]
async fn a_late_patch_in_an_upload_is_refused_with_all_else_but_not_lost() {
    let site = Site::new();
    let order = r#"{"resourceType":"MedicationRequest","id":"m","status":"active","intent":"order","subject":{"reference":"Patient/a"},"medicationCodeableConcept":{"text":"x"},"dosageInstruction":[{"text":"500 mg"}]}"#;
    site.ask("PUT MedicationRequest/m", &[], order)
        .await
        .ok(201);
    let change = |dose: &str| {
        let patch =
            format!(r#"[{{"op":"replace","path":"/dosageInstruction/0/text","value":"{dose}"}}]"#);
        let seen = r#","ifMatch":"W/\"1\"""#;
        asked("PATCH", "MedicationRequest/m", seen, &binary(&patch))
    };
    site.bundle("transaction", &[change("250 mg")])
        .await
        .ok(200);
    let other = asked("PUT", "Patient/new", "", &with_id("new", ""));
    let reply = site
        .bundle("transaction", &[other, change("1000 mg")])
        .await;
    reply.refused(412, "E-WRITE-1", "Bundle.entry[1]");
    assert!(reply.text.contains("I-WRITE-1"), "{}", reply.text);
    assert_eq!(site.ask("GET Patient/new", &[], "").await.status, 404);
    let tasks = site
        .page("GET Task?code=conflict-review&status=requested")
        .await
        .0;
    assert_eq!(tasks.len(), 1);
}

/// Complaint 13: the order of entries, ids of digits, references to what is not here (yet).
#[tokio::test]
async fn what_comes_in_any_order_is_taken() {
    let site = Site::new();
    let observation = r#"{"resourceType":"Observation","id":"7","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/12"},"performer":[{"reference":"Practitioner/nobody"}]}"#;
    let entries = [
        asked("PUT", "Observation/7", "", observation),
        asked("PUT", "Patient/12", "", &with_id("12", "")),
    ];
    site.bundle("transaction", &entries).await.ok(200);
    assert_eq!(
        site.page("GET Observation?subject=Patient/12").await.0,
        ["7"]
    );
}
