//! One resource: its life, its history, refused bodies, conditional creates.

use super::*;

#[tokio::test]
async fn the_life_of_one_resource() {
    let site = Site::new();
    let made = site
        .ask(
            "PUT Patient/a",
            &[],
            r#"{"resourceType":"Patient","id":"a","active":true}"#,
        )
        .await;
    let text = r#"{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"2026-11-24T19:06:18.000Z"},"active":true}"#;
    made.ok(201);
    assert_eq!(made.text, text);
    assert_eq!(made.header("etag"), "W/\"1\"");
    assert_eq!(
        made.header("location"),
        format!("{BASE}/Patient/a/_history/1")
    );
    assert_eq!(
        made.header("last-modified"),
        "Tue, 24 Nov 2026 19:06:18 GMT"
    );
    let read = site.ask("GET Patient/a", &[], "").await;
    read.ok(200);
    assert_eq!(read.text, text);
    let have = site
        .ask("GET Patient/a", &["If-None-Match: W/\"1\""], "")
        .await;
    assert_eq!((have.status, have.text.as_str()), (304, ""));

    site.clock.advance(Duration::from_secs(1));
    let same = site.ask("PUT Patient/a", &[], text).await;
    same.ok(200);
    assert_eq!(
        same.header("etag"),
        "W/\"1\"",
        "the same content makes no version"
    );
    let other = r#"{"resourceType":"Patient","id":"a","active":false}"#;
    let stale = site
        .ask("PUT Patient/a", &["If-Match: W/\"7\""], other)
        .await;
    stale.refused(412, "E-WRITE-1", "");
    let updated = site
        .ask("PUT Patient/a", &["If-Match: W/\"1\""], other)
        .await;
    updated.ok(200);
    assert_eq!(updated.header("etag"), "W/\"2\"");
    site.ask("PUT Patient/a", &["If-Match: W/\"1\""], text)
        .await
        .refused(412, "E-WRITE-1", "");

    let deleted = site.ask("DELETE Patient/a", &[], "").await;
    assert_eq!((deleted.status, deleted.header("etag")), (204, "W/\"3\""));
    let again = site.ask("DELETE Patient/a", &[], "").await;
    assert_eq!((again.status, again.header("etag")), (204, "W/\"3\""));
    assert_eq!(site.ask("DELETE Patient/never", &[], "").await.status, 204);
    site.ask("GET Patient/a", &[], "")
        .await
        .refused(410, "E-READ-3", "");
    site.ask("GET Patient/never", &[], "")
        .await
        .refused(404, "E-READ-1", "");
    let first = site.ask("GET Patient/a/_history/1", &[], "").await;
    first.ok(200);
    assert_eq!(first.text, text);
    site.ask("GET Patient/a/_history/9", &[], "")
        .await
        .refused(404, "E-READ-2", "");
    site.ask("GET Patient/a/_history/3", &[], "")
        .await
        .refused(410, "E-READ-3", "");
    site.ask("PUT Patient/a", &[], other).await.ok(201);
    assert_eq!(
        history(&site, "GET Patient/a/_history").await,
        "4 PUT 201; 3 DELETE 204; 2 PUT 200; 1 PUT 201"
    );
    assert_eq!(site.page("GET Patient").await.0, ["a"]);
}

