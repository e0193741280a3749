//! `$export`.

use super::*;

const ASYNC: &[&str] = &["Prefer: respond-async"];

async fn site() -> Site {
    let site = Site::new();
    for resource in [
        r#"{"resourceType":"Organization","id":"org"}"#,
        r#"{"resourceType":"Patient","id":"p"}"#,
        r#"{"resourceType":"Patient","id":"q"}"#,
        r#"{"resourceType":"Group","id":"g","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/p"}},{"entity":{"reference":"Patient/q"},"inactive":true}]}"#,
        r#"{"resourceType":"Observation","id":"op","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/p"},"valueQuantity":{"value":1.00}}"#,
        r#"{"resourceType":"Observation","id":"oq","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/q"}}"#,
    ] {
        site.put(resource).await;
    }
    site
}

/// The status path of a job that was accepted.
async fn start(site: &Site, request: &str) -> String {
    let reply = site.ask(request, ASYNC, "").await;
    assert_eq!(reply.status, 202, "{request} {}", reply.text);
    let location = reply.header("content-location").to_owned();
    location.rsplit_once("/fhir/").unwrap().1.to_owned()
}

/// Carries out what waits, as the loop does.
async fn carry_out(site: &Site) {
    while let Some(id) = site.surface.repository.next_job().unwrap() {
        site.surface.repository.export(id).await.unwrap();
    }
}

/// `Type/id` of all files of a job that is done.
async fn exported(site: &Site, job: &str) -> Vec<String> {
    let manifest = site.ask(&format!("GET {job}"), &[], "").await.ok(200);
    assert_eq!(manifest.get("requiresAccessToken"), Some(&Json::Bool(true)));
    let mut all = Vec::new();
    for output in manifest.items("output") {
        let url = output
            .str_at(&["url"])
            .unwrap()
            .rsplit_once("/fhir/")
            .unwrap()
            .1
            .to_owned();
        let file = site.ask(&format!("GET {url}"), &[], "").await;
        assert_eq!(file.header("content-type"), "application/fhir+ndjson");
        let kind = output.str_at(&["type"]).unwrap();
        let ids: Vec<String> = file
            .text
            .lines()
            .map(|line| {
                let tree = fhir_mapping::model::parse(line.as_bytes(), Default::default()).unwrap();
                assert_eq!(tree.resource_type(), Some(kind));
                format!("{kind}/{}", tree.id().unwrap())
            })
            .collect();
        assert_eq!(
            output.get("count").and_then(Json::as_number),
            Some(ids.len().to_string().as_str())
        );
        all.extend(ids);
    }
    all.sort();
    all
}

#[tokio::test]
async fn exports_hold_what_their_scope_says() {
    let site = site().await;
    for (request, expected) in [
        (
            "GET $export",
            "Group/g Observation/op Observation/oq Organization/org Patient/p Patient/q",
        ),
        (
            "POST $export",
            "Group/g Observation/op Observation/oq Organization/org Patient/p Patient/q",
        ),
        (
            "GET $export?_type=Patient,Organization",
            "Organization/org Patient/p Patient/q",
        ),
        (
            "GET Patient/$export?_outputFormat=ndjson",
            "Group/g Observation/op Observation/oq Patient/p Patient/q",
        ),
        ("GET Group/g/$export", "Group/g Observation/op Patient/p"),
        (
            "GET Patient/$export?patient=Patient/q&_type=Patient,Observation",
            "Observation/oq Patient/q",
        ),
        ("GET Group/g/$export?patient=Patient/q", ""),
        (
            "GET $export?_type=Patient,Observation&_typeFilter=Observation%3Fsubject%3DPatient/q",
            "Observation/oq Patient/p Patient/q",
        ),
        (
            "GET $export?_typeFilter=Observation%3F_id%3Dop,oq,Patient%3F_id%3Dp&_type=Patient,Observation",
            "Observation/op Observation/oq Patient/p",
        ),
    ] {
        let job = start(&site, request).await;
        let waiting = site.ask(&format!("GET {job}"), &[], "").await;
        assert_eq!(
            (
                waiting.status,
                waiting.header("x-progress"),
                waiting.header("retry-after")
            ),
            (202, "waiting", "1")
        );
        carry_out(&site).await;
        assert_eq!(exported(&site, &job).await.join(" "), expected, "{request}");
    }
}

