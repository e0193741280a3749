//! PATCH: its three forms, what they refuse, and what becomes of one that comes too late.

use super::*;

const JSON_PATCH: &str = "Content-Type: application/json-patch+json";
const MERGE: &str = "Content-Type: application/json";
const FHIR: &str = "Content-Type: application/fhir+json";

const PATIENT: &str = r#"{"resourceType":"Patient","id":"a","identifier":[{"system":"urn:mrn","value":"1"}],"name":[{"family":"Juma","given":["Amina"]}],"telecom":[{"system":"phone","value":"1"},{"system":"phone","value":"2"}],"multipleBirthInteger":2}"#;

async fn site() -> Site {
    let site = Site::new();
    site.ask("PUT Patient/a", &[], PATIENT).await.ok(201);
    site
}

#[tokio::test]
async fn each_form_of_patch_changes_its_part_and_no_other() {
    let site = site().await;
    let observation = r#"{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00,"unit":"g"}}"#;
    site.ask("PUT Observation/o", &[], observation)
        .await
        .ok(201);
    let json = r#"[{"op":"replace","path":"/status","value":"amended"},{"op":"add","path":"/note","value":[{"text":"n"}]}]"#;
    let reply = site.ask("PATCH Observation/o", &[JSON_PATCH], json).await;
    reply.ok(200);
    assert_eq!(reply.header("etag"), "W/\"2\"");
    assert!(
        reply
            .header("location")
            .ends_with("Observation/o/_history/2")
    );
    let merge = r#"{"note":null,"valueQuantity":{"unit":"mg"}}"#;
    let reply = site.ask("PATCH Observation/o", &[MERGE], merge).await;
    reply.ok(200);
    let rest =
        r#""status":"amended","code":{"text":"x"},"valueQuantity":{"value":1.00,"unit":"mg"}}"#;
    assert!(reply.text.ends_with(rest), "{}", reply.text);
    let fhir = r#"{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.value.value"},{"name":"value","valueDecimal":2.50}]}]}"#;
    let reply = site.ask("PATCH Observation/o", &[FHIR], fhir).await;
    reply.ok(200);
    assert!(reply.text.contains("\"value\":2.50"), "{}", reply.text);
    let again = site.ask("PATCH Observation/o", &[FHIR], fhir).await;
    again.ok(200);
    assert_eq!(
        again.header("etag"),
        "W/\"4\"",
        "no change makes no version"
    );
}