/// Versions, methods and statuses of a history, all pages.
async fn history(site: &Site, request: &str) -> String {
    let tree = site.ask(request, &[], "").await.ok(200);
    let lines = tree.items("entry").iter().map(|entry| {
        let etag = entry.str_at(&["response", "etag"]).unwrap();
        let method = entry.str_at(&["request", "method"]).unwrap();
        let status = entry.str_at(&["response", "status"]).unwrap();
        assert_eq!(entry.get("resource").is_none(), method == "DELETE");
        format!("{} {method} {status}", etag.trim_matches(['W', '/', '"']))
    });
    lines.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn bad_bodies_are_refused_by_name_and_nothing_is_stored() {
    let site = Site::new();
    let cases = [
        ("POST Patient", "", 400, "E-CONTENT-1", ""),
        ("POST Patient", "{", 400, "E-JSON-", ""),
        (
            "POST Patient",
            r#"{"resourceType":"Observation"}"#,
            400,
            "E-CONTENT-2",
            "resourceType",
        ),
        ("POST Patient", "{}", 400, "E-CONTENT-3", "resourceType"),
        (
            "PUT Patient/a",
            r#"{"resourceType":"Patient","id":"b"}"#,
            400,
            "E-CONTENT-4",
            "Patient.id",
        ),
        (
            "PUT Patient/a",
            r#"{"resourceType":"Patient"}"#,
            400,
            "E-CONTENT-4",
            "Patient.id",
        ),
    ];
    for (request, body, status, number, expression) in cases {
        let reply = site.ask(request, &[], body).await;
        assert_eq!(reply.status, status, "{request} {body}: {}", reply.text);
        assert!(reply.text.contains(number), "{}", reply.text);
        let tree = reply.tree();
        let found = tree
            .at(&["issue", "expression"])
            .and_then(Json::as_str)
            .unwrap_or("");
        assert_eq!(found, expression, "{}", reply.text);
    }
    let unknown = site
        .ask(
            "POST Patient",
            &[],
            r#"{"resourceType":"Patient","colour":"red"}"#,
        )
        .await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);
    let review = r#"{"resourceType":"Task","status":"requested","intent":"order","code":{"coding":[{"code":"conflict-review"}]}}"#;
    site.ask("POST Task", &[], review)
        .await
        .refused(403, "E-WRITE-9", "Task.code");
    assert_eq!(site.page("GET Patient").await.0, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_conditional_creates_make_one_resource() {
    let site = Arc::new(Site::new());
    let mut asks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let site = site.clone();
        asks.spawn(async move {
            let condition = "If-None-Exist: identifier=urn:mrn|1";
            let reply = site.ask("POST Patient", &[condition], &patient("1")).await;
            let id = reply.tree().id().unwrap_or_default().to_owned();
            (reply.status, id)
        });
    }
    let replies = asks.join_all().await;
    let count = |status| replies.iter().filter(|(s, _)| *s == status).count();
    assert_eq!((count(201), count(200)), (1, 63));
    assert!(replies.iter().all(|(_, id)| *id == replies[0].1));
    assert_eq!(site.page("GET Patient").await.0.len(), 1);
    site.ask("POST Patient", &["If-None-Exist: _count=1"], &patient("1"))
        .await
        .refused(400, "E-COND-2", "");
    site.ask("POST Patient", &[], &patient("1")).await.ok(201);
    site.ask(
        "POST Patient",
        &["If-None-Exist: identifier=urn:mrn|1"],
        &patient("1"),
    )
    .await
    .refused(412, "E-WRITE-3", "");
}

#[tokio::test]
async fn the_capability_statement_is_sound() {
    let site = Site::new();
    let reply = site.ask("GET metadata", &[], "").await;
    let tree = reply.ok(200);
    let issues = fhir_mapping::validate::structure(&tree);
    assert_eq!(issues, []);
    let rest = &tree.items("rest")[0];
    let patient = rest
        .items("resource")
        .iter()
        .find(|row| row.str_at(&["type"]) == Some("Patient"));
    let names: Vec<_> = patient
        .unwrap()
        .items("searchParam")
        .iter()
        .map(|p| p.str_at(&["name"]).unwrap())
        .collect();
    for name in ["identifier", "family", "birthdate", "_id"] {
        assert!(names.contains(&name), "{name} of {names:?}");
    }
}

#[tokio::test]
async fn statements_are_sound_in_every_mode_and_cached() {
    let site = Site::new();
    for (mode, kind) in [
        ("", "CapabilityStatement"),
        ("?mode=full", "CapabilityStatement"),
        ("?mode=normative", "CapabilityStatement"),
        ("?mode=terminology", "TerminologyCapabilities"),
        ("?_summary=true", "CapabilityStatement"),
        ("?_elements=software", "CapabilityStatement"),
    ] {
        let asked = format!("GET metadata{mode}");
        let reply = site.ask(&asked, &[], "").await;
        let tree = reply.ok(200);
        assert_eq!(tree.resource_type(), Some(kind));
        assert_eq!(fhir_mapping::validate::structure(&tree), [], "{mode}");
        let known = format!("If-None-Match: {}", reply.header("etag"));
        let again = site.ask(&asked, &[&known], "").await;
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{mode}");
        assert_eq!(again.header("etag"), reply.header("etag"));
        let stale = site.ask(&asked, &["If-None-Match: W/\"1\""], "").await;
        assert_eq!(stale.status, 200);
    }
    site.ask("GET metadata?mode=all", &[], "")
        .await
        .refused(400, "E-STATEMENT-1", "");
}

/// A code system that is loaded is told, with its versions; the ETag changes with it.
#[tokio::test]
async fn terminology_capabilities_tell_what_is_loaded() {
    let site = Site::new();
    let told = async || {
        let reply = site.ask("GET metadata?mode=terminology", &[], "").await;
        let tree = reply.ok(200);
        let systems = tree.items("codeSystem").iter();
        let versions: Vec<_> = systems
            .filter(|system| system.str_at(&["uri"]) == Some("urn:colours"))
            .flat_map(|system| system.items("version"))
            .map(|version| version.str_at(&["code"]).unwrap_or("").to_owned())
            .collect();
        (versions, reply.header("etag").to_owned())
    };
    let (before, first_tag) = told().await;
    assert!(before.is_empty());
    for version in ["1", "2"] {
        let system = format!(
            r#"{{"resourceType":"CodeSystem","id":"c{version}","url":"urn:colours","version":"{version}","status":"active","content":"complete","concept":[{{"code":"red"}}]}}"#
        );
        site.ask(&format!("PUT CodeSystem/c{version}"), &[], &system)
            .await
            .ok(201);
    }
    let (after, tag) = told().await;
    assert_eq!(after, ["1", "2"]);
    assert_ne!(tag, first_tag);
    site.ask("DELETE CodeSystem/c1", &[], "").await;
    assert_eq!(told().await.0, ["2"]);
    // What is claimed for $expand is heeded, not refused.
    let tree = site
        .ask("GET metadata?mode=terminology", &[], "")
        .await
        .ok(200);
    for parameter in tree.get("expansion").unwrap().items("parameter") {
        let name = parameter.str_at(&["name"]).unwrap();
        let value = match name {
            "offset" | "count" => "1",
            "filter" | "displayLanguage" => "de",
            _ => "true",
        };
        let set = "http://hl7.org/fhir/ValueSet/administrative-gender";
        site.ask(
            &format!("GET ValueSet/$expand?url={set}&{name}={value}"),
            &[],
            "",
        )
        .await
        .ok(200);
    }
}
