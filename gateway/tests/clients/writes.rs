//! Writes, client by client.

use crate::ward;
use crate::wire::{JSON, Site};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fhir_mapping::model::{Json, format};

/// Android's upload: PUT for what is new, PATCH with a JSON Patch in a Binary for what changed,
/// DELETE for what went, each with the version that it saw.
#[tokio::test]
async fn android_uploads_500_entries_at_once() {
    let site = ward().await;
    let mut entries: Vec<String> = (0..497)
        .map(|n| {
            let own = format!(r#"{{"resourceType":"Patient","id":"u{n}","active":true}}"#);
            upload("PUT", &format!("Patient/u{n}"), "", &own)
        })
        .collect();
    let patch = r#"[{"op":"replace","path":"/gender","value":"other"},{"op":"add","path":"/telecom","value":[{"system":"phone","value":"0700"}]}]"#;
    entries.push(upload("PATCH", "Patient/p1", "W/\\\"1\\\"", &binary(patch)));
    entries.push(upload("DELETE", "Immunization/n1", "W/\\\"1\\\"", ""));
    entries.push(upload("DELETE", "CareTeam/k1", "", ""));
    let told = post(&site, &entries).await;
    assert_eq!(told.str_at(&["type"]), Some("transaction-response"));
    let answers = told.items("entry");
    assert_eq!(answers.len(), 500);
    for (at, answer) in answers.iter().enumerate() {
        let text = |name: &str| answer.str_at(&["response", name]).unwrap_or_default();
        let (status, etag, location) = match at {
            0..497 => ("201", "W/\"1\"", format!("Patient/u{at}/_history/1")),
            497 => ("200", "W/\"2\"", "Patient/p1/_history/2".to_owned()),
            _ => ("204", "W/\"2\"", String::new()),
        };
        assert_eq!(text("status").split(' ').next(), Some(status), "{at}");
        assert_eq!(text("etag"), etag, "{at}");
        assert!(text("lastModified").ends_with('Z'), "{at}");
        assert!(text("location").ends_with(&location), "{at}: {location}");
    }
    let patched = site.ask("GET Patient/p1", &[], "").await.tree();
    assert_eq!(patched.str_at(&["gender"]), Some("other"));
    assert_eq!(patched.str_at(&["birthDate"]), Some("1990-05-05"));
    assert_eq!(site.ask("GET Immunization/n1", &[], "").await.status, 410);
    // A stale one refuses the whole, and says which.
    let stale = [
        upload(
            "PUT",
            "Patient/u500",
            "",
            r#"{"resourceType":"Patient","id":"u500"}"#,
        ),
        upload("PATCH", "Patient/p1", "W/\\\"1\\\"", &binary(patch)),
    ];
    let refused = site.ask("POST ", &[JSON], bundle(&stale)).await;
    assert_eq!(refused.status, 412);
    let text = format(&refused.tree());
    assert!(text.contains("Bundle.entry[1]"), "{text}");
    assert_eq!(site.ask("GET Patient/u500", &[], "").await.status, 404);
}

fn upload(method: &str, url: &str, if_match: &str, resource: &str) -> String {
    let resource = match resource {
        "" => String::new(),
        resource => format!(r#""resource":{resource},"#),
    };
    let if_match = match if_match {
        "" => String::new(),
        tag => format!(r#","ifMatch":"{tag}""#),
    };
    format!(r#"{{{resource}"request":{{"method":"{method}","url":"{url}"{if_match}}}}}"#)
}

fn binary(patch: &str) -> String {
    let data = STANDARD.encode(patch);
    format!(
        r#"{{"resourceType":"Binary","contentType":"application/json-patch+json","data":"{data}"}}"#
    )
}

fn bundle(entries: &[String]) -> String {
    let entries = entries.join(",");
    format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#)
}

async fn post(site: &Site, entries: &[String]) -> Json {
    let reply = site.ask("POST ", &[JSON], bundle(entries)).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    reply.tree()
}

/// OpenSRP loads its configuration in one batch, where one that is missing harms no other.
#[tokio::test]
async fn opensrp_fetches_its_configuration_in_a_batch() {
    let site = ward().await;
    let body = r#"{"resourceType":"Bundle","type":"batch","entry":[
        {"request":{"method":"GET","url":"Composition/z1"}},
        {"request":{"method":"GET","url":"Binary/none"}},
        {"request":{"method":"GET","url":"List?_id=x1&_page=1&_count=1"}}]}"#;
    let told = site.ask("POST ", &[JSON], body).await.tree();
    let status = |at: usize| {
        let status = told.items("entry")[at].str_at(&["response", "status"]);
        status.unwrap().split(' ').next().unwrap().to_owned()
    };
    assert_eq!([status(0), status(1), status(2)], ["200", "404", "200"]);
    let found = &told.items("entry")[2];
    let inner = found.get("resource").unwrap();
    assert_eq!(inner.items("entry").len(), 1);
    // A Binary is JSON to those who ask for it, and its own bytes to others.
    let as_json = ("accept", "application/fhir+json");
    let whole = site.ask("GET Binary/y1", &[as_json], "").await.tree();
    assert_eq!(whole.str_at(&["data"]), Some("aGk="));
    let raw = site
        .ask("GET Binary/y1", &[("accept", "text/plain")], "")
        .await;
    assert_eq!(&raw.body[..], b"hi");
}

/// To OpenMRS everything is pushed one resource at a time.
#[tokio::test]
async fn openmrs_creates_updates_patches_and_deletes_one_by_one() {
    let site = ward().await;
    let condition = r#"{"resourceType":"Condition","subject":{"reference":"Patient/p1"},"code":{"coding":[{"code":"B51"}]}}"#;
    let made = site.ask("POST Condition", &[JSON], condition).await;
    assert_eq!(made.status, 201);
    let id = made.tree().id().unwrap().to_owned();
    let location = made.header("location").to_owned();
    assert!(
        location.ends_with(&format!("/fhir/Condition/{id}/_history/1")),
        "{location}"
    );
    let own = condition.replacen('{', &format!(r#"{{"id":"{id}","#), 1);
    let changed = own.replace("B51", "B52");
    let put = site
        .ask(&format!("PUT Condition/{id}"), &[JSON], changed)
        .await;
    assert_eq!((put.status, put.header("etag")), (200, "W/\"2\""));
    let kind = ("content-type", "application/json-patch+json");
    let patch = r#"[{"op":"add","path":"/onsetDateTime","value":"2026-01"}]"#;
    let patched = site
        .ask(&format!("PATCH Condition/{id}"), &[kind], patch)
        .await;
    assert_eq!((patched.status, patched.header("etag")), (200, "W/\"3\""));
    assert_eq!(patched.tree().str_at(&["onsetDateTime"]), Some("2026-01"));
    let gone = site.ask(&format!("DELETE Condition/{id}"), &[], "").await;
    assert!([200, 204].contains(&gone.status));
    assert_eq!(
        site.ask(&format!("GET Condition/{id}"), &[], "")
            .await
            .status,
        410
    );
}

/// OpenELIS writes an order and what hangs on it in one transaction, by urn:uuid.
#[tokio::test]
async fn openelis_writes_an_order_in_one_transaction() {
    let site = ward().await;
    let urn = "urn:uuid:7d444840-9dc0-41d1-b245-5ffdce74fad2";
    let body = format!(
        r#"{{"resourceType":"Bundle","type":"transaction","entry":[
        {{"fullUrl":"urn:uuid:0e2d1c42-34b6-4c9c-9f0a-0c6d4a1f9b10","resource":{{"resourceType":"Task","status":"requested","intent":"order","basedOn":[{{"reference":"{urn}"}}],"for":{{"reference":"Patient?identifier=sys|val"}}}},"request":{{"method":"POST","url":"Task"}}}},
        {{"fullUrl":"{urn}","resource":{{"resourceType":"ServiceRequest","identifier":[{{"system":"sys","value":"order-9"}}],"status":"active","intent":"order","subject":{{"reference":"Patient/p1"}}}},"request":{{"method":"POST","url":"ServiceRequest","ifNoneExist":"identifier=sys|order-9"}}}}]}}"#
    );
    let told = site.ask("POST ", &[JSON], body).await;
    assert_eq!(told.status, 200, "{:?}", told.body);
    let found = site
        .ask(
            "GET Task?based-on:ServiceRequest.identifier=sys|order-9&_include=Task:patient",
            &[],
            "",
        )
        .await
        .tree();
    assert_eq!(found.items("entry").len(), 2);
    let task = found.items("entry")[0].get("resource").unwrap();
    assert_eq!(task.str_at(&["for", "reference"]), Some("Patient/p1"));
}

/// fhirpy: `get_or_create` posts to a search, `patch` sends a part as plain JSON, `refresh` the
/// bare version.
#[tokio::test]
async fn fhirpy_gets_or_creates_updates_patches_and_refreshes() {
    let site = ward().await;
    let own = r#"{"resourceType":"Patient","identifier":[{"system":"sys","value":"new"}],"gender":"male","telecom":[{"value":"1"}]}"#;
    let first = site
        .ask("POST Patient?identifier=sys|new", &[JSON], own)
        .await;
    let second = site
        .ask("POST Patient?identifier=sys|new", &[JSON], own)
        .await;
    assert_eq!((first.status, second.status), (201, 200));
    let id = first.tree().id().unwrap().to_owned();
    assert_eq!(second.tree().id(), Some(id.as_str()));
    let changed = own.replace("male", "female");
    let updated = site
        .ask("PUT Patient?identifier=sys|new", &[JSON], changed)
        .await;
    assert_eq!((updated.status, updated.header("etag")), (200, "W/\"2\""));
    let plain = ("content-type", "application/json");
    let patched = site
        .ask(
            &format!("PATCH Patient/{id}"),
            &[plain],
            r#"{"active":true,"telecom":null}"#,
        )
        .await;
    assert_eq!(patched.status, 200);
    let tree = patched.tree();
    assert_eq!(tree.get("active"), Some(&Json::Bool(true)));
    assert_eq!(tree.str_at(&["gender"]), Some("female"));
    assert!(tree.get("telecom").is_none());
    let read = format!("GET Patient/{id}");
    let fresh = site.ask(&read, &[("if-none-match", "3")], "").await;
    assert_eq!((fresh.status, fresh.body.len()), (304, 0));
    assert_eq!(
        site.ask(&read, &[("if-none-match", "2")], "").await.status,
        200
    );
}