#[tokio::test]
async fn a_patch_that_does_not_fit_is_refused_by_name_and_changes_nothing() {
    let site = site().await;
    let cases = [
        (
            JSON_PATCH,
            r#"[{"op":"test","path":"/name/0/family","value":"Other"}]"#,
            422,
            "E-PATCH-6: operation 0 (test /name/0/family)",
        ),
        (
            JSON_PATCH,
            r#"[{"op":"remove","path":"/photo/0"}]"#,
            422,
            "E-PATCH-6: operation 0 (remove /photo/0)",
        ),
        (
            JSON_PATCH,
            r#"[{"op":"replace","path":"/id","value":"b"}]"#,
            422,
            "E-PATCH-1",
        ),
        (
            JSON_PATCH,
            r#"[{"op":"add","path":"/colour","value":"red"}]"#,
            422,
            "colour",
        ),
        (JSON_PATCH, r#"{"active":true}"#, 400, "E-PATCH-3"),
        (
            JSON_PATCH,
            r#"[{"op":"add","path":"active","value":true}]"#,
            400,
            "E-PATCH-5",
        ),
        (MERGE, r#"{"birthDate":"yesterday"}"#, 422, "birthDate"),
        (MERGE, "7", 400, "E-PATCH-7"),
        ("Content-Type: text/plain", "[]", 415, "E-PATCH-13"),
        (
            "Content-Type: application/xml-patch+xml",
            "<diff/>",
            415,
            "E-PATCH-13",
        ),
        (JSON_PATCH, "", 400, "E-CONTENT-1"),
    ];
    for (kind, body, status, text) in cases {
        let reply = site.ask("PATCH Patient/a", &[kind], body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text);
        assert!(reply.text.contains(text), "{body}: {}", reply.text);
    }
    assert_eq!(
        site.ask("GET Patient/a", &[], "").await.header("etag"),
        "W/\"1\""
    );
    let nobody = site
        .ask("PATCH Patient/zz", &[MERGE], "{\"active\":true}")
        .await;
    nobody.refused(404, "E-READ-1", "");
    site.ask("DELETE Patient/a", &[], "").await;
    let gone = site
        .ask("PATCH Patient/a", &[MERGE], "{\"active\":true}")
        .await;
    gone.refused(410, "E-READ-3", "");
}

#[tokio::test]
async fn a_conditional_patch_changes_the_one_match() {
    let site = site().await;
    let patch = "{\"active\":true}";
    let reply = site
        .ask("PATCH Patient?identifier=urn:mrn|1", &[MERGE], patch)
        .await;
    assert_eq!(reply.ok(200).id(), Some("a"));
    site.ask("PATCH Patient?identifier=urn:mrn|9", &[MERGE], patch)
        .await
        .refused(404, "E-WRITE-14", "");
    site.ask("PATCH Patient?_count=1", &[MERGE], patch)
        .await
        .refused(400, "E-COND-2", "");
    site.ask("POST Patient", &[], &patient("1")).await.ok(201);
    site.ask("PATCH Patient?identifier=urn:mrn|1", &[MERGE], patch)
        .await
        .refused(412, "E-WRITE-3", "");
}

/// Sixty-four devices each add a phone at once: none of them is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_patches_all_take_effect() {
    let site = Arc::new(site().await);
    let mut asks = tokio::task::JoinSet::new();
    for number in 0..64 {
        let site = Arc::clone(&site);
        asks.spawn(async move {
            let patch = format!(
                r#"[{{"op":"add","path":"/telecom/-","value":{{"system":"phone","value":"n{number}"}}}}]"#
            );
            site.ask("PATCH Patient/a", &[JSON_PATCH], &patch).await.status
        });
    }
    assert_eq!(asks.join_all().await, [200; 64]);
    let tree = site.ask("GET Patient/a", &[], "").await.ok(200);
    assert_eq!(tree.items("telecom").len(), 66);
}

/// Two devices saw version 1. The first takes the first phone away; the second, which wants to
/// change what it saw in second place, would now hit nothing or another's item.
#[tokio::test]
async fn lost_updates_by_index_wait_in_the_review_queue_instead() {
    let site = Site::new();
    let order = |dose: &str| {
        format!(
            r#"{{"resourceType":"MedicationRequest","id":"m","status":"active","intent":"order","subject":{{"reference":"Patient/a"}},"medicationCodeableConcept":{{"text":"x"}},"dosageInstruction":[{{"text":"{dose}"}}]}}"#
        )
    };
    site.ask("PUT MedicationRequest/m", &[], &order("500 mg"))
        .await
        .ok(201);
    let change = |dose: &str| {
        format!(r#"[{{"op":"replace","path":"/dosageInstruction/0/text","value":"{dose}"}}]"#)
    };
    let seen = "If-Match: W/\"1\"";
    let patch = |dose: &'static str| {
        let (site, body) = (&site, change(dose));
        async move {
            site.ask("PATCH MedicationRequest/m", &[JSON_PATCH, seen], &body)
                .await
        }
    };
    patch("250 mg").await.ok(200);
    let late = patch("1000 mg").await;
    late.refused(412, "E-WRITE-1", "");
    assert!(
        late.text
            .contains("I-WRITE-1: the change is kept and waits for a person in Task/"),
        "{}",
        late.text
    );
    let tasks = site
        .page("GET Task?code=conflict-review&status=requested")
        .await
        .0;
    assert_eq!(tasks.len(), 1);
    let again = patch("1000 mg").await;
    again.refused(412, "E-WRITE-1", "");
    assert!(
        again.text.contains(&tasks[0]),
        "sent again, it waits already: {}",
        again.text
    );
    assert_eq!(
        site.page("GET Task?code=conflict-review&status=requested")
            .await
            .0
            .len(),
        1
    );
    let history = site
        .ask("GET MedicationRequest/m/_history", &[], "")
        .await
        .text;
    for dose in ["250 mg", "500 mg", "1000 mg"] {
        assert!(history.contains(dose), "{dose} is kept");
    }
}

#[tokio::test]
async fn a_late_patch_that_touches_nothing_changed_is_told_to_repeat() {
    let site = site().await;
    site.ask("PATCH Patient/a", &[MERGE], "{\"active\":true}")
        .await
        .ok(200);
    let late = r#"[{"op":"replace","path":"/name/0/given/0","value":"Aisha"}]"#;
    let seen = "If-Match: W/\"1\"";
    let reply = site.ask("PATCH Patient/a", &[JSON_PATCH, seen], late).await;
    reply.refused(412, "E-WRITE-1", "");
    assert!(!reply.text.contains("I-WRITE-1"), "{}", reply.text);
    assert_eq!(
        site.ask("GET Patient/a", &[], "").await.header("etag"),
        "W/\"2\""
    );
    let current = "If-Match: W/\"2\"";
    site.ask("PATCH Patient/a", &[JSON_PATCH, current], late)
        .await
        .ok(200);
}