#[tokio::test]
async fn an_export_is_the_site_as_it_was_when_asked() {
    let site = site().await;
    let job = start(&site, "GET $export").await;
    site.ask("DELETE Patient/q", &[], "").await;
    site.put(r#"{"resourceType":"Patient","id":"new"}"#).await;
    site.put(r#"{"resourceType":"Observation","id":"op","status":"amended","code":{"text":"x"},"subject":{"reference":"Patient/q"}}"#).await;
    carry_out(&site).await;
    // Changes after the walk do not show either.
    site.ask("DELETE Organization/org", &[], "").await;
    let expected = "Group/g Observation/op Observation/oq Organization/org Patient/p Patient/q";
    assert_eq!(exported(&site, &job).await.join(" "), expected);
    let manifest = site.ask(&format!("GET {job}"), &[], "").await.ok(200);
    let outputs = manifest.items("output").iter();
    let at = outputs
        .enumerate()
        .find(|(_, o)| o.str_at(&["type"]) == Some("Observation"))
        .unwrap()
        .0;
    let file = site.ask(&format!("GET {job}/{at}"), &[], "").await;
    assert!(
        file.text.contains("1.00") && !file.text.contains("amended"),
        "{}",
        file.text
    );
}

#[tokio::test]
async fn since_leaves_out_what_is_older() {
    let site = site().await;
    site.clock.advance(std::time::Duration::from_secs(60));
    let since = gateway_ground::clock::format_instant(site.clock.now_ms() - 1);
    site.put(r#"{"resourceType":"Patient","id":"late"}"#).await;
    let job = start(&site, &format!("GET $export?_since={since}")).await;
    carry_out(&site).await;
    assert_eq!(exported(&site, &job).await, ["Patient/late"]);
}

#[tokio::test]
async fn a_job_ends_when_deleted_and_when_its_time_is_over() {
    let site = site().await;
    let job = start(&site, "GET $export").await;
    assert_eq!(
        site.ask(&format!("DELETE {job}"), &[], "").await.status,
        202
    );
    assert_eq!(site.ask(&format!("GET {job}"), &[], "").await.status, 404);
    assert_eq!(site.surface.repository.next_job().unwrap(), None);
    let job = start(&site, "GET $export").await;
    carry_out(&site).await;
    site.clock
        .advance(std::time::Duration::from_secs(23 * 3600));
    site.surface.repository.expire_jobs().await.unwrap();
    assert_eq!(site.ask(&format!("GET {job}"), &[], "").await.status, 200);
    site.clock.advance(std::time::Duration::from_secs(2 * 3600));
    site.surface.repository.expire_jobs().await.unwrap();
    assert_eq!(site.ask(&format!("GET {job}"), &[], "").await.status, 404);
    assert_eq!(site.ask(&format!("GET {job}/0"), &[], "").await.status, 404);
}

#[tokio::test]
async fn mistakes_are_named() {
    let site = site().await;
    site.ask("GET $export", &[], "")
        .await
        .refused(400, "E-EXPORT-1", "");
    for (query, number, name) in [
        ("_type=Nothing", "E-OPERATION-1", "_type"),
        ("_since=yesterday", "E-OPERATION-1", "_since"),
        ("_outputFormat=csv", "E-OPERATION-1", "_outputFormat"),
        ("_typeFilter=x", "E-OPERATION-1", "_typeFilter"),
        ("patient=Patient/p", "E-OPERATION-1", "patient"),
        ("_elements=id", "E-OPERATION-3", "_elements"),
    ] {
        let reply = site.ask(&format!("GET $export?{query}"), ASYNC, "").await;
        reply.refused(
            400,
            number,
            &format!("Parameters.parameter.where(name='{name}')"),
        );
    }
    assert_eq!(
        site.ask("GET Group/none/$export", ASYNC, "").await.status,
        404
    );
    assert_eq!(
        site.ask("GET Patient/p/$export", ASYNC, "").await.status,
        404
    );
    assert_eq!(site.ask("GET _jobs/nonsense", &[], "").await.status, 404);
    for (query, status, number) in [
        (
            "$export?_typeFilter=Patient%3Fcolour%3Dred",
            400,
            "E-SEARCH",
        ),
        (
            "$export?_type=Group&_typeFilter=Patient%3F_id%3Dp",
            400,
            "E-EXPORT-2",
        ),
        ("Patient/$export?patient=Patient/none", 404, "E-READ-1"),
        ("Patient/$export?patient=Group/g", 400, "E-OPERATION-1"),
    ] {
        let reply = site.ask(&format!("GET {query}"), ASYNC, "").await;
        assert_eq!(reply.status, status, "{query} {}", reply.text);
        assert!(reply.text.contains(number), "{query} {}", reply.text);
    }
}
